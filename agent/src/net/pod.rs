//! One pod's network: namespace, veth pair, addresses, routes, port.
//!
//! The order fails closed: the pod's end is complete, then the dataplane has the port, then the host's end comes up.
//! Names follow from the uid, so that a restarted agent finds everything. Never here: which pods there are.

use std::{
    collections::{BTreeSet, HashSet},
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use ipnet::Ipv4Net;
use parking_lot::Mutex;
use rtnetlink::packet_route::{address::AddressScope, link::InfoKind};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{
    AttachError, DetachError, NodeNet, PodAttachment, PodNetRequest, PodNetwork, PodResolver, Port, Ports,
    ipam::{self, Ledger},
    link::{self, Link, LinkError, Netlink, Veth, Via},
    netns::{self, NetnsError},
    resolver,
};
use crate::{config::Paths, durable};

/// Start of the names of the host's ends of pods' veth pairs; eight hexadecimal digits follow.
const POD_LINK_PREFIX: &str = "skep";
/// Name of a pod's only link besides lo.
const POD_IF: &str = "eth0";
/// A pod's gateway: an address that nothing owns; the pod is told its MAC. Link-local, so that it never collides.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// MAC of the host's end of every veth pair: locally administered.
const HOST_MAC: [u8; 6] = [0x02, 0x53, 0x4b, 0x45, 0x50, 0x01];
/// First bytes of a pod's MAC; its IPv4 address follows. Locally administered.
const POD_MAC_PREFIX: [u8; 2] = [0x0a, 0x58];
/// A uid is a UUID; anything longer or stranger is not a file name of ours.
const UID_LENGTH_MAX: usize = 64;
/// Pods whose networks can change at once. Two changes of one pod never run together; the kernel does one at a time
/// anyway.
const LOCKS: usize = 16;

/// Leftovers could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The directory of namespaces cannot be read.
    #[error("read {path}")]
    ReadDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The links cannot be read or removed.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// Pods' networks of one node. Cheap to clone.
#[derive(Clone)]
pub struct PodNet {
    inner: Arc<Inner>,
}

struct Inner {
    node: Arc<NodeNet>,
    ports: Arc<dyn Ports>,
    resolver: PodResolver,
    resolv_conf: PathBuf,
    netns_dir: PathBuf,
    ledger: Mutex<Ledger>,
    /// uids that an earlier run of the agent left and that were not attached since.
    unclaimed: Mutex<HashSet<String>>,
    locks: [tokio::sync::Mutex<()>; LOCKS],
}

impl PodNet {
    /// Pods' networks on this node; `host_resolv_conf` is where the host's search domains come from.
    ///
    /// # Errors
    /// When the address assignments or the namespaces cannot be read.
    pub fn open(
        node: Arc<NodeNet>,
        ports: Arc<dyn Ports>,
        resolver: PodResolver,
        host_resolv_conf: &Path,
        paths: &Paths,
    ) -> Result<PodNet, io::Error> {
        let netns_dir = paths.netns();
        durable::make_private_dir(&netns_dir)?;
        let ledger = Ledger::open(&paths.net().join("ipam.json"), node.pod_cidr())?;
        let mut unclaimed: HashSet<String> = ledger.assignments().iter().map(|(uid, _)| uid.to_owned()).collect();
        for entry in std::fs::read_dir(&netns_dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                unclaimed.insert(name);
            }
        }
        Ok(PodNet {
            inner: Arc::new(Inner {
                node,
                ports,
                resolver,
                resolv_conf: host_resolv_conf.to_owned(),
                netns_dir,
                ledger: Mutex::new(ledger),
                unclaimed: Mutex::new(unclaimed),
                locks: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            }),
        })
    }

    /// Addresses that pods hold.
    #[must_use]
    pub fn assigned(&self) -> Vec<(String, IpAddr)> {
        let ledger = self.inner.ledger.lock();
        ledger
            .assignments()
            .iter()
            .map(|(uid, ip)| (uid.to_owned(), ip))
            .collect()
    }

    /// Removes what an earlier run of the agent left for pods that `keep` does not name and that nobody has attached
    /// since. Call it once every pod that still exists is known, never before. The uids whose leftovers went.
    ///
    /// # Errors
    /// When the kernel's links cannot be read; single leftovers that stay are logged and stay for the next start.
    pub async fn sweep(&self, keep: &HashSet<String>) -> Result<Vec<String>, SweepError> {
        let leftovers: BTreeSet<String> = {
            let unclaimed = self.inner.unclaimed.lock();
            unclaimed.iter().filter(|uid| !keep.contains(*uid)).cloned().collect()
        };
        let mut removed = Vec::new();
        for uid in leftovers {
            match self.detach(&uid).await {
                Ok(()) => {
                    info!(pod.uid = uid, "removed the network of a pod that is gone");
                    removed.push(uid);
                }
                Err(err) => warn!(
                    error = &err as &dyn std::error::Error,
                    pod.uid = uid,
                    "network of a pod that is gone stays"
                ),
            }
        }
        // Links whose pod left neither an address nor a namespace.
        let known: HashSet<String> = self
            .assigned()
            .iter()
            .map(|(uid, _)| uid)
            .chain(keep)
            .map(|uid| link_name(uid))
            .collect();
        let netlink = self.inner.node.netlink();
        for link in netlink.links().await? {
            if is_pod_link(&link) && !known.contains(&link.name) {
                // A pod attached in between has its address written down before its link is made.
                let taken = self.assigned().iter().any(|(uid, _)| link_name(uid) == link.name);
                if !taken && netlink.remove(&link.name).await? {
                    info!(link = link.name, "removed a link that no pod has");
                }
            }
        }
        Ok(removed)
    }

    fn netns_path(&self, uid: &str) -> PathBuf {
        self.inner.netns_dir.join(uid)
    }

    fn lock_of(&self, uid: &str) -> &tokio::sync::Mutex<()> {
        &self.inner.locks[usize::from(Sha256::digest(uid)[31]) % LOCKS]
    }

    async fn connect(&self, uid: &str, ip: Ipv4Addr, netns: &Path) -> Result<Link, ConnectError> {
        let netlink = self.inner.node.netlink();
        let mtu = self.inner.node.pod_mtu();
        let name = link_name(uid);
        let made = {
            let path = netns.to_owned();
            blocking(move || netns::ensure(&path)).await??
        };
        // A far end that is missing cannot be made again while the near end is there.
        if made || !far_end_exists(netns).await? {
            netlink.remove(&name).await?;
        }
        let namespace = std::fs::File::open(netns).map_err(|source| NetnsError::Open {
            path: netns.to_owned(),
            source,
        })?;
        let link = netlink
            .ensure_veth(&Veth {
                name: &name,
                mac: HOST_MAC,
                far_name: POD_IF,
                far_mac: pod_mac(ip),
                far_namespace: namespace.as_raw_fd(),
                mtu,
            })
            .await?;
        link::set(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
        link::set_if_there(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        configure_inside(netns, ip, mtu).await?;
        Ok(link)
    }

    /// Lets traffic through the host's end, which the dataplane already guards.
    async fn open_host_end(&self, link: &Link, ip: Ipv4Addr) -> Result<(), LinkError> {
        let node = &self.inner.node;
        let netlink = node.netlink();
        netlink.ensure_mtu(link, node.pod_mtu()).await?;
        netlink.ensure_up(link).await?;
        netlink.ensure_neighbour(link, ip, pod_mac(ip)).await?;
        let via = Via::Link {
            index: link.index,
            source: Some(ipam::node_address(node.pod_cidr())),
        };
        netlink.ensure_route(Ipv4Net::from(ip), via).await
    }
}

enum ConnectError {
    Namespace(NetnsError),
    Link(LinkError),
}

impl From<NetnsError> for ConnectError {
    fn from(err: NetnsError) -> ConnectError {
        ConnectError::Namespace(err)
    }
}

impl From<LinkError> for ConnectError {
    fn from(err: LinkError) -> ConnectError {
        ConnectError::Link(err)
    }
}

#[async_trait]
impl PodNetwork for PodNet {
    async fn attach(&self, request: PodNetRequest) -> Result<PodAttachment, AttachError> {
        let uid = request.uid.clone();
        if !is_uid(&uid) {
            return Err(AttachError::BadUid(uid));
        }
        let _alone = self.lock_of(&uid).lock().await;
        self.inner.unclaimed.lock().remove(&uid);
        let assigned = self.inner.ledger.lock().assign(&uid);
        let ip = assigned
            .map_err(|source| AttachError::Record {
                uid: uid.clone(),
                source,
            })?
            .ok_or_else(|| AttachError::RangeFull {
                range: self.inner.node.pod_cidr().into(),
            })?;
        let netns = self.netns_path(&uid);
        let link = self.connect(&uid, ip, &netns).await.map_err(|err| match err {
            ConnectError::Namespace(source) => AttachError::Namespace {
                uid: uid.clone(),
                source,
            },
            ConnectError::Link(source) => AttachError::Connect {
                uid: uid.clone(),
                source,
            },
        })?;
        let port = Port {
            uid: uid.clone(),
            host_ifindex: link.index,
            ip: IpAddr::V4(ip),
            mac: pod_mac(ip),
        };
        self.inner
            .ports
            .program(port)
            .await
            .map_err(|source| AttachError::Program {
                uid: uid.clone(),
                source,
            })?;
        self.open_host_end(&link, ip)
            .await
            .map_err(|source| AttachError::Connect { uid, source })?;
        let host = dns::resolv_conf::read(&self.inner.resolv_conf).unwrap_or_default();
        Ok(PodAttachment {
            netns,
            ip: IpAddr::V4(ip),
            resolv_conf: self.inner.resolver.resolv_conf(&request.namespace, &host.search),
            hosts: resolver::hosts(&request, IpAddr::V4(ip)),
        })
    }

    async fn detach(&self, uid: &str) -> Result<(), DetachError> {
        if !is_uid(uid) {
            return Err(DetachError::BadUid(uid.to_owned()));
        }
        let _alone = self.lock_of(uid).lock().await;
        let ip = self.inner.ledger.lock().assignments().of(uid);
        if let Some(ip) = ip {
            self.inner
                .ports
                .withdraw(uid, IpAddr::V4(ip))
                .await
                .map_err(|source| DetachError::Program {
                    uid: uid.to_owned(),
                    source,
                })?;
        }
        self.inner
            .node
            .netlink()
            .remove(&link_name(uid))
            .await
            .map_err(|source| DetachError::Disconnect {
                uid: uid.to_owned(),
                source,
            })?;
        let netns = self.netns_path(uid);
        blocking(move || netns::release(&netns))
            .await
            .and_then(|released| released)
            .map_err(|source| DetachError::Namespace {
                uid: uid.to_owned(),
                source,
            })?;
        self.inner
            .ledger
            .lock()
            .release(uid)
            .map_err(|source| DetachError::Record {
                uid: uid.to_owned(),
                source,
            })?;
        self.inner.unclaimed.lock().remove(uid);
        Ok(())
    }
}

/// Name of the host's end of a pod's veth pair.
#[must_use]
pub(super) fn link_name(uid: &str) -> String {
    let digest = Sha256::digest(uid);
    format!(
        "{POD_LINK_PREFIX}{:02x}{:02x}{:02x}{:02x}",
        digest[0], digest[1], digest[2], digest[3]
    )
}

/// Whether a link is the host's end of a pod's veth pair, by its kind and the form of its name.
#[must_use]
pub(super) fn is_pod_link(link: &Link) -> bool {
    link.kind == Some(InfoKind::Veth)
        && link
            .name
            .strip_prefix(POD_LINK_PREFIX)
            .is_some_and(|rest| rest.len() == 8 && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// MAC of a pod's link.
#[must_use]
pub(super) fn pod_mac(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [POD_MAC_PREFIX[0], POD_MAC_PREFIX[1], a, b, c, d]
}

fn is_uid(uid: &str) -> bool {
    !uid.is_empty()
        && uid.len() <= UID_LENGTH_MAX
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

async fn far_end_exists(netns: &Path) -> Result<bool, ConnectError> {
    Ok(with_netlink_inside(netns, |netlink| {
        Box::pin(async move { Ok(netlink.link(POD_IF).await?.is_some()) })
    })
    .await?)
}

async fn configure_inside(netns: &Path, ip: Ipv4Addr, mtu: u32) -> Result<(), LinkError> {
    with_netlink_inside(netns, move |netlink| {
        Box::pin(async move {
            // As container runtimes do: no privilege is needed for ports below 1024 and for ping, since all of them
            // are the pod's own.
            link::set("net/ipv4/ip_unprivileged_port_start", "0")?;
            link::set("net/ipv4/ping_group_range", "0\t2147483647")?;
            // No router solicitations into a network that is IPv4 only; lo keeps IPv6.
            link::set_if_there(&format!("net/ipv6/conf/{POD_IF}/disable_ipv6"), "1")?;
            netlink.ensure_up(&netlink.existing("lo").await?).await?;
            let pod_if = netlink.existing(POD_IF).await?;
            netlink.ensure_mtu(&pod_if, mtu).await?;
            netlink.ensure_address(&pod_if, ip, AddressScope::Universe).await?;
            netlink.ensure_up(&pod_if).await?;
            netlink.ensure_neighbour(&pod_if, GATEWAY, HOST_MAC).await?;
            let index = pod_if.index;
            netlink
                .ensure_route(Ipv4Net::from(GATEWAY), Via::Link { index, source: None })
                .await?;
            netlink
                .ensure_route(
                    Ipv4Net::default(),
                    Via::Gateway {
                        index,
                        gateway: GATEWAY,
                        source: Some(ip),
                    },
                )
                .await
        })
    })
    .await
}

/// Runs `work` with a netlink socket inside the namespace bound to `netns`.
async fn with_netlink_inside<T: Send + 'static>(
    netns: &Path,
    work: impl for<'a> FnOnce(&'a Netlink) -> futures::future::LocalBoxFuture<'a, Result<T, LinkError>> + Send + 'static,
) -> Result<T, LinkError> {
    let netns = netns.to_owned();
    blocking(move || {
        netns::inside(&netns, move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .map_err(LinkError::Runtime)?;
            runtime.block_on(async move {
                let netlink = Netlink::open()?;
                work(&netlink).await
            })
        })
    })
    .await??
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NetnsError> {
    spawn_blocking(work).await.map_err(|_| NetnsError::Panicked)
}
