//! The kubeconfig of the administrator, as text.
//!
//! Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files".

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Credential;

/// A kubeconfig with one cluster, one user and one context, everything embedded.
#[must_use]
pub fn kubeconfig(server_url: &str, ca_pem: &str, credential: &Credential) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: skep\n\
         \x20 cluster:\n\
         \x20   server: {server_url}\n\
         \x20   certificate-authority-data: {ca}\n\
         users:\n\
         - name: skep-admin\n\
         \x20 user:\n\
         \x20   client-certificate-data: {certificate}\n\
         \x20   client-key-data: {key}\n\
         contexts:\n\
         - name: skep\n\
         \x20 context:\n\
         \x20   cluster: skep\n\
         \x20   user: skep-admin\n\
         current-context: skep\n",
        ca = STANDARD.encode(ca_pem),
        certificate = STANDARD.encode(&credential.certificate_pem),
        key = STANDARD.encode(&credential.key_pem),
    )
}
