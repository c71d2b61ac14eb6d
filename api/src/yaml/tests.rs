use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    document(text).unwrap_or_else(|error| panic!("{text:?}: {error}")).value
}

#[test]
fn words_and_numbers_are_those_of_yaml_1_1() {
    for (text, expected) in [
        ("yes", json!(true)),
        ("No", json!(false)),
        ("on", json!(true)),
        ("OFF", json!(false)),
        ("y", json!(true)),
        ("n", json!(false)),
        ("yEs", json!("yEs")),
        ("true", json!(true)),
        ("'yes'", json!("yes")),
        ("\"on\"", json!("on")),
        ("!!str no", json!("no")),
        ("! no", json!("no")),
        ("~", json!(null)),
        ("null", json!(null)),
        ("''", json!("")),
        ("0644", json!(420)),
        ("'0644'", json!("0644")),
        ("0o644", json!(420)),
        ("-010", json!(-8)),
        ("0x1F", json!(31)),
        ("0b101", json!(5)),
        ("08", json!(8)),
        ("0", json!(0)),
        ("1_000", json!(1000)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1.5", json!(1.5)),
        (".5", json!(0.5)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("100m", json!("100m")),
        ("1.2.3", json!("1.2.3")),
        ("+-1", json!("+-1")),
        ("190:20:30", json!("190:20:30")),
        ("2001-12-14", json!("2001-12-14")),
        ("-", json!([null])),
        ("|\n yes\n", json!("yes\n")),
    ] {
        assert_eq!(one(text), expected, "{text:?}");
    }
    assert!(document(".inf").is_err());
}

#[test]
fn keys_aliases_and_merges() {
    for (text, expected) in [
        ("on: 1\n80: 2\n", json!({"true": 1, "80": 2})),
        ("a: &x {b: 1}\nc: *x\n", json!({"a": {"b": 1}, "c": {"b": 1}})),
        (
            "a: &x {b: 1, d: 2}\nc:\n  <<: *x\n  b: 3\n",
            json!({"a": {"b": 1, "d": 2}, "c": {"b": 3, "d": 2}}),
        ),
        ("c:\n  <<: [{a: 1}, {a: 2, b: 2}]\n", json!({"c": {"a": 1, "b": 2}})),
        ("{\"a\": [1, \"0644\", true]}", json!({"a": [1, "0644", true]})),
    ] {
        assert_eq!(one(text), expected, "{text:?}");
    }
    let twice = document("a: 1\nb: {c: 1, c: 2}\na: 2\n").expect("valid");
    assert_eq!(twice.value, json!({"a": 2, "b": {"c": 2}}));
    assert_eq!(
        twice.duplicates,
        ["key \"c\" already set in map", "key \"a\" already set in map"]
    );
}

#[test]
fn documents_follow_each_other() {
    let all = documents("a: 1\n---\n# nothing\n---\nb: 2\n...\n").expect("valid");
    let values: Vec<Value> = all.into_iter().map(|document| document.value).collect();
    assert_eq!(values, [json!({"a": 1}), json!(null), json!({"b": 2})]);
    assert!(documents("").expect("valid").is_empty());
    assert!(document("a: 1\n---\nb: 2\n").is_err(), "two");
}

#[test]
fn faults_are_located_and_hostile_texts_bounded() {
    let error = documents("kind: A\nspec:\n  a: [1\n  b: 2\n").expect_err("broken");
    assert_eq!(error.line, 4, "{error}");
    let bomb = format!(
        "a: &a [x,x,x,x,x,x,x,x,x]\n{}",
        (b'b'..=b'j')
            .map(|name| {
                let (name, before) = (char::from(name), char::from(name - 1));
                format!("{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n")
            })
            .collect::<String>()
    );
    let error = documents(&bomb).expect_err("too much").to_string();
    assert!(error.contains("excessive aliasing"), "{error}");
    for text in ["[".repeat(100_000), "{a: ".repeat(1000), "- ".repeat(1000)] {
        assert!(documents(&text).is_err(), "{} characters", text.len());
    }
    for text in ["&a [*a]", "? [a]\n: b\n", "*a", "a: 'b"] {
        assert!(documents(text).is_err(), "{text:?}");
    }
}
