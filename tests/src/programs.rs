//! Where the programs are that tests run.

use std::path::{Path, PathBuf};

/// The `skep` binary: SKEP_BIN, or the one built beside this test.
#[must_use]
pub fn skep() -> PathBuf {
    std::env::var_os("SKEP_BIN").map_or_else(|| beside_us("skep"), PathBuf::from)
}

/// kubectl 1.34 or newer: SKEP_KUBECTL, or what `cargo xtask setup` finds.
///
/// # Panics
/// When there is none; `cargo xtask setup` gets one.
#[must_use]
pub fn kubectl() -> PathBuf {
    if let Some(path) = std::env::var_os("SKEP_KUBECTL") {
        return PathBuf::from(path);
    }
    xtask::setup::kubectl::find()
        .expect("kubectl 1.34 or newer; `cargo xtask setup` gets one")
        .kubectl
}

/// The helm that `cargo xtask setup` gets.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn helm() -> PathBuf {
    xtask::setup::kubectl::find_helm().expect("helm; `cargo xtask setup` gets one")
}

/// The registry that `cargo xtask setup` gets.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn registry() -> PathBuf {
    xtask::setup::registry::find().expect("docker-registry; `cargo xtask setup` gets one")
}

/// The web server that tests run in pods.
#[must_use]
pub fn test_web() -> PathBuf {
    beside_us("test-web")
}

/// The load generator that tests run in pods and on nodes.
#[must_use]
pub fn test_load() -> PathBuf {
    beside_us("test-load")
}

/// Test executables are in `<profile>/deps`, binaries in `<profile>`.
fn beside_us(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("know our own path");
    let profile = own
        .parent()
        .and_then(Path::parent)
        .expect("a test lies in <profile>/deps");
    let program = profile.join(name);
    assert!(
        program.exists(),
        "{} is not built; `cargo xtask test` builds it",
        program.display()
    );
    program
}
