use super::*;
use crate::auth::jwt::PrivateClaims;

const ISSUER: &str = "https://issuer";

fn claims() -> Claims {
    Claims {
        aud: vec![ISSUER.to_owned()],
        exp: Some(20),
        iat: Some(10),
        iss: ISSUER.to_owned(),
        jti: "id".to_owned(),
        private: Some(PrivateClaims::default()),
        nbf: Some(10),
        sub: "system:serviceaccount:ns:robot".to_owned(),
        legacy: None,
    }
}

#[test]
fn a_token_says_what_was_signed_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let token = Tokens::open(dir.path(), ISSUER, "").unwrap().sign(&claims());
    let again = Tokens::open(dir.path(), ISSUER, "").unwrap();
    assert_eq!(again.read(&token), Ok(claims()));
}

#[test]
fn what_was_changed_or_signed_by_another_is_refused() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [ours, other] = dirs.each_ref().map(|dir| Tokens::open(dir.path(), ISSUER, "").unwrap());
    let token = ours.sign(&claims());
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let admin = encoded(r#"{"iss":"https://issuer","sub":"admin"}"#);
    let rows = [
        ("another payload", format!("{header}.{admin}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("none", format!("{}.{payload}.", encoded(r#"{"alg":"none"}"#))),
        (
            "no key id",
            format!("{}.{admin}.{signature}", encoded(r#"{"alg":"ES256"}"#)),
        ),
        ("another key's", other.sign(&claims())),
    ];
    for (row, token) in rows {
        assert_eq!(ours.read(&token), Err(TokenError::Signature), "{row}");
    }
    for token in ["", ".", "..", "a.b", "a.b.c", "\u{e4}.b.c"] {
        assert_eq!(ours.read(token), Err(TokenError::Malformed), "{token:?}");
    }
}

#[test]
fn verifiers_find_the_key_by_the_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = Tokens::open(dir.path(), ISSUER, "").unwrap();
    assert_eq!(tokens.discovery()["jwks_uri"], "https://issuer/openid/v1/jwks");
    let key = &tokens.key_set()["keys"][0];
    let header = tokens.sign(&claims());
    let header = URL_SAFE_NO_PAD.decode(header.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], key["kid"]);
    for coordinate in ["x", "y"] {
        let bytes = URL_SAFE_NO_PAD.decode(key[coordinate].as_str().unwrap()).unwrap();
        assert_eq!(bytes.len(), COORDINATE_BYTES, "{coordinate}");
    }
}
