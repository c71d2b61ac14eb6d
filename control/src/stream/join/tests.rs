use super::*;

#[test]
fn node_names_have_their_form() {
    for (name, good) in [
        ("demo-1", true),
        ("node.example.org", true),
        ("", false),
        ("Node", false),
        ("-a", false),
        ("a..b", false),
        ("a/b", false),
        (&*"a".repeat(254), false),
    ] {
        assert_eq!(is_node_name(name), good, "{name:?}");
    }
}
