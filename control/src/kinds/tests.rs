//! Rows come and go, and watches with them.

use serde_json::json;

use super::{Addition, Registry};
use api::custom;

fn rows(description: &str) -> Addition {
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
    Addition {
        rows: custom::rows(&definition).unwrap(),
        forms: custom::forms(&definition).unwrap(),
        ..Addition::default()
    }
}

#[test]
fn a_row_is_served_until_its_definition_goes_and_its_watches_end_with_it() {
    let registry = Registry::builtin();
    let name = "gears.example.com";
    assert_eq!(registry.kinds().by_path("example.com", "v1", "gears"), None);
    registry.serve(name, rows("one"));
    let row = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    let end = registry.end_of(row);
    let is_closing = Addition {
        is_closing: true,
        ..rows("one")
    };
    registry.serve(name, is_closing);
    assert!(!end.is_cancelled(), "nothing of the row changed");
    assert!(registry.is_closing(row));
    registry.serve(name, Addition::default());
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
    registry.serve("gears.example.com", rows("one"));
    let before = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    let end = registry.end_of(before);
    registry.serve("gears.example.com", rows("two"));
    assert!(end.is_cancelled());
    let after = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    assert!(!registry.end_of(after).is_cancelled());
}

#[test]
fn another_way_to_convert_ends_the_watches_of_all_versions() {
    let registry = Registry::builtin();
    let name = "gears.example.com";
    let by = |port: u16| Addition {
        conversion: json!({
            "strategy": "Webhook",
            "webhook": {
                "clientConfig": { "url": format!("https://localhost:{port}/") },
                "conversionReviewVersions": ["v1"],
            },
        }),
        ..rows("one")
    };
    registry.serve(name, rows("one"));
    let row = registry.kinds().by_path("example.com", "v1", "gears").unwrap();
    assert!(registry.hook(row).is_none());
    let end = registry.end_of(row);
    registry.serve(name, by(1));
    assert!(end.is_cancelled());
    let hook = registry.hook(row).unwrap();
    let end = registry.end_of(row);
    registry.serve(name, by(1));
    assert!(!end.is_cancelled());
    assert!(
        std::sync::Arc::ptr_eq(&hook, &registry.hook(row).unwrap()),
        "what it knows is kept"
    );
    registry.serve(name, by(2));
    assert!(end.is_cancelled());
}
