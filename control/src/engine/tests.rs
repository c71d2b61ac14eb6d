mod kinds;
mod rules;

use api::resource::by_path;
use serde_json::json;

use super::*;
use crate::store::StoreConfig;

struct Cluster {
    engine: Engine,
    caller: Caller,
    _dir: tempfile::TempDir,
}

/// An engine over a new store with the namespace `a` and its default ServiceAccount.
async fn cluster() -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::new(dir.path().join("store.redb"))).unwrap();
    let config = EngineConfig {
        service_cidr: "10.43.0.0/24".parse().unwrap(),
        reserved_ips: vec!["10.43.0.10".parse().unwrap()],
        node_port_range: 30000..=30100,
        default_not_ready_toleration: Duration::from_secs(300),
        tokens: Tokens::open(dir.path(), "https://issuer", "").unwrap(),
    };
    let cluster = Cluster {
        engine: Engine::new(store, config).unwrap(),
        caller: Caller::system("system:test"),
        _dir: dir,
    };
    cluster
        .create("namespaces", "", json!({"metadata": {"name": "a"}}))
        .await
        .unwrap();
    let account = json!({"metadata": {"name": "default"}});
    cluster.create("serviceaccounts", "a", account).await.unwrap();
    cluster
}

fn row(plural: &str) -> &'static Resource {
    by_path("", "v1", plural)
        .or_else(|| by_path("apps", "v1", plural))
        .unwrap()
}

impl Cluster {
    async fn create(&self, plural: &str, namespace: &str, object: Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.engine
            .create(&self.caller, row(plural), namespace, object, &options)
            .await
    }

    async fn update(
        &self,
        plural: &str,
        namespace: &str,
        part: Option<&str>,
        object: Value,
    ) -> Result<Value, ApiError> {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let options = WriteOptions::default();
        self.engine
            .update(&self.caller, row(plural), namespace, &name, part, object, &options)
            .await
    }

    async fn patch(&self, plural: &str, name: &str, part: Option<&str>, patch: Patch) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.engine
            .patch(&self.caller, row(plural), "a", name, part, patch, &options)
            .await
    }

    async fn delete(&self, plural: &str, namespace: &str, name: &str) -> Result<Deleted, ApiError> {
        let options = DeleteOptions::default();
        self.engine
            .delete(&self.caller, row(plural), namespace, name, options)
            .await
    }
}

fn config_map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

fn service(name: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["ports"] = json!([{"port": 80, "protocol": "TCP"}]);
    json!({"metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn an_object_is_created_once_and_read_back() {
    let cluster = cluster().await;
    let created = cluster
        .create("configmaps", "a", config_map("x", json!({"k": "v"})))
        .await
        .unwrap();
    assert_eq!(created["kind"], "ConfigMap");
    assert_eq!(created["metadata"]["namespace"], "a");
    assert!(!object::meta_str(&created, "uid").is_empty());
    assert_eq!(cluster.engine.get(row("configmaps"), "a", "x").unwrap(), created);
    let again = cluster
        .create("configmaps", "a", config_map("x", json!({})))
        .await
        .unwrap_err();
    assert_eq!(again.reason(), "AlreadyExists");
    assert_eq!(again.to_string(), "configmaps \"x\" already exists");
    let nowhere = cluster
        .create("configmaps", "b", config_map("x", json!({})))
        .await
        .unwrap_err();
    assert_eq!(nowhere.to_string(), "namespaces \"b\" not found");
    let missing = cluster.engine.get(row("deployments"), "a", "x").unwrap_err();
    assert_eq!(missing.to_string(), "deployments.apps \"x\" not found");
}

#[tokio::test]
async fn names_are_generated_and_differ() {
    let cluster = cluster().await;
    let body = json!({"metadata": {"generateName": "x-"}});
    let first = cluster.create("configmaps", "a", body.clone()).await.unwrap();
    let second = cluster.create("configmaps", "a", body).await.unwrap();
    let name = object::meta_str(&first, "name");
    assert!(name.starts_with("x-") && name.len() == 7, "{name}");
    assert_ne!(name, object::meta_str(&second, "name"));
}

#[tokio::test]
async fn a_stale_update_conflicts_and_one_that_changes_nothing_writes_nothing() {
    let cluster = cluster().await;
    let first = cluster
        .create("configmaps", "a", config_map("x", json!({"k": "1"})))
        .await
        .unwrap();
    let mut wanted = first.clone();
    wanted["data"]["k"] = json!("2");
    let second = cluster.update("configmaps", "a", None, wanted.clone()).await.unwrap();
    assert_ne!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    let stale = cluster
        .update("configmaps", "a", None, wanted.clone())
        .await
        .unwrap_err();
    assert_eq!(stale.reason(), "Conflict");
    assert!(
        stale
            .to_string()
            .starts_with("Operation cannot be fulfilled on configmaps \"x\": the object has been modified")
    );
    let revision = cluster.engine.store().revision();
    wanted["metadata"] = json!({"name": "x"});
    assert_eq!(cluster.update("configmaps", "a", None, wanted).await.unwrap(), second);
    assert_eq!(cluster.engine.store().revision(), revision);
}

#[tokio::test]
async fn concurrent_patches_all_count() {
    let cluster = cluster().await;
    cluster
        .create("configmaps", "a", config_map("x", json!({})))
        .await
        .unwrap();
    let patches = (0..20).map(|n| {
        let patch = Patch::Merge(json!({"data": {format!("k{n}"): "v"}}));
        cluster.patch("configmaps", "x", None, patch)
    });
    for result in futures::future::join_all(patches).await {
        result.unwrap();
    }
    let object = cluster.engine.get(row("configmaps"), "a", "x").unwrap();
    assert_eq!(object["data"].as_object().unwrap().len(), 20);
}

#[tokio::test]
async fn a_version_in_a_patch_is_a_precondition_and_names_are_fixed() {
    let cluster = cluster().await;
    cluster
        .create("configmaps", "a", config_map("x", json!({"k": "1"})))
        .await
        .unwrap();
    let stale = Patch::Merge(json!({"metadata": {"resourceVersion": "1"}, "data": {"k": "2"}}));
    assert_eq!(
        cluster
            .patch("configmaps", "x", None, stale)
            .await
            .unwrap_err()
            .reason(),
        "Conflict"
    );
    let renamed = Patch::Merge(json!({"metadata": {"name": "y"}}));
    assert_eq!(
        cluster
            .patch("configmaps", "x", None, renamed)
            .await
            .unwrap_err()
            .reason(),
        "BadRequest"
    );
    let json_patch = Patch::Json(br#"[{"op":"replace","path":"/data/k","value":"3"}]"#.to_vec());
    let patched = cluster.patch("configmaps", "x", None, json_patch).await.unwrap();
    assert_eq!(patched["data"]["k"], "3");
    let failing = Patch::Json(br#"[{"op":"test","path":"/data/k","value":"4"}]"#.to_vec());
    assert_eq!(
        cluster
            .patch("configmaps", "x", None, failing)
            .await
            .unwrap_err()
            .reason(),
        "Invalid"
    );
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let cluster = cluster().await;
    let revision = cluster.engine.store().revision();
    let options = WriteOptions {
        dry_run: true,
        ..WriteOptions::default()
    };
    let body = service("s", json!({"type": "NodePort"}));
    let created = cluster
        .engine
        .create(&cluster.caller, row("services"), "a", body, &options)
        .await
        .unwrap();
    assert!(created["spec"]["ports"][0]["nodePort"].is_number());
    assert_eq!(cluster.engine.store().revision(), revision);
}

#[tokio::test]
async fn addresses_and_ports_have_one_owner_and_are_released() {
    let cluster = cluster().await;
    let first = cluster
        .create("services", "a", service("s1", json!({"type": "NodePort"})))
        .await
        .unwrap();
    let ip = first["spec"]["clusterIP"].clone();
    let port = first["spec"]["ports"][0]["nodePort"].clone();
    let same_ip = service("s2", json!({"clusterIP": ip}));
    let taken = cluster.create("services", "a", same_ip.clone()).await.unwrap_err();
    assert_eq!(taken.reason(), "Invalid");
    assert!(
        taken.to_string().contains("provided IP is already allocated"),
        "{taken}"
    );
    let mut same_port = service("s2", json!({"type": "NodePort"}));
    same_port["spec"]["ports"][0]["nodePort"] = port;
    let taken = cluster.create("services", "a", same_port.clone()).await.unwrap_err();
    assert!(
        taken.to_string().contains("provided port is already allocated"),
        "{taken}"
    );
    let mut bare = service("s1", json!({"type": "NodePort"}));
    bare["metadata"]["labels"] = json!({"l": "1"});
    let replaced = cluster.update("services", "a", None, bare).await.unwrap();
    assert_eq!(
        (
            &replaced["spec"]["clusterIP"],
            &replaced["spec"]["ports"][0]["nodePort"]
        ),
        (&ip, &same_port["spec"]["ports"][0]["nodePort"])
    );
    cluster.delete("services", "a", "s1").await.unwrap();
    same_port["spec"]["clusterIP"] = ip;
    cluster.create("services", "a", same_port).await.unwrap();
}

#[tokio::test]
async fn many_services_at_once_never_share_an_address() {
    let cluster = cluster().await;
    let creations = (0..60).map(|n| cluster.create("services", "a", service(&format!("s{n}"), json!({}))));
    let mut addresses = std::collections::BTreeSet::new();
    for created in futures::future::join_all(creations).await {
        let ip = created.unwrap()["spec"]["clusterIP"].as_str().unwrap().to_owned();
        assert!(addresses.insert(ip.clone()), "{ip} was given twice");
    }
}

#[tokio::test]
async fn a_terminating_namespace_takes_nothing_new_and_goes_when_finalized() {
    let cluster = cluster().await;
    assert!(matches!(
        cluster.delete("namespaces", "", "a").await.unwrap(),
        Deleted::Pending(_)
    ));
    let refused = cluster
        .create("configmaps", "a", config_map("x", json!({})))
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), "Forbidden");
    assert_eq!(
        refused.details().unwrap()["causes"][0]["reason"],
        "NamespaceTerminating"
    );
    let finalized = json!({"metadata": {"name": "a"}, "spec": {"finalizers": []}});
    cluster
        .update("namespaces", "", Some("finalize"), finalized)
        .await
        .unwrap();
    assert_eq!(
        cluster.engine.get(row("namespaces"), "", "a").unwrap_err().reason(),
        "NotFound"
    );
    cluster
        .create("namespaces", "", json!({"metadata": {"name": "default"}}))
        .await
        .unwrap();
    let protected = cluster.delete("namespaces", "", "default").await.unwrap_err();
    assert_eq!(
        protected.to_string(),
        "namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
}

#[tokio::test]
async fn a_pod_is_bound_once_and_goes_gracefully() {
    let cluster = cluster().await;
    cluster.create("pods", "a", pod("p")).await.unwrap();
    let bound = cluster
        .engine
        .bind(&cluster.caller, "a", "p", None, "n1")
        .await
        .unwrap();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    let twice = cluster
        .engine
        .bind(&cluster.caller, "a", "p", None, "n2")
        .await
        .unwrap_err();
    assert_eq!(
        twice.to_string(),
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\""
    );
    let Deleted::Pending(marked) = cluster.delete("pods", "a", "p").await.unwrap() else {
        panic!("a running pod is stopped first");
    };
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let wrong = DeleteOptions {
        grace_period_s: Some(0),
        uid: Some("other".to_owned()),
        ..DeleteOptions::default()
    };
    let pods = row("pods");
    let refused = cluster
        .engine
        .delete(&cluster.caller, pods, "a", "p", wrong.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), "Conflict");
    let right = DeleteOptions {
        uid: Some(object::meta_str(&marked, "uid").to_owned()),
        ..wrong
    };
    let gone = cluster
        .engine
        .delete(&cluster.caller, pods, "a", "p", right)
        .await
        .unwrap();
    assert!(matches!(gone, Deleted::Gone(_)));
}

#[tokio::test]
async fn a_pod_waits_for_the_default_account_of_a_new_namespace() {
    let cluster = cluster().await;
    cluster
        .create("namespaces", "", json!({"metadata": {"name": "b"}}))
        .await
        .unwrap();
    let account = json!({"metadata": {"name": "default"}});
    let (created, _) = tokio::join!(
        cluster.create("pods", "b", pod("p")),
        cluster.create("serviceaccounts", "b", account)
    );
    created.unwrap();
    let mut other = pod("q");
    other["spec"]["serviceAccountName"] = json!("nobody");
    let refused = cluster.create("pods", "b", other).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "pods \"q\" is forbidden: error looking up service account b/nobody: serviceaccount \"nobody\" not found"
    );
}

#[tokio::test]
async fn the_last_finalizer_lets_a_deleted_object_go() {
    let cluster = cluster().await;
    let mut body = config_map("x", json!({}));
    body["metadata"]["finalizers"] = json!(["example.com/keep"]);
    cluster.create("configmaps", "a", body).await.unwrap();
    assert!(matches!(
        cluster.delete("configmaps", "a", "x").await.unwrap(),
        Deleted::Pending(_)
    ));
    let late = Patch::Merge(json!({"metadata": {"finalizers": ["example.com/keep", "example.com/late"]}}));
    assert_eq!(
        cluster.patch("configmaps", "x", None, late).await.unwrap_err().reason(),
        "Invalid"
    );
    let clear = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    cluster.patch("configmaps", "x", None, clear).await.unwrap();
    assert_eq!(
        cluster.engine.get(row("configmaps"), "a", "x").unwrap_err().reason(),
        "NotFound"
    );
}

#[tokio::test]
async fn scale_is_an_object_of_its_own() {
    let cluster = cluster().await;
    let body = json!({
        "metadata": {"name": "d"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "d"}},
            "template": {
                "metadata": {"labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    });
    let created = cluster.create("deployments", "a", body.clone()).await.unwrap();
    assert_eq!(
        cluster.update("deployments", "a", None, body).await.unwrap(),
        created,
        "defaults are no change"
    );
    let scale = cluster.engine.get_scale(row("deployments"), "a", "d").await.unwrap();
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!(2), &json!("app=d"))
    );
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let scaled = cluster.patch("deployments", "d", Some("scale"), patch).await.unwrap();
    assert_eq!(scaled["kind"], "Scale");
    let object = cluster.engine.get(row("deployments"), "a", "d").unwrap();
    assert_eq!(object["spec"]["replicas"], 5);
    assert_eq!(object["metadata"]["generation"], 2);
    assert_eq!(
        cluster
            .engine
            .get_scale(row("configmaps"), "a", "d")
            .await
            .unwrap_err()
            .reason(),
        "NotFound"
    );
    let negative = json!({"metadata": {"name": "d"}, "spec": {"replicas": -1}});
    let refused = cluster
        .update("deployments", "a", Some("scale"), negative)
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), "Invalid");
}

#[tokio::test]
async fn lists_are_paged_at_one_revision_and_filtered() {
    let cluster = cluster().await;
    for n in 0..7 {
        let mut body = config_map(&format!("c{n}"), json!({}));
        body["metadata"]["labels"] = json!({"even": (n % 2 == 0).to_string()});
        cluster.create("configmaps", "a", body).await.unwrap();
    }
    for (selector, names) in [("", 7), ("even=true", 4)] {
        let mut options = ListOptions {
            namespace: "a".to_owned(),
            labels: api::selector::LabelSelector::parse(selector).unwrap(),
            limit: 2,
            ..ListOptions::default()
        };
        let first = cluster.engine.list(row("configmaps"), &options).await.unwrap();
        cluster
            .create("configmaps", "a", config_map(&format!("late{names}"), json!({})))
            .await
            .unwrap();
        let mut seen: Vec<String> = first.items.iter().map(|item| item.key.name.clone()).collect();
        options.continue_token = first.continue_token;
        while !options.continue_token.is_empty() {
            let page = cluster.engine.list(row("configmaps"), &options).await.unwrap();
            assert_eq!(page.revision, first.revision);
            seen.extend(page.items.iter().map(|item| item.key.name.clone()));
            options.continue_token = page.continue_token;
        }
        seen.retain(|name| name.starts_with('c'));
        assert_eq!(seen.len(), names, "{selector}: {seen:?}");
        cluster
            .delete("configmaps", "a", &format!("late{names}"))
            .await
            .unwrap();
    }
    let future = ListOptions {
        version: ListVersion::NotOlderThan(1 << 40),
        ..ListOptions::default()
    };
    let refused = cluster.engine.list(row("configmaps"), &future).await.unwrap_err();
    assert_eq!(refused.reason(), "Timeout");
}
