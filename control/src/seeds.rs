//! The seeds of one run of a random test: the same few always, and one that no run had before.

use std::env;

/// Names the one seed to run with instead.
const VARIABLE: &str = "SKEP_TEST_SEED";

/// The seeds to run with, each printed before its turn, so that a failure names it.
pub(crate) fn of_run(fixed: &[u64]) -> impl Iterator<Item = u64> {
    let seeds = match env::var(VARIABLE) {
        Ok(seed) => vec![seed.parse().expect("the seed is a number")],
        // Short enough to be typed.
        Err(_) => [fixed, &[rand::random::<u32>().into()]].concat(),
    };
    seeds
        .into_iter()
        .inspect(|seed| println!("seed {seed}; {VARIABLE}={seed} runs with it alone"))
}
