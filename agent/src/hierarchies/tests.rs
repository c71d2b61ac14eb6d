use super::*;

#[test]
fn both_worlds_and_the_one_beside_the_other() {
    let rows = [
        ("", "", None),
        (
            "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n",
            "/sys/fs/cgroup",
            Some("/sys/fs/cgroup"),
        ),
        (
            "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
             cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
             cgroup2 /var/lib/skep/pods/x/rootfs/sys/fs/cgroup cgroup2 rw 0 0\n",
            "/sys/fs/cgroup/cpu /sys/fs/cgroup/memory /sys/fs/cgroup/unified",
            Some("/sys/fs/cgroup/unified"),
        ),
    ];
    for (mounts, all, unified) in rows {
        let hierarchies = parse(mounts);
        let seen: Vec<String> = hierarchies.iter().map(|one| one.mount.display().to_string()).collect();
        assert_eq!(seen.join(" "), all, "{mounts}");
        assert_eq!(v2(&hierarchies), unified.map(Path::new), "{mounts}");
    }
}

#[test]
fn paths_of_the_mount_table() {
    for (escaped, plain) in [
        ("/a", "/a"),
        ("/a\\040b\\011c", "/a b\tc"),
        ("\\134", "\\"),
        ("/a\\04", "/a\\04"),
        ("/a\\", "/a\\"),
    ] {
        assert_eq!(unescaped(escaped), plain);
    }
}
