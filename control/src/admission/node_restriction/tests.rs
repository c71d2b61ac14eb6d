use serde_json::json;

use super::*;

fn said(operation: Operation, group: &str, path: &str, name: &str, old: Value, new: Value) -> String {
    let act = Act {
        operation,
        group,
        path,
        namespace: "kube-node-lease",
        name,
        old: &old,
        new: &new,
    };
    fault("n1", &act).unwrap_or_default()
}

#[test]
fn a_node_changes_only_itself_and_only_labels_that_are_its_own() {
    use Operation::{Create, Delete, Update};
    let labelled = |label: &str| json!({ "metadata": { "labels": { label: "x" } } });
    let tainted = json!({ "spec": { "taints": [{ "key": "a" }] } });
    let owned = json!({ "metadata": { "ownerReferences": [{}] } });
    let plain = || json!({});
    #[rustfmt::skip]
    let rows = [
        (Create, "n1", Value::Null, labelled("kubernetes.io/os"), ""),
        (Create, "n1", Value::Null, labelled("example.com/rack"), ""),
        (Create, "n1", Value::Null, labelled("node-role.kubernetes.io/master"), "node \"n1\" is not allowed to set the following labels: node-role.kubernetes.io/master"),
        (Create, "n1", Value::Null, tainted.clone(), ""),
        (Create, "n2", Value::Null, plain(), "node \"n1\" is not allowed to modify node \"n2\""),
        (Update, "n2", plain(), plain(), "node \"n1\" is not allowed to modify node \"n2\""),
        (Update, "n1", plain(), labelled("a"), ""),
        (Update, "n1", plain(), labelled("node-restriction.kubernetes.io/a"), "node \"n1\" is not allowed to modify the following labels: node-restriction.kubernetes.io/a"),
        (Update, "n1", labelled("foo.k8s.io/a"), plain(), "node \"n1\" is not allowed to modify the following labels: foo.k8s.io/a"),
        (Update, "n1", labelled("foo.k8s.io/a"), labelled("foo.k8s.io/a"), ""),
        (Update, "n1", plain(), tainted, "node \"n1\" is not allowed to modify taints"),
        (Update, "n1", plain(), owned, "node \"n1\" is not allowed to modify ownerReferences"),
        (Delete, "n1", plain(), Value::Null, ""),
        (Delete, "n2", plain(), Value::Null, "node \"n1\" is not allowed to modify node \"n2\""),
    ];
    for (operation, name, old, new, expected) in rows {
        for path in ["nodes", "nodes/status"] {
            let row = format!("{operation:?} {path} {name} {old} {new}");
            assert_eq!(
                said(operation, "", path, name, old.clone(), new.clone()),
                expected,
                "{row}"
            );
        }
    }
}

#[test]
fn labels_of_kubernetes_are_not_for_nodes_but_for_a_few() {
    let rows = [
        ("rack", true),
        ("example.com/rack", true),
        ("notkubernetes.io/rack", true),
        ("kubernetes.io/hostname", true),
        ("topology.kubernetes.io/zone", true),
        ("node.kubernetes.io/anything", true),
        ("sub.kubelet.kubernetes.io/anything", true),
        ("kubernetes.io/other", false),
        ("topology.kubernetes.io/rack", false),
        ("k8s.io/a", false),
        ("a.k8s.io/a", false),
        ("node-restriction.kubernetes.io/a", false),
        ("sub.node-restriction.kubernetes.io/a", false),
    ];
    for (label, expected) in rows {
        assert_eq!(may_set_label(label), expected, "{label}");
    }
}

#[test]
fn a_node_has_to_do_only_with_its_own_pods() {
    use Operation::{Create, Delete, Update};
    let on = |node: &str| json!({ "spec": { "nodeName": node } });
    let mirror = |spec: Value| json!({ "metadata": { "annotations": { MIRROR: "x" } }, "spec": spec });
    let labelled = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "nodeName": "n1" } });
    #[rustfmt::skip]
    let rows = [
        (Create, "pods", Value::Null, mirror(json!({ "nodeName": "n1" })), ""),
        (Create, "pods", Value::Null, on("n1"), "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods"),
        (Create, "pods", Value::Null, mirror(json!({ "nodeName": "n2" })), "node \"n1\" can only create pods with spec.nodeName set to itself"),
        (Create, "pods", Value::Null, mirror(json!({ "nodeName": "n1", "serviceAccountName": "a" })), "node \"n1\" can not create pods that reference a service account"),
        (Create, "pods", Value::Null, mirror(json!({ "nodeName": "n1", "volumes": [{ "secret": {} }] })), "node \"n1\" can not create pods that reference secrets"),
        (Update, "pods", on("n1"), on("n1"), "unexpected operation \"UPDATE\", node \"n1\" can only create and delete mirror pods"),
        (Delete, "pods", on("n1"), Value::Null, ""),
        (Delete, "pods", on("n2"), Value::Null, "node \"n1\" can only delete pods with spec.nodeName set to itself"),
        (Update, "pods/status", on("n1"), on("n1"), ""),
        (Update, "pods/status", on("n2"), on("n2"), "node \"n1\" can only update pod status for pods with spec.nodeName set to itself"),
        (Update, "pods/status", on("n1"), labelled, "node \"n1\" cannot update labels through pod status"),
        (Create, "pods/binding", on("n2"), on("n1"), "unexpected pod subresource \"binding\", only 'status' and 'eviction' are allowed"),
    ];
    for (operation, path, old, new, expected) in rows {
        let row = format!("{operation:?} {path} {old} {new}");
        assert_eq!(said(operation, "", path, "p", old, new), expected, "{row}");
    }
}

#[test]
fn leases_and_csi_nodes_have_the_nodes_name() {
    let rows = [
        ("coordination.k8s.io", "leases", "n1", true),
        ("coordination.k8s.io", "leases", "n2", false),
        ("storage.k8s.io", "csinodes", "n1", true),
        ("storage.k8s.io", "csinodes", "n2", false),
        ("apps", "deployments", "n2", true),
    ];
    for (group, path, name, is_allowed) in rows {
        let said = said(Operation::Create, group, path, name, Value::Null, json!({}));
        assert_eq!(said.is_empty(), is_allowed, "{group} {path} {name}: {said}");
    }
}

#[test]
fn tokens_are_bound_to_pods_of_the_node_and_certificates_are_for_itself() {
    let pod = json!({ "metadata": { "uid": "u" }, "spec": { "nodeName": "n1" } });
    let bound = |kind: &str, uid: &str| json!({ "apiVersion": "v1", "kind": kind, "name": "p", "uid": uid });
    let rows = [
        ("n1", bound("Pod", "u"), ""),
        ("n1", Value::Null, "node requested token not bound to a pod"),
        ("n1", bound("Secret", "u"), "node requested token not bound to a pod"),
        (
            "n1",
            bound("Pod", ""),
            "node requested token with a pod binding without a uid",
        ),
        (
            "n1",
            bound("Pod", "v"),
            "the UID in the bound object reference (v) does not match the UID in record. The object might have been deleted \
             and then recreated",
        ),
        (
            "n2",
            bound("Pod", "u"),
            "node requested token bound to a pod scheduled on a different node",
        ),
    ];
    for (node, bound, expected) in rows {
        let said = token_fault(node, &bound, Some(&pod)).unwrap_or_default();
        assert_eq!(said, expected, "{node} {bound}");
    }
    let signer = "kubernetes.io/kubelet-serving";
    assert_eq!(certificate_fault("system:node:n1", signer, "system:node:n1"), None);
    assert!(certificate_fault("system:node:n1", signer, "system:node:n2").is_some());
    assert_eq!(certificate_fault("system:node:n1", "example.com/own", "x"), None);
}
