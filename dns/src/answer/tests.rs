use api::{
    net_state::NetState,
    node_stream::{Endpoint, Service, ServicePort, TargetPort, service},
};

use super::*;
use crate::index::Zone;

fn port(name: &str, protocol: Protocol, port: u32) -> ServicePort {
    ServicePort {
        name: name.to_owned(),
        protocol: protocol.into(),
        port,
        node_port: 0,
    }
}

fn endpoint(last: u8, hostname: &str, ready: bool, targets: &[(&str, Protocol, u32)]) -> Endpoint {
    Endpoint {
        ip: vec![10, 42, 0, last],
        hostname: hostname.to_owned(),
        ready,
        targets: targets
            .iter()
            .map(|(name, protocol, port)| TargetPort {
                name: (*name).to_owned(),
                protocol: (*protocol).into(),
                port: *port,
            })
            .collect(),
        ..Endpoint::default()
    }
}

fn state() -> NetState {
    let mut state = NetState::default();
    let mut add = |number: u32, service: Service, endpoints: Vec<Endpoint>| {
        state.services.insert(
            number,
            Service {
                r#ref: number,
                ..service
            },
        );
        let by_ip = endpoints.into_iter().map(|endpoint| (endpoint.ip.clone(), endpoint));
        state.endpoints.insert(number, by_ip.collect());
    };
    let service = |namespace: &str, name: &str| Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..Service::default()
    };
    add(
        1,
        Service {
            cluster_ips: vec![vec![10, 43, 0, 1]],
            ports: vec![port("https", Protocol::Tcp, 443)],
            ..service("default", "kubernetes")
        },
        vec![],
    );
    add(
        2,
        Service {
            cluster_ips: vec![vec![10, 43, 1, 7]],
            ports: vec![port("", Protocol::Tcp, 80)],
            ..service("shop", "web")
        },
        vec![endpoint(5, "", true, &[("", Protocol::Tcp, 8080)])],
    );
    add(
        3,
        Service {
            headless: true,
            ports: vec![port("sql", Protocol::Tcp, 5432), port("stats", Protocol::Udp, 9000)],
            ..service("shop", "db")
        },
        vec![
            endpoint(
                10,
                "db-0",
                true,
                &[("sql", Protocol::Tcp, 15432), ("stats", Protocol::Udp, 9000)],
            ),
            endpoint(11, "db-1", true, &[("sql", Protocol::Tcp, 15432)]),
            endpoint(12, "db-2", false, &[("sql", Protocol::Tcp, 15432)]),
            endpoint(13, "", true, &[("sql", Protocol::Tcp, 15432)]),
        ],
    );
    add(
        4,
        Service {
            headless: true,
            ..service("shop", "idle")
        },
        vec![endpoint(20, "idle-0", false, &[])],
    );
    add(
        5,
        Service {
            headless: true,
            publish_not_ready: true,
            ..service("shop", "early")
        },
        vec![endpoint(21, "early-0", false, &[])],
    );
    add(
        6,
        Service {
            r#type: service::Type::ExternalName.into(),
            external_name: "www.Example.com".to_owned(),
            ..service("shop", "outside")
        },
        vec![],
    );
    add(
        7,
        Service {
            cluster_ips: vec![vec![10, 43, 2, 2], [&[0xfd, 0][..], &[0; 13], &[7]].concat()],
            ports: vec![port("dns", Protocol::Udp, 53), port("dns-tcp", Protocol::Tcp, 53)],
            ..service("kube-system", "both")
        },
        vec![],
    );
    state
}

fn index() -> Index {
    let ranges = ["10.42.0.0/16", "10.43.0.0/16"]
        .map(|range| range.parse().unwrap())
        .to_vec();
    let zone = Zone::new("cluster.local", "10.43.0.10".parse().unwrap(), ranges).unwrap();
    Index::from_state(zone, &state())
}

fn data(record: &Record) -> String {
    format!("{} {}", record.record_type(), record.data)
}

/// One line per answer, short enough to be read in a table.
fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Records { answers, additionals } => {
            let mut text = answers.iter().map(data).collect::<Vec<_>>().join("; ");
            if !additionals.is_empty() {
                let more: Vec<String> = additionals
                    .iter()
                    .map(|record| format!("{} {}", record.name, data(record)))
                    .collect();
                text.push_str(&format!(" + {}", more.join("; ")));
            }
            text
        }
        Answer::Alias { alias, target } => format!("alias {target} by {}", data(alias)),
        Answer::NoData { soa } => format!("no data {}", soa.name),
        Answer::NoName { soa } => format!("no name {}", soa.name),
        Answer::LoopCheck(token) => format!("loop check {token}"),
        Answer::Elsewhere => "elsewhere".to_owned(),
    }
}

fn ask(index: &Index, name: &str, record_type: RecordType) -> String {
    shown(&answer(index, &Name::from_ascii(name).unwrap(), record_type, 0))
}

#[test]
fn the_records_of_the_specification() {
    use RecordType::{A, AAAA, ANY, CNAME, NS, PTR, SOA, SRV, TXT};
    let none = "no data cluster.local.";
    let unknown = "no name cluster.local.";
    let rows: &[(&str, RecordType, &str)] = &[
        // Services with an address.
        ("kubernetes.default.svc.cluster.local.", A, "A 10.43.0.1"),
        ("KUBERNETES.Default.SVC.cluster.LOCAL.", A, "A 10.43.0.1"),
        ("kubernetes.default.svc.cluster.local.", AAAA, none),
        ("kubernetes.default.svc.cluster.local.", TXT, none),
        ("kubernetes.default.svc.cluster.local.", ANY, "A 10.43.0.1"),
        ("both.kube-system.svc.cluster.local.", A, "A 10.43.2.2"),
        ("both.kube-system.svc.cluster.local.", AAAA, "AAAA fd00::7"),
        (
            "_https._tcp.kubernetes.default.svc.cluster.local.",
            SRV,
            "SRV 0 100 443 kubernetes.default.svc.cluster.local. + kubernetes.default.svc.cluster.local. A 10.43.0.1",
        ),
        ("_https._tcp.kubernetes.default.svc.cluster.local.", A, none),
        ("_tcp.kubernetes.default.svc.cluster.local.", A, none),
        ("_udp.kubernetes.default.svc.cluster.local.", A, unknown),
        ("_https._udp.kubernetes.default.svc.cluster.local.", SRV, unknown),
        ("_http._tcp.kubernetes.default.svc.cluster.local.", SRV, unknown),
        ("https._tcp.kubernetes.default.svc.cluster.local.", SRV, unknown),
        ("_x._https._tcp.kubernetes.default.svc.cluster.local.", SRV, unknown),
        (
            "_dns._udp.both.kube-system.svc.cluster.local.",
            SRV,
            "SRV 0 100 53 both.kube-system.svc.cluster.local. + both.kube-system.svc.cluster.local. A 10.43.2.2; \
             both.kube-system.svc.cluster.local. AAAA fd00::7",
        ),
        // An unnamed port has no record of its own, but is found by the service's name.
        ("_._tcp.web.shop.svc.cluster.local.", SRV, unknown),
        ("_tcp.web.shop.svc.cluster.local.", SRV, unknown),
        (
            "web.shop.svc.cluster.local.",
            SRV,
            "SRV 0 100 80 web.shop.svc.cluster.local. + web.shop.svc.cluster.local. A 10.43.1.7",
        ),
        // Headless services: ready endpoints.
        (
            "db.shop.svc.cluster.local.",
            A,
            "A 10.42.0.10; A 10.42.0.11; A 10.42.0.13",
        ),
        ("db.shop.svc.cluster.local.", AAAA, none),
        ("db-0.db.shop.svc.cluster.local.", A, "A 10.42.0.10"),
        ("DB-0.db.shop.svc.cluster.local.", A, "A 10.42.0.10"),
        ("db-2.db.shop.svc.cluster.local.", A, unknown),
        ("db-9.db.shop.svc.cluster.local.", A, unknown),
        ("10-42-0-13.db.shop.svc.cluster.local.", A, "A 10.42.0.13"),
        ("10-42-0-10.db.shop.svc.cluster.local.", A, unknown),
        (
            "_sql._tcp.db.shop.svc.cluster.local.",
            SRV,
            "SRV 0 33 15432 db-0.db.shop.svc.cluster.local.; SRV 0 33 15432 db-1.db.shop.svc.cluster.local.; \
             SRV 0 33 15432 10-42-0-13.db.shop.svc.cluster.local. + db-0.db.shop.svc.cluster.local. A 10.42.0.10; \
             db-1.db.shop.svc.cluster.local. A 10.42.0.11; 10-42-0-13.db.shop.svc.cluster.local. A 10.42.0.13",
        ),
        (
            "_stats._udp.db.shop.svc.cluster.local.",
            SRV,
            "SRV 0 100 9000 db-0.db.shop.svc.cluster.local. + db-0.db.shop.svc.cluster.local. A 10.42.0.10",
        ),
        ("_stats._tcp.db.shop.svc.cluster.local.", SRV, unknown),
        ("idle.shop.svc.cluster.local.", A, unknown),
        ("idle-0.idle.shop.svc.cluster.local.", A, unknown),
        ("early.shop.svc.cluster.local.", A, "A 10.42.0.21"),
        ("early-0.early.shop.svc.cluster.local.", A, "A 10.42.0.21"),
        // Endpoints of a service with an address have names too.
        ("10-42-0-5.web.shop.svc.cluster.local.", A, "A 10.42.0.5"),
        // Other names for services.
        (
            "outside.shop.svc.cluster.local.",
            A,
            "alias www.Example.com. by CNAME www.Example.com.",
        ),
        ("outside.shop.svc.cluster.local.", CNAME, "CNAME www.Example.com."),
        ("x.outside.shop.svc.cluster.local.", A, unknown),
        // Pods.
        ("10-42-0-5.shop.pod.cluster.local.", A, "A 10.42.0.5"),
        ("10-42-0-5.shop.pod.cluster.local.", AAAA, none),
        ("fd00--7.shop.pod.cluster.local.", AAAA, "AAAA fd00::7"),
        ("10-42-0.shop.pod.cluster.local.", A, unknown),
        ("10-42-0-300.shop.pod.cluster.local.", A, unknown),
        ("x.10-42-0-5.shop.pod.cluster.local.", A, unknown),
        ("shop.pod.cluster.local.", A, none),
        ("pod.cluster.local.", A, none),
        // Reverse.
        (
            "1.0.43.10.in-addr.arpa.",
            PTR,
            "PTR kubernetes.default.svc.cluster.local.",
        ),
        ("1.0.43.10.in-addr.arpa.", A, "no data 1.0.43.10.in-addr.arpa."),
        ("10.0.42.10.in-addr.arpa.", PTR, "PTR db-0.db.shop.svc.cluster.local."),
        (
            "13.0.42.10.in-addr.arpa.",
            PTR,
            "PTR 10-42-0-13.db.shop.svc.cluster.local.",
        ),
        (
            "5.0.42.10.in-addr.arpa.",
            PTR,
            "PTR 10-42-0-5.web.shop.svc.cluster.local.",
        ),
        ("12.0.42.10.in-addr.arpa.", PTR, "no name 42.10.in-addr.arpa."),
        ("9.9.42.10.in-addr.arpa.", PTR, "no name 42.10.in-addr.arpa."),
        ("42.10.in-addr.arpa.", SOA, "no data 42.10.in-addr.arpa."),
        ("9.42.10.in-addr.arpa.", PTR, "no data 42.10.in-addr.arpa."),
        ("10.in-addr.arpa.", PTR, "elsewhere"),
        ("1.2.0.192.in-addr.arpa.", PTR, "elsewhere"),
        ("1.1.2.0.192.in-addr.arpa.", PTR, "elsewhere"),
        ("x.0.42.10.in-addr.arpa.", PTR, "elsewhere"),
        (
            "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "PTR both.kube-system.svc.cluster.local.",
        ),
        (
            "8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
            PTR,
            "elsewhere",
        ),
        // The zone itself.
        ("dns-version.cluster.local.", TXT, "TXT 1.1.0"),
        ("dns-version.cluster.local.", A, none),
        ("ns.dns.cluster.local.", A, "A 10.43.0.10"),
        ("dns.cluster.local.", A, none),
        ("cluster.local.", A, none),
        (
            "cluster.local.",
            NS,
            "NS ns.dns.cluster.local. + ns.dns.cluster.local. A 10.43.0.10",
        ),
        ("svc.cluster.local.", A, none),
        ("shop.svc.cluster.local.", A, none),
        ("missing.svc.cluster.local.", A, unknown),
        ("missing.shop.svc.cluster.local.", A, unknown),
        ("db-0.missing.shop.svc.cluster.local.", A, unknown),
        ("missing.cluster.local.", A, unknown),
        ("example.com.shop.svc.cluster.local.", A, unknown),
        ("abc.loop-check.cluster.local.", TXT, "loop check abc"),
        // The rest of the world.
        ("example.com.", A, "elsewhere"),
        ("local.", A, "elsewhere"),
        ("xcluster.local.", A, "elsewhere"),
        (".", NS, "elsewhere"),
    ];
    let index = index();
    for (name, record_type, expected) in rows {
        assert_eq!(ask(&index, name, *record_type), *expected, "{name} {record_type}");
    }
}

#[test]
fn answers_repeat_the_name_as_asked_and_live_shortly() {
    let name = Name::from_ascii("Kubernetes.default.svc.cluster.local.").unwrap();
    let Answer::Records { answers, .. } = answer(&index(), &name, RecordType::A, 0) else {
        panic!("no records");
    };
    assert!(answers[0].name.eq_case(&name));
    assert_eq!(answers[0].ttl, RECORD_TTL_S);
    let missing = Name::from_ascii("missing.svc.cluster.local.").unwrap();
    let Answer::NoName { soa } = answer(&index(), &missing, RecordType::A, 0) else {
        panic!("there is such a name");
    };
    assert_eq!(soa.ttl, NEGATIVE_TTL_S);
    assert!(matches!(soa.data, RData::SOA(soa) if soa.minimum == NEGATIVE_TTL_S));
}

#[test]
fn load_is_spread_over_the_endpoints() {
    let index = index();
    let name = Name::from_ascii("db.shop.svc.cluster.local.").unwrap();
    let first = |rotation| match answer(&index, &name, RecordType::A, rotation) {
        Answer::Records { answers, .. } => data(&answers[0]),
        other => shown(&other),
    };
    let seen: Vec<String> = (0..4).map(first).collect();
    assert_eq!(seen, ["A 10.42.0.10", "A 10.42.0.11", "A 10.42.0.13", "A 10.42.0.10"]);
}

#[test]
fn another_domain_works_the_same() {
    let zone = Zone::new("Skep.Example.", "10.43.0.10".parse().unwrap(), Vec::new()).unwrap();
    let index = Index::from_state(zone, &state());
    assert_eq!(ask(&index, "web.shop.svc.skep.example.", RecordType::A), "A 10.43.1.7");
    assert_eq!(ask(&index, "web.shop.svc.cluster.local.", RecordType::A), "elsewhere");
}
