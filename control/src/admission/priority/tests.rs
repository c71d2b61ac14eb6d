use super::*;

fn classes() -> Vec<Value> {
    vec![
        json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": PREEMPT}),
        json!({"metadata": {"name": "patient"}, "value": 500, "preemptionPolicy": "Never"}),
    ]
}

fn with_default() -> Vec<Value> {
    let mut classes = classes();
    classes
        .push(json!({"metadata": {"name": "usual"}, "value": 7, "globalDefault": true, "preemptionPolicy": PREEMPT}));
    classes.push(json!({"metadata": {"name": "more"}, "value": 9, "globalDefault": true, "preemptionPolicy": PREEMPT}));
    classes
}

#[test]
fn a_pod_has_the_priority_of_its_class() {
    let rows = [
        (
            json!({}),
            classes(),
            json!({"priority": 0, "preemptionPolicy": PREEMPT}),
        ),
        (
            json!({}),
            with_default(),
            json!({"priorityClassName": "usual", "priority": 7, "preemptionPolicy": PREEMPT}),
        ),
        (
            json!({"priorityClassName": "high"}),
            with_default(),
            json!({"priorityClassName": "high", "priority": 1000, "preemptionPolicy": PREEMPT}),
        ),
        (
            json!({"priorityClassName": "patient", "priority": 500}),
            classes(),
            json!({"priorityClassName": "patient", "priority": 500, "preemptionPolicy": "Never"}),
        ),
    ];
    for (spec, classes, expected) in rows {
        let mut pod = json!({ "spec": spec });
        assert_eq!(complete(&mut pod, &classes), Ok(()), "{spec}");
        assert_eq!(pod["spec"], expected, "{spec}");
    }
    assert_eq!(complete::<Value>(&mut json!({}), &[]), Ok(()));
}

#[test]
fn a_pod_cannot_ask_for_more_than_its_class() {
    let rows = [
        (
            json!({"priorityClassName": "gold"}),
            "no PriorityClass with name gold was found",
        ),
        (
            json!({"priorityClassName": "high", "priority": 2000}),
            "the integer value of priority (2000) must not be provided in pod spec; priority admission controller \
             computed 1000 from the given PriorityClass name",
        ),
        (
            json!({"priorityClassName": "patient", "preemptionPolicy": PREEMPT}),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in pod spec; priority \
             admission controller computed Never from the given PriorityClass name",
        ),
    ];
    for (spec, reason) in rows {
        let mut pod = json!({ "spec": spec });
        let refusal = complete(&mut pod, &classes()).unwrap_err();
        assert_eq!(refusal.to_string(), reason);
    }
}

#[test]
fn one_class_is_the_default() {
    let usual = json!({"metadata": {"name": "usual"}, "globalDefault": true});
    assert_eq!(other_default(&usual, &classes()), None);
    assert_eq!(
        other_default(&usual, std::slice::from_ref(&usual)),
        None,
        "it is it already"
    );
    let other = json!({"metadata": {"name": "mine"}, "globalDefault": true});
    assert_eq!(
        other_default(&other, &[usual]).as_deref(),
        Some("PriorityClass usual is already marked as default. Only one default can exist")
    );
}
