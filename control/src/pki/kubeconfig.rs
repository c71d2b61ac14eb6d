//! The kubeconfig of the administrator, as text.
//!
//! Source: Kubernetes, "Organizing Cluster Access Using kubeconfig Files".

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::Credential;

/// Keys of the lines that differ between the kubeconfigs of two servers.
const VARYING: [&str; 4] = [
    "server:",
    "certificate-authority-data:",
    "client-certificate-data:",
    "client-key-data:",
];

/// A kubeconfig with one cluster, one user and one context, everything embedded.
#[must_use]
pub fn kubeconfig(server_url: &str, ca_pem: &str, credential: &Credential) -> String {
    render(server_url, ca_pem, &credential.certificate_pem, &credential.key_pem)
}

/// Whether a text is what [`kubeconfig`] makes, of whatever server: nobody has put anything else into it.
#[must_use]
pub fn is_own_kubeconfig(text: &str) -> bool {
    shape(text).eq(shape(&render("", "", "", "")))
}

fn shape(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| {
        let varying = VARYING.iter().find_map(|key| Some(line.find(key)? + key.len()));
        varying.map_or(line, |end| &line[..end])
    })
}

fn render(server_url: &str, ca_pem: &str, certificate_pem: &str, key_pem: &str) -> String {
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
        certificate = STANDARD.encode(certificate_pem),
        key = STANDARD.encode(key_pem),
    )
}
