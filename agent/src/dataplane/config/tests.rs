//! Tests of what the programs are told.

use dataplane::addr::MAPPED_BITS;

use super::*;

fn config(cluster: &str, services: &str) -> DataplaneConfig {
    DataplaneConfig {
        bpffs: PathBuf::new(),
        socket_cgroup: PathBuf::new(),
        uplink_ifindex: 2,
        overlay_ifindex: 3,
        overlay_mac: [2, 0, 0, 0, 0, 1],
        vxlan_port: 8472,
        node_ip: "192.168.0.1".parse().unwrap(),
        pod_cidr: "10.42.1.0/24".parse().unwrap(),
        cluster_cidr: cluster.parse().unwrap(),
        service_cidr: services.parse().unwrap(),
        dns_listen: "169.254.20.10:53".parse().unwrap(),
        node_port_range: 30_000..=32_767,
    }
}

#[test]
fn ranges_hold_their_own_addresses_and_no_others() {
    // Of the cluster and of services; an address in each; one in neither.
    let table = [
        (
            "10.42.0.0/16",
            "10.43.0.0/16",
            "10.42.255.255",
            "10.43.0.1",
            "10.44.0.0",
        ),
        // Host bits are of no meaning.
        (
            "10.42.7.9/16",
            "10.43.0.1/20",
            "10.42.0.0",
            "10.43.15.255",
            "10.43.16.0",
        ),
        (
            "fd00:1::/48",
            "fd00:2::/112",
            "fd00:1::9",
            "fd00:2::ffff",
            "fd00:2::1:0",
        ),
    ];
    for (cluster, services, pod, service, other) in table {
        let told = program_config(&config(cluster, services));
        let contains = |range: &Prefix, ip: &str| range.contains(&Addr::from(ip.parse::<IpAddr>().unwrap()));
        let found = [pod, service, other].map(|ip| (contains(&told.cluster, ip), contains(&told.services, ip)));
        assert_eq!(
            found,
            [(true, false), (false, true), (false, false)],
            "{cluster} {services}"
        );
    }
}

#[test]
fn ports_that_flows_take_are_nobody_elses() {
    let told = program_config(&config("10.42.0.0/16", "10.43.0.0/16"));
    // Linux' own range of source ports ends here.
    let ephemeral_last = 60_999;
    let (nodes, flows) = (told.node_ports, told.masquerade_ports);
    assert!(
        nodes.last < flows.first && ephemeral_last < flows.first,
        "{nodes:?} {flows:?}"
    );
    assert!(nodes.contains(PortBe::new(30_000)) && nodes.contains(PortBe::new(32_767)));
    assert!(!nodes.contains(PortBe::new(32_768)));
    assert_eq!(
        told.cluster,
        Prefix::new(Addr::from_v4([10, 42, 0, 0]), MAPPED_BITS + 16)
    );
}
