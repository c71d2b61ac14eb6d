//! What an object's configuration names: a URL, or a service of the cluster, and whose certificate it must have.
//!
//! Never here: what is said over a connection.
//! Source: Kubernetes API reference, WebhookClientConfig; "Dynamic Admission Control", "Contacting the webhook";
//! APIServiceSpec.

use std::sync::{Arc, OnceLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Uri;
use rustls::{ClientConfig, client::ResolvesClientCert, pki_types::ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    CallError, Scheme, Target, place,
    pod::{self, Stream},
    tls::{self, Trust},
};
use crate::{
    driver::resource_of,
    engine::{ApiError, Engine},
    stream::Nodes,
};

const HTTPS_PORT: u16 = 443;

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Destination {
    at: At,
    pub(super) path: String,
    trust: Trust,
    /// Whom it is told that we are; nobody if there is none.
    identity: Option<Arc<dyn ResolvesClientCert>>,
    /// Made from them for the first request; kept, so that sessions are resumed.
    tls: OnceLock<Arc<ClientConfig>>,
}

#[derive(Debug)]
enum At {
    Url { host: String, port: u16 },
    Service { namespace: String, name: String, port: u16 },
}

impl Destination {
    /// Reads a `clientConfig`.
    ///
    /// # Errors
    /// When it names nothing that can be asked.
    pub(crate) fn parse(config: &Value) -> Result<Destination, CallError> {
        let (at, path) = if let Some(url) = config["url"].as_str() {
            let uri: Uri = url.parse().map_err(|_| CallError::NoDestination)?;
            let at = At::Url {
                host: uri.host().ok_or(CallError::NoDestination)?.to_owned(),
                port: uri.port_u16().unwrap_or(HTTPS_PORT),
            };
            (
                at,
                uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            )
        } else if config["service"].is_object() {
            let path = text(&config["service"]["path"]);
            let path = if path.starts_with('/') {
                path
            } else {
                format!("/{path}")
            };
            (At::service(&config["service"]), path)
        } else {
            return Err(CallError::NoDestination);
        };
        let trust = Trust::these_or_the_systems(ca_bundle(config));
        Ok(Destination::new(at, path, trust, None))
    }

    /// Reads the spec of an APIService that is not served here.
    ///
    /// # Errors
    /// When it names no service.
    pub(crate) fn of_api_service(
        spec: &Value,
        identity: Arc<dyn ResolvesClientCert>,
    ) -> Result<Destination, CallError> {
        if !spec["service"].is_object() {
            return Err(CallError::NoDestination);
        }
        let trust = if spec["insecureSkipTLSVerify"] == true {
            Trust::Any
        } else {
            Trust::these_or_the_systems(ca_bundle(spec))
        };
        let at = At::service(&spec["service"]);
        Ok(Destination::new(at, String::new(), trust, Some(identity)))
    }

    fn new(at: At, path: String, trust: Trust, identity: Option<Arc<dyn ResolvesClientCert>>) -> Destination {
        Destination {
            at,
            path,
            trust,
            identity,
            tls: OnceLock::new(),
        }
    }

    /// Connects, and looks at the other side's certificate; what is given to hold is held for as long as the connection
    /// to a service lasts.
    ///
    /// # Errors
    /// When it cannot be reached, or is not who it should be.
    pub(crate) async fn connect<Held: Send + 'static>(
        &self,
        engine: &Engine,
        nodes: &Nodes,
        held: Held,
    ) -> Result<Box<dyn Stream>, CallError> {
        let name = self.server_name();
        let server_name =
            ServerName::try_from(name.clone()).map_err(|error| CallError::HostName(name.clone(), error))?;
        let tls = self.tls()?;
        Ok(match &self.at {
            At::Url { host, port } => {
                let address = (host.trim_matches(['[', ']']), *port);
                let stream = TcpStream::connect(address).await;
                let stream = stream.map_err(|error| CallError::Connect(format!("{host}:{port}"), error))?;
                Box::new(tls.connect(server_name, stream).await.map_err(CallError::Tls)?)
            }
            At::Service { namespace, name, port } => {
                let service = |error: ApiError| CallError::Service(Box::new(error));
                let port = port.to_string();
                let target = Target {
                    scheme: Scheme::Https,
                    name,
                    port: &port,
                };
                let place = place(engine, resource_of(api::Kind::Service), namespace, target);
                let place = place.await.map_err(service)?;
                let stream = pod::connect(nodes, &place, held).await.map_err(service)?;
                Box::new(tls.connect(server_name, stream).await.map_err(CallError::Tls)?)
            }
        })
    }

    fn tls(&self) -> Result<TlsConnector, CallError> {
        let config = match self.tls.get() {
            Some(made) => made,
            None => {
                let made = Arc::new(tls::client_config(&self.trust, self.identity.clone())?);
                self.tls.get_or_init(|| made)
            }
        };
        Ok(TlsConnector::from(config.clone()))
    }

    /// The name that its certificate must have.
    pub(crate) fn server_name(&self) -> String {
        match &self.at {
            At::Url { host, .. } => host.trim_matches(['[', ']']).to_owned(),
            At::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// As errors name it.
    pub(crate) fn url(&self) -> String {
        match &self.at {
            At::Url { host, port: HTTPS_PORT } => format!("https://{host}{}", self.path),
            At::Url { host, port } => format!("https://{host}:{port}{}", self.path),
            At::Service { port, .. } => format!("https://{}:{port}{}", self.server_name(), self.path),
        }
    }
}

impl At {
    fn service(reference: &Value) -> At {
        At::Service {
            namespace: text(&reference["namespace"]),
            name: text(&reference["name"]),
            port: reference["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .unwrap_or(HTTPS_PORT),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ca_bundle(config: &Value) -> Vec<u8> {
    STANDARD.decode(text(&config["caBundle"])).unwrap_or_default()
}

#[cfg(test)]
mod tests;
