//! A server of somebody else beside a cluster: a Python program on the host that speaks TLS, behind a service without
//! pods.

use std::{
    path::PathBuf,
    process::{Child, Command},
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::{Sandbox, sandbox::run};

/// The program and its files. Ends when dropped.
pub struct Neighbour {
    directory: tempfile::TempDir,
    address: String,
    port: u16,
    /// Files besides the program, in the order of its arguments.
    files: Vec<&'static str>,
    child: Option<Child>,
}

impl Neighbour {
    /// A neighbour with a certificate for a service's name. The program is started with its address, its port and its
    /// files: the certificate, the key, then what is given more, by names and contents.
    ///
    /// # Panics
    /// When a file cannot be written.
    #[must_use]
    pub fn new(sandbox: &Sandbox, dns_name: &str, port: u16, program: &str, more: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec![dns_name.to_owned()]).and_then(|params| params.self_signed(&key));
        let certificate_pem = certificate.expect("a certificate").pem();
        let key_pem = key.serialize_pem();
        let own = [("server.crt", certificate_pem.as_str()), ("server.key", &key_pem)];
        let given: Vec<(&'static str, &str)> = own.into_iter().chain(more.iter().copied()).collect();
        for (name, content) in given.iter().chain(&[("server.py", program)]) {
            std::fs::write(directory.path().join(name), content).expect("write");
        }
        let kubeconfig = std::fs::read_to_string(sandbox.kubeconfig()).expect("read the kubeconfig");
        let address = kubeconfig
            .split_once("https://")
            .and_then(|(_, rest)| rest.split_once(':'))
            .expect("the server's address");
        Self {
            address: address.0.to_owned(),
            port,
            files: given.iter().map(|(name, _)| *name).collect(),
            directory,
            child: None,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts the program.
    ///
    /// # Panics
    /// When there is no Python.
    pub fn start(&mut self) {
        let mut python = Command::new("python3");
        python
            .arg(self.file("server.py"))
            .arg(&self.address)
            .arg(self.port.to_string())
            .args(self.files.iter().map(|name| self.file(name)));
        self.child = Some(python.spawn().expect("start python3"));
    }

    /// Ends the program, if it runs.
    ///
    /// # Panics
    /// When it cannot be ended.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill");
            child.wait().expect("wait");
        }
    }

    /// Its certificate, which stands for its authority, as a `caBundle`.
    ///
    /// # Panics
    /// When it cannot be encoded.
    #[must_use]
    pub fn ca_bundle(&self) -> String {
        let mut command = Command::new("base64");
        command.arg("--wrap=0").arg(self.file("server.crt"));
        run(command)
    }

    /// A service that leads to it.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": namespace },
            "spec": { "ports": [{ "name": "https", "port": 443, "targetPort": self.port }] },
        })
    }

    /// The endpoints of that service.
    #[must_use]
    pub fn endpoints(&self, namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": { "name": name, "namespace": namespace, "labels": { "kubernetes.io/service-name": name } },
            "ports": [{ "name": "https", "port": self.port }], "endpoints": [{ "addresses": [self.address] }],
        })
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop();
    }
}
