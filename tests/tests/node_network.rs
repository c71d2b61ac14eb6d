//! The node's links, routes and pod namespaces in the real kernel, without control plane and eBPF.
//!
//! Each test works in network namespaces of its own and removes them.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]
#![allow(missing_docs, reason = "a test program")]

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent::{
    AgentConfig,
    net::{
        Listing, NodeNet, PodNet, PodNetConfig, PodResolver, Port, PortError, Ports,
        link::{AddressScope, Netlink, Veth, Vxlan},
        netns, uplink,
    },
    pods::network::{DnsSettings, PodNetRequest, PodNetwork},
};
use parking_lot::Mutex;

const NODE_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Remembers what the dataplane was asked.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait::async_trait]
impl Ports for Recorder {
    async fn program(&self, port: Port) -> Result<(), PortError> {
        self.0.lock().push(format!("program {} {}", port.uid, port.ip));
        Ok(())
    }

    async fn withdraw(&self, uid: &str, ip: IpAddr) -> Result<(), PortError> {
        self.0.lock().push(format!("withdraw {uid} {ip}"));
        Ok(())
    }
}

/// Runs `work` in a namespace that has an uplink with [`NODE_IP`], MTU 1500, to another namespace, and removes both.
fn on_a_node<F: Future<Output = ()>>(work: impl FnOnce(PathBuf) -> F + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return tests::not_run("it makes network namespaces, which only root may");
    }
    let dir = tempfile::tempdir().unwrap();
    let namespace = dir.path().join("node");
    let peer = dir.path().join("peer");
    netns::ensure(&namespace).unwrap();
    netns::ensure(&peer).unwrap();
    let far = std::fs::File::open(&peer).unwrap();
    let data_dir = dir.path().join("data");
    let result = netns::inside(&namespace, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let netlink = Netlink::open().unwrap();
                netlink.ensure_up(&netlink.existing("lo").await.unwrap()).await.unwrap();
                let uplink = Veth {
                    name: "uplink0",
                    mac: [2, 0, 0, 0, 1, 1],
                    far_name: "peer0",
                    far_mac: [2, 0, 0, 0, 1, 2],
                    far_namespace: far.as_raw_fd(),
                    mtu: 1500,
                };
                let link = netlink.ensure_veth(&uplink).await.unwrap();
                netlink.ensure_up(&link).await.unwrap();
                let scope = AddressScope::Universe;
                netlink.ensure_address(&link, NODE_IP, scope).await.unwrap();
                work(data_dir).await;
            });
        }))
    });
    for entry in std::fs::read_dir(dir.path().join("data/netns"))
        .into_iter()
        .flatten()
        .flatten()
    {
        netns::release(&entry.path()).unwrap();
    }
    netns::release(&namespace).unwrap();
    netns::release(&peer).unwrap();
    if let Err(panic) = result.unwrap() {
        std::panic::resume_unwind(panic);
    }
}

fn config(data_dir: &Path) -> AgentConfig {
    AgentConfig {
        server: "https://192.0.2.254:6443".to_owned(),
        token: None,
        node_name: "node-net-test".to_owned(),
        data_dir: data_dir.to_owned(),
        node_ip: Some(NODE_IP.into()),
        cgroup_root: "skep/node-net-test".to_owned(),
        socket_cgroup: None,
        bpffs: data_dir.join("bpf"),
        labels: std::collections::BTreeMap::new(),
    }
}

/// What a starting agent does.
async fn start(data_dir: &Path) -> (Arc<NodeNet>, PodNet, Arc<Recorder>) {
    let paths = config(data_dir).paths();
    let netlink = Arc::new(Netlink::open().unwrap());
    let uplink = uplink::detect(&netlink, Some(NODE_IP.into())).await.unwrap();
    let range = "10.42.7.0/24".parse().unwrap();
    let node = Arc::new(NodeNet::set_up(netlink, uplink, range, &paths.net()).await.unwrap());
    let ports = Arc::new(Recorder::default());
    let pods = PodNet::open(
        PodNetConfig {
            node: node.clone(),
            ports: ports.clone(),
            resolver: PodResolver {
                dns_ip: "10.43.0.10".parse().unwrap(),
                cluster_domain: "cluster.local".to_owned(),
            },
            resolv_conf: data_dir.join("no-resolv.conf"),
            services: Arc::default(),
        },
        &paths,
    )
    .unwrap();
    (node, pods, ports)
}

fn request(uid: &str) -> PodNetRequest {
    PodNetRequest {
        uid: uid.to_owned(),
        namespace: "default".to_owned(),
        name: uid.to_owned(),
        hostname: uid.to_owned(),
        dns: DnsSettings::default(),
    }
}

/// Serves in one namespace (None: the node's) and connects from another; what the server saw as the client's address.
fn connect(server: Option<&Path>, address: IpAddr, client: Option<&Path>) -> std::io::Result<IpAddr> {
    fn within<T: Send + 'static>(path: Option<&Path>, work: impl FnOnce() -> T + Send + 'static) -> T {
        match path {
            Some(path) => netns::inside(path, work).unwrap(),
            None => work(),
        }
    }
    let listener = within(server, move || TcpListener::bind((address, 0)).unwrap());
    let target = SocketAddr::new(address, listener.local_addr()?.port());
    let mut client = within(client, move || {
        TcpStream::connect_timeout(&target, Duration::from_secs(3))
    })?;
    let (mut served, peer) = listener.accept()?;
    client.write_all(b"?")?;
    served.read_exact(&mut [0; 1])?;
    Ok(peer.ip())
}

#[test]
fn pods_reach_each_other_and_the_node_and_all_of_it_goes() {
    on_a_node(|data_dir| async move {
        let (node, pods, ports) = start(&data_dir).await;
        let before = names(node.netlink()).await;
        let a = pods.attach(&request("uid-a")).await.unwrap();
        let b = pods.attach(&request("uid-b")).await.unwrap();
        assert_eq!(a.ips, ["10.42.7.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(b.ips, ["10.42.7.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(a.resolv_conf.nameservers, ["10.43.0.10".parse::<IpAddr>().unwrap()]);
        assert_eq!(a.resolv_conf.search[0], "default.svc.cluster.local");
        assert_eq!(*ports.0.lock(), ["program uid-a 10.42.7.1", "program uid-b 10.42.7.2"]);

        // Both ways between pods, and with the node, whose address on the underlay is its source.
        assert_eq!(connect(Some(&b.netns), b.ips[0], Some(&a.netns)).unwrap(), a.ips[0]);
        assert_eq!(connect(Some(&a.netns), a.ips[0], Some(&b.netns)).unwrap(), b.ips[0]);
        assert_eq!(connect(Some(&a.netns), a.ips[0], None).unwrap(), IpAddr::V4(NODE_IP));
        assert_eq!(connect(None, NODE_IP.into(), Some(&a.netns)).unwrap(), a.ips[0]);
        // The DNS server's address is reached from pods.
        let dns: IpAddr = agent::net::DNS_ADDRESS.into();
        assert_eq!(connect(None, dns, Some(&a.netns)).unwrap(), a.ips[0]);
        // Nobody has this one: the client is told, not left to wait.
        let target: SocketAddr = "10.42.7.99:80".parse().unwrap();
        let refused = netns::inside(&a.netns, move || {
            TcpStream::connect_timeout(&target, Duration::from_secs(3))
        });
        assert_eq!(
            refused.unwrap().unwrap_err().kind(),
            std::io::ErrorKind::HostUnreachable
        );

        let mtu = netns::inside(&a.netns, || {
            std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()
        })
        .unwrap();
        assert!(mtu.contains("eth0"), "{mtu}");
        assert_eq!(node.pod_mtu(), 1450);

        pods.detach("uid-a").await.unwrap();
        pods.detach("uid-a").await.unwrap();
        pods.detach("uid-b").await.unwrap();
        pods.detach("never-there").await.unwrap();
        assert_eq!(names(node.netlink()).await, before);
        assert!(!a.netns.exists());
        assert!(pods.attached().await.is_empty());
    });
}

#[test]
fn a_restarted_agent_finds_its_pods_and_disturbs_nothing() {
    on_a_node(|data_dir| async move {
        let (node, pods, _) = start(&data_dir).await;
        let attached = pods.attach(&request("uid-a")).await.unwrap();
        let links = node.netlink().links().await.unwrap();
        drop((node, pods));

        let (node, pods, ports) = start(&data_dir).await;
        assert_eq!(pods.attached().await, ["uid-a"]);
        assert_eq!(pods.attach(&request("uid-a")).await.unwrap(), attached);
        assert_eq!(node.netlink().links().await.unwrap(), links);
        assert_eq!(*ports.0.lock(), ["program uid-a 10.42.7.1"]);
        assert!(connect(Some(&attached.netns), attached.ips[0], None).is_ok());

        // A new pod does not get an address that is taken.
        let other = pods.attach(&request("uid-b")).await.unwrap();
        assert_eq!(other.ips, ["10.42.7.2".parse::<IpAddr>().unwrap()]);
    });
}

#[test]
fn half_made_and_half_gone_networks_are_made_whole_or_removed() {
    on_a_node(|data_dir| async move {
        let (node, pods, _) = start(&data_dir).await;
        let attached = pods.attach(&request("uid-a")).await.unwrap();
        let pod_link = names(node.netlink())
            .await
            .into_iter()
            .find(|name| name.starts_with("skep") && !name.contains('-'))
            .unwrap();

        // The link is gone: a crash between its steps, or another hand.
        node.netlink().remove(&pod_link).await.unwrap();
        assert_eq!(pods.attach(&request("uid-a")).await.unwrap(), attached);
        assert!(connect(Some(&attached.netns), attached.ips[0], None).is_ok());

        // The namespace is gone: after a reboot, or by another hand. The near end is of no use any more.
        netns::release(&attached.netns).unwrap();
        assert_eq!(pods.attach(&request("uid-a")).await.unwrap(), attached);
        assert!(connect(Some(&attached.netns), attached.ips[0], None).is_ok());

        // A namespace without an address: leftovers that are listed, and can be detached.
        let leftover = data_dir.join("netns/uid-left");
        netns::ensure(&leftover).unwrap();
        assert_eq!(pods.attached().await, ["uid-a", "uid-left"]);
        pods.detach("uid-left").await.unwrap();
        assert!(!leftover.exists());

        // A link in the form of a pod's that nothing else is left of.
        let pod = std::fs::File::open(&attached.netns).unwrap();
        let stray = Veth {
            name: "skep0123abcd",
            mac: [2, 0, 0, 0, 0, 1],
            far_name: "stray0",
            far_mac: [2, 0, 0, 0, 0, 2],
            far_namespace: pod.as_raw_fd(),
            mtu: 1450,
        };
        node.netlink().ensure_veth(&stray).await.unwrap();
        assert_eq!(pods.remove_stray_links().await.unwrap(), ["skep0123abcd"]);
        assert!(names(node.netlink()).await.contains(&pod_link));
    });
}

#[test]
fn routes_follow_the_list_of_nodes_and_cleanup_takes_the_nodes_links() {
    on_a_node(|data_dir| async move {
        let (node, pods, _) = start(&data_dir).await;
        pods.attach(&request("uid-a")).await.unwrap();
        let ranges = |texts: &[&str]| -> BTreeSet<_> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let all = ranges(&["10.42.7.0/24", "10.42.8.0/24", "10.42.9.0/24"]);
        node.sync_routes(&all, Listing::Complete).await.unwrap();
        let routes = |node: Arc<NodeNet>| async move {
            let routes = node.netlink().our_routes(node.overlay_index()).await.unwrap();
            routes
                .into_iter()
                .map(|route| route.to_string())
                .collect::<BTreeSet<_>>()
        };
        let expect = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(routes(node.clone()).await, expect(&["10.42.8.0/24", "10.42.9.0/24"]));
        // Another run knows the routes of this one.
        let (node, ..) = start(&data_dir).await;
        let fewer = ranges(&["10.42.7.0/24", "10.42.9.0/24"]);
        node.sync_routes(&fewer, Listing::Partial).await.unwrap();
        assert_eq!(routes(node.clone()).await.len(), 2);
        node.sync_routes(&fewer, Listing::Complete).await.unwrap();
        assert_eq!(routes(node.clone()).await, expect(&["10.42.9.0/24"]));

        // An overlay of another make is replaced.
        let netlink = node.netlink().clone();
        netlink.remove(agent::net::OVERLAY_LINK).await.unwrap();
        let odd = Vxlan {
            name: agent::net::OVERLAY_LINK,
            port: agent::net::OVERLAY_PORT,
            mac: [2, 9, 9, 9, 9, 9],
            mtu: 1400,
        };
        netlink.ensure_vxlan(&odd).await.unwrap();
        let (node, ..) = start(&data_dir).await;
        let overlay = node.netlink().existing(agent::net::OVERLAY_LINK).await.unwrap();
        assert_eq!(overlay.mac, agent::net::OVERLAY_MAC);
        assert_eq!(overlay.mtu, 1450);

        // Cleaning up from another namespace leaves the links; from this one it takes them, and the mounts.
        drop((node, pods));
        let config = config(&data_dir);
        let elsewhere = data_dir.parent().unwrap().join("elsewhere");
        netns::ensure(&elsewhere).unwrap();
        let inside = config.clone();
        let removed = netns::inside(&elsewhere, move || agent::cleanup(&inside))
            .unwrap()
            .unwrap();
        netns::release(&elsewhere).unwrap();
        assert_eq!(removed.links, Vec::<String>::new());
        assert_eq!(removed.mounts.len(), 1);
        let removed = std::thread::spawn(move || agent::cleanup(&config))
            .join()
            .unwrap()
            .unwrap();
        // The pod's link went with its namespace, when its mount was undone; the kernel takes its time over it.
        assert!(
            removed.links.iter().any(|link| link == agent::net::OVERLAY_LINK),
            "{removed:?}"
        );
        assert_eq!(removed.addresses, [agent::net::DNS_ADDRESS]);
        let left = ["lo", "uplink0"].map(str::to_owned).into();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while names(&netlink).await != left {
            assert!(
                std::time::Instant::now() < deadline,
                "left: {:?}",
                names(&netlink).await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

async fn names(netlink: &Netlink) -> BTreeSet<String> {
    let links = netlink.links().await.unwrap();
    links.into_iter().map(|link| link.name).collect()
}
