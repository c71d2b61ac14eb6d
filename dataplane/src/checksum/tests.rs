//! Tests of checksums by difference, against the sum over everything.

use super::Difference;

/// The checksum over whole bytes, as RFC 1071 describes it, as it stands in memory.
pub(crate) fn full(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be()
}

#[test]
fn a_difference_gives_what_the_whole_sum_gives() {
    // Every second word pair from a simple generator; the seed is the row.
    for seed in 0..2_000u32 {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12345);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if state.is_multiple_of(7) { 0 } else { state }
        };
        let before = [next(), next(), next(), next()];
        let after = [next(), before[1], next(), before[3]];
        let bytes = |words: [u32; 4]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>();
        let difference = Difference::default()
            .change(before[0], after[0])
            .change(before[2], after[2]);
        let (got, want) = (difference.apply(full(&bytes(before))), full(&bytes(after)));
        // Zero has two representations in ones' complement.
        assert!(
            got == want || (got | want == 0xffff && got & want == 0),
            "seed {seed}: {got:#x} {want:#x}"
        );
    }
}
