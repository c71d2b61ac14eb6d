//! Kinds that are served in several forms, that depend on others, or that no planner knows.

use super::*;

fn v1() -> &'static Resource {
    by_path("autoscaling", "v1", "horizontalpodautoscalers").unwrap()
}

fn v2() -> &'static Resource {
    by_path("autoscaling", "v2", "horizontalpodautoscalers").unwrap()
}

fn classes() -> &'static Resource {
    by_path("scheduling.k8s.io", "v1", "priorityclasses").unwrap()
}

impl Cluster {
    async fn make(&self, resource: &Resource, object: Value) -> Result<Value, ApiError> {
        let options = WriteOptions::default();
        self.engine.create(&self.caller, resource, "a", object, &options).await
    }
}

#[tokio::test]
async fn an_object_is_one_in_all_forms() {
    let cluster = cluster().await;
    let target = json!({"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"});
    let object = json!({"metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": 50}});
    let created = cluster.make(v1(), object).await.unwrap();
    assert_eq!(created["apiVersion"], "autoscaling/v1");
    assert_eq!(created["spec"]["targetCPUUtilizationPercentage"], 50);
    let percent = |object: &Value| object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].clone();
    let new = cluster.engine.get(v2(), "a", "h").unwrap();
    assert_eq!(new["apiVersion"], "autoscaling/v2");
    assert_eq!(percent(&new), 50);
    assert_eq!(
        new["metadata"]["resourceVersion"],
        created["metadata"]["resourceVersion"]
    );

    let options = WriteOptions::default();
    let patch = Patch::Strategic(json!({"spec": {"targetCPUUtilizationPercentage": 70}}));
    let patched = cluster
        .engine
        .patch(&cluster.caller, v1(), "a", "h", None, patch, &options)
        .await
        .unwrap();
    assert_eq!(patched["spec"]["targetCPUUtilizationPercentage"], 70);
    let mut wanted = cluster.engine.get(v2(), "a", "h").unwrap();
    assert_eq!(percent(&wanted), 70);
    wanted["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = json!(90);
    let updated = cluster
        .engine
        .update(&cluster.caller, v2(), "a", "h", None, wanted, &options)
        .await
        .unwrap();
    assert_eq!(updated["apiVersion"], "autoscaling/v2");

    let page = cluster.engine.list(v1(), &ListOptions::default()).await.unwrap();
    let listed = object::decode_as(v1(), &page.items[0]).unwrap();
    assert_eq!(listed["apiVersion"], "autoscaling/v1");
    assert_eq!(listed["spec"]["targetCPUUtilizationPercentage"], 90);
    let config = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "labels": {"a": "b"}},
        "spec": {"targetCPUUtilizationPercentage": 90},
    });
    let application = Application { config, force: false };
    let options = WriteOptions::by("me");
    let applied = cluster
        .engine
        .apply(&cluster.caller, v1(), "a", "h", None, application, &options)
        .await
        .unwrap();
    let Applied::Updated(applied) = applied else {
        panic!("it was there");
    };
    assert_eq!(applied["apiVersion"], "autoscaling/v1");
    assert_eq!(applied["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(applied["spec"]["targetCPUUtilizationPercentage"], 90);

    let deleted = cluster
        .engine
        .delete(&cluster.caller, v1(), "a", "h", DeleteOptions::default())
        .await
        .unwrap();
    assert!(matches!(deleted, Deleted::Gone(last) if last["apiVersion"] == "autoscaling/v1"));
}

#[tokio::test]
async fn pods_get_the_priority_of_classes_that_there_are() {
    let cluster = cluster().await;
    let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
    let plain = cluster.create("pods", "a", pod("plain")).await.unwrap();
    assert_eq!(plain["spec"]["priority"], 0);
    cluster.make(classes(), class("usual", 7, true)).await.unwrap();
    let usual = cluster.create("pods", "a", pod("usual")).await.unwrap();
    assert_eq!(usual["spec"]["priority"], 7);
    assert_eq!(usual["spec"]["priorityClassName"], "usual");
    let mut unknown = pod("unknown");
    unknown["spec"]["priorityClassName"] = json!("gold");
    let refused = cluster.create("pods", "a", unknown).await.unwrap_err();
    assert!(matches!(refused, ApiError::Forbidden { .. }), "{refused}");
    let second = cluster.make(classes(), class("second", 8, true)).await.unwrap_err();
    assert!(matches!(second, ApiError::Forbidden { .. }), "{second}");
    cluster.make(classes(), class("second", 8, false)).await.unwrap();
    let patch = Patch::Merge(json!({"globalDefault": true}));
    let options = WriteOptions::default();
    let turned = cluster
        .engine
        .patch(&cluster.caller, classes(), "", "second", None, patch, &options)
        .await
        .unwrap_err();
    assert!(matches!(turned, ApiError::Forbidden { .. }), "{turned}");
}

#[tokio::test]
async fn the_systems_classes_stay() {
    let cluster = cluster().await;
    let class = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
    cluster.make(classes(), class).await.unwrap();
    let options = DeleteOptions::default();
    let refused = cluster
        .engine
        .delete(&cluster.caller, classes(), "", "system-node-critical", options)
        .await
        .unwrap_err();
    assert!(matches!(refused, ApiError::Forbidden { .. }), "{refused}");
}

#[tokio::test]
async fn a_namespace_is_emptied_of_kinds_that_no_planner_knows() {
    let cluster = cluster().await;
    let ranges = by_path("", "v1", "limitranges").unwrap();
    cluster.make(ranges, json!({"metadata": {"name": "q"}})).await.unwrap();
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    cluster.make(ranges, held).await.unwrap();
    let templates = by_path("", "v1", "podtemplates").unwrap();
    let template = json!({"metadata": {"name": "t"}, "template": pod("t")});
    cluster.make(templates, template).await.unwrap();
    let empty = async || cluster.engine.empty_namespace(&cluster.caller, "a").await.unwrap();
    assert_eq!(empty().await, ["limitranges has 1 resource instances"]);
    for (row, name) in [(ranges, "q"), (templates, "t")] {
        assert!(
            cluster.engine.get(row, "a", name).is_err(),
            "what nothing holds is gone: {name}"
        );
    }
    let options = WriteOptions::default();
    let release = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    cluster
        .engine
        .patch(&cluster.caller, ranges, "a", "held", None, release, &options)
        .await
        .unwrap();
    assert!(empty().await.is_empty());
}
