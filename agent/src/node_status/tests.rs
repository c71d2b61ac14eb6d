use super::*;

fn identity() -> NodeIdentity {
    NodeIdentity {
        node_name: "node-1".to_owned(),
        node_ip: "192.0.2.7".parse().unwrap(),
        labels: BTreeMap::from([("rack".to_owned(), "4".to_owned())]),
        pod_addresses: 253,
    }
}

fn facts() -> Facts {
    Facts {
        cpus: 2,
        memory_kib: 2_000_000,
        memory_available_kib: 1_000_000,
        disk_kib: 10_000_000,
        disk_available_kib: 5_000_000,
        kernel: "6.1.0".to_owned(),
        ..Facts::default()
    }
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05.678Z".parse().unwrap()
}

/// Types of the conditions whose status is True.
fn holding(facts: &Facts, programming: &Programming) -> String {
    let status = status(&identity(), facts, &[], programming, now());
    let conditions = status["conditions"].as_array().unwrap().iter();
    let holding = conditions.filter(|condition| condition["status"] == "True");
    holding
        .map(|condition| condition["type"].as_str().unwrap())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn conditions_follow_the_facts() {
    let low_memory = Facts {
        memory_available_kib: 50_000,
        ..facts()
    };
    let low_disk = Facts {
        disk_available_kib: 900_000,
        ..facts()
    };
    let large_disk = Facts {
        disk_kib: 300 << 20,
        disk_available_kib: 20 << 20,
        ..facts()
    };
    let refused = Programming::Failed("map full".to_owned());
    let rows = [
        (facts(), Programming::Done, "Ready"),
        (facts(), Programming::Pending, "NetworkUnavailable"),
        (facts(), refused, "NetworkUnavailable Ready"),
        (low_memory, Programming::Done, "MemoryPressure Ready"),
        (low_disk, Programming::Done, "DiskPressure Ready"),
        (large_disk, Programming::Done, "Ready"),
    ];
    for (facts, programming, expected) in rows {
        assert_eq!(holding(&facts, &programming), expected, "{facts:?} {programming:?}");
    }
}

#[test]
fn capacity_allocatable_and_addresses() {
    let status = status(&identity(), &facts(), &[], &Programming::Done, now());
    assert_eq!(
        status["capacity"],
        json!({"cpu": "2", "memory": "2000000Ki", "ephemeral-storage": "10000000Ki", "pods": "110"})
    );
    assert_eq!(
        status["allocatable"],
        json!({"cpu": "2", "memory": "1897600Ki", "ephemeral-storage": "9000000Ki", "pods": "110"})
    );
    assert_eq!(
        status["addresses"][0],
        json!({"type": "InternalIP", "address": "192.0.2.7"})
    );
    assert_eq!(status["conditions"][0]["lastHeartbeatTime"], "2026-01-02T03:04:05Z");
    let small = NodeIdentity {
        pod_addresses: 5,
        ..identity()
    };
    let status = super::status(&small, &facts(), &[], &Programming::Done, now());
    assert_eq!(status["capacity"]["pods"], "5");
}

#[test]
fn the_largest_images_are_named() {
    let images: Vec<ImageFact> = (0..60)
        .map(|number| ImageFact {
            names: (0..8).map(|name| format!("image-{number}:{name}")).collect(),
            size_bytes: number,
        })
        .collect();
    let list = image_list(&images);
    assert_eq!(list.len(), IMAGES_MAX);
    assert_eq!(list[0]["sizeBytes"], 59);
    assert_eq!(list[0]["names"].as_array().unwrap().len(), IMAGE_NAMES_MAX);
}

#[test]
fn only_what_matters_is_a_change() {
    let status =
        |facts: &Facts, at: &str| super::status(&identity(), facts, &[], &Programming::Done, at.parse().unwrap());
    let first = status(&facts(), "2026-01-02T03:04:05Z");
    assert!(!is_change(&first, &status(&facts(), "2026-01-02T03:05:05Z")));
    let less_memory_used = Facts {
        memory_available_kib: 1_000_001,
        ..facts()
    };
    assert!(!is_change(&first, &status(&less_memory_used, "2026-01-02T03:05:05Z")));
    let low_memory = Facts {
        memory_available_kib: 1,
        ..facts()
    };
    assert!(is_change(&first, &status(&low_memory, "2026-01-02T03:05:05Z")));
}

#[test]
fn labels_of_the_agent_win() {
    let odd = NodeIdentity {
        labels: BTreeMap::from([("kubernetes.io/os".to_owned(), "plan9".to_owned())]),
        ..identity()
    };
    assert_eq!(labels(&odd)["kubernetes.io/os"], "linux");
    assert_eq!(labels(&identity())["rack"], "4");
    assert_eq!(labels(&identity())["kubernetes.io/hostname"], "node-1");
}

#[test]
fn this_machine_can_be_read() {
    let facts = read_facts(Path::new("/"));
    assert!(
        facts.cpus > 0 && facts.memory_kib > 0 && facts.disk_kib > 0,
        "{facts:?}"
    );
    assert!(!facts.kernel.is_empty() && !facts.boot_id.is_empty());
    assert_eq!(
        memory_field("MemTotalX: 5 kB\nMemTotal:       24686396 kB\n", "MemTotal"),
        24_686_396
    );
    assert_eq!(
        pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"),
        "Debian GNU/Linux 12"
    );
    assert_eq!(pretty_name(""), "Linux");
}
