use api::Object;
use serde_json::{Value, json};

use super::*;

fn quota(name: &str, hard: &Value, used: &Value) -> ResourceQuota {
    let quota = json!({"metadata": {"name": name}, "status": {"hard": hard, "used": used}});
    serde_json::from_value(quota).unwrap()
}

fn pod(containers: &Value) -> Pod {
    serde_json::from_value(json!({"spec": {"containers": containers}})).unwrap()
}

fn asks(cpu: &str) -> Value {
    json!([{"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}}])
}

/// What the quotas become, or why the pod is refused.
fn outcome(quotas: &[ResourceQuota], new: &Pod, old: Option<&Pod>, excess: Excess) -> String {
    let wish = Wish {
        new: Counted::Pod(new),
        old: old.map(Counted::Pod),
        excess,
    };
    match decide(quotas, &wish, Timestamp::UNIX_EPOCH) {
        Err(refusal) => refusal.to_string(),
        Ok(grown) => {
            let list = grown.iter().map(|grown| {
                let used = grown.used.iter().map(|(name, amount)| format!("{name}={amount}"));
                format!("{}: {}", grown.index, used.collect::<Vec<_>>().join(","))
            });
            list.collect::<Vec<_>>().join("; ")
        }
    }
}

#[test]
fn a_pod_is_taken_in_by_all_quotas_or_refused() {
    let none = json!({});
    let rows = [
        ("no quota", vec![], asks("1"), ""),
        (
            "not counted by it",
            vec![quota("q", &json!({"services": "1"}), &json!({"services": "1"}))],
            asks("1"),
            "",
        ),
        ("not known yet", vec![quota("q", &none, &none)], asks("1"), ""),
        (
            "room in both",
            vec![
                quota("q", &json!({"pods": "2"}), &json!({"pods": "1"})),
                quota(
                    "r",
                    &json!({"requests.cpu": "1", "services": "3"}),
                    &json!({"requests.cpu": "250m", "services": "1"}),
                ),
            ],
            asks("750m"),
            "0: pods=2; 1: requests.cpu=1,services=1",
        ),
        (
            "one is full",
            vec![
                quota("q", &json!({"pods": "2"}), &json!({"pods": "1"})),
                quota(
                    "r",
                    &json!({"cpu": "1", "pods": "2"}),
                    &json!({"cpu": "500m", "pods": "2"}),
                ),
            ],
            asks("750m"),
            "exceeded quota: r, requested: cpu=750m,pods=1, used: cpu=500m,pods=2, limited: cpu=1,pods=2",
        ),
        (
            "containers that do not say",
            vec![quota(
                "q",
                &json!({"limits.cpu": "2", "requests.memory": "1Gi"}),
                &json!({"limits.cpu": "0", "requests.memory": "0"}),
            )],
            json!([{"name": "b"}, {"name": "a", "resources": {"limits": {"cpu": "1"}}}]),
            "failed quota: q: must specify limits.cpu for: b; requests.memory for: a,b",
        ),
        (
            "of some it is not known how much is used",
            vec![quota("q", &json!({"cpu": "2", "pods": "2"}), &json!({"pods": "0"}))],
            asks("1"),
            "status unknown for quota: q, resources: cpu,pods",
        ),
    ];
    for (row, quotas, containers, expected) in rows {
        let found = outcome(&quotas, &pod(&containers), None, Excess::Refused);
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn a_change_takes_what_it_adds() {
    let quotas = [quota("q", &json!({"cpu": "2"}), &json!({"cpu": "1500m"}))];
    let rows = [
        ("1", "1500m", Excess::Refused, "0: cpu=2"),
        ("1", "1", Excess::Refused, ""),
        ("1", "500m", Excess::Refused, ""),
        (
            "1",
            "2",
            Excess::Refused,
            "exceeded quota: q, requested: cpu=1, used: cpu=1500m, limited: cpu=2",
        ),
        ("1", "2", Excess::Counted, "0: cpu=2500m"),
    ];
    for (old, new, excess, expected) in rows {
        let found = outcome(&quotas, &pod(&asks(new)), Some(&pod(&asks(old))), excess);
        assert_eq!(found, expected, "{old} to {new}, {excess:?}");
    }
}

#[test]
fn a_change_that_brings_an_object_into_a_scope_takes_all() {
    let mut quota = quota("q", &json!({"pods": "2"}), &json!({"pods": "0"}));
    quota.spec = serde_json::from_value(json!({"scopes": ["Terminating"]})).unwrap();
    let (old, mut new) = (pod(&asks("1")), pod(&asks("1")));
    new.spec.as_mut().unwrap().active_deadline_seconds = Some(5);
    assert_eq!(outcome(&[quota], &new, Some(&old), Excess::Refused), "0: pods=1");
}

#[test]
fn other_kinds_are_counted_by_their_number() {
    let quotas = [quota(
        "q",
        &json!({"count/deployments.apps": "1"}),
        &json!({"count/deployments.apps": "1"}),
    )];
    let wish = Wish {
        new: Counted::new("apps/deployments", None::<&Object>).unwrap(),
        old: None,
        excess: Excess::Refused,
    };
    let refusal = decide(&quotas, &wish, Timestamp::UNIX_EPOCH).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: \
         count/deployments.apps=1"
    );
}
