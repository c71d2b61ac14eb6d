//! What a running process takes.
//!
//! Source: proc(5), VmRSS of /proc/PID/status, utime and stime of /proc/PID/stat.

use anyhow::{Context, Result};

/// Ticks per second of the times in /proc/PID/stat: fixed by the kernel's user interface.
const CLOCK_TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory, MiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_mib(pid: u32) -> Result<f64> {
    let (path, status) = read(pid, "status")?;
    let kib: f64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
        .with_context(|| format!("find VmRSS in {path}"))?;
    Ok(kib / 1024.0)
}

/// Processor time since it began, seconds.
///
/// # Errors
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let (path, stat) = read(pid, "stat")?;
    // The name, in parentheses, may hold spaces; utime and stime are the 12th and 13th fields after it.
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let total = ticks(11).zip(ticks(12)).map(|(user, system)| user + system);
    Ok(total.with_context(|| format!("find the times in {path}"))? / CLOCK_TICKS_PER_SECOND)
}

fn read(pid: u32, what: &str) -> Result<(String, String)> {
    let path = format!("/proc/{pid}/{what}");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {path}; did the process die?"))?;
    Ok((path, text))
}
