//! Rows come and go, and watches with them.

use serde_json::json;

use super::Registry;
use api::{custom, resource::Resource};

fn rows(description: &str) -> Vec<&'static Resource> {
    let names = json!({ "plural": "gears", "singular": "gear", "kind": "Gear", "listKind": "GearList" });
    let definition = json!({
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": names,
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "description": description } },
            }],
        },
        "status": { "acceptedNames": names },
    });
    custom::rows(&definition).unwrap()
}

#[test]
fn a_row_is_served_until_its_definition_goes_and_its_watches_end_with_it() {
    let registry = Registry::builtin();
    let name = "gears.example.com";
    assert_eq!(registry.kinds().by_path("example.com", "v1", "gears"), None);
    registry.serve(name, rows("one"), false);
    let row = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    let end = registry.end_of(row);
    registry.serve(name, rows("one"), true);
    assert!(!end.is_cancelled(), "nothing of the row changed");
    assert!(registry.is_closing(row));
    registry.serve(name, Vec::new(), false);
    assert!(end.is_cancelled());
    assert!(
        registry.end_of(row).is_cancelled(),
        "who comes late is not kept waiting"
    );
    assert_eq!(registry.kinds().by_path("example.com", "v1", "gears"), None);
}

#[test]
fn another_schema_ends_the_watches_of_the_version() {
    let registry = Registry::builtin();
    registry.serve("gears.example.com", rows("one"), false);
    let before = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    let end = registry.end_of(before);
    registry.serve("gears.example.com", rows("two"), false);
    assert!(end.is_cancelled());
    let after = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    assert!(!registry.end_of(after).is_cancelled());
}
