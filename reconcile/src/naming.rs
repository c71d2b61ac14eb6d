//! Names for objects that controllers make: a hash in Kubernetes' alphabet after the owner's name.
//!
//! The suffix is a function of what the planner saw, not a random number: a plan made twice from the same view asks for
//! the same names, so the second one is refused by the server instead of making everything twice.

/// Letters and digits that form no words and cannot be confused, as Kubernetes uses for generated names.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A generated name is a DNS label: 63 characters, 5 of them the suffix.
const BASE_LENGTH_MAX: usize = 63 - SUFFIX_LENGTH;

const SUFFIX_LENGTH: usize = 5;

/// FNV-1a, 64 bit, over parts that cannot run into each other. Stable over builds: names outlive processes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    /// This hash with one more part.
    #[must_use]
    pub(crate) fn with(self, part: impl AsRef<[u8]>) -> Hash {
        let part = part.as_ref();
        let length = (part.len() as u64).to_le_bytes();
        let hash = part.iter().chain(&length).fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Hash(hash)
    }

    /// This hash with one more number.
    #[must_use]
    pub(crate) fn with_number(self, number: u64) -> Hash {
        self.with(number.to_le_bytes())
    }

    /// A well mixed value: FNV alone leaves the high bits of short inputs alike.
    pub(crate) fn value(self) -> u64 {
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The hash as `length` characters of the alphabet.
    pub(crate) fn letters(self, length: usize) -> String {
        let mut rest = self.value();
        (0..length)
            .map(|_| {
                let letter = ALPHABET[(rest % ALPHABET.len() as u64) as usize];
                rest /= ALPHABET.len() as u64;
                char::from(letter)
            })
            .collect()
    }
}

/// `base` + five letters of the hash, shortened to the length of a generated name. `base` ends in `-`.
pub(crate) fn generated(base: &str, hash: Hash) -> String {
    let mut end = base.len().min(BASE_LENGTH_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &base[..end], hash.letters(SUFFIX_LENGTH))
}

#[cfg(test)]
mod tests;
