//! The server as a whole: opens what is on disk, starts the driver and the node streams, serves the one TLS port.
//!
//! Everything it writes besides the store is written atomically and can be made again, so a server that was killed at
//! any moment starts as if it had been stopped. Never here: what requests mean.

mod bootstrap;
mod listener;
mod registration;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use api::Timestamp;
use axum::{Router, extract::Request};
use reconcile::{PlannerConfig, planners};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    ServerConfig,
    aggregation::{self, Aggregation},
    audit::{Audit, AuditError},
    auth::{OpenOidcError, OpenTokensError, Tokens},
    certificates::{self, Signing},
    definitions::Definitions,
    driver,
    engine::{Engine, EngineConfig},
    flow::{self, FlowMeter},
    metrics::Metrics,
    pki::{self, Authority, OwnCertificate},
    policy_status,
    rest::{BOOKMARK_INTERVAL, Company, Rest},
    store::{OpenError, ReadError, SealConfig, Store, StoreConfig},
    stream::Nodes,
};

pub use bootstrap::BootstrapError;
#[cfg(test)]
pub(crate) use registration::{flow_schemas, priority_levels};

/// How long what is under way may take after the server was told to stop.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// The path of the node stream's gRPC service.
const NODE_STREAM_PATH: &str = "/skep.node.v1.NodeStream/{method}";

/// The server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory cannot be made.
    #[error("make data directory {path}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificate authority cannot be opened.
    #[error("open the certificate authority")]
    Authority(#[source] pki::OpenAuthorityError),
    /// The key that signs tokens cannot be opened.
    #[error("open the key for tokens")]
    Tokens(#[source] OpenTokensError),
    /// Tokens of the issuer that is configured could not be checked.
    #[error("set up OpenID Connect")]
    Oidc(#[source] OpenOidcError),
    /// A certificate cannot be issued.
    #[error("issue certificates")]
    Issue(#[source] pki::IssueError),
    /// The audit log cannot be opened.
    #[error("start the audit log")]
    Audit(#[source] AuditError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[source] TlsError),
    /// The store cannot be opened.
    #[error("open the store")]
    Store(#[source] OpenError),
    /// The data directory is that of a cluster whose store is gone.
    #[error(
        "{path} is gone or empty, and with it every object of this cluster; restore it from a backup, or remove \
         {data_dir} to begin a new cluster"
    )]
    StoreLost {
        /// The store's file.
        path: PathBuf,
        /// The server's data directory.
        data_dir: PathBuf,
    },
    /// The store cannot be read.
    #[error("read the store")]
    Read(#[source] ReadError),
    /// What every cluster has could not be made.
    #[error("prepare the cluster")]
    Bootstrap(#[source] BootstrapError),
    /// The driver stopped although nobody asked it to.
    #[error("the controller driver stopped")]
    Driver,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The authority's certificate is refused.
    #[error("trust the certificate authority")]
    Trust(#[source] rustls::Error),
    /// Client certificates cannot be verified.
    #[error("verify client certificates")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// No protocol version is possible.
    #[error("choose TLS versions")]
    Versions(#[source] rustls::Error),
}

/// Runs a server until `shutdown`, or until it cannot go on.
///
/// Makes in the data directory: `kubeconfig` (0600), `join-token` (0600: `ID.SECRET:SHA256-OF-CA`), `pki/`,
/// `store.redb`. All are there before the first connection is accepted.
///
/// # Errors
/// See [`ServerError`]; what was opened is closed again.
pub async fn run(config: ServerConfig, shutdown: CancellationToken) -> Result<(), ServerError> {
    let path = &config.data_dir;
    pki::make_private_dir(path).map_err(|source| ServerError::DataDir {
        path: path.clone(),
        source,
    })?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|source| ServerError::Listen {
            address: config.listen,
            source,
        })?;
    let port = listener
        .local_addr()
        .map_or(config.listen.port(), |address| address.port());
    let authority = Authority::open(&path.join("pki")).map_err(ServerError::Authority)?;
    let acceptor = acceptor(&config, &authority)?;
    let metrics = Metrics::new();
    let audit = Audit::open(&config.audit, metrics.audit.clone()).map_err(ServerError::Audit)?;
    let store = Store::open(StoreConfig {
        seal: Some(SealConfig {
            key_file: path.join("pki").join("store-keys.json"),
            collections: config.encrypted.clone(),
            key_age_max: config.encryption_key_age,
        }),
        must_exist: bootstrap::was_here(path),
        ..StoreConfig::new(path.join("store.redb"))
    })
    .map_err(|error| match error {
        OpenError::Lost { path } => ServerError::StoreLost {
            path,
            data_dir: config.data_dir.clone(),
        },
        error => ServerError::Store(error),
    })?;
    let port = Port {
        listener,
        number: port,
        acceptor,
    };
    let meter = FlowMeter::new();
    metrics.include(store.meter().collectors());
    metrics.include(meter.collectors());
    let seats = config
        .requests_in_flight_max
        .saturating_add(config.mutating_in_flight_max);
    let front_proxy = Authority::open(&path.join("pki").join("front-proxy")).map_err(ServerError::Authority)?;
    let company = Company {
        audit: audit.clone(),
        metrics,
        seats,
        flow: meter,
        progress: Arc::default(),
        stopping: shutdown.clone(),
        bookmark_interval: BOOKMARK_INTERVAL,
    };
    let authorities = Authorities {
        cluster: authority,
        front_proxy,
    };
    let result = serve(&config, port, authorities, store.clone(), company, shutdown).await;
    store.close().await;
    audit.close().await;
    result
}

/// Who signs certificates.
struct Authorities {
    cluster: Authority,
    /// What this server shows to other API servers; they believe it whom it names.
    front_proxy: Authority,
}

/// The one port.
struct Port {
    listener: TcpListener,
    number: u16,
    acceptor: TlsAcceptor,
}

async fn serve(
    config: &ServerConfig,
    port: Port,
    authorities: Authorities,
    store: Store,
    company: Company,
    shutdown: CancellationToken,
) -> Result<(), ServerError> {
    let authority = authorities.cluster;
    let tokens = Tokens::open(
        &config.data_dir.join("pki"),
        &issuer(config),
        authority.certificate_pem(),
    )
    .map_err(ServerError::Tokens)?;
    let tokens = match config.oidc.clone() {
        Some(oidc) => tokens.with_oidc(oidc).map_err(ServerError::Oidc)?,
        None => tokens,
    };
    let engine = Engine::new(store.clone(), engine_config(config, tokens)).map_err(ServerError::Read)?;
    let (definitions, changes) = Definitions::open(engine.clone()).map_err(ServerError::Read)?;
    bootstrap::namespaces(&engine).await.map_err(ServerError::Bootstrap)?;
    bootstrap::roles(&engine).await.map_err(ServerError::Bootstrap)?;
    registration::make(&engine).await.map_err(ServerError::Bootstrap)?;
    bootstrap::authentication_config(&engine, &authority, &authorities.front_proxy)
        .await
        .map_err(ServerError::Bootstrap)?;
    bootstrap::join_token(&engine, &config.data_dir, &authority)
        .await
        .map_err(ServerError::Bootstrap)?;
    bootstrap::kubeconfig(config, port.number, &authority).map_err(ServerError::Bootstrap)?;

    // Whatever ends first ends the rest.
    let stop = CancellationToken::new();
    let (told, delay, delayed) = (shutdown.clone(), config.shutdown_delay, stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = delayed.cancelled() => return,
            () = told.cancelled() => {}
        }
        // From here on `/readyz` fails.
        tokio::time::sleep(delay).await;
        delayed.cancel();
    });
    let nodes = Nodes::start(engine.clone(), authority.clone(), config, stop.clone());
    engine.reach_through(&nodes);
    let signing = Signing {
        authority: authority.clone(),
        life_max: config.signing_duration,
    };
    let requests = certificates::run(engine.clone(), store.clone(), signing, stop.clone());
    let requests = tokio::spawn(requests);
    let kubeconfig = tokio::spawn(bootstrap::keep_kubeconfig(
        config.clone(),
        port.number,
        authority.clone(),
    ));
    let planners = planners(planner_config(config, port.number, &authority));
    let mut driver = tokio::spawn(driver::run(
        engine.clone(),
        store,
        planners,
        company.progress.clone(),
        company.metrics.work.clone(),
        stop.clone(),
    ));
    let definitions = tokio::spawn(definitions.run(changes, stop.clone()));
    let policies = tokio::spawn(policy_status::run(engine.clone(), stop.clone()));
    let dangling = tokio::spawn(flow::judge_schemas(engine.clone(), stop.clone()));
    let aggregation = Aggregation::new(engine.store().clone(), authorities.front_proxy).map_err(ServerError::Issue)?;
    let others = tokio::spawn(aggregation::run(
        aggregation.clone(),
        engine.clone(),
        nodes.clone(),
        stop.clone(),
    ));
    let rest = Rest::new(engine, nodes.clone(), aggregation, company, stop.clone());
    let router = Router::new()
        .route_service(NODE_STREAM_PATH, nodes.service())
        .fallback(move |request: Request| rest.clone().handle(request));
    info!(port = port.number, "serving");
    let mut serving = std::pin::pin!(listener::serve(
        port.listener,
        port.acceptor,
        router,
        stop.clone(),
        STOP_WAIT
    ));
    let result = tokio::select! {
        () = &mut serving => Ok(()),
        ended = &mut driver => {
            if !shutdown.is_cancelled() {
                error!(panicked = ended.is_err(), "the driver stopped");
            }
            stop.cancel();
            serving.await;
            return if shutdown.is_cancelled() { Ok(()) } else { Err(ServerError::Driver) };
        }
    };
    stop.cancel();
    if tokio::time::timeout(STOP_WAIT, &mut driver).await.is_err() {
        driver.abort();
    }
    for task in [definitions, policies, dangling, requests, kubeconfig, others] {
        task.abort();
    }
    result
}

fn acceptor(config: &ServerConfig, authority: &Authority) -> Result<TlsAcceptor, ServerError> {
    let certificate = OwnCertificate::new(authority.clone(), server_names(config)).map_err(ServerError::Issue)?;
    tls_config(authority, certificate)
        .map(|tls| TlsAcceptor::from(Arc::new(tls)))
        .map_err(ServerError::Tls)
}

fn tls_config(authority: &Authority, certificate: OwnCertificate) -> Result<rustls::ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate_der().clone())
        .map_err(TlsError::Trust)?;
    // A client without a certificate is anonymous; one with a wrong certificate is refused.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::Verifier)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificate));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// All names under which the server's certificate is good.
fn server_names(config: &ServerConfig) -> Vec<String> {
    let mut names = config.advertised();
    names.extend(["localhost", "127.0.0.1", "::1", "kubernetes", "kubernetes.default"].map(str::to_owned));
    names.push("kubernetes.default.svc".to_owned());
    names.push(format!("kubernetes.default.svc.{}", config.cluster_domain));
    names.push(config.kubernetes_ip().to_string());
    if !config.listen.ip().is_unspecified() {
        names.push(config.listen.ip().to_string());
    }
    names.sort();
    names.dedup();
    names
}

/// The URL that tokens of service accounts name: where pods reach this server.
fn issuer(config: &ServerConfig) -> String {
    format!("https://kubernetes.default.svc.{}", config.cluster_domain)
}

fn engine_config(config: &ServerConfig, tokens: Tokens) -> EngineConfig {
    EngineConfig {
        service_cidr: config.service_cidr,
        reserved_ips: vec![config.kubernetes_ip(), config.dns_ip],
        node_port_range: config.node_port_range.clone(),
        default_not_ready_toleration: config.default_not_ready_toleration,
        tokens,
    }
}

fn planner_config(config: &ServerConfig, port: u16, authority: &Authority) -> PlannerConfig {
    PlannerConfig {
        started: Timestamp::now(),
        cluster_cidr: config.cluster_cidr,
        node_prefix_length: crate::config::NODE_PREFIX_LENGTH,
        service_cidr: config.service_cidr,
        dns_ip: config.dns_ip,
        api_endpoint: SocketAddr::new(reachable_ip(config), port),
        root_ca_pem: authority.certificate_pem().to_owned(),
        node_grace: config.node_grace,
    }
}

/// The address under which pods reach this server: the first advertised one that is an address and not of loopback,
/// which no pod could reach.
fn reachable_ip(config: &ServerConfig) -> IpAddr {
    let advertised: Vec<IpAddr> = config
        .advertised()
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    advertised
        .iter()
        .find(|ip| !ip.is_loopback())
        .or(advertised.first())
        .copied()
        .unwrap_or(config.listen.ip())
}
