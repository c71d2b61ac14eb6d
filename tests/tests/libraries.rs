//! Client libraries as people use them: the `kube` crate with its watcher and reflector, and Python's `kubernetes`.

#![allow(missing_docs, reason = "a test program")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use api::k8s_openapi::api::core::v1::ConfigMap;
use futures::StreamExt as _;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt as _, reflector, watcher},
};
use serde_json::json;
use tests::{Sandbox, not_run, sandbox::SOON};

/// Objects that are made for pages and for the reflector.
const MANY: usize = 25;

async fn client(kubeconfig: &Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).expect("read the kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(config, &options)
        .await
        .expect("a configuration");
    Client::try_from(config).expect("a client")
}

fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.metadata.labels = Some(BTreeMap::from([("made".to_owned(), "here".to_owned())]));
    map.data = Some(BTreeMap::from([("value".to_owned(), value.to_owned())]));
    map
}

fn value(map: &ConfigMap) -> &str {
    map.data
        .as_ref()
        .and_then(|data| data.get("value"))
        .map_or("", String::as_str)
}

#[test]
fn libraries_work_unmodified() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let maps: Api<ConfigMap> = Api::default_namespaced(client(&sandbox.kubeconfig()).await);
        objects_are_written_and_read(&maps).await;
        a_watcher_and_a_reflector_follow(&maps).await;
    });
    with_python(&sandbox.kubeconfig());
}

async fn objects_are_written_and_read(maps: &Api<ConfigMap>) {
    let made = maps
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .expect("create");
    assert!(made.uid().is_some() && made.resource_version().is_some());
    let again = maps.create(&PostParams::default(), &config_map("a", "1")).await;
    assert!(matches!(again, Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" && status.code == 409));

    let mut newer = maps.get("a").await.expect("get");
    newer.data = config_map("a", "2").data;
    let replaced = maps
        .replace("a", &PostParams::default(), &newer)
        .await
        .expect("replace");
    assert_eq!(value(&replaced), "2");
    let stale = maps.replace("a", &PostParams::default(), &newer).await;
    assert!(matches!(stale, Err(kube::Error::Api(status)) if status.reason == "Conflict" && status.code == 409));

    let merge = Patch::Merge(json!({"data": {"value": "3"}}));
    let patched = maps.patch("a", &PatchParams::default(), &merge).await.expect("merge");
    assert_eq!(value(&patched), "3");
    let apply = Patch::Apply(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"value": "4"},
    }));
    let refused = maps.patch("a", &PatchParams::apply("me"), &apply).await;
    assert!(
        matches!(refused, Err(kube::Error::Api(status)) if status.code == 409),
        "another manager owns the field"
    );
    let forced = maps
        .patch("a", &PatchParams::apply("me").force(), &apply)
        .await
        .expect("apply");
    assert_eq!(value(&forced), "4");

    for number in 0..MANY {
        let map = config_map(&format!("many-{number:02}"), "x");
        maps.create(&PostParams::default(), &map).await.expect("create");
    }
    let mut parameters = ListParams::default().labels("made=here").limit(10);
    let mut names = Vec::new();
    loop {
        let page = maps.list(&parameters).await.expect("list");
        names.extend(page.items.iter().map(kube::ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names.len(), MANY + 1);
    maps.delete("a", &DeleteParams::default()).await.expect("delete");
    assert!(maps.get_opt("a").await.expect("get").is_none());
}

async fn a_watcher_and_a_reflector_follow(maps: &Api<ConfigMap>) {
    for config in [
        watcher::Config::default().labels("made=here"),
        watcher::Config::default().labels("made=here").streaming_lists(),
    ] {
        let (store, writer) = reflector::store();
        let events = reflector(writer, watcher(maps.clone(), config)).applied_objects();
        let following = tokio::spawn(events.for_each(|event| async move {
            event.expect("an event");
        }));
        tokio::time::timeout(SOON, store.wait_until_ready())
            .await
            .expect("in time")
            .expect("ready");
        assert_eq!(store.len(), MANY);
        maps.create(&PostParams::default(), &config_map("late", "1"))
            .await
            .expect("create");
        let merge = Patch::Merge(json!({"data": {"value": "2"}}));
        maps.patch("late", &PatchParams::default(), &merge)
            .await
            .expect("patch");
        until("the reflector sees the change", || {
            let found = store.find(|map| map.name_any() == "late");
            found.is_some_and(|map: Arc<ConfigMap>| value(&map) == "2")
        })
        .await;
        maps.delete("late", &DeleteParams::default()).await.expect("delete");
        until("the reflector sees the deletion", || store.len() == MANY).await;
        following.abort();
    }
    maps.delete_collection(&DeleteParams::default(), &ListParams::default().labels("made=here"))
        .await
        .expect("delete the collection");
    let left = maps
        .list(&ListParams::default().labels("made=here"))
        .await
        .expect("list");
    assert_eq!(left.items.len(), 0);
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, looking)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// The library from PyPI, in the version that `cargo xtask setup` gets, through a script that checks by itself.
fn with_python(kubeconfig: &Path) {
    let Some(library) = xtask::setup::python::find() else {
        return not_run("Python's kubernetes library is not there; `cargo xtask setup` gets it");
    };
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join("client.py");
    let mut python = Command::new("python3");
    python
        .arg(script)
        .env("KUBECONFIG", kubeconfig)
        .env("PYTHONPATH", library);
    let said = tests::sandbox::run(python);
    assert_eq!(said.lines().last(), Some("all passed"), "{said}");
}
