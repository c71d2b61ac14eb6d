//! The `skep` binary: composition root and client verbs.

fn main() {}
