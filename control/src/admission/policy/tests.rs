use serde_json::json;

use super::*;

#[test]
fn a_policy_is_in_force_through_its_bindings() {
    let mut policies = Policies::<Validations>::default();
    let binding = json!({ "spec": { "policyName": "p", "validationActions": ["Deny", "Warn"] } });
    policies.fold(Part::Binding, "", "b", Some(&binding));
    assert!(policies.in_force().is_empty(), "there is no such policy");
    policies.fold(Part::Policy, "", "p", Some(&json!({ "spec": {} })));
    let found = policies.in_force();
    assert_eq!((found[0].0.name.as_str(), found[0].1.name.as_str()), ("p", "b"));
    assert!(found[0].1.denies() && found[0].1.warns());
    policies.fold(Part::Binding, "", "b", None);
    assert!(policies.in_force().is_empty());
}

#[test]
fn policies_are_in_the_order_of_their_names_and_those_of_their_bindings() {
    let mut policies = Policies::<Mutations>::default();
    for name in ["a", "b"] {
        policies.fold(Part::Policy, "", name, Some(&json!({ "spec": {} })));
    }
    for (name, policy) in [("1", "b"), ("2", "a"), ("3", "b"), ("4", "a")] {
        let binding = json!({ "spec": { "policyName": policy } });
        policies.fold(Part::Binding, "", name, Some(&binding));
    }
    let found = policies.in_force();
    let names: Vec<(&str, &str)> = found
        .iter()
        .map(|(policy, binding)| (&*policy.name, &*binding.name))
        .collect();
    assert_eq!(names, [("a", "2"), ("a", "4"), ("b", "1"), ("b", "3")]);
}
