use serde_json::json;

use super::*;

#[test]
fn a_configuration_says_where_to_ask_and_whose_certificate_it_must_be() {
    let rows = [
        (
            json!({ "url": "https://hooks.example/a?b=c" }),
            Some(("https://hooks.example/a?b=c", "hooks.example")),
        ),
        (
            json!({ "url": "https://[::1]:8443/" }),
            Some(("https://[::1]:8443/", "::1")),
        ),
        (
            json!({ "service": { "namespace": "n", "name": "s", "path": "/p" } }),
            Some(("https://s.n.svc:443/p", "s.n.svc")),
        ),
        (
            json!({ "service": { "namespace": "n", "name": "s", "port": 9443 } }),
            Some(("https://s.n.svc:9443/", "s.n.svc")),
        ),
        (json!({ "url": "no url" }), None),
        (json!({}), None),
    ];
    for (config, expected) in rows {
        let destination = Destination::parse(&config).ok();
        let found = destination.map(|destination| (destination.url(), destination.server_name()));
        let expected = expected.map(|(url, name)| (url.to_owned(), name.to_owned()));
        assert_eq!(found, expected, "{config}");
    }
}
