//! How the files of the audit log are named and which of them go. Pure.
//!
//! `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`. Source: the meaning of kube-apiserver's `--audit-log-*`
//! flags, which is that of the Go package lumberjack.

use std::path::{Path, PathBuf};

use api::Timestamp;
use jiff::{ToSpan as _, civil::DateTime, tz::TimeZone};

const TIME: &str = "%Y-%m-%dT%H-%M-%S%.3f";
const TIME_READ: &str = "%Y-%m-%dT%H-%M-%S%.f";
const TIME_LENGTH: usize = "2026-01-02T03-04-05.678".len();

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Of the file that is written to.
    pub(super) size_bytes_max: u64,
    /// Older files; 0: no limit.
    pub(super) backups_max: usize,
    /// Of older files; 0: no limit.
    pub(super) age_days_max: u32,
}

/// Whether the file is full before `more` is written to it.
pub(super) fn is_due(limits: &Limits, written: u64, more: u64) -> bool {
    written > 0 && written.saturating_add(more) > limits.size_bytes_max
}

/// The name that the full log gets.
pub(super) fn backup(log: &Path, now: Timestamp) -> PathBuf {
    let (stem, extension) = parts(log);
    log.with_file_name(format!("{stem}-{}{extension}", now.strftime(TIME)))
}

/// Which of the files beside the log are to be removed.
pub(super) fn superfluous(log: &Path, names: &[String], limits: &Limits, now: Timestamp) -> Vec<String> {
    let mut backups: Vec<(Timestamp, &String)> =
        names.iter().filter_map(|name| Some((made(log, name)?, name))).collect();
    backups.sort_by(|one, other| other.cmp(one));
    let oldest = match limits.age_days_max {
        0 => None,
        days => now.checked_sub((i64::from(days) * 24).hours()).ok(),
    };
    let kept = |index: usize, at: Timestamp| {
        (limits.backups_max == 0 || index < limits.backups_max) && oldest.is_none_or(|oldest| at >= oldest)
    };
    let gone = backups.iter().enumerate().filter(|(index, (at, _))| !kept(*index, *at));
    gone.map(|(_, (_, name))| (*name).clone()).collect()
}

/// When a file was the log, if it ever was.
fn made(log: &Path, name: &str) -> Option<Timestamp> {
    let (stem, extension) = parts(log);
    let time = name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&extension)?;
    if time.len() != TIME_LENGTH {
        return None;
    }
    let time = DateTime::strptime(TIME_READ, time).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The name without its extension, and the extension with its dot.
fn parts(log: &Path) -> (String, String) {
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let extension = log
        .extension()
        .map_or_else(String::new, |extension| format!(".{}", text(extension)));
    (log.file_stem().map_or_else(String::new, text), extension)
}

#[cfg(test)]
mod tests;
