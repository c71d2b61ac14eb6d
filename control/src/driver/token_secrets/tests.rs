use super::*;

#[test]
fn a_secret_is_filled_for_its_account_and_goes_with_it() {
    let account = |uid: &str| json!({ "metadata": { "name": "robot", "uid": uid } });
    let full = json!({
        "type": TOKEN_SECRET_TYPE,
        "metadata": { "namespace": "ns", "annotations": { ACCOUNT_NAME: "robot", ACCOUNT_UID: "u" } },
        "data": {
            "token": STANDARD.encode("t"),
            "ca.crt": STANDARD.encode("ca"),
            "namespace": STANDARD.encode("ns"),
        },
    });
    let with = |pointer: &str, value: Value| {
        let mut secret = full.clone();
        *secret.pointer_mut(pointer).unwrap() = value;
        secret
    };
    let rows = [
        ("full", full.clone(), Some(account("u")), Due::Nothing),
        (
            "no token",
            with("/data/token", Value::Null),
            Some(account("u")),
            Due::Fill,
        ),
        (
            "another authority",
            with("/data/ca.crt", json!("x")),
            Some(account("u")),
            Due::Fill,
        ),
        (
            "new",
            with("/metadata/annotations", json!({ ACCOUNT_NAME: "robot" })),
            Some(account("u")),
            Due::Fill,
        ),
        ("no account", full.clone(), None, Due::Delete),
        ("another account", full.clone(), Some(account("v")), Due::Delete),
        ("another type", with("/type", json!("Opaque")), None, Due::Nothing),
    ];
    for (row, secret, account, due) in rows {
        assert_eq!(judge(&secret, account.as_ref(), "ca"), due, "{row}");
    }
}
