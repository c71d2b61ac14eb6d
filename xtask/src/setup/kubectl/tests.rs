//! Which versions of kubectl are new enough.

use super::is_recent;

#[test]
fn versions_from_1_34_are_recent() {
    for (version, expected) in [
        ("v1.34.5", true),
        ("v1.34.0-rc.1", true),
        ("v1.36.3", true),
        ("v1.33.9", false),
        ("v1.32.4-dispatcher", false),
        ("", false),
        ("v2.40.0", false),
    ] {
        assert_eq!(is_recent(version), expected, "{version}");
    }
}
