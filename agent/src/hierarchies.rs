//! The cgroup hierarchies of this machine: v2 alone, v1 alone, or both beside each other.
//!
//! Source: cgroups(7), Linux `cgroup-v2.rst`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Whether it is the v2 one.
    pub is_v2: bool,
}

/// The hierarchies that are mounted, in the order of their mounts.
///
/// # Errors
/// When /proc is not mounted.
pub fn mounted() -> io::Result<Vec<Hierarchy>> {
    fs::read_to_string("/proc/self/mounts").map(|mounts| parse(&mounts))
}

/// The v2 hierarchy, if one is mounted.
#[must_use]
pub fn v2(hierarchies: &[Hierarchy]) -> Option<&Path> {
    hierarchies
        .iter()
        .find(|hierarchy| hierarchy.is_v2)
        .map(|hierarchy| hierarchy.mount.as_path())
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(mount), Some(kind)) = (fields.next(), fields.next()) else {
            continue;
        };
        let is_v2 = kind == "cgroup2";
        let mount = PathBuf::from(unescaped(mount));
        // A container's own view of them, mounted below its root, is not ours.
        let is_new = !hierarchies.iter().any(|known| known.mount == mount);
        if (is_v2 || kind == "cgroup") && mount.starts_with("/sys/fs/cgroup") && is_new {
            hierarchies.push(Hierarchy { mount, is_v2 });
        }
    }
    hierarchies
}

/// A path of /proc/mounts: space, tab, newline and backslash are written in octal.
pub(crate) fn unescaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let code = rest
            .get(at + 1..at + 4)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = &rest[at + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests;
