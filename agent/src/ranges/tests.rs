use super::*;

fn welcome() -> Welcome {
    Welcome {
        pod_cidr: "10.42.3.0/24".to_owned(),
        cluster_cidr: "10.42.0.0/16".to_owned(),
        service_cidr: "10.43.0.0/16".to_owned(),
        dns_ip: vec![10, 43, 0, 10],
        cluster_domain: "cluster.local".to_owned(),
        node_port_min: 30_000,
        node_port_max: 32_767,
        heartbeat_interval_ms: 10_000,
    }
}

#[test]
fn a_sane_welcome_is_understood() {
    let ranges = Ranges::try_from(&welcome()).unwrap();
    assert_eq!(ranges.pod_cidr, "10.42.3.0/24".parse().unwrap());
    assert_eq!(ranges.node_ports, 30_000..=32_767);
}

#[test]
fn a_welcome_that_makes_no_sense_is_refused() {
    let range = |field| {
        move |value: &str| BadWelcome::Range {
            field,
            value: value.to_owned(),
        }
    };
    let rows: Vec<(Welcome, BadWelcome)> = vec![
        (
            Welcome {
                pod_cidr: String::new(),
                ..welcome()
            },
            range("pod_cidr")(""),
        ),
        (
            Welcome {
                cluster_cidr: "fd00::/48".to_owned(),
                ..welcome()
            },
            range("cluster_cidr")("fd00::/48"),
        ),
        (
            Welcome {
                dns_ip: vec![1, 2, 3],
                ..welcome()
            },
            BadWelcome::DnsIp(AddressLength(3)),
        ),
        (
            Welcome {
                node_port_max: 70_000,
                ..welcome()
            },
            BadWelcome::NodePorts {
                min: 30_000,
                max: 70_000,
            },
        ),
        (
            Welcome {
                node_port_max: 1,
                ..welcome()
            },
            BadWelcome::NodePorts { min: 30_000, max: 1 },
        ),
        (
            Welcome {
                cluster_domain: "a..b".to_owned(),
                ..welcome()
            },
            BadWelcome::Domain("a..b".to_owned()),
        ),
    ];
    for (welcome, expected) in rows {
        assert_eq!(Ranges::try_from(&welcome), Err(expected));
    }
}
