//! `cargo xtask bench idle`: resident memory and CPU of a server with one agent at rest.
//!
//! Source: proc(5), VmRSS of /proc/PID/status, utime and stime of /proc/PID/stat.

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
    setup, shell,
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

/// Ticks per second of the times in /proc/PID/stat: fixed by the kernel's user interface.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

struct Process {
    role: String,
    pid: u64,
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
    let before: Vec<f64> = processes.iter().map(cpu_seconds).collect::<Result<_>>()?;
    let start = Instant::now();
    thread::sleep(Duration::from_secs(arguments.seconds));
    let elapsed_s = start.elapsed().as_secs_f64();

    println!("{:<12} {:>12} {:>12}", "PROCESS", "RESIDENT", "CPU");
    let (mut memory_mib, mut cpu_percent) = (0.0, 0.0);
    for (process, before) in processes.iter().zip(before) {
        let resident = resident_mib(process)?;
        let percent = (cpu_seconds(process)? - before) / elapsed_s * 100.0;
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
                pid: process["pid"].as_u64()?,
            })
        })
        .collect();
    if processes.len() != 2 {
        bail!("expected one server and one agent, found {}", processes.len());
    }
    Ok(processes)
}

fn resident_mib(process: &Process) -> Result<f64> {
    let path = format!("/proc/{}/status", process.pid);
    let status =
        std::fs::read_to_string(&path).with_context(|| format!("read {path}; did the {} die?", process.role))?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("find VmRSS in {path}"))?;
    Ok(kib / 1024.0)
}

fn cpu_seconds(process: &Process) -> Result<f64> {
    let path = format!("/proc/{}/stat", process.pid);
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}; did the {} die?", process.role))?;
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th fields after it.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
    Ok(total.with_context(|| format!("find the times in {path}"))? / CLOCK_TICKS_PER_SECOND)
}
