use super::*;

#[test]
fn a_schema_dangles_while_its_level_is_not_there() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let later: Timestamp = "2026-01-02T03:04:06Z".parse().unwrap();
    let levels = BTreeSet::from(["here".to_owned()]);
    let schema = |level: &str, conditions: Value| {
        json!({
            "spec": { "priorityLevelConfiguration": { "name": level } },
            "status": { "conditions": conditions },
        })
    };
    let found = verdict(&schema("here", json!([])), &levels, now).unwrap();
    assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("Found")));
    assert_eq!(found["lastTransitionTime"], "2026-01-02T03:04:05Z");
    assert_eq!(verdict(&schema("here", json!([found])), &levels, later), None);
    let gone = verdict(&schema("gone", json!([found])), &levels, later).unwrap();
    assert_eq!((&gone["status"], &gone["reason"]), (&json!("True"), &json!("NotFound")));
    assert_eq!(gone["lastTransitionTime"], "2026-01-02T03:04:06Z");
    // Another level that is not there is no transition.
    let other = verdict(&schema("other", json!([gone])), &levels, now).unwrap();
    assert_eq!(other["lastTransitionTime"], "2026-01-02T03:04:06Z");
}
