use serde_json::json;

use super::*;
use crate::auth::oidc::examples::Signer;

/// RFC 7515, appendix A.2: a token signed with RS256, and its key.
const RFC_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const RFC_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RFC_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

#[test]
fn the_example_of_the_rfc_is_verified() {
    let keys = parse(&json!({ "keys": [{ "kty": "RSA", "kid": "a", "n": RFC_MODULUS, "e": "AQAB" }] }));
    let signature = URL_SAFE_NO_PAD.decode(RFC_SIGNATURE).unwrap();
    let rows = [
        (Algorithm::Rs256, "", RFC_SIGNED, Signed::Yes),
        (Algorithm::Rs256, "a", RFC_SIGNED, Signed::Yes),
        (Algorithm::Rs256, "b", RFC_SIGNED, Signed::UnknownKey),
        (Algorithm::Rs256, "a", "other", Signed::No),
        (Algorithm::Rs256, "", "other", Signed::UnknownKey),
        (Algorithm::Rs512, "a", RFC_SIGNED, Signed::No),
        (Algorithm::Ps256, "a", RFC_SIGNED, Signed::No),
        (Algorithm::Es256, "a", RFC_SIGNED, Signed::UnknownKey),
    ];
    for (algorithm, id, message, expected) in rows {
        let said = verify(&keys, algorithm, id, message.as_bytes(), &signature);
        assert_eq!(said, expected, "{algorithm:?} {id} {message}");
    }
}

#[test]
fn keys_on_curves_are_verified() {
    let signer = Signer::new("e");
    let keys = parse(&json!({ "keys": [signer.public()] }));
    let token = signer.token(&json!({}));
    let (message, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let said = |message: &str| verify(&keys, Algorithm::Es256, "e", message.as_bytes(), &signature);
    assert_eq!((said(message), said("other")), (Signed::Yes, Signed::No));
}

#[test]
fn keys_that_are_not_for_signatures_or_not_known_are_left_out() {
    let set = json!({ "keys": [
        { "kty": "RSA", "use": "enc", "n": RFC_MODULUS, "e": "AQAB" },
        { "kty": "oct", "k": "AAAA" },
        { "kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA" },
        { "kty": "RSA", "n": "not base64!", "e": "AQAB" },
        { "kty": "EC", "crv": "P-384", "x": "AAAA", "y": "AAAA" },
    ] });
    assert_eq!(parse(&set).len(), 1);
    assert!(parse(&json!({})).is_empty());
}

#[test]
fn algorithms_have_the_names_of_the_rfc() {
    for (name, algorithm) in Algorithm::ALL {
        assert_eq!(Algorithm::by_name(name), Some(algorithm));
    }
    for name in ["none", "HS256", "ES512", "rs256", ""] {
        assert_eq!(Algorithm::by_name(name), None, "{name}");
    }
}
