use super::*;

fn condition(kind: &str, status: &str, since: &str) -> Value {
    json!({"type": kind, "status": status, "lastTransitionTime": since})
}

#[test]
fn a_pod_keeps_what_others_wrote_and_loses_what_its_node_no_longer_says() {
    let current = json!({
        "phase": "Running", "qosClass": "Burstable", "message": "old", "podIP": "10.0.0.1",
        "conditions": [condition("PodScheduled", "True", "1"), condition("Ready", "False", "1")],
    });
    let told = json!({"phase": "Running", "conditions": [condition("Ready", "True", "2"), condition("Initialized", "True", "2")]});
    assert_eq!(
        pod(&current, told),
        json!({
            "phase": "Running", "qosClass": "Burstable",
            "conditions": [
                condition("PodScheduled", "True", "1"),
                condition("Ready", "True", "2"),
                condition("Initialized", "True", "2"),
            ],
        })
    );
}

#[test]
fn what_was_under_way_in_a_pod_is_over_when_its_node_does_not_tell_it() {
    let resize = condition("PodResizeInProgress", "True", "1");
    let current = json!({"conditions": [resize, condition("Ready", "True", "1")]});
    let told = json!({"conditions": [condition("Ready", "True", "2")]});
    let ready = json!([condition("Ready", "True", "1")]);
    assert_eq!(pod(&current, told)["conditions"], ready);
    assert_eq!(pod(&current, current.clone())["conditions"], current["conditions"]);
}

#[test]
fn a_condition_that_did_not_change_keeps_its_time() {
    let current = json!({"conditions": [condition("Ready", "True", "1")]});
    let told = json!({"conditions": [condition("Ready", "True", "9")]});
    assert_eq!(
        node(&current, told)["conditions"],
        json!([condition("Ready", "True", "1")])
    );
}

#[test]
fn a_node_keeps_fields_that_its_agent_does_not_tell() {
    let current = json!({"config": 1, "capacity": {"cpu": "1"}});
    let told = json!({"capacity": {"cpu": "2"}});
    assert_eq!(node(&current, told), json!({"config": 1, "capacity": {"cpu": "2"}}));
    assert_eq!(node(&Value::Null, json!({"a": 1})), json!({"a": 1}));
}

#[test]
fn a_node_that_was_thought_dead_is_doubted() {
    let told = json!({"conditions": [condition("Ready", "True", "1")]});
    // (current status, doubted)
    for (status, doubted) in [("True", false), ("False", false), ("Unknown", true)] {
        let current = json!({"conditions": [condition("Ready", status, "1")]});
        assert_eq!(is_doubted(&current, &told), doubted, "{status}");
    }
}
