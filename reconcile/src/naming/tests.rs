//! Tests of generated names.

use super::{Hash, generated};

#[test]
fn the_same_view_gives_the_same_name_and_another_view_another() {
    let view = |uid: &str, number| Hash::new().with(uid).with_number(number);
    assert_eq!(generated("web-", view("a", 1)), generated("web-", view("a", 1)));
    let names: std::collections::BTreeSet<_> = (0..1000).map(|n| generated("web-", view("a", n))).collect();
    assert_eq!(names.len(), 1000);
    assert_ne!(
        Hash::new().with("ab").with("c").value(),
        Hash::new().with("a").with("bc").value()
    );
}

#[test]
fn names_are_labels_of_at_most_63_characters() {
    let name = generated(&format!("{}-", "x".repeat(100)), Hash::new());
    assert_eq!(name.len(), 63);
    assert!(generated("web-", Hash::new()).starts_with("web-"));
}
