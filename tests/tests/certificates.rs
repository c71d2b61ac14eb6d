//! An agent's certificate and a real server: renewed over the agent's connection, and good for the next one.

#![allow(missing_docs, reason = "a test program")]

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, SystemTime},
};

use agent::{
    config::AgentConfig,
    dial::{ServerAddress, dial},
    join,
    membership::Membership,
};
use api::node_stream::node_stream_client::NodeStreamClient;
use control::ServerConfig;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use tokio_util::sync::CancellationToken;

const NODE: &str = "n1";
const HOUR: Duration = Duration::from_secs(3600);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// An identity of the node, signed by the server's authority, three quarters of whose life are over.
fn aged_identity(server_dir: &Path) -> String {
    let authority = std::fs::read_to_string(server_dir.join("pki/ca.crt")).expect("set up the test");
    let authority_key = std::fs::read_to_string(server_dir.join("pki/ca.key")).expect("set up the test");
    let issuer = Issuer::from_ca_cert_pem(&authority, KeyPair::from_pem(&authority_key).expect("set up the test"))
        .expect("set up the test");
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("system:node:{NODE}"));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (SystemTime::now() - HOUR * 3).into();
    params.not_after = (SystemTime::now() + HOUR).into();
    let key = KeyPair::generate().expect("set up the test");
    let certificate = params.signed_by(&key, &issuer).expect("set up the test");
    format!("{}{}{authority}", key.serialize_pem(), certificate.pem())
}

/// The server's address, when it serves.
async fn address(server_dir: &Path) -> ServerAddress {
    let started = std::time::Instant::now();
    loop {
        let kubeconfig = std::fs::read_to_string(server_dir.join("kubeconfig")).unwrap_or_default();
        let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: "));
        if let Some(server) = server {
            return server.trim_matches('"').parse().expect("set up the test");
        }
        assert!(started.elapsed() < PATIENCE, "the server did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_aged_certificate_is_renewed_over_the_agents_connection() {
    let dir = tempfile::tempdir().expect("set up the test");
    let stop = CancellationToken::new();
    let config = ServerConfig {
        data_dir: dir.path().join("server"),
        listen: ([127, 0, 0, 1], 0).into(),
        ..ServerConfig::default()
    };
    let running = tokio::spawn(control::run(config.clone(), stop.clone()));
    let server = address(&config.data_dir).await;

    let path = dir.path().join("identity.pem");
    let aged = aged_identity(&config.data_dir);
    std::fs::write(&path, &aged).expect("set up the test");
    let agent = AgentConfig {
        server: server.to_string(),
        token: None,
        node_name: NODE.to_owned(),
        data_dir: dir.path().to_owned(),
        node_ip: None,
        cgroup_root: String::new(),
        socket_cgroup: None,
        bpffs: dir.path().to_owned(),
        labels: BTreeMap::new(),
    };
    let identity = join::identity(&agent, &path).await.expect("set up the test");
    let membership = Membership::new(NODE, path.clone(), identity);
    let client = NodeStreamClient::new(dial(&server, &membership.credentials()).await.expect("set up the test"));
    let renewed = async {
        while std::fs::read_to_string(&path).expect("set up the test") == aged {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        never = membership.keep(client) => match never {},
        ended = tokio::time::timeout(PATIENCE, renewed) => ended.expect("the certificate was not renewed"),
    }
    let before = std::fs::read_to_string(&path).expect("set up the test");

    // The new one is good for a connection, and for an agent that starts anew; it is not renewed again.
    let client = NodeStreamClient::new(dial(&server, &membership.credentials()).await.expect("set up the test"));
    let quiet = tokio::time::timeout(Duration::from_millis(500), membership.keep(client)).await;
    assert!(quiet.is_err(), "keeping a certificate does not end");
    assert_eq!(std::fs::read_to_string(&path).expect("set up the test"), before);
    join::identity(&agent, &path).await.expect("set up the test");

    stop.cancel();
    running.await.expect("set up the test").expect("set up the test");
}
