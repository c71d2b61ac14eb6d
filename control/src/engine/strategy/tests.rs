use api::resource::by_path;

use super::*;

fn row(group: &str, plural: &str) -> &'static Resource {
    by_path(group, "v1", plural).unwrap()
}

#[test]
fn a_new_object_starts_with_what_the_server_owns() {
    let rows = [
        (
            "",
            "pods",
            json!({"phase": "Pending", "qosClass": "BestEffort"}),
            json!(1),
        ),
        ("", "services", json!({"loadBalancer": {}}), Value::Null),
        ("", "namespaces", json!({"phase": "Active"}), Value::Null),
        ("", "nodes", json!({"phase": "given"}), Value::Null),
        ("", "configmaps", json!({"phase": "given"}), Value::Null),
        ("apps", "deployments", json!({}), json!(1)),
        ("apps", "replicasets", json!({"replicas": 0}), json!(1)),
        (
            "apps",
            "statefulsets",
            json!({"availableReplicas": 0, "replicas": 0}),
            json!(1),
        ),
        ("", "persistentvolumeclaims", json!({"phase": "Pending"}), Value::Null),
        ("", "resourcequotas", json!({}), Value::Null),
        ("batch", "cronjobs", json!({}), json!(1)),
    ];
    for (group, plural, status, generation) in rows {
        let mut object = json!({
            "metadata": {"name": "x", "uid": "mine", "generation": 7, "deletionTimestamp": "then", "annotations": {}},
            "status": {"phase": "given"},
        });
        prepare_create(row(group, plural), &mut object, "u1", "now");
        assert_eq!(object["status"], status, "{plural}");
        assert_eq!(object["metadata"]["generation"], generation, "{plural}");
        assert_eq!(object["metadata"]["uid"], "u1", "{plural}");
        assert_eq!(object["metadata"]["creationTimestamp"], "now", "{plural}");
        assert!(object["metadata"].get("deletionTimestamp").is_none(), "{plural}");
        assert!(object["metadata"].get("annotations").is_none(), "{plural}");
    }
}

#[test]
fn a_namespace_has_its_finalizer_and_its_name_as_a_label() {
    let mut object = json!({"metadata": {"name": "x", "labels": {"a": "b"}}});
    prepare_create(row("", "namespaces"), &mut object, "u", "now");
    assert_eq!(object["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(
        object["metadata"]["labels"],
        json!({"a": "b", "kubernetes.io/metadata.name": "x"})
    );
    let wanted = json!({"metadata": {"name": "x"}, "spec": {"finalizers": []}});
    let kept = prepare_update(row("", "namespaces"), Part::Main, &object, wanted.clone());
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]));
    let finalized = prepare_update(row("", "namespaces"), Part::Finalize, &object, wanted);
    assert_eq!(finalized["spec"]["finalizers"], json!([]));
    assert_eq!(finalized["metadata"], object["metadata"]);
}

#[test]
fn spec_and_status_are_written_apart_and_generation_counts_specs() {
    let deployments = row("apps", "deployments");
    let old = json!({
        "metadata": {"name": "x", "generation": 3, "uid": "u", "resourceVersion": "9", "labels": {"l": "1"}},
        "spec": {"replicas": 1},
        "status": {"replicas": 1},
    });
    let wanted = json!({
        "metadata": {"name": "x", "generation": 99, "uid": "other", "labels": {"l": "2"}, "annotations": {"a": "1"}},
        "spec": {"replicas": 2},
        "status": {"replicas": 2},
    });
    let main = prepare_update(deployments, Part::Main, &old, wanted.clone());
    assert_eq!(main["spec"]["replicas"], 2);
    assert_eq!(main["status"]["replicas"], 1);
    assert_eq!(main["metadata"]["generation"], 4);
    assert_eq!(main["metadata"]["uid"], "u");
    assert_eq!(main["metadata"]["resourceVersion"], "9");
    assert_eq!(main["metadata"]["labels"]["l"], "2");

    let status = prepare_update(deployments, Part::Status, &old, wanted.clone());
    assert_eq!(status["spec"]["replicas"], 1);
    assert_eq!(status["status"]["replicas"], 2);
    assert_eq!(status["metadata"]["generation"], 3);
    assert_eq!(status["metadata"]["labels"]["l"], "1");
    assert_eq!(status["metadata"]["annotations"]["a"], "1");

    let mut same = wanted;
    same["spec"]["replicas"] = json!(1);
    same["metadata"].as_object_mut().unwrap().remove("annotations");
    let labelled = prepare_update(deployments, Part::Main, &old, same);
    assert_eq!(labelled["metadata"]["generation"], 3);
}

#[test]
fn plain_text_of_a_secret_becomes_data() {
    let mut object = json!({"metadata": {"name": "x"}, "stringData": {"p": "q"}, "data": {"a": "YQ=="}});
    prepare_create(row("", "secrets"), &mut object, "u", "now");
    assert_eq!(object["data"], json!({"a": "YQ==", "p": "cQ=="}));
    assert!(object.get("stringData").is_none());
}

#[test]
fn quality_of_service() {
    let container = |requests: Value, limits: Value| json!({"resources": {"requests": requests, "limits": limits}});
    let full = json!({"cpu": "1", "memory": "1Gi"});
    let rows = [
        (vec![container(json!({}), json!({}))], "BestEffort"),
        (vec![container(json!({"cpu": "0"}), json!({}))], "BestEffort"),
        (vec![container(json!({"cpu": "1"}), json!({}))], "Burstable"),
        (vec![container(full.clone(), full.clone())], "Guaranteed"),
        (
            vec![container(json!({"cpu": "1000m", "memory": "1024Mi"}), full.clone())],
            "Guaranteed",
        ),
        (
            vec![container(json!({"cpu": "500m", "memory": "1Gi"}), full.clone())],
            "Burstable",
        ),
        (
            vec![container(full.clone(), full), container(json!({}), json!({}))],
            "Burstable",
        ),
    ];
    for (containers, class) in rows {
        let pod = json!({"spec": {"containers": containers}});
        assert_eq!(qos::class(&pod), class, "{pod}");
    }
}

#[test]
fn what_keeps_a_marked_object() {
    let (pods, namespaces) = (row("", "pods"), row("", "namespaces"));
    let rows = [
        (pods, json!({"metadata": {}}), false),
        (pods, json!({"metadata": {"deletionTimestamp": "t"}}), true),
        (
            pods,
            json!({"metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 30}}),
            false,
        ),
        (
            pods,
            json!({"metadata": {"deletionTimestamp": "t", "deletionGracePeriodSeconds": 0}}),
            true,
        ),
        (
            pods,
            json!({"metadata": {"deletionTimestamp": "t", "finalizers": ["a/b"]}}),
            false,
        ),
        (
            namespaces,
            json!({"metadata": {"deletionTimestamp": "t"}, "spec": {"finalizers": ["kubernetes"]}}),
            false,
        ),
        (
            namespaces,
            json!({"metadata": {"deletionTimestamp": "t"}, "spec": {"finalizers": []}}),
            true,
        ),
    ];
    for (resource, object, goes) in rows {
        assert_eq!(may_go(resource, &object), goes, "{object}");
    }
}

#[test]
fn a_job_knows_its_pods_by_its_uid() {
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {}});
    let mut job = json!({"metadata": {"name": "j"}, "spec": {"template": template}});
    prepare_create(row("batch", "jobs"), &mut job, "u1", "now");
    assert_eq!(
        job["spec"]["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u1"}})
    );
    assert_eq!(
        job["spec"]["template"]["metadata"]["labels"],
        json!({
            "app": "x",
            "controller-uid": "u1",
            "batch.kubernetes.io/controller-uid": "u1",
            "job-name": "j",
            "batch.kubernetes.io/job-name": "j",
        })
    );
    let own = json!({"manualSelector": true, "selector": {"matchLabels": {"app": "x"}}, "template": template});
    let mut job = json!({"metadata": {"name": "j"}, "spec": own});
    prepare_create(row("batch", "jobs"), &mut job, "u1", "now");
    assert_eq!(job["spec"], own);
}

#[test]
fn what_counts_as_a_change_of_what_is_asked_for() {
    let rows = [
        ("apps", "deployments", "/metadata/annotations", json!({"a": "b"}), 2),
        ("apps", "replicasets", "/metadata/annotations", json!({"a": "b"}), 1),
        ("scheduling.k8s.io", "priorityclasses", "/description", json!("d"), 1),
        ("apps", "statefulsets", "/spec", json!({"replicas": 2}), 2),
    ];
    for (group, plural, pointer, value, generation) in rows {
        let old = json!({"metadata": {"name": "x", "generation": 1}, "spec": {}});
        let mut wanted = old.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        wanted.pointer_mut(parent).unwrap()[field] = value;
        let new = prepare_update(row(group, plural), Part::Main, &old, wanted);
        assert_eq!(new["metadata"]["generation"], generation, "{plural}");
    }
}

#[test]
fn a_claims_two_data_sources_agree() {
    let source = json!({"kind": "PersistentVolumeClaim", "name": "old"});
    for field in ["dataSource", "dataSourceRef"] {
        let mut claim = json!({"metadata": {"name": "c"}, "spec": {}});
        claim["spec"][field] = source.clone();
        prepare_create(row("", "persistentvolumeclaims"), &mut claim, "u", "now");
        assert_eq!(
            claim["spec"],
            json!({"dataSource": source, "dataSourceRef": source}),
            "{field}"
        );
    }
    let mut claim = json!({"metadata": {"name": "c"}, "spec": {"dataSourceRef": {"namespace": "other"}}});
    prepare_create(row("", "persistentvolumeclaims"), &mut claim, "u", "now");
    assert!(claim["spec"].get("dataSource").is_none());
}
