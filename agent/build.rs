//! Builds the eBPF object that the agent carries, and names it in `SKEP_DATAPLANE_OBJECT`.
//!
//! The object needs `core` built for the BPF target, so a compiler with its library's source, and `bpf-linker`.
//! Compilers are tried in this order: rustup's nightly, the compiler of this very build with its unstable features
//! unlocked, Debian's `rustc-web`. The nested cargo has a target directory of its own below `OUT_DIR`: the one of the
//! outer cargo is locked while this runs.
//! Never here: downloads of tools; `cargo xtask setup` does those.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

const TARGET: &str = "bpfel-unknown-none";
/// BTF for map types and line information; v3 for atomics that return a value.
const FLAGS: [&str; 4] = ["-Clink-arg=--btf", "-Cdebuginfo=2", "-Ctarget-cpu=v3", "-Cpanic=abort"];
/// Lines of a failed build that are shown.
const SHOWN_LINES: usize = 40;

/// A cargo and rustc that may be able to build for BPF.
struct Toolchain {
    name: String,
    cargo: PathBuf,
    rustc: PathBuf,
    unlock: bool,
}

fn main() -> ExitCode {
    for path in ["build.rs", "../dataplane/src", "../dataplane/Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for path in ["../dataplane-ebpf/src", "../dataplane-ebpf/Cargo.toml"] {
        println!("cargo::rerun-if-changed={path}");
    }
    match build() {
        Ok(object) => {
            println!("cargo::rustc-env=SKEP_DATAPLANE_OBJECT={}", object.display());
            ExitCode::SUCCESS
        }
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let directory = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .ok_or(format!("cargo did not set {name}"))
    };
    let workspace = directory("CARGO_MANIFEST_DIR")?.join("..");
    let target_dir = directory("OUT_DIR")?.join("ebpf");
    let linker = find_linker().ok_or(
        "bpf-linker is missing: the eBPF object cannot be linked.\n\
         Run `cargo xtask setup`, or by hand: apt-get install llvm-22-dev libpolly-22-dev, then\n\
         LLVM_PREFIX=/usr/lib/llvm-22 LIBRARY_PATH=/usr/lib/llvm-22/lib cargo install bpf-linker --version 0.13.0 \
         --no-default-features --features llvm-22",
    )?;
    let (usable, lacking) = toolchains();
    if usable.is_empty() {
        return Err(format!(
            "no compiler here can build the eBPF object, which needs the source of Rust's core library:\n{}\n\
             Run `cargo xtask setup`, or one of these by hand:\n\
             rustup toolchain install nightly --component rust-src\n\
             rustup component add rust-src\n\
             apt-get install rustc-web cargo-web rust-web-src",
            lacking.join("\n")
        ));
    }
    let mut failures = String::new();
    for toolchain in &usable {
        match compile(toolchain, &workspace, &target_dir, &linker) {
            Ok(object) => {
                depend_on([&linker, &toolchain.cargo, &toolchain.rustc]);
                return Ok(object);
            }
            Err(failure) => failures.push_str(&format!("with {}:\n{failure}\n", toolchain.name)),
        }
    }
    Err(format!("the eBPF object does not build\n{failures}"))
}

/// Builds again when one of these tools changes. Not when PATH does: a shell in which it is longer finds the same tools,
/// and a build that failed for want of one is tried again anyway.
fn depend_on(tools: [&PathBuf; 3]) {
    // Where only a name is known cargo watches its own compiler itself; a file that is not there would always be newer.
    for tool in tools.into_iter().filter(|tool| tool.is_absolute() && tool.is_file()) {
        println!("cargo::rerun-if-changed={}", tool.display());
    }
}

/// bpf-linker in PATH, or where `cargo install` puts it.
fn find_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    env::split_paths(&path)
        .chain(home.map(|home| home.join("bin")))
        .map(|dir| dir.join("bpf-linker"))
        .find(|file| file.is_file())
}

/// What can be used, best first, and a line for each that cannot.
fn toolchains() -> (Vec<Toolchain>, Vec<String>) {
    let nightly = output(Command::new("rustup").args(["which", "--toolchain", "nightly", "cargo"]))
        .map(PathBuf::from)
        .map(|cargo| Toolchain {
            name: "rustup's nightly".to_owned(),
            rustc: cargo.with_file_name("rustc"),
            cargo,
            unlock: false,
        });
    let own = |name| env::var_os(name).map(PathBuf::from);
    let this = own("CARGO").zip(own("RUSTC")).map(|(cargo, rustc)| Toolchain {
        name: "the compiler of this build".to_owned(),
        cargo,
        rustc,
        unlock: true,
    });
    let debian = Toolchain {
        name: "Debian's rustc-web".to_owned(),
        cargo: PathBuf::from("/usr/bin/cargo"),
        rustc: PathBuf::from("/usr/bin/rustc"),
        unlock: true,
    };
    let (mut usable, mut lacking) = (Vec::new(), Vec::new());
    for toolchain in [nightly, this, Some(debian)].into_iter().flatten() {
        match output(Command::new(&toolchain.rustc).args(["--print", "sysroot"])) {
            None => lacking.push(format!(
                "{}: {} does not run",
                toolchain.name,
                toolchain.rustc.display()
            )),
            Some(sysroot) => {
                let core = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/Cargo.toml");
                if core.is_file() {
                    usable.push(toolchain);
                } else {
                    lacking.push(format!("{}: {} is missing", toolchain.name, core.display()));
                }
            }
        }
    }
    (usable, lacking)
}

/// Standard output of a command that succeeds.
fn output(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.env_remove("RUSTUP_TOOLCHAIN").output().ok()?;
    let text = String::from_utf8(stdout).ok()?.trim().to_owned();
    (status.success() && !text.is_empty()).then_some(text)
}

fn compile(toolchain: &Toolchain, workspace: &Path, target_dir: &Path, linker: &Path) -> Result<PathBuf, String> {
    let mut cargo = Command::new(&toolchain.cargo);
    // Nothing of the outer build: its wrappers, flags and profile are for another target.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let foreign = [
            "CARGO",
            "RUSTC",
            "RUSTDOC",
            "CLIPPY",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "TARGET",
            "DEP_",
        ];
        if text != "CARGO_HOME" && foreign.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo
        .current_dir(workspace)
        .args([
            "build",
            "--locked",
            "--release",
            "--package",
            "dataplane-ebpf",
            "--target",
            TARGET,
            "-Zbuild-std=core",
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC", &toolchain.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker)
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "2")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
        .env("CARGO_TERM_COLOR", "never");
    if toolchain.unlock {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    let built = cargo
        .output()
        .map_err(|error| format!("{} does not run: {error}", toolchain.cargo.display()))?;
    if !built.status.success() {
        let text = String::from_utf8_lossy(&built.stderr);
        let lines: Vec<_> = text.lines().collect();
        return Err(lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"));
    }
    let object = target_dir.join(TARGET).join("release/dataplane-ebpf");
    fs::metadata(&object).map_err(|error| format!("{} was not made: {error}", object.display()))?;
    Ok(object)
}
