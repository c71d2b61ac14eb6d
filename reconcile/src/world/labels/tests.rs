//! Tests of the label and selector indices.

use api::Kind;

use super::{LabelIndex, Labels, ObjectKey, SelectorIndex};

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn pod(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new(Kind::Pod, namespace, name)
}

#[test]
fn the_rarest_label_gives_the_candidates() {
    let mut index = LabelIndex::default();
    for number in 0..10 {
        let name = format!("pod-{number}");
        index.insert(
            &pod("a", &name),
            Some(&labels(&[
                ("mesh", "yes"),
                ("app", if number == 3 { "web" } else { "db" }),
            ])),
        );
    }
    let wanted = labels(&[("mesh", "yes"), ("app", "web")]);
    assert_eq!(index.candidates("a", &wanted), Some(vec![&pod("a", "pod-3")]));
    assert_eq!(index.candidates("b", &wanted), Some(vec![]), "another namespace");
    assert_eq!(index.candidates("a", &Labels::new()), None, "nothing to ask by");
    index.remove(&pod("a", "pod-3"), Some(&labels(&[("mesh", "yes"), ("app", "web")])));
    assert_eq!(index.candidates("a", &wanted), Some(vec![]));
    assert_eq!(index.with("a", "app", "db").count(), 9);
}

#[test]
fn selectors_that_share_a_label_are_filed_under_their_own() {
    let mut index = SelectorIndex::default();
    for number in 0..100 {
        let name = format!("service-{number}");
        index.insert(
            &ObjectKey::new(Kind::Service, "a", &name),
            Some(&labels(&[("part-of", "mesh"), ("app", &name)])),
        );
    }
    let pod_labels = labels(&[("part-of", "mesh"), ("app", "service-7")]);
    let found: Vec<_> = index
        .candidates("a", Some(&pod_labels))
        .map(|key| key.name.as_str())
        .collect();
    assert!(found.contains(&"service-7"));
    assert!(found.len() <= 2, "{found:?}");
    index.remove(&ObjectKey::new(Kind::Service, "a", "service-7"));
    assert!(
        !index
            .candidates("a", Some(&pod_labels))
            .any(|key| key.name == "service-7")
    );
}

#[test]
fn a_selector_without_pairs_is_always_a_candidate_of_its_namespace() {
    let mut index = SelectorIndex::default();
    let key = ObjectKey::new(Kind::ReplicaSet, "a", "odd");
    index.insert(&key, None);
    assert_eq!(index.candidates("a", None).count(), 1);
    assert_eq!(index.candidates("b", None).count(), 0);
    index.remove(&key);
    assert_eq!(index.candidates("a", None).count(), 0);
}
