use serde_json::json;

use super::*;

fn secret(change: impl FnOnce(&mut Value)) -> Value {
    let encoded = |text: &str| json!(STANDARD.encode(text));
    let mut secret = json!({
        "type": TOKEN_TYPE,
        "data": {
            "token-id": encoded("abcdef"),
            "token-secret": encoded("0123456789abcdef"),
            "usage-bootstrap-authentication": encoded("true"),
        },
    });
    change(&mut secret);
    secret
}

#[test]
fn only_the_right_living_token_is_good() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let set = |field: &'static str, text: &'static str| {
        move |secret: &mut Value| secret["data"][field] = json!(STANDARD.encode(text))
    };
    let good = "abcdef.0123456789abcdef";
    let rows = [
        ("good", good, secret(|_| {}), true),
        ("wrong secret", "abcdef.0123456789abcdeg", secret(|_| {}), false),
        ("no such token", good, Value::Null, false),
        ("empty secret", good, secret(set("token-secret", "")), false),
        ("other id", good, secret(set("token-id", "bbbbbb")), false),
        (
            "expired",
            good,
            secret(set("expiration", "2025-12-31T23:59:59Z")),
            false,
        ),
        (
            "ends now",
            good,
            secret(set("expiration", "2026-01-01T00:00:00Z")),
            false,
        ),
        ("lives", good, secret(set("expiration", "2026-01-01T00:00:01Z")), true),
        ("unclear expiry", good, secret(set("expiration", "soon")), false),
        (
            "not for this",
            good,
            secret(set("usage-bootstrap-authentication", "false")),
            false,
        ),
        (
            "not a token",
            good,
            secret(|secret| secret["type"] = json!("Opaque")),
            false,
        ),
        (
            "not base64",
            good,
            secret(|secret| secret["data"]["token-secret"] = json!("*")),
            false,
        ),
    ];
    for (row, token, secret, joins) in rows {
        let token = BootstrapToken::parse(token).expect("a token");
        assert_eq!(token.is_good(&secret, now), joins, "{row}");
    }
}

#[test]
fn tokens_have_their_form() {
    for (text, good) in [
        ("abcdef.0123456789abcdef", true),
        ("abcdef0123456789abcdef", false),
        ("abcde.0123456789abcdef", false),
        ("ABCDEF.0123456789abcdef", false),
        ("../../.0123456789abcdef", false),
        ("abcdef.0123456789abcde", false),
        ("", false),
    ] {
        assert_eq!(BootstrapToken::parse(text).is_some(), good, "{text:?}");
    }
}

#[test]
fn the_secret_may_give_groups_below_the_usual_one_only() {
    let secret = secret(|secret| {
        let groups = "system:bootstrappers:workers, system:masters,system:bootstrappers:x";
        secret["data"]["auth-extra-groups"] = json!(STANDARD.encode(groups));
    });
    let holder = BootstrapToken::parse("abcdef.0123456789abcdef")
        .expect("a token")
        .holder(&secret);
    assert_eq!(holder.user, "system:bootstrap:abcdef");
    let expected = [
        "system:bootstrappers",
        "system:bootstrappers:workers",
        "system:bootstrappers:x",
        "system:authenticated",
    ];
    assert_eq!(holder.groups, expected);
}
