use std::convert::Infallible;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;

const ISSUER: &str = "https://issuer";
const NOW: i64 = 1_000_000;

fn object(name: &str, uid: &str) -> Value {
    json!({ "metadata": { "namespace": "ns", "name": name, "uid": uid } })
}

fn claims(bound: &BoundObject, audiences: &[&str], seconds: i64) -> Claims {
    let audiences: Vec<String> = audiences.iter().map(|audience| (*audience).to_owned()).collect();
    Wish {
        account: &object("robot", "u1"),
        bound,
        audiences: &audiences,
        seconds,
        issuer: ISSUER,
        id: "id",
        now: NOW,
    }
    .claims()
}

fn pod() -> BoundObject {
    BoundObject::Pod(object("p", "u2"), Some(object("n", "u3")))
}

/// Who the token is of at `now` where these objects are, by plural, name and uid.
fn holder_at(claims: &Claims, wanted: &str, now: i64, there: &[(&str, &str, &str)]) -> Result<Caller, TokenError> {
    let lookup = |plural: &str, _: &str, name: &str| -> Result<Option<Value>, Infallible> {
        let found = there.iter().find(|(kind, known, _)| *kind == plural && *known == name);
        Ok(found.map(|(_, name, uid)| object(name, uid)))
    };
    let wanted = [wanted.to_owned()];
    let Ok(answer) = holder(claims, "", ISSUER, &wanted, now, &lookup);
    answer.map(|(caller, _)| caller)
}

#[test]
fn a_token_is_good_as_long_as_its_account_and_its_pod_are() {
    let account = ("serviceaccounts", "robot", "u1");
    let its_pod = ("pods", "p", "u2");
    let gone = Err(TokenError::Gone);
    let rows = [
        ("alone", BoundObject::Nothing, vec![account], Ok(())),
        ("no account", BoundObject::Nothing, vec![], gone.clone()),
        (
            "another account",
            BoundObject::Nothing,
            vec![("serviceaccounts", "robot", "u9")],
            gone.clone(),
        ),
        ("with its pod", pod(), vec![account, its_pod], Ok(())),
        ("pod gone", pod(), vec![account], gone.clone()),
        ("another pod", pod(), vec![account, ("pods", "p", "u9")], gone.clone()),
        (
            "a secret",
            BoundObject::Secret(object("s", "u4")),
            vec![account, ("secrets", "s", "u4")],
            Ok(()),
        ),
        (
            "secret gone",
            BoundObject::Secret(object("s", "u4")),
            vec![account],
            gone.clone(),
        ),
        (
            "a node",
            BoundObject::Node(object("n", "u3")),
            vec![account, ("nodes", "n", "u3")],
            Ok(()),
        ),
        ("node gone", BoundObject::Node(object("n", "u3")), vec![account], gone),
    ];
    for (row, bound, there, expected) in rows {
        let claims = claims(&bound, &[ISSUER], 600);
        let found = holder_at(&claims, ISSUER, NOW, &there).map(drop);
        assert_eq!(found, expected, "{row}");
    }
}

#[test]
fn a_token_is_good_for_its_time_its_issuer_and_its_audiences() {
    let there = [("serviceaccounts", "robot", "u1")];
    let good = claims(&BoundObject::Nothing, &[ISSUER, "other"], 600);
    let audience = |wanted: &str| TokenError::Audience {
        found: vec![ISSUER.to_owned(), "other".to_owned()],
        wanted: vec![wanted.to_owned()],
    };
    let foreign = Claims {
        iss: "x".to_owned(),
        ..good.clone()
    };
    let forged = Claims {
        sub: "system:admin".to_owned(),
        ..good.clone()
    };
    let rows = [
        ("first second", &good, ISSUER, NOW, None),
        ("last second", &good, ISSUER, NOW + 599, None),
        ("after", &good, ISSUER, NOW + 600, Some(TokenError::Expired)),
        ("before", &good, ISSUER, NOW - 1, Some(TokenError::NotYet)),
        ("other audience", &good, "other", NOW, None),
        ("wrong audience", &good, "third", NOW, Some(audience("third"))),
        (
            "wrong issuer",
            &foreign,
            ISSUER,
            NOW,
            Some(TokenError::Issuer("x".to_owned())),
        ),
        ("another subject", &forged, ISSUER, NOW, Some(TokenError::Malformed)),
    ];
    for (row, claims, wanted, now, error) in rows {
        assert_eq!(holder_at(claims, wanted, now, &there).err(), error, "{row}");
    }
}

#[test]
fn the_caller_says_which_account_pod_and_node() {
    let there = [("serviceaccounts", "robot", "u1"), ("pods", "p", "u2")];
    let caller = holder_at(&claims(&pod(), &[ISSUER], 600), ISSUER, NOW, &there).unwrap();
    assert_eq!(caller.user, "system:serviceaccount:ns:robot");
    assert_eq!(caller.uid, "u1");
    assert_eq!(
        caller.groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:ns",
            "system:authenticated"
        ]
    );
    let extra: Vec<(&str, &str)> = caller
        .extra
        .iter()
        .map(|(key, values)| {
            (
                key.trim_start_matches("authentication.kubernetes.io/"),
                values[0].as_str(),
            )
        })
        .collect();
    let expected = [
        ("credential-id", "JTI=id"),
        ("node-name", "n"),
        ("node-uid", "u3"),
        ("pod-name", "p"),
        ("pod-uid", "u2"),
    ];
    assert_eq!(extra, expected);
}

#[test]
fn a_pods_own_token_outlives_programs_that_read_it_once() {
    let rows = [
        ("a pod's own", pod(), 3607, vec![ISSUER], EXTENDED_S, Some(NOW + 3607)),
        ("another time", pod(), 3600, vec![ISSUER], 3600, None),
        ("another audience", pod(), 3607, vec!["other"], 3607, None),
        ("of no pod", BoundObject::Nothing, 3607, vec![ISSUER], 3607, None),
    ];
    for (row, bound, seconds, audiences, lives, warn_after) in rows {
        let claims = claims(&bound, &audiences, seconds);
        assert_eq!(claims.exp, Some(NOW + lives), "{row}");
        assert_eq!(claims.private.unwrap().warnafter, warn_after, "{row}");
    }
}

#[test]
fn a_secrets_token_is_good_as_long_as_the_secret_holds_it() {
    let claims = legacy_claims(&object("robot", "u1"), &object("s", "u4"));
    let secret = |held: &str, kind: &str| {
        let mut secret = object("s", "u4");
        secret["type"] = json!(kind);
        secret["data"]["token"] = json!(STANDARD.encode(held));
        secret
    };
    let rows = [
        ("held", Some(secret("t", TOKEN_SECRET_TYPE)), "u1", ISSUER, true),
        (
            "another is held",
            Some(secret("x", TOKEN_SECRET_TYPE)),
            "u1",
            ISSUER,
            false,
        ),
        ("another type", Some(secret("t", "Opaque")), "u1", ISSUER, false),
        ("no secret", None, "u1", ISSUER, false),
        (
            "another account",
            Some(secret("t", TOKEN_SECRET_TYPE)),
            "u9",
            ISSUER,
            false,
        ),
        (
            "another audience",
            Some(secret("t", TOKEN_SECRET_TYPE)),
            "u1",
            "x",
            false,
        ),
    ];
    for (row, secret, uid, wanted, good) in rows {
        let lookup = |plural: &str, _: &str, _: &str| -> Result<Option<Value>, Infallible> {
            Ok(match plural {
                "secrets" => secret.clone(),
                _ => Some(object("robot", uid)),
            })
        };
        let Ok(answer) = holder(&claims, "t", ISSUER, &[wanted.to_owned()], NOW, &lookup);
        assert_eq!(answer.is_ok(), good, "{row}");
    }
}
