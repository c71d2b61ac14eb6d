//! The node's DNS server: sockets in, [`crate::answer`] and [`Upstream`] behind.
//!
//! The sockets are given, so that they can outlive the process. Never here: what a name means.
//! Source: RFC 1035, RFC 6891 (EDNS), RFC 9715 (sizes over UDP).

use std::{
    io,
    net::{IpAddr, TcpListener, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::node_stream::Change;
use async_trait::async_trait;
use hickory_proto::{
    op::{Edns, Metadata, OpCode, ResponseCode},
    rr::{DNSClass, Name, Record, RecordType},
};
use hickory_server::{
    Server,
    net::{NetError, runtime::Time},
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use parking_lot::RwLock;
use tracing::debug;

use crate::{
    answer::{Answer, answer},
    index::Index,
    upstream::{Forwarded, Upstream},
};

/// The port of DNS.
pub const DNS_PORT: u16 = 53;
/// A TCP client that says nothing for this long is cut off (RFC 7766 asks for seconds).
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Answers of one TCP connection that wait to be written.
const TCP_ANSWERS_WAITING_MAX: usize = 32;
/// Largest answer over UDP, in bytes: no fragments on the usual paths (RFC 9715).
const UDP_ANSWER_BYTES_MAX: u16 = 1_232;
/// Aliases followed inside the cluster; more are a ring.
const ALIASES_MAX: usize = 8;

/// The records that the server answers from. Cheap to clone; readers wait for a writer for microseconds.
#[derive(Debug, Clone)]
pub struct Records {
    index: Arc<RwLock<Index>>,
}

impl Records {
    /// These, to begin with.
    #[must_use]
    pub fn new(index: Index) -> Records {
        Records {
            index: Arc::new(RwLock::new(index)),
        }
    }

    /// Takes a whole new index, as after a snapshot.
    pub fn replace(&self, index: Index) {
        // The old one is let go outside the lock.
        let old = std::mem::replace(&mut *self.index.write(), index);
        drop(old);
    }

    /// Takes changes in.
    pub fn apply(&self, changes: &[Change]) {
        let mut index = self.index.write();
        for change in changes {
            index.apply(change);
        }
    }

    /// What the cluster knows about a question.
    #[must_use]
    pub fn answer(&self, name: &Name, record_type: RecordType, rotation: usize) -> Answer {
        answer(&self.index.read(), name, record_type, rotation)
    }
}

/// What a server needs.
#[derive(Debug)]
pub struct ServerConfig {
    /// Bound, not blocking.
    pub udp: UdpSocket,
    /// Bound, not blocking.
    pub tcp: TcpListener,
    /// The host's resolv.conf.
    pub resolv_conf: PathBuf,
    /// Where the servers it names are asked: [`DNS_PORT`].
    pub upstream_port: u16,
    /// Addresses at which this server can be asked: never asked as upstream.
    pub own_addresses: Vec<IpAddr>,
}

/// The server could not start.
#[derive(Debug, thiserror::Error)]
#[error("read from the DNS sockets")]
pub struct StartError(#[source] io::Error);

/// A server that answers until it is dropped.
pub struct DnsServer {
    server: Server<Handler>,
}

impl DnsServer {
    /// Starts answering. Needs a runtime.
    ///
    /// # Errors
    /// When the sockets are of no use to the runtime.
    pub fn start(config: ServerConfig, records: Records) -> Result<DnsServer, StartError> {
        let domain = records.index.read().zone().domain.clone();
        let handler = Handler {
            records,
            upstream: Upstream::new(config.resolv_conf, config.upstream_port, config.own_addresses, domain),
            asked: AtomicUsize::new(0),
        };
        let udp = tokio::net::UdpSocket::from_std(config.udp).map_err(StartError)?;
        let tcp = tokio::net::TcpListener::from_std(config.tcp).map_err(StartError)?;
        let mut server = Server::new(handler);
        server.register_socket(udp);
        server.register_listener(tcp, TCP_IDLE, TCP_ANSWERS_WAITING_MAX);
        Ok(DnsServer { server })
    }

    /// Runs until the server fails, which it does only when its sockets do.
    ///
    /// # Errors
    /// What broke.
    pub async fn run(mut self) -> Result<(), NetError> {
        self.server.block_until_done().await
    }
}

struct Handler {
    records: Records,
    upstream: Upstream,
    asked: AtomicUsize,
}

/// An answer, ready to be written.
struct Response {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authority: Option<Record>,
    additionals: Vec<Record>,
}

impl Response {
    fn error(code: ResponseCode) -> Response {
        Response {
            code,
            authoritative: false,
            answers: Vec::new(),
            authority: None,
            additionals: Vec::new(),
        }
    }
}

impl Handler {
    async fn respond(&self, request: &Request) -> Response {
        if request.metadata.op_code != OpCode::Query {
            return Response::error(ResponseCode::NotImp);
        }
        let Ok(info) = request.request_info() else {
            return Response::error(ResponseCode::FormErr);
        };
        if !matches!(info.query.query_class(), DNSClass::IN | DNSClass::ANY) {
            return Response::error(ResponseCode::Refused);
        }
        let record_type = info.query.query_type();
        if matches!(record_type, RecordType::AXFR | RecordType::IXFR) {
            return Response::error(ResponseCode::Refused);
        }
        self.resolve(info.query.original().name(), record_type).await
    }

    /// Follows aliases inside the cluster, and at last one that leads out of it.
    async fn resolve(&self, asked: &Name, record_type: RecordType) -> Response {
        let rotation = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut name = asked.clone();
        let mut aliases = Vec::new();
        while aliases.len() <= ALIASES_MAX {
            match self.records.answer(&name, record_type, rotation) {
                Answer::Records { answers, additionals } => {
                    aliases.extend(answers);
                    return Response {
                        code: ResponseCode::NoError,
                        authoritative: true,
                        answers: aliases,
                        authority: None,
                        additionals,
                    };
                }
                Answer::NoData { soa } => return negative(ResponseCode::NoError, aliases, soa),
                Answer::NoName { soa } => return negative(ResponseCode::NXDomain, aliases, soa),
                Answer::LoopCheck(token) => {
                    self.upstream.asked_back(&token);
                    return Response::error(ResponseCode::Refused);
                }
                Answer::Alias { alias, target } => {
                    aliases.push(alias);
                    name = target;
                }
                Answer::Elsewhere => return self.forward(&name, record_type, aliases).await,
            }
        }
        debug!(name = %asked, "aliases lead in a ring");
        Response::error(ResponseCode::ServFail)
    }

    async fn forward(&self, name: &Name, record_type: RecordType, mut aliases: Vec<Record>) -> Response {
        match self.upstream.forward(name, record_type).await {
            Ok(Forwarded { code, answers, soa }) => {
                let authoritative = !aliases.is_empty();
                aliases.extend(answers);
                Response {
                    code,
                    authoritative,
                    answers: aliases,
                    authority: soa,
                    additionals: Vec::new(),
                }
            }
            Err(err) => {
                debug!(error = &err as &dyn std::error::Error, %name, %record_type, "not answered");
                Response::error(ResponseCode::ServFail)
            }
        }
    }
}

/// The name that was asked is there if an alias leads on from it, whatever its end; RFC 2308, 2.1.
fn negative(code: ResponseCode, aliases: Vec<Record>, soa: Record) -> Response {
    Response {
        code,
        authoritative: true,
        answers: aliases,
        authority: Some(soa),
        additionals: Vec::new(),
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload().min(UDP_ANSWER_BYTES_MAX));
            (edns, asked.version())
        });
        let response = match &edns {
            // EDNS versions after 0 do not exist; RFC 6891, 6.1.3.
            Some((_, version)) if *version > 0 => Response::error(ResponseCode::BADVERS),
            _ => self.respond(request).await,
        };
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = response.code;
        metadata.authoritative = response.authoritative;
        metadata.recursion_available = true;
        let edns = edns.map(|(mut edns, _)| {
            edns.set_rcode_high(response.code.high());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let message = builder.build(
            metadata,
            &response.answers,
            &[],
            response.authority.as_ref(),
            &response.additionals,
        );
        match handle.send_response(message).await {
            Ok(info) => info,
            Err(err) => {
                debug!(error = %err, client = %request.src(), "answer not sent");
                // Nothing more can be done for this client; what it is told is nothing.
                let mut metadata = Metadata::response_from_request(&request.metadata);
                metadata.response_code = ResponseCode::ServFail;
                ResponseInfo::from(hickory_proto::op::Header {
                    metadata,
                    counts: hickory_proto::op::HeaderCounts::default(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
