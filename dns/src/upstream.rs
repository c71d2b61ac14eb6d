//! Questions about the rest of the world, asked of the host's own servers.
//!
//! The host's resolv.conf is looked at again when it has changed. The server's own addresses in it are passed over,
//! and an upstream that asks this server back is found out and no longer asked. Answers are cached and questions in
//! flight are counted, both bounded. Never here: the cluster's names.
//! Source: RFC 1035, RFC 2308; resolv.conf(5).

use std::{
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record, RecordType},
};
use hickory_resolver::{
    TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::timeout};
use tracing::{debug, error, info, warn};

use crate::{answer::LOOP_CHECK_LABEL, resolv_conf};

/// Answers kept. One is some hundred bytes, so this is about a megabyte.
const CACHE_ANSWERS_MAX: u64 = 4_096;
/// Questions in flight; servers that do not answer hold each for [`FORWARD_TIMEOUT`].
const IN_FLIGHT_MAX: usize = 512;
/// Clients give up after 5 s (glibc, musl): two attempts fit in, and word that they failed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
const RETRIES: usize = 1;
const FORWARD_TIMEOUT: Duration = Duration::from_millis(4_500);
/// An answer is not kept longer than this, whatever it says.
const KEPT_MAX: Duration = Duration::from_secs(3_600);
/// The same for "there is no such name".
const NEGATIVE_KEPT_MAX: Duration = Duration::from_secs(30);
/// The file is looked at no more often than this, and only when there is a question.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What upstream said.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// `NoError` or `NXDomain`.
    pub code: ResponseCode,
    /// For the answer section.
    pub answers: Vec<Record>,
    /// For the authority section, when there is no answer.
    pub soa: Option<Record>,
}

/// Upstream said nothing of use. The client is told SERVFAIL.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// resolv.conf names no server that may be asked.
    #[error("the host has no upstream server")]
    NoServer,
    /// Too many questions wait for an answer.
    #[error("{IN_FLIGHT_MAX} questions are in flight")]
    Busy,
    /// The servers do not answer, or with an error.
    #[error("ask upstream")]
    Ask(#[source] NetError),
}

/// The host's servers.
pub struct Upstream {
    path: PathBuf,
    port: u16,
    own_addresses: Vec<IpAddr>,
    domain: Name,
    state: Mutex<State>,
    in_flight: Semaphore,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    version: Option<Version>,
    servers: Vec<IpAddr>,
    resolver: Option<Arc<TokioResolver>>,
    /// The label with which these servers were asked whether they ask back.
    token: String,
}

/// Tells one version of the file from another.
type Version = (SystemTime, u64);

impl Upstream {
    /// The servers of the resolv.conf at `path`, asked at `port`, without `own_addresses`.
    #[must_use]
    pub fn new(path: PathBuf, port: u16, own_addresses: Vec<IpAddr>, domain: Name) -> Upstream {
        Upstream {
            path,
            port,
            own_addresses,
            domain,
            state: Mutex::default(),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
        }
    }

    /// Asks the host's servers.
    ///
    /// # Errors
    /// At once if there is no server or too much waits; after [`FORWARD_TIMEOUT`] if none answers.
    pub async fn forward(&self, name: &Name, record_type: RecordType) -> Result<Forwarded, ForwardError> {
        let resolver = self.resolver().ok_or(ForwardError::NoServer)?;
        let _one = self.in_flight.try_acquire().map_err(|_| ForwardError::Busy)?;
        // Whole, so that no search list is applied.
        let mut name = name.clone();
        name.set_fqdn(true);
        let lookup = resolver.lookup(name, record_type);
        match timeout(FORWARD_TIMEOUT, lookup).await.unwrap_or(Err(NetError::Timeout)) {
            Ok(found) => Ok(Forwarded {
                code: ResponseCode::NoError,
                answers: found.answers().to_vec(),
                soa: None,
            }),
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
            {
                Ok(Forwarded {
                    code: none.response_code,
                    answers: Vec::new(),
                    soa: none.soa.map(|soa| (*soa).map_soa()),
                })
            }
            Err(err) => Err(ForwardError::Ask(err)),
        }
    }

    /// A question of the loop check came in: if it is ours, the servers ask us back, and are asked no more until the
    /// file changes.
    pub fn asked_back(&self, token: &str) {
        let mut state = self.state.lock();
        if state.token == token && state.resolver.take().is_some() {
            error!(
                servers = ?state.servers,
                path = %self.path.display(),
                "the upstream servers ask this server back; names outside the cluster are not answered"
            );
        }
    }

    fn resolver(&self) -> Option<Arc<TokioResolver>> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state
            .looked
            .is_some_and(|looked| now.duration_since(looked) < LOOK_INTERVAL)
        {
            return state.resolver.clone();
        }
        state.looked = Some(now);
        let version = version(&self.path).ok();
        if version.is_some() && version == state.version {
            return state.resolver.clone();
        }
        state.version = version;
        let servers = match resolv_conf::read(&self.path) {
            Ok(conf) => usable(&conf.nameservers, &self.own_addresses),
            Err(err) => {
                debug!(error = %err, path = %self.path.display(), "no resolv.conf");
                Vec::new()
            }
        };
        if servers != state.servers || state.resolver.is_none() {
            info!(?servers, path = %self.path.display(), "upstream servers");
            state.resolver = build(&servers, self.port);
            state.servers = servers;
            state.token = format!("{:016x}", rand::random::<u64>());
            if let Some(resolver) = state.resolver.clone() {
                self.check_for_loop(resolver, &state.token);
            }
        }
        state.resolver.clone()
    }

    /// Asks for a name that nobody knows, to see whether the question comes back.
    fn check_for_loop(&self, resolver: Arc<TokioResolver>, token: &str) {
        let name = self
            .domain
            .prepend_label(LOOP_CHECK_LABEL)
            .and_then(|name| name.prepend_label(token));
        match name {
            Ok(name) => {
                tokio::spawn(async move { resolver.lookup(name, RecordType::TXT).await });
            }
            Err(err) => warn!(error = %err, "no loop check: the cluster's domain is too long"),
        }
    }
}

trait MapSoa {
    fn map_soa(self) -> Record;
}

impl MapSoa for Record<hickory_proto::rr::rdata::SOA> {
    fn map_soa(self) -> Record {
        let mut record = Record::from_rdata(self.name, self.ttl, RData::SOA(self.data));
        record.dns_class = self.dns_class;
        record
    }
}

fn version(path: &PathBuf) -> io::Result<Version> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

/// The servers that may be asked: not this one.
fn usable(servers: &[IpAddr], own: &[IpAddr]) -> Vec<IpAddr> {
    servers
        .iter()
        .filter(|server| !own.contains(server) && !server.is_unspecified())
        .copied()
        .collect()
}

fn build(servers: &[IpAddr], port: u16) -> Option<Arc<TokioResolver>> {
    if servers.is_empty() {
        return None;
    }
    let servers = servers
        .iter()
        .map(|ip| {
            let mut server = NameServerConfig::udp_and_tcp(*ip);
            for connection in &mut server.connections {
                connection.port = port;
            }
            server
        })
        .collect();
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = ATTEMPT_TIMEOUT;
    options.attempts = RETRIES;
    options.edns0 = true;
    options.cache_size = CACHE_ANSWERS_MAX;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    options.positive_max_ttl = Some(KEPT_MAX);
    options.negative_max_ttl = Some(NEGATIVE_KEPT_MAX);
    match builder.build() {
        Ok(resolver) => Some(Arc::new(resolver)),
        Err(err) => {
            error!(error = %err, "the upstream servers cannot be used");
            None
        }
    }
}

#[cfg(test)]
mod tests;
