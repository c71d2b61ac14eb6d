//! Decisions over a store that changes.

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::store::{Expect, Op, StoreConfig, StoreKey, Write};

const ROLES: &str = "rbac.authorization.k8s.io/roles";
const BINDINGS: &str = "rbac.authorization.k8s.io/rolebindings";

struct Bench {
    store: Store,
    access: Access,
    _dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(StoreConfig::new(dir.path().join("store.redb"))).unwrap();
        Bench {
            access: Access::new(store.clone()),
            store,
            _dir: dir,
        }
    }

    async fn write(&self, collection: &str, name: &str, op: Op) {
        let write = Write {
            key: StoreKey::new(collection, "ns", name),
            expect: Expect::Anything,
            op,
        };
        self.store.commit(vec![write]).await.unwrap();
    }

    async fn put(&self, collection: &str, name: &str, object: Value) {
        self.write(collection, name, Op::Put(Bytes::from(object.to_string())))
            .await;
    }

    async fn bind(&self, name: &str, user: &str) {
        let binding = json!({
            "roleRef": { "kind": "Role", "name": "reader" },
            "subjects": [{ "kind": "User", "name": user }],
        });
        self.put(BINDINGS, name, binding).await;
    }

    async fn reader(&self) {
        let rule = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] });
        self.put(ROLES, "reader", json!({ "rules": [rule] })).await;
    }

    fn may_read(&self, user: &Caller) -> bool {
        let request = Request::Resource(ResourceRequest {
            verb: "get".to_owned(),
            resource: "pods".to_owned(),
            namespace: "ns".to_owned(),
            name: "x".to_owned(),
            ..ResourceRequest::default()
        });
        self.access.decide(user, &request).unwrap().allowed
    }
}

fn user(name: &str) -> Caller {
    Caller {
        user: name.to_owned(),
        ..Caller::default()
    }
}

#[tokio::test]
async fn a_binding_counts_as_soon_as_it_is_written_and_no_longer() {
    let bench = Bench::new();
    let anna = user("anna");
    assert!(!bench.may_read(&anna));
    bench.reader().await;
    bench.bind("a", "anna").await;
    assert!(bench.may_read(&anna));
    bench.write(BINDINGS, "a", Op::Delete).await;
    assert!(!bench.may_read(&anna));
}

#[tokio::test]
async fn nothing_is_missed_when_more_changes_than_a_watch_keeps() {
    const CHANGES: usize = 5000;
    let bench = Bench::new();
    bench.reader().await;
    assert!(!bench.may_read(&user("u0")));
    for chunk in 0..CHANGES / 100 {
        let names: Vec<String> = (0..100).map(|index| format!("b{chunk}-{index}")).collect();
        futures::future::join_all(names.iter().map(|name| bench.bind(name, "u0"))).await;
    }
    bench.bind("last", "last").await;
    assert!(bench.may_read(&user("last")));
}

#[tokio::test]
async fn masters_may_do_everything_and_nodes_what_is_theirs() {
    let bench = Bench::new();
    assert!(bench.may_read(&Caller::system("system:test")));
    let node = Caller {
        groups: vec![crate::auth::NODES_GROUP.to_owned()],
        ..user("system:node:n")
    };
    assert!(!bench.may_read(&node));
    bench
        .put(
            "pods",
            "x",
            json!({ "metadata": { "name": "x" }, "spec": { "nodeName": "n" } }),
        )
        .await;
    assert!(bench.may_read(&node));
}

#[tokio::test]
async fn nobody_gives_more_than_they_have_unless_a_rule_says_so() {
    let bench = Bench::new();
    bench.reader().await;
    bench.bind("a", "anna").await;
    let role = |verbs: Value| {
        json!({
            "metadata": { "namespace": "ns", "name": "new" },
            "rules": [{ "verbs": verbs, "apiGroups": [""], "resources": ["pods"] }],
        })
    };
    let anna = user("anna");
    let escalation = |old: Option<&Value>, new: &Value| bench.access.escalation(&anna, "Role", old, new).unwrap();
    assert_eq!(escalation(None, &role(json!(["get"]))), None);
    let wider = role(json!(["get", "list"]));
    let expected = "user \"anna\" (groups=[]) is attempting to grant RBAC permissions not currently held:\n\
                    {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\"]}";
    assert_eq!(escalation(None, &wider), Some(Refusal::Widens(expected.to_owned())));
    assert_eq!(escalation(Some(&wider), &wider), None, "it is there already");

    let binding = json!({
        "metadata": { "namespace": "ns", "name": "b" },
        "roleRef": { "kind": "Role", "name": "writer" },
        "subjects": [{ "kind": "User", "name": "ben" }],
    });
    let bind = || bench.access.escalation(&anna, "RoleBinding", None, &binding).unwrap();
    assert!(matches!(bind(), Some(Refusal::NoRole(role)) if role.name == "writer"));
    bench.put(ROLES, "writer", wider.clone()).await;
    assert!(matches!(bind(), Some(Refusal::Widens(_))));
    let may_bind = json!([
        { "verbs": ["bind"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"],
          "resourceNames": ["writer"] },
    ]);
    bench.put(ROLES, "reader", json!({ "rules": may_bind })).await;
    assert_eq!(bind(), None);
}
