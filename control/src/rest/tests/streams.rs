//! What streams into pods answer before the connection changes.

use super::*;

#[tokio::test]
async fn streams_are_refused_before_the_connection_changes() {
    let server = server().await;
    let container = |name: &str| json!({ "name": name, "image": "i" });
    let bound = |name: &str, containers: &[Value]| json!({ "metadata": { "name": name }, "spec": { "nodeName": "n1", "containers": containers } });
    let unbound = json!({ "metadata": { "name": "unbound" }, "spec": { "containers": [container("c")] } });
    let two = bound("two", &[container("a"), container("b")]);
    for pod in [unbound, bound("p", &[container("c")]), two] {
        server.create("pods", "default", pod).await;
    }
    let websocket = |subprotocol: &'static str| {
        vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", subprotocol),
        ]
    };
    let v5 = || websocket("v5.channel.k8s.io");
    let needed = "Upgrade request required";
    // pod and query, headers, code, part of the message
    for (path, headers, code, message) in [
        ("none/exec?command=a&stdout=1", v5(), 404, "pods \"none\" not found"),
        (
            "p/exec?stdout=1",
            v5(),
            400,
            "you must specify at least 1 command for the container",
        ),
        (
            "p/exec?command=a",
            v5(),
            400,
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "p/exec?command=a&stderr=1&tty=1",
            v5(),
            400,
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "p/exec?command=a&stdout=1&container=x",
            v5(),
            400,
            "container x is not valid for pod p",
        ),
        (
            "two/attach?stdout=1",
            v5(),
            400,
            "a container name must be specified for pod two, choose one of: [a b]",
        ),
        (
            "unbound/attach?stdout=1",
            v5(),
            400,
            "pod unbound does not have a host assigned",
        ),
        ("p/attach?stdout=1", vec![], 400, needed),
        ("p/portforward", vec![], 400, needed),
        // HTTP/2, and whatever else cannot become another connection.
        ("p/attach?stdout=1", v5(), 400, needed),
        (
            "p/attach?stdout=1",
            websocket("soap"),
            400,
            "none of [\"soap\"] is known",
        ),
        ("p/portforward", v5(), 400, "none of [\"v5.channel.k8s.io\"] is known"),
        ("p/log", websocket("soap"), 400, "none of [\"soap\"] is known"),
    ] {
        let full = format!("/api/v1/namespaces/default/pods/{path}");
        for method in ["GET", "POST"] {
            if method == "POST" && path.ends_with("/log") {
                continue;
            }
            let answer = server.send(method, &full, &headers, Body::empty()).await;
            let said = answer.json();
            let text = said["message"].as_str().unwrap_or_default();
            assert!(
                answer.status.as_u16() == code && text.contains(message),
                "{method} {path}: {} {said}",
                answer.status
            );
        }
    }
    let deleted = server
        .send("DELETE", "/api/v1/namespaces/default/pods/p/exec", &[], "")
        .await;
    assert_eq!(deleted.status, StatusCode::METHOD_NOT_ALLOWED);
}
