//! Tasks of the project: setup, build, verify, fix, tidy, test, demo, bench, and the builder of test images.
//!
//! Never here: our own crates. A task drives the project from outside, through cargo, `skep` and `kubectl`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner talks to the person at the terminal"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod bench;
pub mod cargo;
pub mod demo;
pub mod image;
pub mod inventory;
pub mod process;
pub mod schema;
pub mod setup;
pub mod shell;
pub mod testing;
pub mod tidy;
pub mod verify;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Tasks of the Skep project",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building and testing need (packages, rust-src, bpf-linker, kubectl, cargo-fuzz). Does nothing when
    /// done.
    Setup,
    /// Build the `skep` binary.
    Build {
        /// With optimisation, as it would be shipped.
        #[arg(long)]
        release: bool,
    },
    /// Formatting, lints, licences and the rules of docs/architecture.md.
    Verify,
    /// Format and apply the lints' own suggestions.
    Fix,
    /// The rules of docs/architecture.md and docs/style.md that a program can check.
    Tidy,
    /// All tests: units of every crate, then end-to-end tests one after the other.
    Test(testing::TestArguments),
    /// A three-node cluster on this machine serving a web application, shown step by step.
    Demo(demo::DemoArguments),
    /// Measurements; each prints the numbers that the documents quote.
    Bench(bench::BenchArguments),
    /// Write the API schema from public definitions.
    Schema(schema::SchemaArguments),
    /// Write a test image as an OCI archive.
    Image(image::ImageArguments),
}

/// Parses the arguments and runs the task. The exit code is the task's outcome.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Setup => setup::run().and_then(|()| setup::fuzz::ensure()),
        Task::Build { release } => setup::run().and_then(|()| {
            let profile = if release {
                cargo::Profile::Release
            } else {
                cargo::Profile::Dev
            };
            let binary = cargo::build_skep(profile)?;
            println!("built {}", binary.display());
            Ok(())
        }),
        Task::Verify => verify::run(),
        Task::Fix => verify::fix(),
        Task::Tidy => tidy::run(),
        Task::Test(arguments) => testing::run(&arguments),
        Task::Demo(arguments) => demo::run(&arguments),
        Task::Bench(arguments) => bench::run(&arguments),
        Task::Schema(arguments) => schema::run(&arguments),
        Task::Image(arguments) => image::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
