//! Tests of netlink's messages, to and from.

use super::*;

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

#[test]
fn a_link_is_what_its_attributes_say_in_any_order() {
    let name = || LinkAttribute::IfName("eth0".to_owned());
    let mac = || LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]);
    let kind = |kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)]);
    let bare = || Link {
        index: 7,
        name: "eth0".to_owned(),
        mtu: 0,
        mac: vec![],
        up: false,
        kind: None,
    };
    let table = [
        ("hardware without anything", vec![name()], false, bare()),
        ("up", vec![name()], true, Link { up: true, ..bare() }),
        (
            "a veth",
            vec![kind(InfoKind::Veth), mac(), LinkAttribute::Mtu(1_450), name()],
            false,
            Link {
                mtu: 1_450,
                mac: vec![2, 0, 0, 0, 0, 1],
                kind: Some(InfoKind::Veth),
                ..bare()
            },
        ),
        (
            "a link of another one",
            vec![LinkAttribute::Link(3), name(), LinkAttribute::LinkInfo(vec![])],
            false,
            bare(),
        ),
    ];
    for (what, attributes, up, expected) in table {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        if up {
            message.header.flags = LinkFlags::Up | LinkFlags::Running;
        }
        message.attributes = attributes;
        assert_eq!(link_of(message), expected, "{what}");
    }
}

#[test]
fn an_address_is_the_links_own_and_not_its_peers() {
    let v4 = |text| IpAddr::V4(ip(text));
    let (own, peer) = (
        AddressAttribute::Local(v4("10.0.0.1")),
        AddressAttribute::Address(v4("10.0.0.2")),
    );
    let v6 = AddressAttribute::Local("fd00::1".parse().unwrap());
    let table = [
        (vec![own.clone()], Some("10.0.0.1")),
        (vec![peer.clone(), own], Some("10.0.0.1")),
        (vec![peer], None),
        (vec![v6], None),
        (vec![], None),
    ];
    for (attributes, expected) in table {
        let what = format!("{attributes:?}");
        let mut message = AddressMessage::default();
        message.header.index = 4;
        message.attributes = attributes;
        assert_eq!(address_of(&message), expected.map(|text| (4, ip(text))), "{what}");
    }
}

/// A route to everywhere through a link, with a metric.
fn default_route(link: u32, metric: Option<u32>) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.table = libc::RT_TABLE_MAIN;
    route.header.kind = RouteType::Unicast;
    route.attributes.push(RouteAttribute::Oif(link));
    route.attributes.extend(metric.map(RouteAttribute::Priority));
    route
}

#[test]
fn the_default_route_is_the_main_tables_of_the_lowest_metric() {
    let with = |change: fn(&mut RouteMessage)| {
        let mut route = default_route(9, None);
        change(&mut route);
        route
    };
    let (a, b) = (default_route(2, Some(100)), default_route(3, Some(600)));
    let table = [
        ("none", vec![], None),
        ("one", vec![b.clone()], Some(3)),
        ("two", vec![b.clone(), a.clone()], Some(2)),
        // The kernel leaves out a metric of 0, which is the best.
        ("no metric", vec![a.clone(), default_route(4, None)], Some(4)),
        (
            "of a part",
            vec![with(|route| route.header.destination_prefix_length = 1), b.clone()],
            Some(3),
        ),
        (
            "of another table",
            vec![with(|route| route.header.table = libc::RT_TABLE_LOCAL), b.clone()],
            Some(3),
        ),
        (
            "to nowhere",
            vec![with(|route| route.header.kind = RouteType::Unreachable), b.clone()],
            Some(3),
        ),
        (
            "without a link",
            vec![with(|route| route.attributes.clear()), b],
            Some(3),
        ),
    ];
    for (what, routes, expected) in table {
        assert_eq!(default_link(&routes), expected, "{what}");
    }
}

#[test]
fn our_routes_are_told_by_who_made_them_and_where_they_lead() {
    let link = Via::Link {
        index: 5,
        source: Some(ip("192.168.0.1")),
    };
    let gateway = Via::Gateway {
        index: 5,
        gateway: ip("192.168.0.2"),
        source: None,
    };
    // Where it leads; whether it is one of ours to link 5, to link 6, to nowhere.
    let table = [
        (link, [true, false, false]),
        (gateway, [true, false, false]),
        (Via::Unreachable, [false, false, true]),
    ];
    for (via, expected) in table {
        let mut route = route_message(net("10.42.2.9/24"), via);
        assert_eq!(
            destination(&route),
            Some(net("10.42.2.0/24")),
            "{via:?}: the whole range"
        );
        let ours = |route: &RouteMessage| [Some(5), Some(6), None].map(|link| is_ours(route, link));
        assert_eq!(ours(&route), expected, "{via:?}");
        route.header.protocol = RouteProtocol::Static;
        assert_eq!(ours(&route), [false; 3], "{via:?}: an administrator's");
    }
}

#[test]
fn a_route_names_its_gateway_and_the_nodes_own_source() {
    let has = |route: &RouteMessage, wanted: &RouteAttribute| route.attributes.contains(wanted);
    let (source, gateway) = (ip("192.168.0.1"), ip("192.168.0.2"));
    for own in [None, Some(source)] {
        for via in [
            Via::Link { index: 5, source: own },
            Via::Gateway {
                index: 5,
                gateway,
                source: own,
            },
        ] {
            let route = route_message(net("10.42.2.0/24"), via);
            let is_direct = matches!(via, Via::Link { .. });
            let named = RouteAttribute::Gateway(RouteAddress::Inet(gateway));
            assert_eq!(has(&route, &named), !is_direct, "{via:?}");
            let sent_as = RouteAttribute::PrefSource(RouteAddress::Inet(source));
            assert_eq!(has(&route, &sent_as), own.is_some(), "{via:?}");
            // A gateway is found beyond the link, which the kernel checks.
            assert_eq!(route.header.scope == RouteScope::Link, is_direct, "{via:?}");
        }
    }
}
