//! The table of kinds the API serves: one [`Resource`] per row, with everything a generic engine must know of it.
//!
//! Never here: behaviour that depends on an object's contents; that is in `defaulting`, `validation` and `table`,
//! which choose by [`Resource::kind`]. A further kind is a further row.
//! Source: the API reference (v1.36) and the discovery documents of a v1.36 server.

mod kinds;
mod rows;

use std::sync::LazyLock;

pub use self::kinds::Kinds;
pub(crate) use self::rows::{ALL_VERBS, READ_WRITE, SCALE};
use crate::{custom::Custom, object::Scope};

/// One kind as clients address it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group, for example `v1`.
    pub version: &'static str,
    /// Name in the URL, for example `pods`.
    pub plural: &'static str,
    /// Singular name that clients accept, for example `pod`.
    pub singular: &'static str,
    /// Name in `kind:`, for example `Pod`.
    pub kind: &'static str,
    /// Kind of a list of these, where it is not the kind's name and `List`; else empty.
    pub list_kind: &'static str,
    /// Abbreviations that clients accept, for example `po`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that clients accept in place of a kind, for example `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub scope: Scope,
    /// Verbs served, sorted.
    pub verbs: &'static [&'static str],
    /// Further paths below an object, sorted by name.
    pub subresources: &'static [Subresource],
    /// Name of the kind's type in the schema, for example `io.k8s.api.core.v1.Pod`.
    pub definition: &'static str,
    /// Fields that field selectors may name beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: &'static [&'static str],
    /// Whether `metadata.generation` counts the changes of what the user asks for.
    pub counts_generation: bool,
    /// In which other row's form objects are kept, where one collection is served in several forms.
    pub stored_as: Option<Stored>,
    /// Whether objects are kept. One that is not is a question: it is answered and forgotten.
    pub is_kept: bool,
    /// For a kind that a CustomResourceDefinition adds: what takes the place of knowing the kind.
    pub custom: Option<&'static Custom>,
}

/// The row whose form is the stored one; its plural name is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
}

/// A path below an object, for example `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subresource {
    /// Last part of the path.
    pub name: &'static str,
    /// Group of what the path reads and writes.
    pub group: &'static str,
    /// Version of what the path reads and writes.
    pub version: &'static str,
    /// Kind of what the path reads and writes.
    pub kind: &'static str,
    /// Name of that kind's type in the schema; empty for a connection that becomes a stream, whose kind is in the query.
    pub definition: &'static str,
    /// Verbs served, sorted.
    pub verbs: &'static [&'static str],
}

impl Subresource {
    /// Whether a connection to it becomes a stream.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.definition.is_empty()
    }
}

impl Resource {
    /// `v1` or `group/version`, as in `apiVersion:`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Where the store keeps the kind: `pods`, or `apps/deployments`. No version: all versions share one collection.
    #[must_use]
    pub fn collection(&self) -> String {
        let group = self.stored_as.map_or(self.group, |stored| stored.group);
        if group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{group}/{}", self.plural)
        }
    }

    /// The row in whose form objects are kept: this one, unless it says otherwise.
    #[must_use]
    pub fn stored(&self) -> &Resource {
        match self.stored_as {
            None => self,
            Some(stored) => by_path(stored.group, stored.version, self.plural)
                .expect("a test holds every row's stored form to be a row"),
        }
    }

    /// Kind of a list of these, for example `PodList`.
    #[must_use]
    pub fn list_kind(&self) -> String {
        match self.list_kind {
            "" => format!("{}List", self.kind),
            declared => declared.to_owned(),
        }
    }

    /// `pods`, or `deployments.apps`: how messages name the kind.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether objects live in a namespace.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The subresource with this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether spec and status are written through different paths.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }
}

/// `v1` or `group/version`, as in `apiVersion:`.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Every row, grouped by group and version, the core group first.
#[must_use]
pub fn resources() -> &'static [Resource] {
    static TABLE: LazyLock<Vec<Resource>> = LazyLock::new(|| rows::GROUPS.concat());
    &TABLE
}

/// The row at `/api/{version}/{plural}` (empty group) or `/apis/{group}/{version}/{plural}`.
#[must_use]
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    resources()
        .iter()
        .find(|row| row.plural == plural && row.group == group && row.version == version)
}

/// The row of a kind.
#[must_use]
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    resources()
        .iter()
        .find(|row| row.kind == kind && row.group == group && row.version == version)
}

/// The row of a kind by its `apiVersion` and `kind`.
#[must_use]
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    by_kind(group, version, kind)
}

/// The row of a collection name, the inverse of [`Resource::collection`]; the stored form where there are more.
#[must_use]
pub fn by_collection(collection: &str) -> Option<&'static Resource> {
    let (group, plural) = collection.rsplit_once('/').unwrap_or(("", collection));
    resources()
        .iter()
        .find(|row| row.plural == plural && row.group == group && row.stored_as.is_none())
}

/// Group and version of every row, each once, in the order of the table.
#[must_use]
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut seen = Vec::new();
    for row in resources() {
        if !seen.contains(&(row.group, row.version)) {
            seen.push((row.group, row.version));
        }
    }
    seen
}

#[cfg(test)]
mod tests;
