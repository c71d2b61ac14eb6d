//! Values as they stand in the file: as they are, or encrypted for the collections that are chosen to be.
//!
//! ```text
//! plain    the value; behind one byte 0 if it begins with 0 or 1
//! sealed   1, id of the key (4 bytes, big endian), nonce (12), AES-256-GCM ciphertext and tag
//! ```
//!
//! A sealed value is bound to its object and version: moved elsewhere in the file, it does not open. Nonces are random,
//! which is good for 2³² values under one key; keys are replaced long before. Never here: when values are sealed anew
//! (the writer does that), what collections mean.
//! Source: NIST SP 800-38D; Kubernetes, "Encrypting Confidential Data at Rest".

mod keyring;

use std::borrow::Cow;

use bytes::Bytes;
use parking_lot::RwLock;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};

use super::{StorageFailure, tables::collection_of};
pub use keyring::{KeyFileError, SealConfig};
use keyring::{KeyId, KeyRecord, Keyring};

const PLAIN: u8 = 0;
const SEALED: u8 = 1;
/// Before the ciphertext: the mark, the key's id, the nonce.
const HEADER_BYTES: usize = 1 + size_of::<KeyId>() + NONCE_LEN;

/// Encrypts and decrypts values on their way to and from the file.
pub(super) struct Seal {
    /// None: nothing is chosen, and no key is known.
    ring: Option<RwLock<Ring>>,
    random: SystemRandom,
}

struct Ring {
    keyring: Keyring,
    /// Made from the keyring, in its order.
    keys: Vec<(KeyId, LessSafeKey)>,
}

impl Ring {
    fn new(keyring: Keyring) -> Ring {
        let cipher = |record: &KeyRecord| {
            let unbound = UnboundKey::new(&AES_256_GCM, &record.secret).expect("a key has the 32 bytes of AES-256");
            (record.id, LessSafeKey::new(unbound))
        };
        Ring {
            keys: keyring.keys().iter().map(cipher).collect(),
            keyring,
        }
    }

    /// The newest.
    fn active(&self) -> &(KeyId, LessSafeKey) {
        self.keys.first().expect("a keyring has at least one key")
    }
}

/// How a value stands in the file.
#[derive(Debug, PartialEq, Eq)]
enum Form<'a> {
    Plain(&'a [u8]),
    Sealed {
        key: KeyId,
        nonce: [u8; NONCE_LEN],
        ciphertext: &'a [u8],
    },
}

impl Form<'_> {
    fn of(stored: &[u8]) -> Option<Form<'_>> {
        match stored.split_first() {
            Some((&PLAIN, value)) => Some(Form::Plain(value)),
            Some((&SEALED, rest)) => {
                let (key, rest) = rest.split_first_chunk()?;
                let (nonce, ciphertext) = rest.split_first_chunk()?;
                Some(Form::Sealed {
                    key: KeyId::from_be_bytes(*key),
                    nonce: *nonce,
                    ciphertext,
                })
            }
            _ => Some(Form::Plain(stored)),
        }
    }
}

impl Seal {
    /// Leaves all values as they are. Values that were sealed cannot be read.
    pub(super) fn nothing() -> Seal {
        Seal {
            ring: None,
            random: SystemRandom::new(),
        }
    }

    /// Reads the keys, or makes the first one.
    pub(super) fn open(config: &SealConfig) -> Result<Seal, KeyFileError> {
        let keyring = Keyring::open(config)?;
        Ok(Seal {
            ring: Some(RwLock::new(Ring::new(keyring))),
            random: SystemRandom::new(),
        })
    }

    /// The key that encrypts now.
    pub(super) fn active_key(&self) -> Option<KeyId> {
        self.ring.as_ref().map(|ring| ring.read().active().0)
    }

    /// Whether values that were encrypted with this key can be read.
    pub(super) fn knows(&self, key: KeyId) -> bool {
        let ring = self.ring.as_ref().map(RwLock::read);
        ring.is_some_and(|ring| ring.keys.iter().any(|(known, _)| *known == key))
    }

    /// The bytes to keep for this version of the object.
    pub(super) fn close<'a>(
        &self,
        key: &[u8],
        modified: u64,
        value: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, StorageFailure> {
        let Some(ring) = self.ring.as_ref().map(RwLock::read) else {
            return Ok(plain(value));
        };
        if !ring.keyring.is_chosen(collection_of(key)) {
            return Ok(plain(value));
        }
        let (id, cipher) = ring.active();
        let mut nonce = [0; NONCE_LEN];
        self.random
            .fill(&mut nonce)
            .map_err(|_| StorageFailure::corrupt("the system gives no random numbers"))?;
        let mut sealed = Vec::with_capacity(HEADER_BYTES + value.len() + AES_256_GCM.tag_len());
        sealed.push(SEALED);
        sealed.extend_from_slice(&id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = cipher
            .seal_in_place_separate_tag(nonce, bound_to(key, modified), &mut sealed[HEADER_BYTES..])
            .map_err(|_| StorageFailure::corrupt("a value is too large to be encrypted"))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(Cow::Owned(sealed))
    }

    /// The value of kept bytes. `key` is only called for those that are sealed.
    pub(super) fn read<'a>(
        &self,
        key: impl FnOnce() -> Cow<'a, [u8]>,
        modified: u64,
        stored: &[u8],
    ) -> Result<Bytes, StorageFailure> {
        let (id, nonce, ciphertext) = match Form::of(stored) {
            Some(Form::Plain(value)) => return Ok(Bytes::copy_from_slice(value)),
            Some(Form::Sealed { key, nonce, ciphertext }) => (key, nonce, ciphertext),
            None => return Err(StorageFailure::corrupt("an encrypted value is cut off")),
        };
        let unreadable =
            || StorageFailure::corrupt(&format!("a value is encrypted with key {id:08x}, which is not there"));
        let ring = self.ring.as_ref().map(RwLock::read).ok_or_else(unreadable)?;
        let (_, cipher) = ring
            .keys
            .iter()
            .find(|(known, _)| *known == id)
            .ok_or_else(unreadable)?;
        let mut buffer = ciphertext.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = cipher
            .open_in_place(nonce, bound_to(&key(), modified), &mut buffer)
            .map_err(|_| StorageFailure::corrupt("an encrypted value has been changed or moved"))?
            .len();
        buffer.truncate(length);
        Ok(Bytes::from(buffer))
    }

    /// True if these bytes are not what [`Seal::close`] would make now, apart from the nonce.
    pub(super) fn is_stale(&self, key: &[u8], stored: &[u8]) -> bool {
        let Some(ring) = self.ring.as_ref().map(RwLock::read) else {
            return false;
        };
        let is_chosen = ring.keyring.is_chosen(collection_of(key));
        match Form::of(stored) {
            Some(Form::Plain(_)) => is_chosen,
            Some(Form::Sealed { key, .. }) => !is_chosen || key != ring.active().0,
            // Left for whoever reads it to complain about.
            None => false,
        }
    }

    /// True if some values in the file may be stale: a key was added, or other collections chosen.
    pub(super) fn is_unsettled(&self) -> bool {
        self.ring
            .as_ref()
            .is_some_and(|ring| ring.read().keyring.is_unsettled())
    }

    /// Adds a key if the newest has reached its age; true if it did.
    pub(super) fn rotate_if_due(&self) -> Result<bool, KeyFileError> {
        let Some(ring) = &self.ring else { return Ok(false) };
        if !ring.read().keyring.is_due() {
            return Ok(false);
        }
        let mut keyring = ring.read().keyring.clone();
        keyring.add_key()?;
        *ring.write() = Ring::new(keyring);
        Ok(true)
    }

    /// No value in the file is stale: forgets the keys that none needs.
    pub(super) fn settle(&self) -> Result<(), KeyFileError> {
        let Some(ring) = &self.ring else { return Ok(()) };
        let mut keyring = ring.read().keyring.clone();
        keyring.settle()?;
        *ring.write() = Ring::new(keyring);
        Ok(())
    }
}

fn plain(value: &[u8]) -> Cow<'_, [u8]> {
    match value.first() {
        Some(&(PLAIN | SEALED)) => Cow::Owned([&[PLAIN], value].concat()),
        _ => Cow::Borrowed(value),
    }
}

fn bound_to(key: &[u8], modified: u64) -> Aad<Vec<u8>> {
    Aad::from([key, &[0], &modified.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests;
