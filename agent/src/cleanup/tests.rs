use std::collections::BTreeMap;

use super::*;

fn config(data_dir: &Path) -> AgentConfig {
    AgentConfig {
        server: "https://127.0.0.1:1".to_owned(),
        token: None,
        node_name: "node-cleanup-test".to_owned(),
        data_dir: data_dir.to_owned(),
        node_ip: None,
        cgroup_root: "skep-node-cleanup-test/node-1".to_owned(),
        socket_cgroup: None,
        bpffs: data_dir.join("bpf"),
        labels: BTreeMap::new(),
    }
}

#[test]
fn where_nothing_is_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(cleanup(&config(dir.path())).unwrap(), Removed::default());
    assert_eq!(
        cleanup(&config(&dir.path().join("missing"))).unwrap(),
        Removed::default()
    );
}

#[test]
fn a_running_agent_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let running = lock(&config).unwrap();
    assert!(matches!(cleanup(&config), Err(CleanupError::AgentRuns(_))));
    drop(running);
    assert!(cleanup(&config).is_ok());
}

#[test]
fn mounts_of_the_data_directory_and_no_others() {
    let table = "proc /proc proc rw 0 0\nnsfs /data/node-1/netns/a nsfs rw 0 0\n\
                 overlay /data/node-1/pods/a\\040b/rootfs overlay rw 0 0\nnsfs /data/node-10/netns/b nsfs rw 0 0\n\
                 tmpfs /data/node-1 tmpfs rw 0 0\n";
    let seen = mounts_below(table, Path::new("/data/node-1"));
    assert_eq!(
        seen,
        [
            PathBuf::from("/data/node-1/netns/a"),
            PathBuf::from("/data/node-1/pods/a b/rootfs")
        ]
    );
}
