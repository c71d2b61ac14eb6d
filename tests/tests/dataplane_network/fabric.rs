//! Two nodes with two pods each, and a client outside, as network namespaces on one bridge.
//!
//! ```text
//!   underlay 192.168.99.0/24: bridge in `u` (the outside, .100) ─┬─ eth0 of `n1` (.1) ─ veths ─ p11 p12 (10.42.1.0/24)
//!                                                                └─ eth0 of `n2` (.2) ─ veths ─ p21 p22 (10.42.2.0/24)
//! ```
//! Everything carries the process id and a number, and is removed when the value is dropped.

use std::{
    fs,
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use agent::dataplane::{Dataplane, DataplaneConfig, Image, NodeContext, PodPort, desired};
use api::net_state::NetState;
use nix::sched::{CloneFlags, setns};

use crate::worker::Worker;

pub(crate) const OVERLAY_MAC: [u8; 6] = [0x02, 0x53, 0x4b, 0x45, 0x50, 0x02];
const HOST_MAC: [u8; 6] = [0x02, 0x53, 0x4b, 0x45, 0x50, 0x01];
pub(crate) const OUTSIDE: &str = "192.168.99.100";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Runs `ip` with the words of `line`.
pub(crate) fn ip(line: &str) {
    let words: Vec<_> = line.split_whitespace().collect();
    let output = Command::new("ip")
        .args(&words)
        .output()
        .expect("iproute2 is needed for this test");
    assert!(
        output.status.success(),
        "ip {line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The mount point of the unified cgroup hierarchy.
fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .expect("no cgroup v2 is mounted");
    PathBuf::from(line.split(' ').nth(1).unwrap())
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Runs `work` on a thread inside a network namespace.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let path = Path::new("/run/netns").join(namespace);
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let file = fs::File::open(&path).unwrap();
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET).expect("enter a network namespace: root is needed");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn sysctl(namespace: &str, key: &str, value: &str) {
    inside(namespace, || {
        fs::write(Path::new("/proc/sys").join(key), value).unwrap()
    });
}

fn ifindex(namespace: &str, name: &str) -> u32 {
    inside(namespace, || nix::net::if_::if_nametoindex(name).unwrap())
}

pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) ip: String,
    port: PodPort,
}

pub(crate) struct Node {
    pub(crate) namespace: String,
    pub(crate) pods: Vec<Pod>,
    pub(crate) dataplane: Option<Dataplane>,
    pub(crate) config: DataplaneConfig,
    name: String,
}

impl Node {
    pub(crate) fn dataplane(&self) -> &Dataplane {
        self.dataplane.as_ref().unwrap()
    }

    fn context(&self) -> NodeContext {
        NodeContext {
            node_name: self.name.clone(),
            node_ip: self.config.node_ip,
            pod_cidr: self.config.pod_cidr,
            dns_ip: "10.43.0.10".parse().unwrap(),
            dns_listen: self.config.dns_listen,
        }
    }

    pub(crate) fn image(&self, state: &NetState) -> Image {
        desired::image(state, &self.context())
    }

    /// As an agent does when it starts: open, pods, image.
    pub(crate) fn start(&mut self, state: &NetState) {
        let config = self.config.clone();
        let ports: Vec<_> = self.pods.iter().map(|pod| pod.port.clone()).collect();
        let dataplane = inside(&self.namespace, move || {
            let dataplane = Dataplane::open(config).unwrap_or_else(|error| panic!("{}", chain(&error)));
            for port in &ports {
                dataplane
                    .attach_pod(port)
                    .unwrap_or_else(|error| panic!("{}", chain(&error)));
            }
            dataplane
        });
        dataplane
            .apply(&self.image(state))
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        self.dataplane = Some(dataplane);
    }

    pub(crate) fn stop(&mut self) {
        self.dataplane = None;
    }

    /// Packets counted under a hook and reason.
    pub(crate) fn drops(&self, hook: &str, reason: &str) -> u64 {
        let rows = self.dataplane().drops_json().unwrap();
        let rows = rows.as_array().unwrap();
        let row = rows.iter().find(|row| row["hook"] == hook && row["reason"] == reason);
        row.map_or(0, |row| row["packets"].as_u64().unwrap())
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

pub(crate) struct Fabric {
    pub(crate) outside: String,
    pub(crate) nodes: Vec<Node>,
    cgroup: PathBuf,
    directory: PathBuf,
}

impl Fabric {
    /// Namespaces, links, addresses and routes. No dataplane yet.
    pub(crate) fn new() -> Self {
        let id = format!("dplane{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let outside = format!("{id}u");
        let mut fabric = Self {
            outside: outside.clone(),
            nodes: Vec::new(),
            cgroup: cgroup_root().join(&id),
            directory: PathBuf::from(format!("/run/{id}")),
        };
        ip(&format!("netns add {outside}"));
        ip(&format!("-n {outside} link add br0 type bridge"));
        ip(&format!("-n {outside} addr add {OUTSIDE}/24 dev br0"));
        ip(&format!("-n {outside} link set lo up"));
        ip(&format!("-n {outside} link set br0 up"));
        for number in 1..=2 {
            let node = fabric.add_node(&id, number);
            fabric.nodes.push(node);
        }
        fabric
    }

    fn add_node(&self, id: &str, number: u8) -> Node {
        let (ns, outside) = (format!("{id}n{number}"), &self.outside);
        let node_ip = format!("192.168.99.{number}");
        ip(&format!("netns add {ns}"));
        sysctl(&ns, "net/ipv4/ip_forward", "1");
        for name in ["all", "default"] {
            sysctl(&ns, &format!("net/ipv4/conf/{name}/rp_filter"), "0");
        }
        ip(&format!("-n {ns} link set lo up"));
        ip(&format!(
            "-n {ns} link add eth0 type veth peer name up{number} netns {outside}"
        ));
        ip(&format!("-n {outside} link set up{number} master br0 up"));
        ip(&format!("-n {ns} addr add {node_ip}/24 dev eth0"));
        ip(&format!("-n {ns} link set eth0 up"));
        ip(&format!("-n {ns} route add default via {OUTSIDE}"));
        ip(&format!("-n {ns} addr add 169.254.20.10/32 dev lo scope link"));
        let mac = mac_text(OVERLAY_MAC);
        ip(&format!(
            "-n {ns} link add vx address {mac} mtu 1450 type vxlan external dstport 8472"
        ));
        ip(&format!("-n {ns} link set vx arp off up"));
        let other = 3 - number;
        ip(&format!("-n {ns} route add 10.42.{other}.0/24 dev vx src {node_ip}"));
        let pods = (1..=2).map(|pod| add_pod(id, &ns, number, pod)).collect();
        let config = DataplaneConfig {
            bpffs: self.directory.join(format!("n{number}")),
            socket_cgroup: self.cgroup.join(format!("n{number}")),
            uplink_ifindex: ifindex(&ns, "eth0"),
            overlay_ifindex: ifindex(&ns, "vx"),
            overlay_mac: OVERLAY_MAC,
            vxlan_port: 8472,
            node_ip: node_ip.parse().unwrap(),
            pod_cidr: format!("10.42.{number}.0/24").parse().unwrap(),
            cluster_cidr: "10.42.0.0/16".parse().unwrap(),
            service_cidr: "10.43.0.0/16".parse().unwrap(),
            dns_listen: "169.254.20.10:53".parse().unwrap(),
            node_port_range: 30000..=32767,
        };
        Node {
            namespace: ns,
            pods,
            dataplane: None,
            config,
            name: format!("n{number}"),
        }
    }

    /// A process in a namespace. With `socket_hook` it is in the node's cgroup; without, only its packets are seen.
    pub(crate) fn worker(&self, namespace: &str, node: usize, socket_hook: bool) -> Worker {
        let cgroup = socket_hook.then(|| self.nodes[node].config.socket_cgroup.join("workers"));
        if let Some(cgroup) = &cgroup {
            fs::create_dir_all(cgroup).unwrap();
        }
        Worker::start(namespace, cgroup.as_deref())
    }
}

fn add_pod(id: &str, ns: &str, node: u8, pod: u8) -> Pod {
    let namespace = format!("{id}p{node}{pod}");
    let (address, host) = (format!("10.42.{node}.{}", pod + 1), format!("pod{pod}"));
    let mac = [0x0a, 0x58, 10, 42, node, pod + 1];
    ip(&format!("netns add {namespace}"));
    ip(&format!("-n {namespace} link set lo up"));
    let (host_mac, pod_mac) = (mac_text(HOST_MAC), mac_text(mac));
    ip(&format!(
        "-n {ns} link add {host} mtu 1450 address {host_mac} type veth peer name eth0 netns {namespace}"
    ));
    ip(&format!("-n {namespace} link set eth0 address {pod_mac} mtu 1450 up"));
    ip(&format!("-n {ns} link set {host} up"));
    ip(&format!("-n {namespace} addr add {address}/32 dev eth0"));
    ip(&format!(
        "-n {namespace} neigh add 169.254.1.1 lladdr {host_mac} dev eth0 nud permanent"
    ));
    ip(&format!("-n {namespace} route add 169.254.1.1 dev eth0"));
    ip(&format!("-n {namespace} route add default via 169.254.1.1 dev eth0"));
    ip(&format!("-n {ns} route add {address}/32 dev {host}"));
    ip(&format!(
        "-n {ns} neigh add {address} lladdr {pod_mac} dev {host} nud permanent"
    ));
    let port = PodPort {
        uid: format!("00000000-0000-4000-8000-0000000000{node}{pod}"),
        host_ifindex: ifindex(ns, &host),
        ip: address.parse().unwrap(),
        mac,
    };
    Pod {
        namespace,
        ip: address,
        port,
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        // As much as possible goes, whatever state a failed test left.
        let mut left = Vec::new();
        for node in &mut self.nodes {
            node.dataplane = None;
            if let Err(error) = Dataplane::remove(&node.config.bpffs) {
                left.push(chain(&error));
            }
            let _ = fs::remove_dir(node.config.socket_cgroup.join("workers"));
            let _ = fs::remove_dir(&node.config.socket_cgroup);
            let _ = fs::remove_dir(&node.config.bpffs);
        }
        // By prefix: also those of a node that was never finished.
        let prefix = self.outside.trim_end_matches('u');
        for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(['u', 'n', 'p']))
            {
                let _ = Command::new("ip").args(["netns", "del", &name]).output();
            }
        }
        let _ = fs::remove_dir(&self.cgroup);
        let _ = fs::remove_dir(&self.directory);
        for path in [&self.cgroup, &self.directory] {
            if path.exists() {
                left.push(format!("{} is left", path.display()));
            }
        }
        if !left.is_empty() && !thread::panicking() {
            panic!("{}", left.join(", "));
        }
    }
}
