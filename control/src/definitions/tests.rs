//! Definitions through the engine: kinds come, change and go with their objects.

use std::time::Duration;

use api::resource::Resource;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Definitions, caller, row};
use crate::{
    engine::{
        ApiError, Application, Applied, DeleteOptions, Deleted, Engine, EngineConfig, Patch, Tokens, WriteOptions,
        object,
    },
    store::{Store, StoreConfig},
};

struct Cluster {
    engine: Engine,
    store: Store,
    _dir: tempfile::TempDir,
}

async fn cluster() -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::new(dir.path().join("store.redb"))).unwrap();
    let config = EngineConfig {
        service_cidr: "10.43.0.0/24".parse().unwrap(),
        reserved_ips: Vec::new(),
        node_port_range: 30000..=30100,
        default_not_ready_toleration: Duration::from_secs(300),
        tokens: Tokens::open(dir.path(), "https://issuer", "").unwrap(),
    };
    let engine = Engine::new(store.clone(), config).unwrap();
    let (definitions, changes) = Definitions::open(engine.clone()).unwrap();
    tokio::spawn(definitions.run(changes, CancellationToken::new()));
    Cluster {
        engine,
        store,
        _dir: dir,
    }
}

fn version(name: &str, is_stored: bool, properties: &Value) -> Value {
    json!({
        "name": name, "served": true, "storage": is_stored,
        "schema": { "openAPIV3Schema": { "type": "object", "properties": {
            "spec": { "type": "object", "properties": properties },
            "status": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
        } } },
        "subresources": {
            "status": {},
            "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
        },
    })
}

fn definition(versions: &[Value]) -> Value {
    json!({
        "metadata": { "name": "rigs.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": { "plural": "rigs", "kind": "Rig" },
            "versions": versions,
        },
    })
}

impl Cluster {
    async fn create(&self, row: &'static Resource, object: Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.engine.create(&caller(), row, "", object, &options).await
    }

    async fn patch(&self, row: &'static Resource, name: &str, patch: Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        let patch = Patch::Merge(patch);
        self.engine.patch(&caller(), row, "", name, None, patch, &options).await
    }

    /// The row at a path, once it is served.
    async fn served(&self, version: &str) -> &'static Resource {
        for _ in 0..1000 {
            let found = self.engine.registry().kinds().by_path("example.com", version, "rigs");
            if let Some(row) = found {
                return row;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("version {version} is not served");
    }

    async fn gone(&self, row: &'static Resource, name: &str) {
        for _ in 0..1000 {
            if let Err(ApiError::NotFound(_)) = self.engine.get(row, "", name) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} is still there");
    }
}

#[tokio::test]
async fn a_definition_adds_a_kind_whose_objects_follow_its_schema() {
    let cluster = cluster().await;
    let properties = json!({
        "replicas": { "type": "integer", "default": 2 },
        "size": { "type": "integer", "maximum": 5 },
    });
    let created = cluster
        .create(row(), definition(&[version("v1", true, &properties)]))
        .await
        .unwrap();
    assert_eq!(created["status"]["storedVersions"], json!(["v1"]));
    let rigs = cluster.served("v1").await;
    let rig = json!({ "metadata": { "name": "a" }, "spec": { "size": 3, "bogus": 1 }, "status": { "replicas": 9 } });
    let rig = cluster.create(rigs, rig).await.unwrap();
    assert_eq!(rig["spec"], json!({ "replicas": 2, "size": 3 }));
    assert_eq!(rig["status"], Value::Null, "the status is written through its own path");
    assert_eq!(rig["metadata"]["generation"], 1);
    let scale = cluster.engine.get_scale(rigs, "", "a").await.unwrap();
    assert_eq!(scale["spec"]["replicas"], 2);
    let refused = cluster
        .patch(rigs, "a", json!({ "spec": { "size": 6 } }))
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "Rig.example.com \"a\" is invalid: spec.size: Invalid value: 6: spec.size in body should be less than or \
         equal to 5"
    );
    let options = WriteOptions::default();
    let strategic = Patch::Strategic(json!({}));
    let refused = cluster
        .engine
        .patch(&caller(), rigs, "", "a", None, strategic, &options)
        .await;
    assert_eq!(refused.unwrap_err().reason(), "UnsupportedMediaType");
}

#[tokio::test]
async fn what_is_applied_to_a_custom_object_merges_as_its_schema_says() {
    let cluster = cluster().await;
    let port = json!({ "type": "object", "required": ["number"], "properties": {
        "name": { "type": "string" },
        "number": { "type": "integer" },
        "protocol": { "type": "string", "default": "TCP" },
    } });
    let properties = json!({
        "ports": {
            "type": "array",
            "items": port,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["number", "protocol"],
        },
        "tags": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
        "pair": { "type": "object", "x-kubernetes-map-type": "atomic", "properties": {
            "a": { "type": "string" },
            "b": { "type": "string" },
        } },
        "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    });
    let made = definition(&[version("v1", true, &properties)]);
    cluster.create(row(), made).await.unwrap();
    let rigs = cluster.served("v1").await;
    let apply = async |manager: &str, spec: Value| {
        let application = Application {
            config: json!({
                "apiVersion": "example.com/v1",
                "kind": "Rig",
                "metadata": { "name": "a", "labels": { manager: "here" } },
                "spec": spec,
            }),
            force: false,
        };
        let (caller, options) = (caller(), WriteOptions::by(manager));
        let applied = cluster
            .engine
            .apply(&caller, rigs, "", "a", None, application, &options);
        match applied.await? {
            Applied::Created(object) | Applied::Updated(object) => Ok::<Value, ApiError>(object),
        }
    };
    let first = json!({
        "ports": [{ "number": 80, "name": "web" }],
        "tags": ["x"],
        "pair": { "a": "1" },
        "free": { "mine": { "deep": 1 } },
    });
    apply("one", first).await.unwrap();
    let second = json!({
        "ports": [{ "number": 80, "protocol": "UDP" }],
        "tags": ["y"],
        "free": { "others": 2 },
    });
    let object = apply("two", second).await.unwrap();
    assert_eq!(
        object["spec"]["ports"],
        json!([{ "number": 80, "protocol": "TCP", "name": "web" }, { "number": 80, "protocol": "UDP" }])
    );
    assert_eq!(object["spec"]["tags"], json!(["x", "y"]));
    assert_eq!(object["spec"]["free"], json!({ "mine": { "deep": 1 }, "others": 2 }));
    assert_eq!(object["metadata"]["labels"], json!({ "one": "here", "two": "here" }));

    let refused = apply("two", json!({ "pair": { "b": "2" } })).await.unwrap_err();
    assert!(
        matches!(&refused, ApiError::ApplyConflict { .. }),
        "{refused}: the pair is one value"
    );
    let object = apply("one", json!({ "tags": ["x"] })).await.unwrap();
    assert_eq!(object["spec"]["ports"], json!([{ "number": 80, "protocol": "UDP" }]));
    assert_eq!(object["spec"].get("pair"), None);
}

#[tokio::test]
async fn versions_show_the_same_objects_and_defaults_apply_to_what_is_stored() {
    let cluster = cluster().await;
    let old = json!({ "a": { "type": "string" } });
    cluster
        .create(row(), definition(&[version("v1", true, &old)]))
        .await
        .unwrap();
    let first = cluster.served("v1").await;
    cluster
        .create(first, json!({ "metadata": { "name": "a" }, "spec": { "a": "x" } }))
        .await
        .unwrap();
    let new = json!({ "a": { "type": "string" }, "b": { "type": "string", "default": "y" } });
    let versions = [version("v1", false, &old), version("v2", true, &new)];
    let patched = cluster
        .patch(row(), "rigs.example.com", json!({ "spec": { "versions": versions } }))
        .await
        .unwrap();
    assert_eq!(patched["status"]["storedVersions"], json!(["v1", "v2"]));
    let second = cluster.served("v2").await;
    let shown = cluster.engine.get(second, "", "a").unwrap();
    assert_eq!(shown["apiVersion"], "example.com/v2");
    assert_eq!(shown["spec"], json!({ "a": "x", "b": "y" }));
    let first = cluster.served("v1").await;
    let shown = cluster.engine.get(first, "", "a").unwrap();
    assert_eq!(
        (&shown["apiVersion"], &shown["spec"]),
        (&json!("example.com/v1"), &json!({ "a": "x" }))
    );
    cluster
        .patch(first, "a", json!({ "spec": { "a": "z" } }))
        .await
        .unwrap();
    let stored = cluster.engine.get_stored(second, "", "a").await.unwrap();
    assert!(
        stored.value.starts_with(b"{\"apiVersion\":\"example.com/v2\","),
        "written as the version to store"
    );
}

#[tokio::test]
async fn a_definition_goes_after_its_objects() {
    let cluster = cluster().await;
    cluster
        .create(row(), definition(&[version("v1", true, &json!({}))]))
        .await
        .unwrap();
    let rigs = cluster.served("v1").await;
    let kept = json!({ "metadata": { "name": "a", "finalizers": ["example.com/keep"] }, "spec": {} });
    cluster.create(rigs, kept).await.unwrap();
    let end = cluster.engine.registry().end_of(rigs);
    let options = DeleteOptions::default();
    let deleted = cluster
        .engine
        .delete(&caller(), row(), "", "rigs.example.com", options)
        .await;
    let Ok(Deleted::Pending(definition)) = deleted else {
        panic!("{deleted:?}")
    };
    assert_eq!(
        object::finalizers(&definition),
        ["customresourcecleanup.apiextensions.k8s.io"]
    );
    for _ in 0..1000 {
        if cluster
            .create(rigs, json!({ "metadata": { "name": "b" } }))
            .await
            .is_err()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(
        cluster.engine.get(row(), "", "rigs.example.com").is_ok(),
        "an object is kept"
    );
    cluster
        .patch(rigs, "a", json!({ "metadata": { "finalizers": null } }))
        .await
        .unwrap();
    cluster.gone(row(), "rigs.example.com").await;
    tokio::time::timeout(Duration::from_secs(10), end.cancelled())
        .await
        .unwrap();
    assert_eq!(
        cluster.engine.registry().kinds().by_path("example.com", "v1", "rigs"),
        None
    );
    cluster.store.close().await;
}
