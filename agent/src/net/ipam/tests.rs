use super::*;

fn range(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn first_pods_get_the_first_addresses_after_the_networks_own() {
    let mut assignments = Assignments::new(range("10.42.3.0/24"));
    assert_eq!(assignments.assign("a"), Some(ip("10.42.3.1")));
    assert_eq!(assignments.assign("b"), Some(ip("10.42.3.2")));
}

#[test]
fn a_pod_keeps_its_address() {
    let mut assignments = Assignments::new(range("10.42.3.0/24"));
    let first = assignments.assign("a");
    assignments.assign("b");
    assert_eq!(assignments.assign("a"), first);
}

#[test]
fn a_freed_address_rests_until_the_range_has_been_walked() {
    let mut assignments = Assignments::new(range("10.42.3.0/29"));
    for (uid, expected) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(
            assignments.assign(uid),
            Some(Ipv4Addr::new(10, 42, 3, expected)),
            "{uid}"
        );
    }
    assert_eq!(assignments.release("a"), Some(ip("10.42.3.1")));
    for (uid, expected) in [("d", 4), ("e", 5), ("f", 6), ("g", 1)] {
        assert_eq!(
            assignments.assign(uid),
            Some(Ipv4Addr::new(10, 42, 3, expected)),
            "{uid}"
        );
    }
}

#[test]
fn a_full_range_gives_nothing_until_an_address_is_freed() {
    for (text, capacity) in [
        ("10.42.3.0/29", 6),
        ("10.42.3.0/30", 2),
        ("10.42.3.0/31", 0),
        ("10.42.3.4/32", 0),
    ] {
        let mut assignments = Assignments::new(range(text));
        let given = (0..100)
            .filter_map(|n| assignments.assign(&format!("pod-{n}")))
            .collect::<BTreeSet<_>>();
        assert_eq!(given.len(), capacity, "{text}");
        assert_eq!(assignments.assign("one more"), None, "{text}");
        if capacity > 0 {
            let freed = assignments.release("pod-0");
            assert_eq!(assignments.assign("one more"), freed, "{text}");
        }
    }
}

#[test]
fn the_end_of_the_address_space_is_no_special_case() {
    let mut assignments = Assignments::new(range("255.255.255.252/30"));
    assert_eq!(assignments.assign("a"), Some(ip("255.255.255.253")));
    assert_eq!(assignments.assign("b"), Some(ip("255.255.255.254")));
    assert_eq!(assignments.assign("c"), None);
}

#[test]
fn assignments_survive_a_restart_and_a_change_of_range() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ipam.json");
    let mut ledger = Ledger::open(&path, range("10.42.3.0/24")).unwrap();
    assert_eq!(ledger.assign("a").unwrap(), Some(ip("10.42.3.1")));
    assert_eq!(ledger.assign("b").unwrap(), Some(ip("10.42.3.2")));
    ledger.release("a").unwrap();

    let mut ledger = Ledger::open(&path, range("10.42.3.0/24")).unwrap();
    assert_eq!(ledger.assign("b").unwrap(), Some(ip("10.42.3.2")));
    assert_eq!(ledger.assign("c").unwrap(), Some(ip("10.42.3.3")));

    let mut ledger = Ledger::open(&path, range("10.42.9.0/24")).unwrap();
    assert_eq!(ledger.assign("b").unwrap(), Some(ip("10.42.3.2")));
    assert_eq!(ledger.assign("d").unwrap(), Some(ip("10.42.9.1")));
}

#[test]
fn a_damaged_file_means_no_assignment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ipam.json");
    std::fs::write(&path, b"{\"range\":").unwrap();
    let ledger = Ledger::open(&path, range("10.42.3.0/24")).unwrap();
    assert_eq!(ledger.assignments().iter().count(), 0);
}
