use serde_json::json;

use super::*;
use crate::auth::oidc::examples::Signer;

const NOW: i64 = 1_000_000;

fn config() -> OidcConfig {
    OidcConfig {
        signing_algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        groups_claim: Some("groups".to_owned()),
        ..OidcConfig::new("https://issuer", "skep")
    }
}

fn with(change: impl FnOnce(&mut OidcConfig)) -> OidcConfig {
    let mut config = config();
    change(&mut config);
    config
}

fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": "https://issuer", "aud": "skep", "sub": "jane", "exp": NOW + 60, "email": "jane@example.com", "jti": "1",
    });
    for (name, value) in more.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// User and groups, or why there is none.
fn said(config: &OidcConfig, more: Value) -> String {
    let signer = Signer::new("k");
    let keys = keys::parse(&json!({ "keys": [signer.public()] }));
    match verify(config, &keys, &signer.token(&claims(more)), NOW) {
        Ok(caller) => format!("{} {}", caller.user, caller.groups.join(",")),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_token_stands_for_what_its_claims_say() {
    let email = || with(|config| config.username_claim = "email".to_owned());
    let prefixed = |prefix: &str| with(|config| config.username_prefix = Some(prefix.to_owned()));
    let team = || {
        with(|config| {
            config.required_claims.insert("team".to_owned(), "ops".to_owned());
        })
    };
    let groups_prefixed = with(|config| config.groups_prefix = "oidc:".to_owned());
    let no_groups = with(|config| config.groups_claim = None);
    let rsa_only = with(|config| config.signing_algorithms = vec![Algorithm::Rs256]);
    #[rustfmt::skip]
    let rows = [
        (config(), json!({}), "https://issuer#jane system:authenticated"),
        (prefixed("-"), json!({}), "jane system:authenticated"),
        (prefixed("oidc:"), json!({}), "oidc:jane system:authenticated"),
        (email(), json!({}), "jane@example.com system:authenticated"),
        (email(), json!({ "email_verified": true }), "jane@example.com system:authenticated"),
        (email(), json!({ "email_verified": false }), "oidc: email not verified"),
        (email(), json!({ "email_verified": "true" }), "oidc: email not verified"),
        (config(), json!({ "groups": ["a", "b"] }), "https://issuer#jane a,b,system:authenticated"),
        (config(), json!({ "groups": "a" }), "https://issuer#jane a,system:authenticated"),
        (config(), json!({ "groups": [1] }), "oidc: claim \"groups\" is missing or not of its type"),
        (groups_prefixed, json!({ "groups": ["a"] }), "https://issuer#jane oidc:a,system:authenticated"),
        (no_groups, json!({ "groups": ["a"] }), "https://issuer#jane system:authenticated"),
        (team(), json!({}), "oidc: claim \"team\" is not \"ops\""),
        (team(), json!({ "team": "dev" }), "oidc: claim \"team\" is not \"ops\""),
        (team(), json!({ "team": "ops" }), "https://issuer#jane system:authenticated"),
        (config(), json!({ "aud": ["other", "skep"] }), "https://issuer#jane system:authenticated"),
        (config(), json!({ "aud": "other" }), "oidc: expected audience \"skep\" got [\"other\"]"),
        (config(), json!({ "exp": NOW }), "oidc: token is expired"),
        (config(), json!({ "exp": null }), "oidc: token is expired"),
        (config(), json!({ "exp": 1_000_060.5 }), "https://issuer#jane system:authenticated"),
        (config(), json!({ "nbf": NOW + 300 }), "https://issuer#jane system:authenticated"),
        (config(), json!({ "nbf": NOW + 301 }), "oidc: token is not valid yet"),
        (config(), json!({ "sub": "" }), "oidc: claim \"sub\" is missing or not of its type"),
        (rsa_only, json!({}), "oidc: the token is signed with \"ES256\", which is not accepted"),
    ];
    for (config, more, expected) in rows {
        assert_eq!(said(&config, more.clone()), expected, "{more}");
    }
}

#[test]
fn what_another_has_signed_is_refused() {
    let (ours, forger, stranger) = (Signer::new("k"), Signer::new("k"), Signer::new("l"));
    let keys = keys::parse(&json!({ "keys": [ours.public()] }));
    let token = |signer: &Signer| signer.token(&claims(json!({})));
    let said = |token: &str| verify(&config(), &keys, token, NOW).map(|caller| caller.user);
    assert!(said(&token(&ours)).is_ok());
    assert_eq!(said(&token(&forger)), Err(OidcError::Signature));
    assert_eq!(said(&token(&stranger)), Err(OidcError::UnknownKey));
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3VlciJ9.";
    assert_eq!(said(unsigned), Err(OidcError::Algorithm("none".to_owned())));
    for malformed in ["", "a", "a.b.c", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
        assert_eq!(said(malformed), Err(OidcError::Malformed), "{malformed:.8}");
    }
    assert!(names_issuer(&token(&forger), "https://issuer"));
    assert!(!names_issuer(&token(&ours), "https://other"));
}
