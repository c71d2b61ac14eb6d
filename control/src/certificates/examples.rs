//! Requests for tests.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{CertificateParams, CertificateSigningRequest, DistinguishedName, DnType, KeyPair, SanType};
use serde_json::{Value, json};

/// A PKCS#10 request of this subject. Of organizations there may be two.
pub(super) fn request(common_name: &str, organizations: &[&str], names: Vec<SanType>) -> CertificateSigningRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // The same type under two names, since the library keeps one value of each.
    let types = [DnType::OrganizationName, DnType::CustomDnType(vec![2, 5, 4, 10])];
    for (organization, kind) in organizations.iter().zip(types) {
        params.distinguished_name.push(kind, *organization);
    }
    if !common_name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names = names;
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap()
}

/// A CertificateSigningRequest, without a decision.
pub(super) fn object(signer: &str, usages: &[&str], request: &CertificateSigningRequest) -> Value {
    json!({
        "metadata": { "name": "r", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": {
            "signerName": signer,
            "usages": usages,
            "request": STANDARD.encode(request.pem().unwrap()),
            "username": "u",
        },
    })
}

/// A node's request for its own certificate.
pub(super) fn of_node(name: &str) -> Value {
    let request = request(&format!("system:node:{name}"), &["system:nodes"], Vec::new());
    let usages = ["digital signature", "client auth"];
    object("kubernetes.io/kube-apiserver-client-kubelet", &usages, &request)
}
