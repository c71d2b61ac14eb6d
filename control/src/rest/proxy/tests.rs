use super::*;

#[test]
fn the_path_behind_proxy_is_kept_as_it_is() {
    let base = "/api/v1/namespaces/n/pods/p:80/proxy";
    for rest in ["", "/", "/a/b", "/a//b/", "/a%2Fb"] {
        assert_eq!(split_path(&format!("{base}{rest}")), (base, rest));
    }
}

#[test]
fn redirections_within_a_pod_stay_within_its_proxy() {
    let place = Place::example();
    // location, rewritten
    for (location, expected) in [
        ("/login", "/base/login"),
        ("http://10.42.0.7:8080/x", "/base/x"),
        ("https://10.42.0.7:8080/x", "/base/x"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        ("//elsewhere/x", "//elsewhere/x"),
        ("beside", "beside"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_static(location));
        rewrite_location(&mut headers, "/base", &place);
        assert_eq!(headers[header::LOCATION], expected, "{location}");
    }
}

#[test]
fn headers_of_the_connection_stay_behind() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("connection", "keep-alive, X-Mine"),
        ("keep-alive", "5"),
        ("x-mine", "1"),
        ("x-other", "2"),
        ("transfer-encoding", "chunked"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    remove_hop_by_hop(&mut headers);
    let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-other"]);
}
