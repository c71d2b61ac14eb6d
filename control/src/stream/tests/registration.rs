use api::node_stream::{JoinRequest, RenewRequest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::*;

#[tokio::test]
async fn a_node_is_registered_and_welcomed_once_it_has_a_range() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.dial("n1").await;
    let node = cluster
        .until("the node", |cluster| cluster.get(Kind::Node, "", "n1"))
        .await;
    assert_eq!(node["status"]["addresses"][0]["address"], "192.0.2.1");
    assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
    let lease = cluster
        .until("the lease", |cluster| cluster.get(Kind::Lease, "kube-node-lease", "n1"))
        .await;
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    assert_eq!(lease["spec"]["holderIdentity"], "n1");
    agent.expect_quiet().await;
    let patch = json!({"spec": {"podCIDR": "10.42.7.0/24"}});
    cluster.patch(Kind::Node, "n1", None, patch).await;
    let welcome = agent.welcome().await;
    assert_eq!(
        (welcome.pod_cidr.as_str(), welcome.cluster_cidr.as_str(), welcome.dns_ip),
        ("10.42.7.0/24", "10.42.0.0/16", vec![10, 43, 0, 10])
    );
    assert_eq!((welcome.node_port_min, welcome.node_port_max), (30_000, 32_767));
    let end = agent.batch().await;
    assert_eq!(end.phase(), Phase::SnapshotEnd);
    assert_eq!(end.changes.iter().map(text).collect::<Vec<_>>(), ["node n1"]);
    assert_eq!(cluster.nodes.connected(), ["n1"]);
}

#[tokio::test]
async fn a_second_stream_of_a_node_ends_the_first_and_only_that() {
    let cluster = Cluster::new().await;
    let mut first = cluster.agent("n1", "10.42.1.0/24").await;
    let mut other = cluster.agent("n2", "10.42.2.0/24").await;
    first.until("node n2").await;
    let mut second = cluster.dial("n1").await;
    assert_eq!(first.ended().await.code(), Code::Aborted);
    second.snapshot().await;
    drop(first);
    tokio::time::sleep(QUIET).await;
    assert_eq!(
        cluster.nodes.connected(),
        ["n1", "n2"],
        "the first's end does not take the second away"
    );
    cluster.pod("a", "n1", json!([])).await;
    second.until("pod a").await;
    other.expect_quiet().await;
}

#[tokio::test]
async fn who_does_not_say_hello_rightly_is_refused() {
    let cluster = Cluster::new().await;
    let mut wrong = cluster.open("n1");
    wrong.hello("n2").await;
    assert_eq!(wrong.ended().await.code(), Code::PermissionDenied);
    let mut rude = cluster.open("n1");
    rude.say(from_agent::Kind::Heartbeat(Heartbeat {})).await;
    assert_eq!(rude.ended().await.code(), Code::InvalidArgument);
    let mut bad = cluster.open("n1");
    bad.say(from_agent::Kind::Hello(Hello {
        node_name: "n1".to_owned(),
        node_ip: vec![1, 2],
        ..Hello::default()
    }))
    .await;
    assert_eq!(bad.ended().await.code(), Code::Unavailable);
    assert_eq!(cluster.get(Kind::Node, "", "n1"), None);
    assert_eq!(cluster.nodes.connected(), [""; 0]);
}

#[tokio::test]
async fn a_silent_stream_is_ended() {
    let silence = Duration::from_millis(500);
    let cluster = Cluster::with(Patience { silence, ..PATIENCE }).await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    for _ in 0..8 {
        tokio::time::sleep(silence / 4).await;
        agent.say(from_agent::Kind::Heartbeat(Heartbeat {})).await;
    }
    assert_eq!(cluster.nodes.connected(), ["n1"]);
    assert_eq!(agent.ended().await.code(), Code::DeadlineExceeded);
    assert_eq!(cluster.nodes.connected(), [""; 0]);
}

#[tokio::test]
async fn stopping_the_server_ends_streams() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    cluster.shutdown.cancel();
    assert_eq!(agent.ended().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_certificate_of_the_node() {
    let cluster = Cluster::new().await;
    let encoded = |text: &str| json!(STANDARD.encode(text));
    let token = json!({
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token",
        "data": {
            "token-id": encoded("abcdef"), "token-secret": encoded("0123456789abcdef"),
            "usage-bootstrap-authentication": encoded("true"),
        },
    });
    cluster.create(Kind::Secret, "kube-system", token).await;
    let key = rcgen::KeyPair::generate().expect("a key");
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .expect("a request");
    let request = |token: &str, node: &str| {
        Request::new(JoinRequest {
            token: token.to_owned(),
            node_name: node.to_owned(),
            csr_der: csr.der().to_vec(),
        })
    };
    let joined = cluster.nodes.join(request("abcdef.0123456789abcdef", "n1")).await;
    let joined = joined.expect("joined").into_inner();
    let pem = String::from_utf8(joined.certificate_pem).expect("PEM");
    let (_, parsed) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).expect("PEM");
    let caller = Caller::from_certificate(&parsed.contents).expect("a caller");
    assert_eq!(caller.node_name(), Some("n1"));
    // (token, node, code)
    for (token, node, code) in [
        ("abcdef.0123456789abcdee", "n1", Code::Unauthenticated),
        ("abcdeg.0123456789abcdef", "n1", Code::Unauthenticated),
        ("", "n1", Code::Unauthenticated),
        ("abcdef.0123456789abcdef", "N 1", Code::InvalidArgument),
    ] {
        let refused = cluster.nodes.join(request(token, node)).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{token} {node}");
    }

    let agent = cluster.agent("n1", "10.42.1.0/24").await;
    let second = cluster.nodes.join(request("abcdef.0123456789abcdef", "n1")).await;
    let refused = second.expect_err("the place is taken");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("\"n1\""), "{}", refused.message());
    drop(agent);
    let free = async {
        while !cluster.nodes.connected().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_MAX, free).await.expect("the place is free");
    let again = cluster.nodes.join(request("abcdef.0123456789abcdef", "n1")).await;
    again.expect("a node whose agent is gone may join anew");
}

#[tokio::test]
async fn a_node_renews_its_own_certificate_and_nobody_else_gets_one() {
    let cluster = Cluster::new().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    let ask = async |user: &str, group: &str, csr_der: &[u8]| {
        let mut request = Request::new(RenewRequest {
            csr_der: csr_der.to_vec(),
        });
        request.extensions_mut().insert(Caller {
            user: user.to_owned(),
            groups: vec![group.to_owned()],
            ..Caller::default()
        });
        cluster.nodes.renew(request).await.map(Response::into_inner)
    };
    let answer = ask("system:node:n1", "system:nodes", csr.der()).await.unwrap();
    let der = rustls_pemfile::certs(&mut &*answer.certificate_pem)
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(Caller::from_certificate(&der).unwrap().node_name(), Some("n1"));
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    let left = certificate.validity().time_to_expiration().unwrap().whole_days();
    assert!((364..=365).contains(&left), "{left}");
    for (user, group, csr, code) in [
        ("system:node:n1", "others", csr.der().as_ref(), Code::PermissionDenied),
        ("jane", "system:masters", csr.der().as_ref(), Code::PermissionDenied),
        (
            "system:node:n1",
            "system:nodes",
            b"nonsense".as_slice(),
            Code::InvalidArgument,
        ),
    ] {
        assert_eq!(ask(user, group, csr).await.unwrap_err().code(), code, "{user} {group}");
    }
}
