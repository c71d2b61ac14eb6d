//! Tasks of the project: setup, build, verify, fix, tidy, test, demo, bench.

fn main() {}
