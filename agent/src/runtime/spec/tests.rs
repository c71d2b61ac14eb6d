use std::{collections::BTreeSet, path::Path};

use api::k8s_openapi::api::core::v1::Container;
use serde_json::{Value, json};

use super::{Machine, Namespaces, PidNamespace, Plan, SpecError, config};
use crate::runtime::{cgroup::Limits, user::User};

fn machine(without: &[&str]) -> Machine {
    let capabilities = super::CAPABILITY_NAMES.iter().filter(|name| !without.contains(name));
    Machine {
        capabilities: capabilities.map(|name| (*name).to_owned()).collect(),
        open_files_max: 1024,
        unified_cgroups: false,
    }
}

fn config_of(container: Value, machine: &Machine) -> Result<Value, SpecError> {
    config_in(container, machine, &Namespaces::default())
}

fn config_in(container: Value, machine: &Machine, namespaces: &Namespaces) -> Result<Value, SpecError> {
    let mut container = container;
    container["name"] = json!("c");
    let container: Container = serde_json::from_value(container).unwrap();
    config(&Plan {
        container: &container,
        pod_security: None,
        machine,
        rootfs: Path::new("/r"),
        args: &["/bin/true".to_owned()],
        env: &[],
        working_dir: "/",
        user: &User::default(),
        namespaces,
        binds: &[],
        shm: Path::new("/s"),
        cgroup: "skep/n/pods/u/c",
        limits: &Limits::default(),
        oom_score_adj: -997,
        sysctls: &[],
    })
}

#[test]
fn capabilities_follow_the_security_context() {
    let default: BTreeSet<&str> = super::CAPABILITIES.into_iter().collect();
    let without = |names: &[&str]| default.iter().filter(|name| !names.contains(name)).copied().collect();
    for (security, expected) in [
        (json!({}), default.clone()),
        (json!({"capabilities": {"drop": ["ALL"]}}), BTreeSet::new()),
        (
            json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}),
            ["CAP_NET_ADMIN"].into(),
        ),
        (
            json!({"capabilities": {"drop": ["cap_kill", "CHOWN"]}}),
            without(&["CAP_KILL", "CAP_CHOWN"]),
        ),
        // The machine does not have it.
        (json!({"capabilities": {"add": ["SYS_RESOURCE"]}}), default.clone()),
    ] {
        let row = security.to_string();
        let config = config_of(json!({"securityContext": security}), &machine(&["CAP_SYS_RESOURCE"])).unwrap();
        let bounding: BTreeSet<&str> = config["process"]["capabilities"]["bounding"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(bounding, expected, "{row}");
    }
    let unknown = config_of(
        json!({"securityContext": {"capabilities": {"add": ["FLY"]}}}),
        &machine(&[]),
    );
    assert_eq!(unknown, Err(SpecError::Capability("FLY".to_owned())));
}

#[test]
fn seccomp_is_loaded_while_the_right_to_it_is_there() {
    let unconfined = config_of(json!({}), &machine(&[])).unwrap();
    assert!(unconfined["linux"].get("seccomp").is_none());
    let profile = json!({"seccompProfile": {"type": "RuntimeDefault"}, "allowPrivilegeEscalation": true});
    let default = config_of(json!({"securityContext": profile}), &machine(&[])).unwrap();
    assert_eq!(default["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(
        default["process"].get("noNewPrivileges").is_none(),
        "false would load it too late"
    );
    let local = json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "x"}});
    assert!(matches!(
        config_of(json!({"securityContext": local}), &machine(&[])),
        Err(SpecError::Seccomp(_))
    ));
}

#[test]
fn a_privileged_container_sees_the_machine() {
    let config = config_of(json!({"securityContext": {"privileged": true}}), &machine(&[])).unwrap();
    assert_eq!(config["linux"]["maskedPaths"], json!([]));
    assert_eq!(config["linux"]["resources"]["devices"][0]["allow"], true);
    assert_eq!(
        config["process"]["capabilities"]["bounding"].as_array().unwrap().len(),
        super::CAPABILITY_NAMES.len()
    );
}

#[test]
fn a_score_below_zero_needs_the_right_to_it() {
    let score = |machine| config_of(json!({}), &machine).unwrap()["process"]["oomScoreAdj"].clone();
    assert_eq!(score(machine(&[])), -997);
    assert_eq!(score(machine(&["CAP_SYS_RESOURCE"])), 0);
}

#[test]
fn who_joins_others_processes_has_no_old_cgroups() {
    let joining = Namespaces {
        pid: PidNamespace::Of("/proc/7/ns/pid".into()),
        ..Namespaces::default()
    };
    for (unified_cgroups, namespaces, expected) in [
        (false, Namespaces::default(), true),
        (true, Namespaces::default(), true),
        (true, joining.clone(), true),
        (false, joining, false),
    ] {
        let machine = Machine {
            unified_cgroups,
            ..machine(&[])
        };
        let config = config_in(json!({}), &machine, &namespaces).unwrap();
        let mut mounts = config["mounts"].as_array().unwrap().iter();
        let has = mounts.any(|mount| mount["type"] == "cgroup");
        assert_eq!(has, expected, "{unified_cgroups} {namespaces:?}");
    }
}
