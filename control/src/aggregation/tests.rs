use std::collections::BTreeMap;

use super::*;

#[test]
fn only_we_say_who_calls() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer secret"),
        ("x-remote-user", "root"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-scopes", "all"),
        ("impersonate-user", "root"),
        ("accept", "application/json"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let caller = Caller {
        user: "jäne".to_owned(),
        groups: vec!["a".to_owned(), "b".to_owned()],
        uid: "u1".to_owned(),
        extra: BTreeMap::from([("example.org/scope%".to_owned(), vec!["x".to_owned(), "y".to_owned()])]),
    };
    identify(&mut headers, &caller).expect("names that headers can have");
    let all = |name: &str| -> Vec<&[u8]> { headers.get_all(name).iter().map(HeaderValue::as_bytes).collect() };
    assert_eq!(all("x-remote-user"), ["jäne".as_bytes()]);
    assert_eq!(all("x-remote-group"), [b"a", b"b"]);
    assert_eq!(all("x-remote-uid"), [b"u1"]);
    assert_eq!(all("x-remote-extra-example.org%2fscope%25"), [b"x", b"y"]);
    assert_eq!(all("accept"), [b"application/json"]);
    assert_eq!(headers.len(), 7, "{headers:?}");

    let caller = Caller {
        user: "a\nx-remote-group: system:masters".to_owned(),
        ..Caller::default()
    };
    assert!(matches!(
        identify(&mut HeaderMap::new(), &caller),
        Err(ApiError::BadRequest(_))
    ));
}
