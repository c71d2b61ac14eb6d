use serde_json::json;

use super::*;

fn default(name: &str, kind: &str) -> Value {
    default_objects()
        .into_iter()
        .find(|default| default.name == name && default.object["kind"] == kind)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
        .object
}

#[test]
fn defaults_are_valid_and_bindings_give_roles_that_there_are() {
    let defaults = default_objects();
    for default in &defaults {
        let resource = api::resource::by_path("rbac.authorization.k8s.io", "v1", default.plural).unwrap();
        let faults = api::validation::validate_create(resource, &default.object);
        assert!(faults.is_empty(), "{}: {faults:?}", default.name);
        assert_eq!(
            api::schema::check_fields(resource, &default.object),
            Vec::<String>::new()
        );
        let role = &default.object["roleRef"]["name"];
        assert!(
            role.is_null() || defaults.iter().any(|other| other.name == *role),
            "{role}"
        );
    }
}

#[test]
fn a_default_gets_back_what_it_lost_and_keeps_what_was_added() {
    let role = default("system:basic-user", "ClusterRole");
    assert_eq!(reconcile(&role, &role), Repair::Nothing);

    let mut changed = role.clone();
    changed["rules"] = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]);
    let Repair::Update(repaired) = reconcile(&changed, &role) else {
        panic!("an update");
    };
    let rules = repaired["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 3);
    assert_eq!(rules[0]["resources"], json!(["pods"]));
    assert_eq!(reconcile(&repaired, &role), Repair::Nothing);

    changed["metadata"]["annotations"][AUTO_UPDATE] = json!("false");
    assert_eq!(reconcile(&changed, &role), Repair::Nothing);
}

#[test]
fn a_default_binding_gets_its_subjects_and_its_role_back() {
    let binding = default("cluster-admin", "ClusterRoleBinding");
    let mut changed = binding.clone();
    changed["subjects"] = json!([]);
    assert_eq!(reconcile(&changed, &binding), Repair::Update(binding.clone()));
    changed["roleRef"]["name"] = json!("view");
    assert_eq!(reconcile(&changed, &binding), Repair::Recreate);
}

#[test]
fn an_aggregated_role_keeps_its_rules() {
    let role = default("view", "ClusterRole");
    let mut filled = role.clone();
    filled["rules"] = json!([{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }]);
    assert_eq!(reconcile(&filled, &role), Repair::Nothing);
}

#[test]
fn controllers_of_kubernetes_have_a_role_and_an_account() {
    let controllers = [
        "attachdetach-controller",
        "certificate-controller",
        "clusterrole-aggregation-controller",
        "cronjob-controller",
        "daemon-set-controller",
        "deployment-controller",
        "disruption-controller",
        "endpoint-controller",
        "expand-controller",
        "generic-garbage-collector",
        "horizontal-pod-autoscaler",
        "job-controller",
        "namespace-controller",
        "node-controller",
        "persistent-volume-binder",
        "pod-garbage-collector",
        "pv-protection-controller",
        "pvc-protection-controller",
        "replicaset-controller",
        "replication-controller",
        "resourcequota-controller",
        "root-ca-cert-publisher",
        "route-controller",
        "service-account-controller",
        "service-controller",
        "statefulset-controller",
        "ttl-controller",
    ];
    for name in controllers {
        let full = format!("system:controller:{name}");
        assert!(default(&full, "ClusterRole")["rules"].is_array(), "{name}");
        let subject = &default(&full, "ClusterRoleBinding")["subjects"][0];
        assert_eq!(
            (&subject["name"], &subject["namespace"]),
            (&json!(name), &json!("kube-system"))
        );
    }
}
