use std::path::Path;

use super::*;
use crate::inert;

/// Whether a type of this short name has the field.
fn is_field(of: &str, field: &str) -> bool {
    types()
        .ids()
        .any(|id| types().short_name(id) == of && types().field(id, field).is_some())
}

#[test]
fn rows_are_about_fields_and_kinds_that_there_are() {
    for row in FIELDS {
        assert!(is_field(row.of, row.field), "{} has no {}", row.of, row.field);
        assert_ne!(row.support, Support::Supported, "{}.{} needs no row", row.of, row.field);
        assert!(!row.meaning.is_empty(), "{}.{}", row.of, row.field);
        let same = FIELDS
            .iter()
            .filter(|other| (other.of, other.field) == (row.of, row.field));
        assert_eq!(same.count(), 1, "{}.{}", row.of, row.field);
    }
    let kinds = Kinds::builtin();
    let kinds_said = KEPT_ONLY.iter().chain(NOTES);
    for (group, kind, _) in kinds_said {
        let is_there = kinds.rows().iter().any(|row| (row.group, row.kind) == (*group, *kind));
        assert!(is_there, "{group} {kind}");
    }
}

#[test]
fn what_people_are_warned_of_is_not_called_supported() {
    for path in inert::paths() {
        let first = path.split(['.', '[']).next().unwrap_or_default();
        let last = path.rsplit('.').next().unwrap_or_default();
        let is_told = FIELDS
            .iter()
            .any(|row| row.field == last || row.field == first || (row.field == "ports" && last == "hostPort"));
        assert!(is_told, "{path}");
    }
}

#[test]
fn the_document_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
    let now = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &now).expect("write docs/api.md");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == now,
        "docs/api.md is not what the table says; `cargo xtask fix` writes it anew"
    );
}
