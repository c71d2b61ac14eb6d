use std::fs;

use api::node_stream::{Endpoint, Node, Service};
use serde_json::json;

use super::*;

fn welcome() -> Welcome {
    Welcome {
        pod_cidr: "10.42.0.0/24".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        ..Welcome::default()
    }
}

fn node(name: &str) -> Change {
    change_of(change::Kind::Node(Node {
        name: name.to_owned(),
        ip: vec![192, 0, 2, 1],
        ..Node::default()
    }))
}

fn service(number: u32, name: &str) -> Change {
    change_of(change::Kind::Service(Service {
        r#ref: number,
        namespace: "default".to_owned(),
        name: name.to_owned(),
        ..Service::default()
    }))
}

fn endpoint(number: u32, last: u8) -> Change {
    change_of(change::Kind::Endpoints(EndpointsDelta {
        service_ref: number,
        upserted: vec![Endpoint {
            ip: vec![10, 42, 0, last],
            ready: true,
            ..Endpoint::default()
        }],
        ..EndpointsDelta::default()
    }))
}

fn pod(name: &str, uid: &str) -> Change {
    let json = json!({"metadata": {"namespace": "default", "name": name, "uid": uid}});
    change_of(change::Kind::Pod(serde_json::to_vec(&json).unwrap()))
}

fn pod_removed(name: &str, uid: &str) -> Change {
    change_of(change::Kind::PodRemoved(ObjectRef {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
    }))
}

fn secret(name: &str) -> Change {
    let json = json!({"metadata": {"namespace": "default", "name": name}, "data": {"k": "dmFsdWU="}});
    change_of(change::Kind::Secret(serde_json::to_vec(&json).unwrap()))
}

fn batch(revision: u64, phase: Phase, changes: Vec<Change>) -> Batch {
    Batch {
        revision,
        phase: phase.into(),
        changes,
    }
}

fn seen(mirror: &Mirror) -> (u64, bool, NetState, Vec<String>) {
    (
        mirror.revision(),
        mirror.is_complete(),
        mirror.net().read().clone(),
        mirror.pod_uids(),
    )
}

#[test]
fn nothing_of_a_snapshot_shows_before_its_end_and_then_only_it_remains() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(&dir.path().join("mirror")).unwrap();
    mirror.begin(welcome());
    assert!(!mirror.is_complete());
    assert_eq!(
        mirror.apply(&batch(5, Phase::Snapshot, vec![node("a"), pod("p", "u1")])),
        Taken::Staged
    );
    assert!(mirror.net().read().nodes.is_empty());
    assert_eq!(
        mirror.apply(&batch(5, Phase::SnapshotEnd, vec![service(1, "web")])),
        Taken::Snapshot
    );
    assert_eq!(mirror.net().read().nodes.len(), 1);
    assert_eq!(mirror.net().read().services.len(), 1);
    assert_eq!(mirror.pod_uids(), ["u1"]);

    // A second connection: what its snapshot does not name is gone.
    mirror.begin(welcome());
    mirror.apply(&batch(9, Phase::Snapshot, vec![node("b")]));
    assert_eq!(mirror.net().read().nodes.keys().collect::<Vec<_>>(), ["a"]);
    mirror.apply(&batch(9, Phase::SnapshotEnd, vec![]));
    assert_eq!(mirror.net().read().nodes.keys().collect::<Vec<_>>(), ["b"]);
    assert!(mirror.pod_uids().is_empty());
}

#[test]
fn a_snapshot_cut_off_by_a_lost_connection_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(&dir.path().join("mirror")).unwrap();
    mirror.begin(welcome());
    mirror.apply(&batch(5, Phase::Snapshot, vec![node("stale")]));
    mirror.begin(welcome());
    mirror.apply(&batch(6, Phase::SnapshotEnd, vec![node("a")]));
    assert_eq!(mirror.net().read().nodes.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn deltas_say_what_they_were_about() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(&dir.path().join("mirror")).unwrap();
    mirror.apply(&batch(1, Phase::SnapshotEnd, vec![]));
    let rows = [
        (vec![pod("p", "u1")], false),
        (vec![service(1, "web")], true),
        (vec![endpoint(1, 2), secret("s")], true),
        (vec![node("a")], true),
        (vec![], false),
    ];
    for (changes, net) in rows {
        let taken = mirror.apply(&batch(2, Phase::Delta, changes.clone()));
        assert_eq!(taken, Taken::Delta { net }, "{changes:?}");
    }
}

#[test]
fn a_restart_finds_what_was_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mirror");
    let mut mirror = Mirror::open(&path).unwrap();
    mirror.begin(welcome());
    mirror.apply(&batch(
        5,
        Phase::SnapshotEnd,
        vec![node("a"), service(1, "web"), pod("p", "u1"), secret("s")],
    ));
    mirror.apply(&batch(6, Phase::Delta, vec![endpoint(1, 2), pod("q", "u2")]));
    mirror.apply(&batch(7, Phase::Delta, vec![pod_removed("p", "u1"), endpoint(1, 3)]));
    let before = seen(&mirror);
    drop(mirror);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let mut mirror = Mirror::open(&path).unwrap();
    assert_eq!(seen(&mirror), before);
    assert_eq!(mirror.welcome(), Some(&welcome()));
    let inputs = mirror.pod_snapshot();
    assert!(matches!(inputs.first(), Some(PodInput::SnapshotBegin)));
    assert!(matches!(inputs.get(1), Some(PodInput::Secret(_))));
    assert!(matches!(inputs.get(2), Some(PodInput::Pod(pod)) if pod.metadata.uid.as_deref() == Some("u2")));
    assert!(matches!(inputs.last(), Some(PodInput::SnapshotEnd)));

    // Deltas go on where the earlier run stopped.
    mirror.apply(&batch(8, Phase::Delta, vec![service(2, "db")]));
    let before = seen(&mirror);
    assert_eq!(seen(&Mirror::open(&path).unwrap()), before);
}

#[test]
fn a_file_cut_anywhere_is_a_state_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mirror");
    let mut mirror = Mirror::open(&path).unwrap();
    mirror.begin(welcome());
    mirror.apply(&batch(5, Phase::SnapshotEnd, vec![node("a"), service(1, "web")]));
    let snapshot_length = fs::metadata(&path).unwrap().len() as usize;
    let mut states = vec![seen(&mirror)];
    for last in 2..6 {
        mirror.apply(&batch(4 + u64::from(last), Phase::Delta, vec![endpoint(1, last)]));
        states.push(seen(&mirror));
    }
    drop(mirror);
    let whole = fs::read(&path).unwrap();
    let mut reached = 0;
    for length in snapshot_length..=whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let state = seen(&Mirror::open(&path).unwrap());
        let at = states
            .iter()
            .position(|other| *other == state)
            .unwrap_or_else(|| panic!("cut at {length}"));
        assert!(at >= reached, "cut at {length}");
        reached = at;
    }
    assert_eq!(reached, states.len() - 1);
    // A flipped bit is found too.
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert_eq!(seen(&Mirror::open(&path).unwrap()), states[states.len() - 2]);
}

#[test]
fn the_file_does_not_grow_without_bound() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mirror");
    let mut mirror = Mirror::open(&path).unwrap();
    mirror.apply(&batch(1, Phase::SnapshotEnd, vec![service(1, "web")]));
    for revision in 0..40_000 {
        mirror.apply(&batch(
            revision,
            Phase::Delta,
            vec![endpoint(1, (revision % 250) as u8)],
        ));
    }
    assert!(fs::metadata(&path).unwrap().len() < 2 * DELTA_BYTES_MIN);
    let before = seen(&mirror);
    assert_eq!(seen(&Mirror::open(&path).unwrap()), before);
}

#[test]
fn a_pod_made_anew_under_the_same_name_is_not_removed_with_the_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(&dir.path().join("mirror")).unwrap();
    mirror.apply(&batch(1, Phase::SnapshotEnd, vec![pod("p", "new")]));
    mirror.apply(&batch(2, Phase::Delta, vec![pod_removed("p", "old")]));
    assert_eq!(mirror.pod_uids(), ["new"]);
    mirror.apply(&batch(3, Phase::Delta, vec![pod_removed("p", "new")]));
    assert!(mirror.pod_uids().is_empty());
}
