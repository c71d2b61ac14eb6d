//! Lists and watches of collections, over HTTP.

use super::*;

#[tokio::test]
async fn lists_come_in_pages_and_as_tables() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        server.config_map(name, json!({ "l": name })).await;
    }
    let path = "/api/v1/namespaces/default/configmaps";
    let all = server.get(path).await.json();
    assert_eq!(
        (&all["kind"], all["items"].as_array().unwrap().len()),
        (&json!("ConfigMapList"), 3)
    );
    assert_eq!(
        all["metadata"]["resourceVersion"],
        server.engine.store().revision().to_string()
    );
    assert!(all["items"][0]["metadata"]["resourceVersion"].is_string());

    let first = server.get(&format!("{path}?limit=2")).await.json();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{path}?limit=2&continue={token}")).await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    assert!(rest["metadata"].get("continue").is_none());

    let labelled = server.get(&format!("{path}?labelSelector=l+in+(a,c)")).await.json();
    assert_eq!(labelled["items"].as_array().unwrap().len(), 2);
    let named = server
        .get(&format!("{path}?fieldSelector=metadata.name%3Db"))
        .await
        .json();
    assert_eq!(named["items"][0]["metadata"]["name"], "b");

    for (query, kind) in [
        ("", "PartialObjectMetadata"),
        ("?includeObject=Object", "ConfigMap"),
        ("?includeObject=None", ""),
    ] {
        let table = server
            .send("GET", &format!("{path}{query}"), &[("accept", TABLE)], "")
            .await
            .json();
        assert_eq!(table["kind"], "Table");
        assert_eq!(table["rows"][1]["cells"][0], "b");
        assert_eq!(
            table["rows"][1]["object"]["kind"].as_str().unwrap_or_default(),
            kind,
            "{query}"
        );
        assert_eq!(table["metadata"]["resourceVersion"], all["metadata"]["resourceVersion"]);
    }
    let deleted = server
        .send("DELETE", &format!("{path}?labelSelector=l!%3Db"), &[], "")
        .await;
    assert_eq!(deleted.json()["status"], "Success");
    assert_eq!(server.get(path).await.json()["items"].as_array().unwrap().len(), 1);
}

/// Big enough for several parts of a list that is read while it is sent.
async fn many(server: &Server) -> Vec<String> {
    let names: Vec<String> = (0..150).map(|number| format!("m{number:03}")).collect();
    for name in &names {
        let object = json!({ "metadata": { "name": name }, "data": { "k": "v".repeat(1000) } });
        server.create("configmaps", "default", object).await;
    }
    names
}

#[tokio::test]
async fn a_list_that_is_read_while_it_is_sent_shows_one_revision() {
    let server = server().await;
    let names = many(&server).await;
    let path = "/api/v1/namespaces/default/configmaps";
    for selector in ["", "?fieldSelector=metadata.namespace%3Ddefault"] {
        let revision = server.engine.store().revision();
        let caller = Caller::system("system:test");
        let asked = format!("{path}{selector}");
        let list = server.response(caller.clone(), "GET", &asked, &[], Body::empty()).await;
        // Behind the part that is read by now.
        let maps = resource::by_path("", "v1", "configmaps").unwrap();
        let deletion = server
            .engine
            .delete(&caller, maps, "default", "m149", Default::default());
        deletion.await.unwrap();
        server.config_map("n", json!({})).await;
        let bytes = list.into_body().collect().await.unwrap().to_bytes();
        let list: Value = serde_json::from_slice(&bytes).unwrap();
        let listed: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(listed, names);
        assert_eq!(list["metadata"], json!({ "resourceVersion": revision.to_string() }));

        let deletion = server.engine.delete(&caller, maps, "default", "n", Default::default());
        deletion.await.unwrap();
        let object = json!({ "metadata": { "name": "m149" } });
        server.create("configmaps", "default", object).await;
    }
}

#[tokio::test]
async fn a_list_whose_history_is_cut_while_it_is_sent_breaks_off() {
    let server = server().await;
    many(&server).await;
    let caller = Caller::system("system:test");
    let path = "/api/v1/namespaces/default/configmaps";
    let list = server.response(caller, "GET", path, &[], Body::empty()).await;
    for number in 0..2 * KEPT_REVISIONS {
        server.config_map(&format!("n{number}"), json!({})).await;
    }
    let store = server.engine.store();
    store.compact(store.revision()).await.unwrap();
    let broken = list.into_body().collect().await.expect_err("it cannot be whole");
    assert!(broken.to_string().contains("too old resource version"), "{broken}");
}

#[tokio::test]
async fn a_watch_tells_every_change_once_from_where_it_starts() {
    let server = server().await;
    let first = server.config_map("a", json!({})).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let version = first["metadata"]["resourceVersion"].as_str().unwrap();
    let mut fresh = server.watch(&format!("{path}?watch=true"), "*/*").await;
    let mut later = server
        .watch(&format!("{path}?watch=true&resourceVersion={version}"), "*/*")
        .await;
    let mut table = server
        .watch(&format!("{path}?watch=true&resourceVersion={version}"), TABLE)
        .await;
    let mut named = server.watch(&format!("{path}/b?watch=true"), "*/*").await;
    server.config_map("b", json!({})).await;
    let patch = [("content-type", "application/merge-patch+json")];
    server
        .send("PATCH", &format!("{path}/b"), &patch, r#"{"data":{"k":"v"}}"#)
        .await;
    server.send("DELETE", &format!("{path}/b"), &[], "").await;
    assert_eq!(fresh.told().await, pair("ADDED", "a"));
    for events in [&mut fresh, &mut later, &mut named] {
        for kind in ["ADDED", "MODIFIED", "DELETED"] {
            assert_eq!(events.told().await, pair(kind, "b"));
        }
    }
    let row = table.next().await.unwrap();
    assert_eq!(
        (&row["object"]["kind"], &row["object"]["rows"][0]["cells"][0]),
        (&json!("Table"), &json!("b"))
    );
    server.shutdown.cancel();
    assert_eq!(fresh.next().await, None);
}

#[tokio::test]
async fn selected_objects_come_and_go_as_their_labels_change() {
    let server = server().await;
    server.config_map("a", json!({ "l": "1" })).await;
    let path = "/api/v1/namespaces/default/configmaps";
    let mut events = server
        .watch(&format!("{path}?watch=true&labelSelector=l%3D1"), "*/*")
        .await;
    let patch = [("content-type", "application/merge-patch+json")];
    for label in ["2", "1"] {
        let body = json!({ "metadata": { "labels": { "l": label } } });
        server
            .send("PATCH", &format!("{path}/a"), &patch, body.to_string())
            .await;
    }
    server.config_map("b", json!({ "l": "2" })).await;
    server
        .send("PATCH", &format!("{path}/a"), &patch, r#"{"data":{"k":"v"}}"#)
        .await;
    server.send("DELETE", &format!("{path}/a"), &[], "").await;
    let kinds = ["ADDED", "DELETED", "ADDED", "MODIFIED", "DELETED"];
    for kind in kinds {
        assert_eq!(events.told().await, pair(kind, "a"));
    }
}

#[tokio::test]
async fn a_streaming_list_ends_with_its_mark() {
    let server = server().await;
    server.config_map("a", json!({})).await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut events = server.watch(&format!("/api/v1/configmaps?{query}"), "*/*").await;
    assert_eq!(events.told().await, pair("ADDED", "a"));
    let mark = events.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["kind"], "ConfigMap");
    assert_eq!(
        mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(
        mark["object"]["metadata"]["resourceVersion"],
        server.engine.store().revision().to_string()
    );
    server.config_map("b", json!({})).await;
    assert_eq!(events.told().await, pair("ADDED", "b"));
}

#[tokio::test]
async fn a_watch_ends_after_its_time_and_one_from_too_far_back_says_so() {
    let server = server().await;
    let started = Instant::now();
    let mut events = server.watch("/api/v1/pods?watch=true&timeoutSeconds=1", "*/*").await;
    assert_eq!(events.next().await, None);
    assert!(started.elapsed() >= Duration::from_secs(1));
    server.config_map("x", json!({})).await;
    let patch = [("content-type", "application/merge-patch+json")];
    for n in 0..2 * KEPT_REVISIONS {
        let body = json!({ "data": { "n": n.to_string() } });
        server
            .send(
                "PATCH",
                "/api/v1/namespaces/default/configmaps/x",
                &patch,
                body.to_string(),
            )
            .await;
    }
    let store = server.engine.store();
    store.compact(store.revision()).await.unwrap();
    let mut events = server
        .watch("/api/v1/configmaps?watch=true&resourceVersion=1", "*/*")
        .await;
    let event = events.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"]),
        (&json!("ERROR"), &json!(410))
    );
    assert_eq!(events.next().await, None);
    let exact = server
        .get("/api/v1/configmaps?resourceVersion=1&resourceVersionMatch=Exact")
        .await;
    assert_eq!(
        (exact.status, &exact.json()["reason"]),
        (StatusCode::GONE, &json!("Expired"))
    );
}

#[tokio::test]
async fn a_kind_in_another_form_is_selected_by_the_fields_of_that_form() {
    const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let server = server().await;
    for name in ["a", "b"] {
        let event = json!({
            "metadata": { "name": format!("about-{name}") },
            "involvedObject": { "kind": "Pod", "name": name, "namespace": "default" },
            "reason": "Told",
            "type": "Normal",
        });
        server.create("events", "default", event).await;
    }
    let path = "/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name%3Db";
    for (accept, shown) in [("application/json", true), (METADATA_LIST, false)] {
        let list = server.send("GET", path, &[("accept", accept)], "").await.json();
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{accept}: {list}");
        assert_eq!(items[0]["metadata"]["name"], "about-b", "{accept}");
        if shown {
            assert_eq!(items[0]["regarding"]["name"], "b", "{accept}");
            assert_eq!(items[0]["apiVersion"], "events.k8s.io/v1", "{accept}");
        }
    }
    let mut events = server.watch(&format!("{path}&watch=true"), "application/json").await;
    let event = events.next().await.unwrap();
    assert_eq!(event["type"], "ADDED");
    assert_eq!(event["object"]["regarding"]["name"], "b");
    assert_eq!(event["object"]["apiVersion"], "events.k8s.io/v1");
}
