use super::*;

fn nets(texts: &[&str]) -> BTreeSet<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn routes_follow_the_nodes() {
    const OWN: &str = "10.42.0.0/24";
    // (have, want, listing, made, removed)
    type Row = (
        &'static [&'static str],
        &'static [&'static str],
        Listing,
        &'static [&'static str],
        &'static [&'static str],
    );
    let rows: &[Row] = &[
        (&[], &[OWN], Listing::Complete, &[], &[]),
        (&[], &[OWN, "10.42.1.0/24"], Listing::Partial, &["10.42.1.0/24"], &[]),
        (&["10.42.1.0/24"], &["10.42.1.0/24"], Listing::Complete, &[], &[]),
        (&["10.42.1.0/24"], &[], Listing::Partial, &[], &[]),
        (&["10.42.1.0/24"], &[OWN], Listing::Complete, &[], &["10.42.1.0/24"]),
        (
            &["10.42.1.0/24"],
            &["10.42.2.0/24"],
            Listing::Complete,
            &["10.42.2.0/24"],
            &["10.42.1.0/24"],
        ),
    ];
    for row in rows {
        let (have, want, listing, made, removed) = row;
        let (missing, extra) = route_changes(&nets(have), &nets(want), OWN.parse().unwrap(), *listing);
        assert_eq!(missing.into_iter().collect::<BTreeSet<_>>(), nets(made), "{row:?}");
        assert_eq!(extra.into_iter().collect::<BTreeSet<_>>(), nets(removed), "{row:?}");
    }
}

#[test]
fn a_tunnel_needs_room() {
    for (mtu, expected) in [
        (1500, Some(1450)),
        (1400, Some(1350)),
        (626, Some(576)),
        (625, None),
        (40, None),
    ] {
        let uplink = Link {
            index: 1,
            name: "eth0".to_owned(),
            mtu,
            mac: vec![],
            up: true,
            kind: None,
        };
        assert_eq!(pod_mtu(&uplink).ok(), expected, "{mtu}");
    }
}

#[test]
fn pod_links_are_told_by_kind_and_name() {
    use rtnetlink::packet_route::link::InfoKind;
    let name = pod::link_name("0d7c1f0e-6a36-4a9c-8d0a-0d1d0bb1a8a5");
    assert_eq!(name.len(), 12);
    for (name, kind, ours) in [
        (name.as_str(), Some(InfoKind::Veth), true),
        (name.as_str(), Some(InfoKind::Dummy), false),
        ("skep-overlay", Some(InfoKind::Veth), false),
        ("skep0123456g", Some(InfoKind::Veth), false),
        ("skep012345678", Some(InfoKind::Veth), false),
        ("eth0", None, false),
    ] {
        let link = Link {
            index: 1,
            name: name.to_owned(),
            mtu: 1500,
            mac: vec![],
            up: true,
            kind,
        };
        assert_eq!(pod::is_pod_link(&link), ours, "{name}");
    }
}
