use super::*;

#[test]
fn a_node_may_have_what_its_pods_volumes_ask_for() {
    let source = json!({ "serviceAccountToken": { "audience": "vault", "expirationSeconds": 600, "path": "t" } });
    let pod = json!({
        "metadata": { "name": "p", "uid": "u" },
        "spec": {
            "nodeName": "a",
            "volumes": [{ "emptyDir": {} }, { "projected": { "sources": [{ "configMap": {} }, source] } }],
        },
    });
    let wanted = |uid: &str, audience: &str, seconds: i64| TokenWanted {
        namespace: "ns".to_owned(),
        pod: "p".to_owned(),
        pod_uid: uid.to_owned(),
        audience: audience.to_owned(),
        expiration_seconds: seconds,
    };
    let rows = [
        ("asked for", "a", wanted("u", "vault", 600), true),
        ("another node", "b", wanted("u", "vault", 600), false),
        ("another pod of the name", "a", wanted("v", "vault", 600), false),
        ("for somebody else", "a", wanted("u", "", 600), false),
        ("for longer", "a", wanted("u", "vault", 6000), false),
    ];
    for (row, node, wanted, may) in rows {
        assert_eq!(may_have(&pod, node, &wanted), may, "{row}");
    }
}
