//! What every cluster has from its first moment: namespaces, a join token, the administrator's kubeconfig.

use std::{fs, io, path::Path, time::Duration};

use api::resource::{self, Resource};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rand::Rng as _;
use serde_json::json;
use tracing::{info, warn};

use crate::{
    ServerConfig, aggregation,
    authorization::{self, DefaultObject, Repair},
    engine::{ApiError, Caller, DeleteOptions, Engine, SERVER_MANAGER, WriteOptions},
    pki::{self, Authority, IssueError, WriteFileError},
};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];
/// Files in the data directory.
const JOIN_TOKEN: &str = "join-token";
const KUBECONFIG: &str = "kubeconfig";
const ADMIN: &str = "pki/admin.pem";
const TOKEN_LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const TOKEN_ID_LENGTH: usize = 6;
const TOKEN_SECRET_LENGTH: usize = 16;
/// How often it is looked whether the administrator's certificate is to be renewed.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// What every cluster has could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A namespace could not be created.
    #[error("create namespace {name}")]
    Namespace {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        source: Box<ApiError>,
    },
    /// Another object could not be created.
    #[error("create {kind} {name}")]
    Object {
        /// Its kind.
        kind: &'static str,
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<ApiError>,
    },
    /// A default role or binding could not be brought to what it should be.
    #[error("reconcile {kind} {name}")]
    Role {
        /// Its plural.
        kind: &'static str,
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: Box<ApiError>,
    },
    /// The join token could not be recorded.
    #[error("record the join token")]
    Token(#[source] Box<ApiError>),
    /// The join token's file cannot be read.
    #[error("read the join token")]
    ReadToken(#[source] io::Error),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteFileError),
    /// The administrator's certificate could not be issued.
    #[error("issue the administrator's certificate")]
    Issue(#[from] IssueError),
}

pub(super) fn caller() -> Caller {
    Caller::system("system:apiserver")
}

/// Makes the namespaces that are missing.
pub(super) async fn namespaces(engine: &Engine) -> Result<(), BootstrapError> {
    for name in NAMESPACES {
        let object = json!({ "metadata": { "name": name } });
        match create(engine, kind("namespaces"), "", object).await {
            Ok(()) | Err(ApiError::AlreadyExists(_)) => {}
            Err(error) => {
                return Err(BootstrapError::Namespace {
                    name,
                    source: Box::new(error),
                });
            }
        }
    }
    Ok(())
}

/// Makes the default roles and bindings, and gives back what those that are there have lost.
pub(super) async fn roles(engine: &Engine) -> Result<(), BootstrapError> {
    let defaults = authorization::default_objects();
    // At once, so that they become durable together.
    let made = defaults.iter().map(async |default| {
        role(engine, default).await.map_err(|error| BootstrapError::Role {
            kind: default.plural,
            name: default.name.clone(),
            source: Box::new(error),
        })
    });
    futures::future::try_join_all(made).await.map(drop)
}

async fn role(engine: &Engine, default: &DefaultObject) -> Result<(), ApiError> {
    let resource = resource::by_path("rbac.authorization.k8s.io", "v1", default.plural)
        .expect("the table of kinds has roles and bindings");
    let (namespace, name, caller) = (default.namespace.as_str(), default.name.as_str(), caller());
    let present = match engine.get(resource, namespace, name) {
        Ok(present) => present,
        Err(ApiError::NotFound(_)) => return create(engine, resource, namespace, default.object.clone()).await,
        Err(error) => return Err(error),
    };
    match authorization::reconcile(&present, &default.object) {
        Repair::Nothing => Ok(()),
        Repair::Update(repaired) => {
            let options = WriteOptions::by(SERVER_MANAGER);
            let updated = engine.update(&caller, resource, namespace, name, None, repaired, &options);
            updated.await.map(drop)
        }
        Repair::Recreate => {
            let deleted = engine.delete(&caller, resource, namespace, name, DeleteOptions::default());
            deleted.await?;
            create(engine, resource, namespace, default.object.clone()).await
        }
    }
}

/// Says whose word on callers other API servers may take.
pub(super) async fn authentication_config(
    engine: &Engine,
    authority: &Authority,
    proxy: &Authority,
) -> Result<(), BootstrapError> {
    const NAME: &str = "extension-apiserver-authentication";
    let data = aggregation::authentication_config(authority, proxy);
    let resource = kind("configmaps");
    let written = match engine.get(resource, "kube-system", NAME) {
        Ok(present) if present["data"] == data => Ok(()),
        Ok(mut present) => {
            present["data"] = data;
            let options = WriteOptions::by(SERVER_MANAGER);
            let caller = caller();
            let updated = engine.update(&caller, resource, "kube-system", NAME, None, present, &options);
            updated.await.map(drop)
        }
        Err(ApiError::NotFound(_)) => {
            let object = json!({ "metadata": { "name": NAME, "namespace": "kube-system" }, "data": data });
            create(engine, resource, "kube-system", object).await
        }
        Err(error) => Err(error),
    };
    written.map_err(|source| BootstrapError::Object {
        kind: resource.kind,
        name: NAME.to_owned(),
        source: Box::new(source),
    })
}

/// Whether a server has served from this data directory: it leaves these behind once its store holds what every cluster
/// has.
pub(super) fn was_here(dir: &Path) -> bool {
    [JOIN_TOKEN, ADMIN].iter().any(|name| dir.join(name).exists())
}

/// Makes a join token unless the file is there: the Secret first, so that a token in the file always works, until
/// somebody revokes it by deleting the Secret.
pub(super) async fn join_token(engine: &Engine, dir: &Path, authority: &Authority) -> Result<(), BootstrapError> {
    let path = dir.join(JOIN_TOKEN);
    match fs::metadata(&path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(BootstrapError::ReadToken(error)),
    }
    let (id, secret) = (random_text(TOKEN_ID_LENGTH), random_text(TOKEN_SECRET_LENGTH));
    let encoded = |text: &str| json!(STANDARD.encode(text));
    let object = json!({
        "metadata": { "name": format!("bootstrap-token-{id}"), "namespace": "kube-system" },
        "type": "bootstrap.kubernetes.io/token",
        "data": {
            "description": encoded("made by the server at its first start"),
            "token-id": encoded(&id),
            "token-secret": encoded(&secret),
            "usage-bootstrap-authentication": encoded("true"),
            "usage-bootstrap-signing": encoded("true"),
        },
    });
    create(engine, kind("secrets"), "kube-system", object)
        .await
        .map_err(|error| BootstrapError::Token(Box::new(error)))?;
    let line = format!("{id}.{secret}:{}\n", authority.fingerprint());
    pki::write_file(&path, line.as_bytes(), 0o600)?;
    Ok(())
}

/// Writes the administrator's kubeconfig, unless it is there as it should be: a server must start on a full disk. One
/// that somebody else has put there, or changed, stays.
pub(super) fn kubeconfig(config: &ServerConfig, port: u16, authority: &Authority) -> Result<(), BootstrapError> {
    let host = config.advertised().swap_remove(0);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let text = pki::kubeconfig(
        &format!("https://{host}:{port}"),
        authority.certificate_pem(),
        &authority.admin()?,
    );
    let path = config.data_dir.join(KUBECONFIG);
    match fs::read_to_string(&path) {
        Ok(present) if present == text => return Ok(()),
        Ok(present) if !present.trim().is_empty() && !pki::is_own_kubeconfig(&present) => {
            warn!(
                path = %path.display(),
                "a kubeconfig that is not this server's is in the way and stays; move it and start again to get the server's"
            );
            return Ok(());
        }
        Ok(_) => info!(
            path = %path.display(),
            server = format!("https://{host}:{port}"),
            "the server's address or certificates have changed: writing the kubeconfig anew"
        ),
        // One that cannot be read is replaced.
        Err(_) => {}
    }
    pki::write_file(&path, text.as_bytes(), 0o600)?;
    Ok(())
}

/// Writes the kubeconfig anew when the administrator's certificate has been, for as long as the server runs.
pub(super) async fn keep_kubeconfig(config: ServerConfig, port: u16, authority: Authority) {
    let mut written = authority.admin_renewed_at().ok();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let renewed = match authority.admin_renewed_at() {
            Ok(at) if written == Some(at) => continue,
            Ok(at) => kubeconfig(&config, port, &authority).map(|()| written = Some(at)),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = renewed {
            warn!(
                error = &error as &dyn std::error::Error,
                "the kubeconfig was not renewed"
            );
        }
    }
}

async fn create(
    engine: &Engine,
    resource: &Resource,
    namespace: &str,
    object: serde_json::Value,
) -> Result<(), ApiError> {
    let options = WriteOptions::by(SERVER_MANAGER);
    engine
        .create(&caller(), resource, namespace, object, &options)
        .await
        .map(drop)
}

fn kind(plural: &str) -> &'static Resource {
    resource::by_path("", "v1", plural).expect("the table of kinds has the core kinds")
}

fn random_text(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(TOKEN_LETTERS[rng.random_range(0..TOKEN_LETTERS.len())]))
        .collect()
}
