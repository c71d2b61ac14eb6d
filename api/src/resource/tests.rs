//! The table is consistent with itself and with the typed kinds.

use super::{by_collection, by_kind, by_path, group_versions, resources};
use crate::object::Kind;

#[test]
fn every_typed_kind_has_a_row_that_agrees() {
    for kind in Kind::ALL {
        let row = by_kind(kind.group(), kind.version(), kind.name()).unwrap_or_else(|| panic!("no row for {kind}"));
        assert_eq!(row.plural, kind.plural(), "{kind}");
        assert_eq!(row.scope, kind.scope(), "{kind}");
        assert_eq!(row.collection(), kind.collection(), "{kind}");
        assert_eq!(row.api_version(), kind.api_version(), "{kind}");
    }
}

#[test]
fn rows_are_found_by_path_kind_and_collection() {
    for row in resources() {
        let name = row.qualified();
        assert_eq!(by_path(row.group, row.version, row.plural), Some(row), "{name}");
        assert_eq!(by_kind(row.group, row.version, row.kind), Some(row), "{name}");
        assert_eq!(by_collection(&row.collection()), Some(row), "{name}");
    }
    assert_eq!(by_path("", "v1", "deployments"), None);
    assert_eq!(by_path("apps", "v1beta1", "deployments"), None);
}

#[test]
fn verbs_subresources_and_fields_are_sorted_and_rows_are_grouped() {
    for row in resources() {
        let name = row.qualified();
        assert!(row.verbs.is_sorted(), "{name} verbs");
        assert!(row.selectable_fields.is_sorted(), "{name} fields");
        assert!(row.subresources.is_sorted_by_key(|sub| sub.name), "{name} subresources");
        assert!(!row.singular.is_empty() && !row.definition.is_empty(), "{name}");
    }
    assert_eq!(
        group_versions(),
        [
            ("", "v1"),
            ("apps", "v1"),
            ("authentication.k8s.io", "v1"),
            ("authorization.k8s.io", "v1"),
            ("coordination.k8s.io", "v1"),
            ("discovery.k8s.io", "v1"),
            ("rbac.authorization.k8s.io", "v1"),
        ]
    );
}
