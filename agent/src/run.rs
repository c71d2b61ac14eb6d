//! The running agent: its parts put together, and what the control plane says passed on to them.
//!
//! An agent that has been a member before works from its mirror at once: names first, then packets, then pods; the
//! control plane may be away. Stopping leaves pods, maps and sockets as they are. Never here: how a part works.

use std::{
    collections::BTreeSet,
    fs::{File, TryLockError},
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::node_stream::{Batch, FromAgent, Welcome, change};
use async_trait::async_trait;
use tokio::{
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::{
    claim::{self, ClaimError},
    config::{AgentConfig, Paths},
    dataplane::{self, Dataplane, DataplaneConfig, NodeContext, PodPort},
    dial::{BadServerAddress, ServerAddress},
    dns_sockets::{self, HolderCommand},
    durable,
    hierarchies::{self, Hierarchy},
    join::{self, JoinError},
    membership::Membership,
    net::{
        DNS_ADDRESS, NodeNet, NodeNetError, OVERLAY_MAC, OVERLAY_PORT, PodNet, PodNetConfig, PodResolver, Port,
        PortError, Ports, Uplink, UplinkError,
        link::{LinkError, Netlink},
        uplink,
    },
    node_status::{self, Health, NodeIdentity},
    pods::{self, PodInput, PodsConfig},
    programming::{Programmer, Wanted},
    ranges::{BadWelcome, Ranges},
    requests::Requests,
    state::{self, Mirror, OpenMirrorError, Taken},
    stream::{self, Outbox, StreamConfig, StreamEvent},
};

/// Where the host's resolver finds its servers.
const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";
/// Messages of pod workers that wait to be taken over by the outbox, which takes them at once.
const POD_MESSAGES_WAITING_MAX: usize = 256;

/// The agent cannot run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The data directory cannot be used.
    #[error("use the data directory {path}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another agent has it.
    #[error("another agent runs with the data directory {0}; stop it, or give this one another directory")]
    AlreadyRunning(PathBuf),
    /// The host is another agent's.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The server's address cannot be understood.
    #[error(transparent)]
    BadServer(#[from] BadServerAddress),
    /// The node is no member and does not become one.
    #[error("join the cluster")]
    Join(#[from] JoinError),
    /// The mirror cannot be read.
    #[error(transparent)]
    Mirror(#[from] OpenMirrorError),
    /// The node lacks what pods need.
    #[error("start the pod workers")]
    Pods(#[from] pods::StartError),
    /// The kernel's links cannot be read.
    #[error("read the node's network")]
    Netlink(#[from] LinkError),
    /// The interface to the other nodes is not known.
    #[error("find the node's address")]
    Uplink(#[from] UplinkError),
    /// What the control plane says of the cluster makes no sense.
    #[error("the control plane's word on the cluster's ranges cannot be used")]
    Welcome(#[from] BadWelcome),
    /// The cluster's ranges have changed; they are written down, and the next start uses them.
    #[error("the cluster's ranges have changed; start the agent again to use them")]
    RangesChanged,
    /// The node's links cannot be made.
    #[error("make the node's network")]
    NodeNet(#[from] NodeNetError),
    /// The pods' addresses cannot be read.
    #[error("read the addresses of pods")]
    PodNet(#[source] io::Error),
    /// The DNS server has no sockets.
    #[error("start the DNS server")]
    DnsSockets(#[from] dns_sockets::SocketsError),
    /// The DNS server cannot use its sockets.
    #[error("start the DNS server")]
    Dns(#[from] dns::StartError),
    /// The DNS server has ended by itself.
    #[error("the DNS server has ended")]
    DnsEnded,
    /// There is no cgroup v2 hierarchy for the socket hooks.
    #[error("no cgroup v2 hierarchy is mounted; mount one (mount -t cgroup2 none DIR) or give --socket-cgroup")]
    NoCgroupV2,
    /// /proc cannot be read.
    #[error("read the mounted cgroup hierarchies")]
    Hierarchies(#[source] io::Error),
    /// The dataplane cannot be opened.
    #[error("open the dataplane")]
    Dataplane(#[from] dataplane::OpenError),
    /// A part of the agent panicked.
    #[error("a part of the agent has panicked")]
    Panicked,
}

/// Runs a node until `shutdown`. Pods, maps and sockets then stay as they are.
///
/// # Errors
/// What stays wrong until somebody changes something; a control plane that is away is none of that.
pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), AgentError> {
    let span = info_span!("agent", node = config.node_name);
    let stop_parts = shutdown.child_token();
    let _stopped = stop_parts.clone().drop_guard();
    tokio::select! {
        // First: the parts end with it too, and that is then no failure.
        biased;
        () = shutdown.cancelled() => {
            info!("stopping; pods stay");
            Ok(())
        }
        ended = run_until_failure(config, stop_parts).instrument(span) => ended,
    }
}

async fn run_until_failure(config: AgentConfig, shutdown: CancellationToken) -> Result<(), AgentError> {
    let paths = config.paths();
    let _lock = lock(&paths)?;
    let server = config.server.parse()?;
    let mut mirror = Mirror::open(&paths.mirror())?;
    let netlink = Arc::new(Netlink::open()?);
    let uplink = uplink::detect(&netlink, config.node_ip).await?;
    let known = mirror.welcome().map(Ranges::try_from).transpose()?;
    let base = Base {
        config: &config,
        paths: &paths,
        netlink,
        uplink,
        outbox: Arc::default(),
        shutdown,
    };
    match known {
        // A member works before anything else is tried, even if its certificate is good no longer.
        Some(ranges) => {
            let _claim = claim::claim(paths.data_dir())?;
            let node = Node::start(&base, ranges, mirror).await?;
            let events = base.connect(server).await?;
            node.follow(events).await
        }
        None => {
            let mut events = base.connect(server).await?;
            let welcome = first_welcome(&mut events).await?;
            let ranges = Ranges::try_from(&welcome)?;
            mirror.begin(welcome);
            let _claim = claim::claim(paths.data_dir())?;
            let node = Node::start(&base, ranges, mirror).await?;
            node.follow(events).await
        }
    }
}

/// What all parts are made from.
struct Base<'a> {
    config: &'a AgentConfig,
    paths: &'a Paths,
    netlink: Arc<Netlink>,
    uplink: Uplink,
    outbox: Arc<Outbox>,
    shutdown: CancellationToken,
}

impl Base<'_> {
    fn node_ip(&self) -> IpAddr {
        IpAddr::V4(self.uplink.ip)
    }

    /// Joins if need be, and keeps a stream to the control plane from then on.
    async fn connect(&self, server: ServerAddress) -> Result<mpsc::Receiver<StreamEvent>, AgentError> {
        let (name, path) = (&self.config.node_name, self.paths.identity());
        let identity = join::identity(self.config, &path).await?;
        let config = StreamConfig {
            server,
            membership: Membership::new(name, path, identity),
            node_name: self.config.node_name.clone(),
            node_ip: self.node_ip(),
        };
        Ok(stream::start(config, self.outbox.clone(), self.shutdown.clone()))
    }
}

/// Held for as long as the agent runs; the kernel lets it go when the process ends, however it does.
fn lock(paths: &Paths) -> Result<File, AgentError> {
    let unusable = |source| AgentError::DataDir {
        path: paths.data_dir().to_owned(),
        source,
    };
    durable::make_private_dir(paths.data_dir()).map_err(unusable)?;
    let file = File::create(paths.lock()).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AgentError::AlreadyRunning(paths.data_dir().to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// A node that has never been a member waits for the control plane's first word.
async fn first_welcome(events: &mut mpsc::Receiver<StreamEvent>) -> Result<Welcome, AgentError> {
    while let Some(event) = events.recv().await {
        if let StreamEvent::Connected(welcome) = event {
            return Ok(welcome);
        }
    }
    Err(AgentError::Panicked)
}

/// What needs neither control plane nor eBPF: links and names.
struct Foundation {
    node_net: Arc<NodeNet>,
    records: dns::Records,
    zone: dns::Zone,
    dns: JoinHandle<()>,
}

impl Drop for Foundation {
    fn drop(&mut self) {
        self.dns.abort();
    }
}

impl Foundation {
    async fn lay(base: &Base<'_>, ranges: &Ranges, mirror: &Mirror) -> Result<Foundation, AgentError> {
        let paths = base.paths;
        let node_net =
            NodeNet::set_up(base.netlink.clone(), base.uplink.clone(), ranges.pod_cidr, &paths.net()).await?;
        let zone = zone(ranges);
        let records = dns::Records::new(dns::Index::from_state(zone.clone(), &mirror.net().read()));
        let listen = SocketAddr::from((DNS_ADDRESS, dns::server::DNS_PORT));
        let holder = HolderCommand::this_program();
        let sockets = dns_sockets::obtain(&paths.dns_sockets(), listen, &holder).await?;
        let config = dns::ServerConfig {
            udp: sockets.udp,
            tcp: sockets.tcp,
            resolv_conf: PathBuf::from(HOST_RESOLV_CONF),
            upstream_port: dns::server::DNS_PORT,
            own_addresses: vec![IpAddr::V4(DNS_ADDRESS), ranges.dns_ip],
        };
        let server = dns::DnsServer::start(config, records.clone())?;
        let dns = tokio::spawn(
            async move {
                if let Err(err) = server.run().await {
                    error!(error = %err, "the DNS server has ended");
                }
            }
            .instrument(info_span!("dns")),
        );
        Ok(Foundation {
            node_net: Arc::new(node_net),
            records,
            zone,
            dns,
        })
    }
}

fn zone(ranges: &Ranges) -> dns::Zone {
    let own = vec![ranges.cluster_cidr, ranges.service_cidr];
    dns::Zone::new(&ranges.cluster_domain, ranges.dns_ip, own).expect("Ranges has a domain that makes a zone")
}

/// The dataplane as pods' networks see it.
struct DataplanePorts(Arc<Dataplane>);

#[async_trait]
impl Ports for DataplanePorts {
    async fn program(&self, port: Port) -> Result<(), PortError> {
        let dataplane = self.0.clone();
        let port = PodPort {
            uid: port.uid,
            host_ifindex: port.host_ifindex,
            ip: port.ip,
            mac: port.mac,
        };
        spawn_blocking(move || dataplane.attach_pod(&port))
            .await
            .map_err(|err| PortError(err.into()))?
            .map_err(|err| PortError(err.into()))
    }

    async fn withdraw(&self, uid: &str, _ip: IpAddr) -> Result<(), PortError> {
        let (dataplane, uid) = (self.0.clone(), uid.to_owned());
        spawn_blocking(move || dataplane.detach_pod(&uid))
            .await
            .map_err(|err| PortError(err.into()))?
            .map_err(|err| PortError(err.into()))
    }
}

/// The parts of a node that works.
struct Node {
    ranges: Ranges,
    mirror: Mirror,
    foundation: Foundation,
    pod_net: PodNet,
    pods: mpsc::Sender<PodInput>,
    wanted: watch::Sender<Wanted>,
    requests: Requests,
    outbox: Arc<Outbox>,
    /// Links that no pod has were looked for, once all pods were known.
    swept: bool,
}

impl Node {
    /// Names first, then packets, then pods.
    async fn start(base: &Base<'_>, ranges: Ranges, mirror: Mirror) -> Result<Node, AgentError> {
        let foundation = Foundation::lay(base, &ranges, &mirror).await?;
        let (config, outbox, node_ip) = (base.config, base.outbox.clone(), base.node_ip());
        let node_net = foundation.node_net.clone();
        let dataplane_config = dataplane_config(config, &ranges, &node_net)?;
        let dataplane = spawn_blocking(move || Dataplane::open(dataplane_config))
            .await
            .map_err(|_| AgentError::Panicked)??;
        let dataplane = Arc::new(dataplane);

        let health = Arc::new(Health::default());
        let (wanted, programs) = watch::channel(Wanted::default());
        let programmer = Programmer {
            state: mirror.net().clone(),
            dataplane: dataplane.clone(),
            node_net: node_net.clone(),
            context: NodeContext {
                node_name: config.node_name.clone(),
                node_ip,
                pod_cidr: ranges.pod_cidr.into(),
                dns_ip: ranges.dns_ip,
                dns_listen: SocketAddr::from((DNS_ADDRESS, dns::server::DNS_PORT)),
            },
            health: health.clone(),
            outbox: outbox.clone(),
        };
        tokio::spawn(programmer.run(programs).instrument(info_span!("programming")));

        let identity = NodeIdentity {
            node_name: config.node_name.clone(),
            node_ip,
            labels: config.labels.clone(),
            pod_addresses: pod_addresses(&ranges),
        };
        let report = node_status::report(
            identity,
            config.data_dir.clone(),
            health,
            outbox.clone(),
            base.shutdown.clone(),
        );
        tokio::spawn(report);

        let pod_net = PodNet::open(
            PodNetConfig {
                node: node_net,
                ports: Arc::new(DataplanePorts(dataplane.clone())),
                resolver: PodResolver {
                    dns_ip: ranges.dns_ip,
                    cluster_domain: ranges.cluster_domain.clone(),
                },
                resolv_conf: PathBuf::from(HOST_RESOLV_CONF),
                services: mirror.net().clone(),
            },
            base.paths,
        )
        .map_err(AgentError::PodNet)?;
        let pods_config = PodsConfig {
            data_dir: config.data_dir.clone(),
            node_name: config.node_name.clone(),
            node_ip,
            cgroup_root: config.cgroup_root.clone(),
            cluster_domain: ranges.cluster_domain.clone(),
            // Also when the file has been replaced by a newer version meanwhile.
            shim_program: PathBuf::from("/proc/self/exe"),
        };
        let (said, mut to_say) = mpsc::channel::<FromAgent>(POD_MESSAGES_WAITING_MAX);
        let pods = pods::start(pods_config, Arc::new(pod_net.clone()), said)?;
        let posting = outbox.clone();
        tokio::spawn(async move {
            while let Some(message) = to_say.recv().await {
                posting.post(message);
            }
        });

        let node = Node {
            ranges,
            mirror,
            foundation,
            pod_net,
            requests: Requests::new(dataplane, pods.clone()),
            pods,
            wanted,
            outbox,
            swept: false,
        };
        if node.mirror.is_complete() {
            info!(revision = node.mirror.revision(), "working from what was known");
            node.everything_changed().await;
        }
        Ok(node)
    }

    /// Does what the control plane says for as long as the stream's events come.
    async fn follow(mut self, mut events: mpsc::Receiver<StreamEvent>) -> Result<(), AgentError> {
        loop {
            let event = tokio::select! {
                event = events.recv() => event.ok_or(AgentError::Panicked)?,
                // It has said why. Whoever keeps the agent alive starts it again, and it its DNS server.
                _ = &mut self.foundation.dns => return Err(AgentError::DnsEnded),
            };
            match event {
                StreamEvent::Connected(welcome) => {
                    let ranges = Ranges::try_from(&welcome)?;
                    let is_same = ranges == self.ranges;
                    self.mirror.begin(welcome);
                    if !is_same {
                        return Err(AgentError::RangesChanged);
                    }
                }
                StreamEvent::Batch(batch) => self.take(&batch).await,
                StreamEvent::StopAllowed(uid) => self.tell_pods(PodInput::StopAllowed { uid }).await,
                StreamEvent::Token(token) => self.tell_pods(PodInput::Token(token)).await,
                StreamEvent::Request(request) => {
                    if let Some(up) = self.outbox.answers() {
                        self.requests.begin(request, up);
                    }
                }
                StreamEvent::RequestData(data) => self.requests.data(data),
                StreamEvent::ReplyCredit(credit) => self.requests.credit(credit),
                StreamEvent::CancelRequest(id) => self.requests.cancel(id),
                StreamEvent::Disconnected => self.requests.cancel_all(),
            }
        }
    }

    async fn take(&mut self, batch: &Batch) {
        match self.mirror.apply(batch) {
            Taken::Staged => {}
            Taken::Snapshot => {
                let index = dns::Index::from_state(self.foundation.zone.clone(), &self.mirror.net().read());
                self.foundation.records.replace(index);
                let known: BTreeSet<String> = self.mirror.pod_uids().into_iter().collect();
                self.outbox.retain_pods(&known);
                self.everything_changed().await;
                if !std::mem::replace(&mut self.swept, true) {
                    self.sweep();
                }
            }
            Taken::Delta { net } => {
                if net {
                    self.foundation.records.apply(&batch.changes);
                }
                self.want(net);
                for change in &batch.changes {
                    if let Some(change::Kind::PodRemoved(gone)) = &change.kind {
                        self.outbox.forget_pod(&gone.uid);
                    }
                    if let Some(input) = state::pod_input(change) {
                        self.tell_pods(input).await;
                    }
                }
            }
        }
    }

    /// After a snapshot, this connection's or one of an earlier run.
    async fn everything_changed(&self) {
        self.want(true);
        for input in self.mirror.pod_snapshot() {
            self.tell_pods(input).await;
        }
    }

    fn want(&self, net: bool) {
        let revision = self.mirror.revision();
        self.wanted.send_modify(|wanted| {
            wanted.revision = revision;
            wanted.version += u64::from(net);
        });
    }

    async fn tell_pods(&self, input: PodInput) {
        if self.pods.send(input).await.is_err() {
            error!("the pod workers have ended");
        }
    }

    /// Leftovers of pods are the pod workers' to detach; links that not even they can know of are not.
    fn sweep(&self) {
        let pod_net = self.pod_net.clone();
        tokio::spawn(async move {
            if let Err(err) = pod_net.remove_stray_links().await {
                warn!(error = &err as &dyn std::error::Error, "links that no pod has may stay");
            }
        });
    }
}

fn dataplane_config(config: &AgentConfig, ranges: &Ranges, node_net: &NodeNet) -> Result<DataplaneConfig, AgentError> {
    let mounted = hierarchies::mounted().map_err(AgentError::Hierarchies)?;
    Ok(DataplaneConfig {
        bpffs: config.bpffs.clone(),
        socket_cgroup: socket_cgroup(config, &mounted)?,
        uplink_ifindex: node_net.uplink().link.index,
        overlay_ifindex: node_net.overlay_index(),
        overlay_mac: OVERLAY_MAC,
        vxlan_port: OVERLAY_PORT,
        node_ip: IpAddr::V4(node_net.uplink().ip),
        pod_cidr: ranges.pod_cidr.into(),
        cluster_cidr: ranges.cluster_cidr,
        service_cidr: ranges.service_cidr,
        dns_listen: SocketAddr::from((DNS_ADDRESS, dns::server::DNS_PORT)),
        node_port_range: ranges.node_ports.clone(),
    })
}

/// The directory that was given, else the node's own in the v2 hierarchy.
fn socket_cgroup(config: &AgentConfig, hierarchies: &[Hierarchy]) -> Result<PathBuf, AgentError> {
    if let Some(given) = &config.socket_cgroup {
        return Ok(given.clone());
    }
    let root: &Path = hierarchies::v2(hierarchies).ok_or(AgentError::NoCgroupV2)?;
    Ok(root.join(&config.cgroup_root))
}

/// Addresses of the range that pods can have: not the network's own and not the broadcast address.
fn pod_addresses(ranges: &Ranges) -> u32 {
    let all = 1_u64 << (32 - u32::from(ranges.pod_cidr.prefix_len()));
    u32::try_from(all.saturating_sub(2)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
