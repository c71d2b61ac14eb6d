use http::HeaderValue;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

fn asked(request: &Request) -> String {
    match request {
        Request::Resource(request) => format!(
            "{} {}/{} {}/{}",
            request.verb,
            request.group,
            request.path(),
            request.namespace,
            request.name
        ),
        Request::Path { path, .. } => path.clone(),
    }
}

#[test]
fn every_part_of_another_identity_must_be_allowed() {
    let wanted = headers(&[
        ("impersonate-user", "anna"),
        ("impersonate-group", "a"),
        ("impersonate-group", "b"),
        ("impersonate-uid", "u"),
        ("impersonate-extra-acme.com%2fproject", "x"),
        ("accept", "*/*"),
    ]);
    let wanted = Impersonation::parse(&wanted).unwrap().unwrap();
    let requests: Vec<String> = wanted.requests().iter().map(asked).collect();
    let expected = [
        "impersonate /users /anna",
        "impersonate /groups /a",
        "impersonate /groups /b",
        "impersonate authentication.k8s.io/uids /u",
        "impersonate authentication.k8s.io/userextras/acme.com/project /x",
    ];
    assert_eq!(requests, expected);
    let caller = wanted.into_caller();
    assert_eq!(caller.groups, ["a", "b", AUTHENTICATED_GROUP]);
    assert_eq!(caller.extra["acme.com/project"], ["x"]);
}

#[test]
fn a_service_account_is_impersonated_with_its_groups() {
    let wanted = headers(&[("impersonate-user", "system:serviceaccount:ns:robot")]);
    let wanted = Impersonation::parse(&wanted).unwrap().unwrap();
    assert_eq!(asked(&wanted.requests()[0]), "impersonate /serviceaccounts ns/robot");
    let groups = wanted.into_caller().groups;
    assert_eq!(
        groups,
        [
            "system:serviceaccounts",
            "system:serviceaccounts:ns",
            AUTHENTICATED_GROUP
        ]
    );
}

#[test]
fn who_asks_for_more_names_a_user() {
    assert_eq!(Impersonation::parse(&headers(&[("accept", "*/*")])), Ok(None));
    let groups_only = headers(&[("impersonate-group", "a")]);
    assert_eq!(Impersonation::parse(&groups_only), Err(ImpersonationError::NoUser));
}
