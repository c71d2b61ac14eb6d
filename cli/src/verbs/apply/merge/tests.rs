//! What stays, what goes and what changes.

use serde_json::json;

use super::*;

#[test]
fn each_side_keeps_its_own() {
    for (what, original, wanted, live, expected) in [
        (
            "a field of others stays",
            json!({"a": 1}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            json!({"a": 1, "b": 2}),
        ),
        (
            "a field no longer wanted goes",
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
            json!({"a": 1}),
        ),
        (
            "a changed field changes",
            json!({"a": 1}),
            json!({"a": 2}),
            json!({"a": 1}),
            json!({"a": 2}),
        ),
        (
            "a field others changed is set back",
            json!({"a": 1}),
            json!({"a": 1}),
            json!({"a": 9}),
            json!({"a": 1}),
        ),
        (
            "null removes",
            json!(null),
            json!({"a": null}),
            json!({"a": 1, "b": 2}),
            json!({"b": 2}),
        ),
        (
            "null in a new value is nothing",
            json!(null),
            json!({"a": {"b": null, "c": 1}}),
            json!({}),
            json!({"a": {"c": 1}}),
        ),
        (
            "an atomic list is replaced",
            json!({"args": ["a"]}),
            json!({"args": ["b"]}),
            json!({"args": ["a", "x"]}),
            json!({"args": ["b"]}),
        ),
        (
            "elements merge by key",
            json!({"containers": [{"name": "a", "image": "1"}]}),
            json!({"containers": [{"name": "a", "image": "2"}]}),
            json!({"containers": [{"name": "a", "image": "1", "pull": "Always"}, {"name": "injected"}]}),
            json!({"containers": [{"name": "a", "image": "2", "pull": "Always"}, {"name": "injected"}]}),
        ),
        (
            "an element no longer wanted goes",
            json!({"env": [{"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "B"}]}),
            json!({"env": [{"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "B"}]}),
        ),
        (
            "order follows what is wanted, around what is others'",
            json!({"env": [{"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "B"}, {"name": "A"}, {"name": "C"}]}),
            json!({"env": [{"name": "X"}, {"name": "A"}, {"name": "B"}]}),
            json!({"env": [{"name": "X"}, {"name": "B"}, {"name": "A"}, {"name": "C"}]}),
        ),
        (
            "one port in two protocols is two",
            json!(null),
            json!({"ports": [{"port": 53}, {"port": 53, "protocol": "UDP", "name": "d"}]}),
            json!({"ports": [{"port": 53, "protocol": "TCP", "nodePort": 3}, {"port": 53, "protocol": "UDP", "nodePort": 4}]}),
            json!({"ports": [{"port": 53, "protocol": "TCP", "nodePort": 3}, {"port": 53, "protocol": "UDP", "nodePort": 4, "name": "d"}]}),
        ),
        (
            "finalizers are a set",
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["a", "c"]}),
            json!({"finalizers": ["x", "b", "a"]}),
            json!({"finalizers": ["x", "a", "c"]}),
        ),
    ] {
        assert_eq!(three_way(&original, &wanted, &live), expected, "{what}");
    }
}

/// RFC 7386, applied.
fn patched(target: &Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = target.as_object().cloned().unwrap_or_default();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            let old = target.get(key).cloned().unwrap_or_default();
            target.insert(key.clone(), patched(&old, value));
        }
    }
    target.into()
}

#[test]
fn the_difference_leads_from_one_to_the_other() {
    for (before, after) in [
        (json!({}), json!({})),
        (json!({"a": 1, "b": {"c": 2, "d": 3}}), json!({"a": 1, "b": {"c": 4}})),
        (json!({"a": [1]}), json!({"a": [2, 3], "n": {"x": true}})),
        (json!({"a": {"b": 1}}), json!({"a": "text"})),
        (json!({"a": "text"}), json!({"a": {"b": 1}})),
    ] {
        let patch = difference(&before, &after);
        assert_eq!(patched(&before, &patch), after);
        assert_eq!(is_empty(&patch), before == after, "{patch}");
    }
}
