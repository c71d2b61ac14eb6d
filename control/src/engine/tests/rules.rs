//! Namespaces with rules: quotas, limit ranges, Pod Security levels.

use super::*;

/// A quota as its planner leaves it.
async fn quota(cluster: &Cluster, hard: Value) {
    let names = hard.as_object().unwrap().keys();
    let used: Value = names.map(|name| (name.clone(), json!("0"))).collect();
    let object = json!({"metadata": {"name": "q"}, "spec": {"hard": hard}});
    let mut created = cluster.create("resourcequotas", "a", object).await.unwrap();
    created["status"] = json!({"hard": hard, "used": used});
    cluster
        .update("resourcequotas", "a", Some("status"), created)
        .await
        .unwrap();
}

fn used(cluster: &Cluster) -> Value {
    cluster.engine.get(row("resourcequotas"), "a", "q").unwrap()["status"]["used"].clone()
}

#[tokio::test]
async fn creations_at_once_neither_exceed_a_quota_nor_starve() {
    const ROOM: usize = 20;
    let cluster = std::sync::Arc::new(cluster().await);
    quota(&cluster, json!({"configmaps": ROOM.to_string(), "count/secrets": "1"})).await;
    let creations = (0..3 * ROOM).map(|index| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let object = config_map(&format!("m{index}"), json!({}));
            cluster.create("configmaps", "a", object).await
        })
    });
    let outcomes = futures::future::join_all(creations).await;
    let (made, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(made.len(), ROOM);
    for refusal in refused {
        let words = "exceeded quota: q, requested: configmaps=1, used: configmaps=20, limited: configmaps=20";
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.reason(), "Forbidden");
        assert!(refusal.to_string().ends_with(words), "{refusal}");
    }
    assert_eq!(used(&cluster), json!({"configmaps": "20", "count/secrets": "0"}));
}

#[tokio::test]
async fn a_quota_counts_what_is_written_and_nothing_else() {
    let cluster = cluster().await;
    quota(
        &cluster,
        json!({"pods": "1", "services.nodeports": "1", "requests.cpu": "1"}),
    )
    .await;
    let unnamed = cluster.create("pods", "a", pod("x")).await.unwrap_err();
    assert_eq!(
        unnamed.to_string(),
        "pods \"x\" is forbidden: failed quota: q: must specify requests.cpu for: c"
    );
    let mut wanted = pod("x");
    wanted["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "600m"}});
    let options = WriteOptions {
        dry_run: true,
        ..WriteOptions::default()
    };
    let tried = cluster
        .engine
        .create(&cluster.caller, row("pods"), "a", wanted.clone(), &options);
    tried.await.unwrap();
    assert_eq!(used(&cluster)["pods"], "0", "a dry run takes nothing");
    cluster.create("pods", "a", wanted.clone()).await.unwrap();
    let taken = cluster.create("pods", "a", wanted.clone()).await.unwrap_err();
    assert_eq!(taken.reason(), "AlreadyExists");
    wanted["metadata"]["name"] = json!("y");
    let full = cluster.create("pods", "a", wanted).await.unwrap_err();
    assert_eq!(
        full.to_string(),
        "pods \"y\" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=600m, used: \
         pods=1,requests.cpu=600m, limited: pods=1,requests.cpu=1"
    );
    cluster.create("services", "a", service("s", json!({}))).await.unwrap();
    let mut reached = cluster.engine.get(row("services"), "a", "s").unwrap();
    reached["spec"]["type"] = json!("NodePort");
    cluster.update("services", "a", None, reached).await.unwrap();
    let second = cluster.create("services", "a", service("t", json!({"type": "NodePort"})));
    assert_eq!(second.await.unwrap_err().reason(), "Forbidden");
    assert_eq!(
        used(&cluster),
        json!({"pods": "1", "services.nodeports": "1", "requests.cpu": "600m"})
    );
    cluster
        .create("configmaps", "a", config_map("m", json!({})))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_limit_range_completes_pods_and_refuses_others() {
    let cluster = cluster().await;
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}},
    ]}});
    cluster.create("limitranges", "a", range).await.unwrap();
    let created = cluster.create("pods", "a", pod("x")).await.unwrap();
    assert_eq!(
        created["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "500m"}})
    );
    assert_eq!(
        created["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    let mut big = pod("y");
    big["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let refusal = cluster.create("pods", "a", big).await.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "pods \"y\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
}

#[tokio::test]
async fn a_namespace_enforces_its_level_and_warns_of_templates() {
    let cluster = cluster().await;
    cluster.create("pods", "a", pod("before")).await.unwrap();
    let label =
        |value: &str| Patch::Merge(json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": value}}}));
    let patch = |patch: Patch, options: WriteOptions| {
        let (engine, caller) = (cluster.engine.clone(), cluster.caller.clone());
        async move {
            let namespaces = row("namespaces");
            let patched = engine.patch(&caller, namespaces, "", "a", None, patch, &options).await;
            patched.map(|_| options.warnings.take())
        }
    };
    let wrong = patch(label("strict"), WriteOptions::default()).await.unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": \
         must be one of privileged, baseline, restricted"
    );
    let warnings = patch(label("restricted"), WriteOptions::default()).await.unwrap();
    assert_eq!(
        warnings,
        [
            "existing pods in namespace \"a\" violate the new PodSecurity enforce level \"restricted:latest\"",
            "before: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, \
             seccompProfile",
        ]
    );
    let audited = WriteOptions::default();
    let (engine, caller) = (&cluster.engine, &cluster.caller);
    let refusal = engine
        .create(caller, row("pods"), "a", pod("x"), &audited)
        .await
        .unwrap_err();
    let annotations = audited.annotations.take();
    assert_eq!(annotations.len(), 1, "no level is audited: {annotations:?}");
    assert_eq!(
        annotations["pod-security.kubernetes.io/enforce-policy"],
        "restricted:latest"
    );
    let words = "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != \
                 false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), ";
    assert!(refusal.to_string().starts_with(words), "{refusal}");
    let options = WriteOptions::default();
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("t")["spec"]});
    let deployment = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": template,
    }});
    let created = cluster
        .engine
        .create(&cluster.caller, row("deployments"), "a", deployment, &options);
    created.await.unwrap();
    let warnings = options.warnings.take();
    assert!(
        warnings[0].starts_with("would violate PodSecurity \"restricted:latest\": "),
        "{warnings:?}"
    );
    assert!(
        options.annotations.take().is_empty(),
        "what is enforced is said of pods only"
    );
    for (level, expected) in [
        ("privileged", vec![]),
        (
            "restricted",
            vec![
                "existing pods in namespace \"a\" violate the new PodSecurity enforce level \"restricted:latest\"",
                "before: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, \
                 seccompProfile",
                "existing workloads in namespace \"a\" make pods that violate the new PodSecurity enforce level \
                 \"restricted:latest\"",
                "deployments.apps/d: allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != \
                 true, seccompProfile",
            ],
        ),
    ] {
        let warnings = patch(label(level), WriteOptions::default()).await.unwrap();
        assert_eq!(warnings, expected, "{level}");
    }
    let labelled = Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}}));
    cluster
        .patch("pods", "before", None, labelled)
        .await
        .expect("nothing that matters changes");
    let image = Patch::Json(br#"[{"op": "replace", "path": "/spec/containers/0/image", "value": "j"}]"#.to_vec());
    let refusal = cluster.patch("pods", "before", None, image).await.unwrap_err();
    assert_eq!(refusal.reason(), "Forbidden");
}
