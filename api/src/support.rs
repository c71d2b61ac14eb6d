//! What the server does with each kind and field: `docs/api.md`, written from the table of kinds, the schema's types and
//! what [`rows`] says of them.
//!
//! Only a test uses it: it holds the document against this. Never here: what happens to objects.

mod rows;

use std::fmt::Write as _;

use self::rows::{FIELDS, KEPT_ONLY, NOTES, PARTS};
use crate::{
    resource::{Kinds, Resource, api_version},
    schema::{Field, Shape, TypeId, types},
};

/// Where the document is, from the folder of this crate.
const DOCUMENT: &str = "../docs/api.md";
/// Set, it has the test write the document.
const WRITE: &str = "SKEP_WRITE_DOCS";

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// It does what Kubernetes documents.
    Supported,
    /// It is taken, validated and kept; nothing acts upon it.
    Ignored,
    /// It acts otherwise than documented; how is said.
    Different,
}

/// What is said of one field of a type.
#[derive(Debug)]
pub(crate) struct FieldRow {
    /// The type's name, for example `PodSpec`.
    pub(crate) of: &'static str,
    pub(crate) field: &'static str,
    pub(crate) support: Support,
    /// What that means.
    pub(crate) meaning: &'static str,
}

/// The whole document.
fn document() -> String {
    let mut text = HEAD.to_owned();
    let kinds = Kinds::builtin();
    for (group, version) in kinds.group_versions() {
        let _ = writeln!(text, "\n## {}\n", api_version(group, version));
        for row in kinds.of(group, version) {
            kind(&mut text, row);
        }
    }
    text.push_str("\n## Parts of several kinds\n");
    for name in PARTS {
        let id = types().get(name).unwrap_or_else(|| panic!("{name} is no type"));
        let _ = writeln!(text, "\n### {}\n", types().short_name(id));
        fields(&mut text, id, Support::Supported);
    }
    text
}

const HEAD: &str = "# The API, kind by kind

What the server does with each kind of Kubernetes' stable API, and with each group of fields. Written by
`cargo xtask fix` from the table of kinds; a test holds it against the code. Kinds that CustomResourceDefinitions add
are served by the same engine and have no rows here.

*Supported*: does what Kubernetes documents. *Ignored*: is taken, defaulted, validated and kept, and nothing acts upon
it. *Different*: acts, but otherwise; how is said. `metadata` is supported everywhere.
";

fn kind(text: &mut String, row: &'static Resource) {
    let kept_only = KEPT_ONLY
        .iter()
        .find(|(group, kind, _)| (*group, *kind) == (row.group, row.kind));
    let _ = writeln!(text, "### {}\n", row.kind);
    let verbs = row.verbs.join(", ");
    let _ = writeln!(text, "`{}`: {verbs}.", row.plural);
    if !row.subresources.is_empty() {
        let names: Vec<String> = row.subresources.iter().map(|part| format!("`{}`", part.name)).collect();
        let _ = writeln!(text, "Subresources: {}.", names.join(", "));
    }
    if let Some((.., why)) = kept_only {
        let _ = writeln!(text, "Objects are kept, and nothing acts upon them yet: {why}.");
    }
    if let Some((.., note)) = NOTES
        .iter()
        .find(|(group, kind, _)| (*group, *kind) == (row.group, row.kind))
    {
        let _ = writeln!(text, "{note}");
    }
    text.push('\n');
    let default = if kept_only.is_some() {
        Support::Ignored
    } else {
        Support::Supported
    };
    match types().get(row.definition) {
        Some(id) => fields(text, groups_of(id), default),
        None => text.push_str("- supported: whatever other servers' clients send\n"),
    }
    text.push('\n');
}

/// The type whose fields are the kind's groups of fields: that of its spec, if it has one.
fn groups_of(id: TypeId) -> TypeId {
    match types().field(id, "spec").map(|field| &field.shape) {
        Some(Shape::Struct(spec)) => *spec,
        _ => id,
    }
}

/// Three lines: the fields that are supported, ignored, different.
fn fields(text: &mut String, id: TypeId, default: Support) {
    let name = types().short_name(id);
    let mut supported = Vec::new();
    let mut ignored = Vec::new();
    let mut different = Vec::new();
    for field in types().fields(id).iter().filter(|field| is_said(field)) {
        let row = FIELDS.iter().find(|row| row.of == name && *row.field == *field.name);
        let described = |row: &FieldRow| format!("`{}` ({})", field.name, row.meaning);
        match (row, row.map_or(default, |row| row.support)) {
            (_, Support::Supported) => supported.push(format!("`{}`", field.name)),
            (Some(row), Support::Ignored) => ignored.push(described(row)),
            (None, _) => ignored.push(format!("`{}`", field.name)),
            (Some(row), Support::Different) => different.push(described(row)),
        }
    }
    for (word, list) in [("supported", supported), ("ignored", ignored), ("different", different)] {
        if !list.is_empty() {
            let _ = writeln!(text, "- {word}: {}", list.join(", "));
        }
    }
}

fn is_said(field: &Field) -> bool {
    !matches!(&*field.name, "apiVersion" | "kind" | "metadata" | "status")
}

mod tests;
