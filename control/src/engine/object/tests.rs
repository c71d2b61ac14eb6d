use super::*;

fn stored(value: Bytes, modified: Revision) -> Stored {
    Stored {
        key: StoreKey {
            collection: "configmaps".to_owned(),
            namespace: "a".to_owned(),
            name: "b".to_owned(),
        },
        value,
        created: 1,
        modified,
    }
}

#[test]
fn an_object_comes_back_as_it_went_in_with_its_revision() {
    let rows = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"},
               "binaryData": {"x": "\"metadata\":{"}, "data": {"metadata": "{}"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}, "data": {"a": "1"}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"metadata": {"name": "no"}},
               "metadata": {"name": "b", "resourceVersion": "3", "labels": {"q": "\"\\\u{1F41D}"}}}),
    ];
    for mut object in rows {
        let kept = stored(encode(&object), 42);
        set_revision(&mut object, 42);
        assert_eq!(decode(&kept).unwrap(), object);
        let spliced: Value = serde_json::from_slice(&bytes_with_revision(&kept)).unwrap();
        assert_eq!(spliced, object);
    }
}

#[test]
fn agents_are_told_of_objects_without_their_managers() {
    let entry = |manager: &str| json!({"manager": manager, "fieldsV1": {"f:data": {"k:{\"a\":\"]\"}": {}}}});
    let nested = json!({"template": {"metadata": {"managedFields": [entry("kept")]}}});
    let rows = [
        json!({"metadata": {"name": "b", "managedFields": [entry("x\\"), entry("y\"]")], "labels": {"l": "1"}}, "spec": nested}),
        json!({"metadata": {"managedFields": [entry("x")]}, "spec": nested}),
        json!({"metadata": {"name": "b"}, "spec": nested}),
    ];
    for mut object in rows {
        let kept = stored(encode(&object), 42);
        set_revision(&mut object, 42);
        assert_eq!(decode(&kept).unwrap(), object);
        metadata_mut(&mut object).remove("managedFields");
        let told: Value = serde_json::from_slice(&bytes_for_agent(&kept)).unwrap();
        assert_eq!(told, object);
    }
}

#[test]
fn times_are_whole_seconds_in_utc() {
    let at: api::Timestamp = "2026-11-23T06:21:00.987654321+02:00".parse().unwrap();
    assert_eq!(timestamp(at), "2026-11-23T04:21:00Z");
}
