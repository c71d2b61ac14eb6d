use super::{Kinds, priority};

#[test]
fn versions_are_ordered_by_how_stable_they_are() {
    let sorted = [
        "v10",
        "v2",
        "v1",
        "v11beta2",
        "v10beta3",
        "v3beta1",
        "v12alpha1",
        "v11alpha2",
        "foo1",
        "foo10",
    ];
    for pair in sorted.windows(2) {
        assert!(priority(pair[0]) > priority(pair[1]), "{pair:?}");
    }
}

#[test]
fn the_core_group_is_first_and_each_group_and_version_is_there_once() {
    let kinds = Kinds::builtin();
    let pairs = kinds.group_versions();
    assert_eq!(pairs[0], ("", "v1"));
    let mut unique = pairs.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), pairs.len());
    assert_eq!(kinds.by_path("", "v1", "pods"), kinds.by_kind("", "v1", "Pod"));
    assert_eq!(kinds.by_path("example.com", "v1", "widgets"), None);
}
