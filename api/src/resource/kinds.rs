//! The kinds that are served at a moment: the built-in rows and those of custom kinds.

use std::{cmp::Reverse, collections::HashMap};

use super::{Resource, resources};

/// Every kind that is served, grouped by group and version: the core group first, then by name; within a group the
/// preferred version first.
#[derive(Debug, Clone)]
pub struct Kinds {
    rows: Vec<&'static Resource>,
    /// By group, version and plural.
    by_path: HashMap<(&'static str, &'static str, &'static str), &'static Resource>,
}

impl Kinds {
    /// The built-in kinds alone.
    #[must_use]
    pub fn builtin() -> Kinds {
        Kinds::with([])
    }

    /// The built-in kinds and these. A row whose path a built-in kind has is left out.
    #[must_use]
    pub fn with(custom: impl IntoIterator<Item = &'static Resource>) -> Kinds {
        let mut rows: Vec<&'static Resource> = Vec::new();
        let mut by_path = HashMap::new();
        for row in resources().iter().chain(custom) {
            by_path.entry((row.group, row.version, row.plural)).or_insert_with(|| {
                rows.push(row);
                row
            });
        }
        // Stable: built-in rows keep the order of the table.
        rows.sort_by_key(|row| (row.group, Reverse(priority(row.version))));
        Kinds { rows, by_path }
    }

    /// Every row.
    #[must_use]
    pub fn rows(&self) -> &[&'static Resource] {
        &self.rows
    }

    /// The row at `/api/{version}/{plural}` (empty group) or `/apis/{group}/{version}/{plural}`.
    #[must_use]
    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
        self.by_path.get(&(group, version, plural)).copied()
    }

    /// The row of a kind.
    #[must_use]
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
        self.rows
            .iter()
            .find(|row| row.kind == kind && row.group == group && row.version == version)
            .copied()
    }

    /// The rows of a group's version.
    pub fn of<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'static Resource> + 'a {
        self.rows
            .iter()
            .filter(move |row| row.group == group && row.version == version)
            .copied()
    }

    /// Every group, the core group first.
    #[must_use]
    pub fn groups(&self) -> Vec<&'static str> {
        let mut groups: Vec<&str> = self.rows.iter().map(|row| row.group).collect();
        groups.dedup();
        groups
    }

    /// The versions of a group, the preferred one first.
    #[must_use]
    pub fn versions(&self, group: &str) -> Vec<&'static str> {
        let rows = self.rows.iter().filter(|row| row.group == group);
        let mut versions: Vec<&str> = rows.map(|row| row.version).collect();
        versions.dedup();
        versions
    }

    /// Every group with each of its versions.
    #[must_use]
    pub fn group_versions(&self) -> Vec<(&'static str, &'static str)> {
        let mut pairs: Vec<(&str, &str)> = self.rows.iter().map(|row| (row.group, row.version)).collect();
        pairs.dedup();
        pairs
    }
}

/// How stable a version says it is: `v2` over `v1` over `v1beta2` over `v1alpha1` over anything else, and those by
/// name backwards.
///
/// Source: "Version priority" in the documentation of CustomResourceDefinitions.
fn priority(version: &str) -> (u8, u32, u32, Reverse<&str>) {
    let parsed = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u32 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (3, "0"),
            tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
                (Some(minor), _) => (2, minor),
                (None, Some(minor)) => (1, minor),
                (None, None) => return None,
            },
        };
        Some((stage, major, minor.parse().ok()?))
    };
    match parsed() {
        Some((stage, major, minor)) => (stage, major, minor, Reverse("")),
        None => (0, 0, 0, Reverse(version)),
    }
}

#[cfg(test)]
mod tests;
