//! `cargo xtask bench idle`: resident memory and CPU of a server with one agent at rest.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::{
    cargo::{self, Profile},
    process, setup, shell,
};

/// How to measure.
#[derive(Args)]
pub(super) struct IdleArguments {
    /// Seconds to measure for.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds to let the cluster come to rest first.
    #[arg(long, default_value_t = 10)]
    settle_seconds: u64,
    /// Measure the binary of the dev profile, which is quicker to build and bigger.
    #[arg(long)]
    dev: bool,
}

struct Process {
    role: String,
    pid: u32,
}

pub(super) fn run(arguments: &IdleArguments) -> Result<()> {
    setup::run()?;
    let skep = cargo::build_skep(if arguments.dev { Profile::Dev } else { Profile::Release })?;
    let name = format!("idle{}", std::process::id());
    let sandbox = |words: &[&str]| {
        let mut command = Command::new(&skep);
        command.arg("sandbox").args(words).args(["--name", &name]);
        command
    };
    shell::run(sandbox(&["create"]).args(["--nodes", "1"]))?;
    let measured =
        shell::output(&mut sandbox(&["status", "-o", "json"])).and_then(|status| measure(&status, arguments));
    shell::run(&mut sandbox(&["delete"]))?;
    measured
}

fn measure(status: &str, arguments: &IdleArguments) -> Result<()> {
    let processes = processes(status)?;
    thread::sleep(Duration::from_secs(arguments.settle_seconds));
    let before: Vec<f64> = processes
        .iter()
        .map(|process| process::cpu_seconds(process.pid))
        .collect::<Result<_>>()?;
    let start = Instant::now();
    thread::sleep(Duration::from_secs(arguments.seconds));
    let elapsed_s = start.elapsed().as_secs_f64();

    println!("{:<12} {:>12} {:>12}", "PROCESS", "RESIDENT", "CPU");
    let (mut memory_mib, mut cpu_percent) = (0.0, 0.0);
    for (process, before) in processes.iter().zip(before) {
        let resident = process::resident_mib(process.pid)?;
        let percent = (process::cpu_seconds(process.pid)? - before) / elapsed_s * 100.0;
        println!("{:<12} {resident:>8.1} MiB {percent:>9.2} %", process.role);
        memory_mib += resident;
        cpu_percent += percent;
    }
    println!(
        "{:<12} {memory_mib:>8.1} MiB {cpu_percent:>9.2} %  (of one core, over {elapsed_s:.0} s)",
        "together"
    );
    Ok(())
}

fn processes(status: &str) -> Result<Vec<Process>> {
    let status: Value = serde_json::from_str(status).context("read the sandbox's status")?;
    let listed = status["processes"]
        .as_array()
        .context("the sandbox's status lists processes")?;
    let processes: Vec<Process> = listed
        .iter()
        .filter(|process| matches!(process["role"].as_str(), Some("server" | "agent")))
        .filter_map(|process| {
            Some(Process {
                role: process["role"].as_str()?.to_owned(),
                pid: u32::try_from(process["pid"].as_u64()?).ok()?,
            })
        })
        .collect();
    if processes.len() != 2 {
        bail!("expected one server and one agent, found {}", processes.len());
    }
    Ok(processes)
}
