use api::resource::by_path;

use super::*;

fn at() -> Timestamp {
    "2026-11-23T06:00:00Z".parse().unwrap()
}

fn pod(fields: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": "p", "generation": 1},
        "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 20},
        "status": {"phase": "Running"},
    });
    json_patch::merge(&mut pod, &fields);
    pod
}

fn options(grace: Option<i64>, propagation: Option<Propagation>) -> DeleteOptions {
    DeleteOptions {
        grace_period_s: grace,
        propagation,
        ..DeleteOptions::default()
    }
}

#[test]
fn grace_of_pods() {
    let pods = by_path("", "v1", "pods").unwrap();
    let rows = [
        ("its own grace", pod(json!({})), None, Some(20)),
        ("a longer one", pod(json!({})), Some(90), Some(90)),
        (
            "none given",
            pod(json!({"spec": {"terminationGracePeriodSeconds": null}})),
            None,
            Some(30),
        ),
        ("at once", pod(json!({})), Some(0), None),
        ("not bound", pod(json!({"spec": {"nodeName": ""}})), None, None),
        (
            "finished",
            pod(json!({"status": {"phase": "Succeeded"}})),
            Some(5),
            None,
        ),
        ("negative", pod(json!({})), Some(-3), Some(1)),
    ];
    for (name, object, grace, left) in rows {
        match (decide(pods, &object, &options(grace, None), at()), left) {
            (Next::Remove(_), None) => {}
            (Next::Put(new), Some(left)) => {
                assert_eq!(new["metadata"]["deletionGracePeriodSeconds"], left, "{name}");
                assert_eq!(new["metadata"]["generation"], 2, "{name}");
            }
            _ => panic!("{name}"),
        }
    }
}

#[test]
fn a_second_deletion_only_shortens() {
    let pods = by_path("", "v1", "pods").unwrap();
    let Next::Put(marked) = decide(pods, &pod(json!({})), &options(None, None), at()) else {
        panic!("a bound pod is marked");
    };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-11-23T06:00:20Z");
    assert!(matches!(decide(pods, &marked, &options(None, None), at()), Next::Keep));
    assert!(matches!(
        decide(pods, &marked, &options(Some(60), None), at()),
        Next::Keep
    ));
    assert!(matches!(
        decide(pods, &marked, &options(Some(0), None), at()),
        Next::Remove(_)
    ));
    let Next::Put(shorter) = decide(pods, &marked, &options(Some(5), None), at()) else {
        panic!("the grace is shortened");
    };
    assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-11-23T06:00:05Z");
}

#[test]
fn propagation_is_told_by_finalizers() {
    let deployments = by_path("apps", "v1", "deployments").unwrap();
    let own = json!({"metadata": {"name": "d", "finalizers": ["a/b", "orphan"]}});
    let rows = [
        (None, json!(["a/b", "orphan"])),
        (Some(Propagation::Background), json!(["a/b"])),
        (Some(Propagation::Foreground), json!(["a/b", "foregroundDeletion"])),
        (Some(Propagation::Orphan), json!(["a/b", "orphan"])),
    ];
    for (propagation, finalizers) in rows {
        let Next::Put(new) = decide(deployments, &own, &options(None, propagation), at()) else {
            panic!("{propagation:?}");
        };
        assert_eq!(new["metadata"]["finalizers"], finalizers, "{propagation:?}");
        assert_eq!(new["metadata"]["deletionTimestamp"], "2026-11-23T06:00:00Z");
    }
    let plain = json!({"metadata": {"name": "d"}});
    let gone = decide(deployments, &plain, &options(None, Some(Propagation::Background)), at());
    assert!(matches!(gone, Next::Remove(_)));
}

#[test]
fn a_namespace_is_terminating_until_it_is_finalized() {
    let namespaces = by_path("", "v1", "namespaces").unwrap();
    let active =
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let Next::Put(marked) = decide(namespaces, &active, &options(None, None), at()) else {
        panic!("the finalizer keeps it");
    };
    assert_eq!(marked["status"]["phase"], "Terminating");
    assert!(matches!(
        decide(namespaces, &marked, &options(None, None), at()),
        Next::Keep
    ));
}
