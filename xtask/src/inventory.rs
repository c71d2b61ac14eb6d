//! What the kernel holds that a cluster on this machine may leave behind: compared before and after, so that a leak has
//! a name. For the demo and for the end-to-end tests.
//!
//! Links and mounts are those that the calling thread sees, which may be in namespaces of its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long the kernel may take to let go of what was removed.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Names of everything, with its kind in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory(BTreeSet<String>);

impl Inventory {
    /// Everything there is now.
    #[must_use]
    pub fn take() -> Self {
        let mut found = BTreeSet::new();
        found.extend(names_in("/run/netns").map(|name| format!("network namespace {name}")));
        found.extend(links().map(|name| format!("link {name}")));
        found.extend(
            names_in("/sys/fs/bpf")
                .filter(|name| name.starts_with("skep"))
                .map(|name| format!("pins {name}")),
        );
        found.extend(cgroups().map(|path| format!("control group {path}")));
        found.extend(mounts().map(|path| format!("mount {path}")));
        found.extend(
            names_in("/run/skep/sandboxes")
                .filter(|name| !name.starts_with('.'))
                .map(|name| format!("sandbox entry {name}")),
        );
        found.extend(processes().map(|process| format!("process {process}")));
        Self(found)
    }

    /// What is here and was not before.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }

    /// What is here and was not at the time of this inventory, once nothing of it goes away by itself any more.
    #[must_use]
    pub fn left_behind(&self) -> Vec<String> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let left = Self::take().since(self);
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }
}

fn names_in(directory: &str) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
}

/// Links of the calling thread's network namespace. Two lines of headings come first.
fn links() -> impl Iterator<Item = String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let names: Vec<String> = table
        .lines()
        .skip(2)
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    names.into_iter()
}

/// Control groups below a `skep` directory of any hierarchy.
fn cgroups() -> impl Iterator<Item = String> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path());
    let mut open: Vec<PathBuf> = hierarchies
        .chain([root.to_owned()])
        .map(|path| path.join("skep"))
        .collect();
    let mut found = BTreeSet::new();
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        open.extend(
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
        found.insert(directory.display().to_string());
    }
    found.into_iter()
}

fn mounts() -> impl Iterator<Item = String> {
    let mountinfo = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let targets: Vec<String> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect();
    targets.into_iter()
}

/// Processes of the skep binary, and all in a control group below `skep`.
fn processes() -> impl Iterator<Item = String> {
    let pids = names_in("/proc").filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    pids.filter_map(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let cmdline = String::from_utf8_lossy(&read("cmdline"))
            .replace('\0', " ")
            .trim()
            .to_owned();
        let is_ours = cmdline
            .split(' ')
            .next()
            .is_some_and(|program| program.ends_with("/skep"))
            || String::from_utf8_lossy(&read("cgroup")).contains(":/skep/");
        (is_ours && !cmdline.is_empty()).then(|| format!("{pid} {cmdline}"))
    })
}
