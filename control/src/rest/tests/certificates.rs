//! Requests of certificates over HTTP: who may decide, who may sign, and that the server signs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::*;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

fn request(name: &str, signer: &str, user: &str, group: &str) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.distinguished_name.push(DnType::CommonName, user);
    let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    json!({
        "metadata": { "name": name },
        "spec": {
            "signerName": signer,
            "usages": ["digital signature", "client auth"],
            "expirationSeconds": 3600,
            "request": STANDARD.encode(request.pem().unwrap()),
        },
    })
}

fn somebody(user: &str, groups: &[&str]) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Caller::default()
    }
}

impl Server {
    async fn send_json(&self, caller: &Caller, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/merge-patch+json")];
        let headers = if method == "PATCH" { &headers[..] } else { &[] };
        let response = self.response(caller.clone(), method, path, headers, body.to_string().into());
        let (parts, body) = response.await.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Gives a user, or a group, a right over requests.
    async fn bind(&self, name: &str, rule: Value, subject: Value) {
        let master = Caller::system("system:test");
        let role = json!({ "metadata": { "name": name }, "rules": [rule] });
        let binding = json!({
            "metadata": { "name": name },
            "roleRef": { "kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io" },
            "subjects": [subject],
        });
        for (plural, object) in [("clusterroles", role), ("clusterrolebindings", binding)] {
            let answer = self
                .send_json(&master, "POST", &format!("{RBAC}/{plural}"), &object)
                .await;
            assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
        }
    }

    /// The server's signer, until the server is dropped.
    fn sign(&self) -> tokio::task::JoinHandle<()> {
        let authority = Authority::open(&self._dir.path().join("pki")).unwrap();
        let store = self.engine.store().clone();
        tokio::spawn(crate::certificates::run(
            self.engine.clone(),
            store,
            crate::certificates::Signing {
                authority,
                life_max: ServerConfig::default().signing_duration,
            },
            self.shutdown.clone(),
        ))
    }

    /// The request, when its status has this.
    async fn when(&self, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let request = self.get(&format!("{REQUESTS}/{name}")).await.json();
            if holds(&request["status"]) {
                return request;
            }
            assert!(started.elapsed().as_secs() < 60, "{request}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

fn approved() -> Value {
    json!({ "status": { "conditions": [{ "type": "Approved", "status": "True", "reason": "Test" }] } })
}

#[tokio::test]
async fn an_approved_request_is_signed_and_its_certificate_names_the_subject() {
    let server = server().await;
    let _signer = server.sign();
    let master = Caller::system("system:test");
    let body = request("jane", CLIENT, "jane", "dev");
    let answer = server.send_json(&master, "POST", REQUESTS, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    let path = format!("{REQUESTS}/jane/approval");
    let answer = server.send_json(&master, "PATCH", &path, &approved()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.bytes);
    let signed = server.when("jane", |status| status["certificate"].is_string()).await;
    let pem = STANDARD
        .decode(signed["status"]["certificate"].as_str().unwrap())
        .unwrap();
    let der = rustls_pemfile::certs(&mut &*pem).next().unwrap().unwrap();
    let caller = Caller::from_certificate(&der).unwrap();
    assert_eq!((caller.user.as_str(), caller.groups[0].as_str()), ("jane", "dev"));

    let wrong = json!({ "spec": { "usages": ["server auth"] } });
    let mut body = request("wrong", CLIENT, "jane", "dev");
    body["spec"]["usages"] = wrong["spec"]["usages"].clone();
    server.send_json(&master, "POST", REQUESTS, &body).await;
    let path = format!("{REQUESTS}/wrong/approval");
    server.send_json(&master, "PATCH", &path, &approved()).await;
    let failed = server.when("wrong", |status| status["conditions"][1].is_object()).await;
    let condition = &failed["status"]["conditions"][1];
    assert_eq!(condition["type"], "Failed");
    assert_eq!(condition["reason"], "SignerValidationFailure");
    assert_eq!(
        condition["message"],
        "invalid usage for client certificate: server auth"
    );
}

#[tokio::test]
async fn a_node_that_may_gets_its_certificate_without_a_human() {
    let server = server().await;
    let _signer = server.sign();
    let node = somebody("system:node:n1", &["system:nodes"]);
    let name = "kubernetes.io/kube-apiserver-client-kubelet";
    let body = request("n1", name, "system:node:n1", "system:nodes");
    let answer = server.send_json(&node, "POST", REQUESTS, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let pending = server.get(&format!("{REQUESTS}/n1")).await.json();
    assert_eq!(pending["status"], json!({}), "nobody has given nodes that right");
    let rule = json!({
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests/selfnodeclient"],
        "verbs": ["create"],
    });
    let nodes = json!({ "kind": "Group", "name": "system:nodes", "apiGroup": "rbac.authorization.k8s.io" });
    server.bind("rotate", rule, nodes).await;
    let signed = server.when("n1", |status| status["certificate"].is_string()).await;
    assert_eq!(signed["status"]["conditions"][0]["reason"], "AutoApproved");
    assert_eq!(signed["spec"]["username"], "system:node:n1");
}

#[tokio::test]
async fn deciding_and_signing_take_rights_over_the_signer() {
    let server = server().await;
    let (jane, user) = (
        somebody("jane", &["system:authenticated"]),
        |name: &str| json!({ "kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io" }),
    );
    let rule = json!({
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests", "certificatesigningrequests/approval", "certificatesigningrequests/status"],
        "verbs": ["*"],
    });
    server.bind("requests", rule, user("jane")).await;
    let body = request("r", CLIENT, "x", "dev");
    let answer = server.send_json(&jane, "POST", REQUESTS, &body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.bytes);

    let certificate = json!({ "status": { "certificate": STANDARD.encode("x") } });
    for (part, patch, verb) in [("approval", approved(), "approve"), ("status", certificate, "sign")] {
        let path = format!("{REQUESTS}/r/{part}");
        let refused = server.send_json(&jane, "PATCH", &path, &patch).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{verb}: {:?}", refused.bytes);
        let message = format!(
            "certificatesigningrequests.certificates.k8s.io \"r\" is forbidden: user not permitted to {verb} requests \
             with signerName {CLIENT:?}"
        );
        assert_eq!(refused.json()["message"], message);
        let rule = json!({
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["signers"],
            "resourceNames": ["kubernetes.io/*"],
            "verbs": [verb],
        });
        server.bind(verb, rule, user("jane")).await;
        let answer = server.send_json(&jane, "PATCH", &path, &patch).await;
        assert_eq!(answer.status, StatusCode::OK, "{verb}: {:?}", answer.bytes);
    }

    let masters = request("m", CLIENT, "x", "system:masters");
    let refused = server
        .send_json(&Caller::system("system:test"), "POST", REQUESTS, &masters)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let message = "certificatesigningrequests.certificates.k8s.io \"m\" is forbidden: use of \
                   kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert_eq!(refused.json()["message"], message);
}
