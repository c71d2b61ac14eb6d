//! Tests of what an agent decides before its parts run.

use std::collections::BTreeMap;

use super::*;

fn config(data_dir: &Path) -> AgentConfig {
    AgentConfig {
        server: "https://127.0.0.1:6443".to_owned(),
        token: None,
        node_name: "n1".to_owned(),
        data_dir: data_dir.to_owned(),
        node_ip: None,
        cgroup_root: "skep/n1-1".to_owned(),
        socket_cgroup: None,
        bpffs: PathBuf::new(),
        labels: BTreeMap::new(),
    }
}

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
fn a_data_directory_has_one_agent_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let paths = config(&directory.path().join("new")).paths();
    let first = lock(&paths).unwrap();
    assert!(matches!(lock(&paths), Err(AgentError::AlreadyRunning(at)) if at == paths.data_dir()));
    drop(first);
    lock(&paths).unwrap();
    // A file where the directory should be.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(lock(&config(&file).paths()), Err(AgentError::DataDir { path, .. }) if path == file));
}

#[tokio::test]
async fn a_new_node_waits_for_the_first_welcome_through_failed_connections() {
    let (sender, mut events) = mpsc::channel(8);
    for event in [
        StreamEvent::Disconnected,
        StreamEvent::CancelRequest(1),
        StreamEvent::Connected(welcome()),
        StreamEvent::StopAllowed("a".to_owned()),
    ] {
        sender.send(event).await.unwrap();
    }
    assert_eq!(first_welcome(&mut events).await.unwrap(), welcome());
    // What came after it is still to be followed.
    assert!(matches!(events.recv().await, Some(StreamEvent::StopAllowed(_))));
    drop(sender);
    assert!(matches!(first_welcome(&mut events).await, Err(AgentError::Panicked)));
}

#[test]
fn socket_programs_attach_where_they_were_told_or_to_the_v2_hierarchy() {
    let hierarchy = |mount: &str, is_v2| Hierarchy {
        mount: PathBuf::from(mount),
        is_v2,
    };
    let (v1, v2) = (
        hierarchy("/sys/fs/cgroup/memory", false),
        hierarchy("/sys/fs/cgroup/unified", true),
    );
    let both = [v1.clone(), v2];
    let table = [
        (None, &both[..], Some("/sys/fs/cgroup/unified/skep/n1-1")),
        (None, std::slice::from_ref(&v1), None),
        (None, &[], None),
        (Some("/given"), &both, Some("/given")),
        (Some("/given"), &[], Some("/given")),
    ];
    for (given, hierarchies, expected) in table {
        let config = AgentConfig {
            socket_cgroup: given.map(PathBuf::from),
            ..config(Path::new("/"))
        };
        let found = socket_cgroup(&config, hierarchies);
        assert_eq!(found.ok(), expected.map(PathBuf::from), "{given:?} {hierarchies:?}");
    }
}

#[test]
fn a_range_has_addresses_for_pods_but_for_its_first_and_last() {
    for (range, expected) in [
        ("10.42.3.0/24", 254),
        ("10.42.0.0/16", 65_534),
        ("10.42.3.0/30", 2),
        ("10.42.3.0/31", 0),
        ("10.42.3.0/32", 0),
        ("0.0.0.0/0", u32::MAX - 1),
    ] {
        let welcome = Welcome {
            pod_cidr: range.to_owned(),
            ..welcome()
        };
        assert_eq!(pod_addresses(&Ranges::try_from(&welcome).unwrap()), expected, "{range}");
    }
}
