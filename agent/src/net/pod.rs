//! One pod's network: namespace, veth pair, addresses, routes, port.
//!
//! The order fails closed: the pod's end is complete, then the dataplane has the port, then the host's end comes up.
//! Names follow from the uid, so that a restarted agent finds everything. Never here: which pods there are.

use std::{
    collections::{BTreeSet, HashSet},
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{net_state::NetState, node_stream::Service};
use async_trait::async_trait;
use ipnet::Ipv4Net;
use parking_lot::{Mutex, RwLock};
use rtnetlink::packet_route::link::InfoKind;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tracing::info;

use super::{
    NodeNet, PodResolver, Port, Ports,
    ipam::Ledger,
    link::{self, AddressScope, Link, LinkError, Netlink, Veth, Via},
    netns::{self, NetnsError},
};
use crate::{
    config::Paths,
    durable,
    pods::network::{AttachError, DetachError, DnsSettings, PodAttachment, PodNetRequest, PodNetwork, ResolvConf},
};

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

/// The uid cannot be a file name.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not the form of a uid")]
struct BadUid(String);

/// Every address is taken.
#[derive(Debug, thiserror::Error)]
#[error("every address of the node's pod range {0} is taken")]
struct RangeFull(Ipv4Net);

/// What pods' networks are made of and for.
pub struct PodNetConfig {
    /// The node's own links.
    pub node: Arc<NodeNet>,
    /// The dataplane.
    pub ports: Arc<dyn Ports>,
    /// How pods find names.
    pub resolver: PodResolver,
    /// The host's resolv.conf.
    pub resolv_conf: PathBuf,
    /// The cluster's services, for pods' environments.
    pub services: Arc<RwLock<NetState>>,
}

/// Pods' networks of one node. Cheap to clone.
#[derive(Clone)]
pub struct PodNet {
    inner: Arc<Inner>,
}

struct Inner {
    config: PodNetConfig,
    netns_dir: PathBuf,
    ledger: Mutex<Ledger>,
    locks: [tokio::sync::Mutex<()>; LOCKS],
}

impl PodNet {
    /// Opens the networks that are there, as an earlier run of the agent left them.
    ///
    /// # Errors
    /// When the address assignments or the directory of namespaces cannot be read.
    pub fn open(config: PodNetConfig, paths: &Paths) -> Result<PodNet, io::Error> {
        let netns_dir = paths.netns();
        durable::make_private_dir(&netns_dir)?;
        let ledger = Ledger::open(&paths.net().join("ipam.json"), config.node.pod_cidr())?;
        Ok(PodNet {
            inner: Arc::new(Inner {
                config,
                netns_dir,
                ledger: Mutex::new(ledger),
                locks: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            }),
        })
    }

    /// uids of all pods that have an address or a namespace.
    #[must_use]
    pub fn uids(&self) -> BTreeSet<String> {
        let mut uids: BTreeSet<String> = {
            let ledger = self.inner.ledger.lock();
            ledger.assignments().iter().map(|(uid, _)| uid.to_owned()).collect()
        };
        if let Ok(entries) = std::fs::read_dir(&self.inner.netns_dir) {
            uids.extend(
                entries
                    .flatten()
                    .filter_map(|entry| entry.file_name().into_string().ok()),
            );
        }
        uids
    }

    /// Removes links in the form of a pod's that belong to no pod with an address or a namespace: a crash between the
    /// steps of [`PodNetwork::detach`] cannot leave one, but another hand can. Their names.
    ///
    /// # Errors
    /// When the links cannot be read, or one stays.
    pub async fn remove_stray_links(&self) -> Result<Vec<String>, LinkError> {
        let netlink = self.netlink();
        let mut removed = Vec::new();
        for link in netlink.links().await? {
            if !is_pod_link(&link) {
                continue;
            }
            // Asked for each link anew: a pod's address is written down before its link is made.
            let known: HashSet<String> = self.uids().iter().map(|uid| link_name(uid)).collect();
            if !known.contains(&link.name) && netlink.remove(&link.name).await? {
                info!(link = link.name, "removed a link that no pod has");
                removed.push(link.name);
            }
        }
        Ok(removed)
    }

    fn netlink(&self) -> &Arc<Netlink> {
        self.inner.config.node.netlink()
    }

    fn host_resolv_conf(&self) -> dns::resolv_conf::ResolvConf {
        dns::resolv_conf::read(&self.inner.config.resolv_conf).unwrap_or_default()
    }

    fn netns_path(&self, uid: &str) -> PathBuf {
        self.inner.netns_dir.join(uid)
    }

    fn lock_of(&self, uid: &str) -> &tokio::sync::Mutex<()> {
        &self.inner.locks[usize::from(Sha256::digest(uid)[31]) % LOCKS]
    }

    async fn connect(&self, uid: &str, ip: Ipv4Addr, netns: &Path) -> Result<Link, LinkError> {
        let netlink = self.netlink();
        let mtu = self.inner.config.node.pod_mtu();
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
        let node = &self.inner.config.node;
        let netlink = node.netlink();
        netlink.ensure_mtu(link, node.pod_mtu()).await?;
        netlink.ensure_up(link).await?;
        netlink.ensure_neighbour(link, ip, pod_mac(ip)).await?;
        let via = Via::Link {
            index: link.index,
            source: Some(node.uplink().ip),
        };
        netlink.ensure_route(Ipv4Net::from(ip), via).await
    }
}

#[async_trait]
impl PodNetwork for PodNet {
    async fn attach(&self, pod: &PodNetRequest) -> Result<PodAttachment, AttachError> {
        let uid = pod.uid.as_str();
        let failed = |step: &str, source: Box<dyn Error + Send + Sync>| AttachError {
            uid: uid.to_owned(),
            step: step.to_owned(),
            source,
        };
        if !is_uid(uid) {
            return Err(failed("name its namespace", Box::new(BadUid(uid.to_owned()))));
        }
        let _alone = self.lock_of(uid).lock().await;
        let assigned = self.inner.ledger.lock().assign(uid);
        let ip = assigned
            .map_err(|err| failed("write down its address", Box::new(err)))?
            .ok_or_else(|| {
                let range = self.inner.config.node.pod_cidr();
                failed("assign an address", Box::new(RangeFull(range)))
            })?;
        let netns = self.netns_path(uid);
        let link = self
            .connect(uid, ip, &netns)
            .await
            .map_err(|err| failed("make its link", Box::new(err)))?;
        let port = Port {
            uid: uid.to_owned(),
            host_ifindex: link.index,
            ip: IpAddr::V4(ip),
            mac: pod_mac(ip),
        };
        self.inner
            .config
            .ports
            .program(port)
            .await
            .map_err(|err| failed("program the dataplane", Box::new(err)))?;
        self.open_host_end(&link, ip)
            .await
            .map_err(|err| failed("open its link", Box::new(err)))?;
        let resolver = &self.inner.config.resolver;
        Ok(PodAttachment {
            netns,
            ips: vec![IpAddr::V4(ip)],
            resolv_conf: resolver.resolv_conf(&pod.namespace, &pod.dns, &self.host_resolv_conf()),
            hosts: Vec::new(),
        })
    }

    async fn detach(&self, uid: &str) -> Result<(), DetachError> {
        let failed = |step: &str, source: Box<dyn Error + Send + Sync>| DetachError {
            uid: uid.to_owned(),
            step: step.to_owned(),
            source,
        };
        if !is_uid(uid) {
            return Err(failed("name its namespace", Box::new(BadUid(uid.to_owned()))));
        }
        let _alone = self.lock_of(uid).lock().await;
        let ip = self.inner.ledger.lock().assignments().of(uid);
        if let Some(ip) = ip {
            self.inner
                .config
                .ports
                .withdraw(uid, IpAddr::V4(ip))
                .await
                .map_err(|err| failed("withdraw it from the dataplane", Box::new(err)))?;
        }
        self.netlink()
            .remove(&link_name(uid))
            .await
            .map_err(|err| failed("remove its link", Box::new(err)))?;
        let netns = self.netns_path(uid);
        blocking(move || netns::release(&netns))
            .await
            .and_then(|released| released)
            .map_err(|err| failed("release its namespace", Box::new(err)))?;
        // Last, so that nobody gets the address while something of this pod may still use it.
        let released = self.inner.ledger.lock().release(uid);
        released.map_err(|err| failed("free its address", Box::new(err)))
    }

    async fn attached(&self) -> Vec<String> {
        self.uids().into_iter().collect()
    }

    async fn host_resolv_conf(&self, namespace: &str, dns: &DnsSettings) -> ResolvConf {
        let resolver = &self.inner.config.resolver;
        resolver.resolv_conf(namespace, dns, &PodNet::host_resolv_conf(self))
    }

    fn services(&self, namespace: &str) -> Vec<Service> {
        let state = self.inner.config.services.read();
        state
            .services
            .values()
            .filter(|service| service.namespace == namespace && !service.headless && !service.cluster_ips.is_empty())
            .cloned()
            .collect()
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

async fn far_end_exists(netns: &Path) -> Result<bool, LinkError> {
    with_netlink_inside(netns, |netlink| {
        Box::pin(async move { Ok(netlink.link(POD_IF).await?.is_some()) })
    })
    .await
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
