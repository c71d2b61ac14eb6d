//! Tests of what pods are called.

use super::*;

const UID: &str = "0d7c1f0e-6a36-4a9c-8d0a-0d1d0bb1a8a5";

fn port(uid: &str) -> PodPort {
    PodPort {
        uid: uid.to_owned(),
        host_ifindex: 12,
        ip: "10.42.1.2".parse().unwrap(),
        mac: [2, 0, 0, 0, 0, 9],
    }
}

#[test]
fn a_uid_is_short_and_names_no_path() {
    let table = [
        (UID, true),
        ("a", true),
        ("static-Pod-1", true),
        ("", false),
        ("0d7c1f0e-6a36-4a9c-8d0a-0d1d0bb1a8a5x", false),
        ("..", false),
        ("a/b", false),
        ("a b", false),
        ("\u{e4}", false),
    ];
    for (uid, expected) in table {
        assert_eq!(is_uid(uid), expected, "{uid:?}");
        assert_eq!(local_pod(&port(uid)).is_ok(), expected, "{uid:?}");
    }
}

#[test]
fn a_pods_entry_gives_back_what_was_said_of_it() {
    for uid in [UID, "a"] {
        let said = port(uid);
        assert_eq!(port_of(said.ip.into(), &local_pod(&said).unwrap()), said);
    }
    // Whatever a map may hold.
    let mut broken = local_pod(&port(UID)).unwrap();
    broken.uid_len = u16::MAX;
    assert_eq!(uid_of(&broken), UID);
}

#[test]
fn links_of_pods_and_only_those_are_told_by_their_names() {
    for (link, program, _) in links(UID) {
        assert_eq!(program_of(&link), Some(program), "{link}");
    }
    assert_eq!(
        links("a-b-in").map(|(link, ..)| program_of(&link)),
        [Some("from_pod"), Some("to_pod")]
    );
    for link in [
        "uplink-in",
        "overlay-out",
        "socket-connect4",
        "pod-in",
        "pod--in",
        "pod-a-up",
        "pod-a",
    ] {
        assert_eq!(program_of(link), None, "{link}");
    }
}
