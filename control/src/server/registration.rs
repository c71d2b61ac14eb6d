//! What every cluster has to configure its API: an APIService for each version of a built-in group, the system's
//! priority classes, and the flow schemas and priority levels that Kubernetes demands or suggests.
//!
//! Made when they are missing; what somebody changed stays.
//! Source: kube-aggregator's autoregistration; `apiserver/pkg/apis/flowcontrol/bootstrap`, by its output.

use api::{
    resource::{self, Kinds, Resource},
    validation::SYSTEM_PRIORITY_CLASSES,
};
use serde_json::{Value, json};

use super::bootstrap::{BootstrapError, caller};
use crate::engine::{ApiError, Engine, SERVER_MANAGER, WriteOptions};

/// Group, and how it ranks among groups; those not named rank last.
const GROUP_PRIORITIES: [(&str, i64); 20] = [
    ("", 18_000),
    ("apps", 17_800),
    ("events.k8s.io", 17_750),
    ("authentication.k8s.io", 17_700),
    ("authorization.k8s.io", 17_600),
    ("autoscaling", 17_500),
    ("batch", 17_400),
    ("certificates.k8s.io", 17_300),
    ("networking.k8s.io", 17_200),
    ("policy", 17_100),
    ("rbac.authorization.k8s.io", 17_000),
    ("storage.k8s.io", 16_800),
    ("apiextensions.k8s.io", 16_700),
    ("admissionregistration.k8s.io", 16_700),
    ("scheduling.k8s.io", 16_600),
    ("coordination.k8s.io", 16_500),
    ("node.k8s.io", 16_300),
    ("discovery.k8s.io", 16_200),
    ("flowcontrol.apiserver.k8s.io", 16_100),
    ("resource.k8s.io", 15_900),
];
const LEAST_PRIORITY: i64 = 1000;
const VERSION_PRIORITY: i64 = 15;

/// Makes what is missing.
///
/// # Errors
/// When an object cannot be written.
pub(super) async fn make(engine: &Engine) -> Result<(), BootstrapError> {
    const FLOWS: &str = "flowcontrol.apiserver.k8s.io";
    let collections = [
        ("scheduling.k8s.io", "priorityclasses", priority_classes()),
        ("apiregistration.k8s.io", "apiservices", api_services()),
        (FLOWS, "prioritylevelconfigurations", priority_levels()),
        (FLOWS, "flowschemas", flow_schemas()),
    ];
    // At once, so that they become durable together.
    let made = collections.into_iter().flat_map(|(group, plural, objects)| {
        let objects = objects.into_iter();
        objects.map(move |object| create(engine, group, plural, object))
    });
    futures::future::try_join_all(made).await.map(drop)
}

async fn create(engine: &Engine, group: &str, plural: &str, object: Value) -> Result<(), BootstrapError> {
    let row: &Resource = resource::by_path(group, "v1", plural).expect("the table has the kind");
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match engine
        .create(&caller(), row, "", object, &WriteOptions::by(SERVER_MANAGER))
        .await
    {
        Ok(_) | Err(ApiError::AlreadyExists(_)) => Ok(()),
        Err(error) => Err(BootstrapError::Object {
            kind: row.kind,
            name,
            source: Box::new(error),
        }),
    }
}

fn priority_classes() -> Vec<Value> {
    SYSTEM_PRIORITY_CLASSES
        .iter()
        .map(|(name, value, description)| {
            json!({ "metadata": { "name": name }, "value": value, "description": description })
        })
        .collect()
}

fn api_services() -> Vec<Value> {
    let kinds = Kinds::builtin();
    let pairs = kinds.group_versions().into_iter();
    pairs
        .map(|(group, version)| {
            let rank = GROUP_PRIORITIES.iter().find(|(name, _)| *name == group);
            let mut spec = json!({
                "groupPriorityMinimum": rank.map_or(LEAST_PRIORITY, |(_, priority)| *priority),
                "version": version,
                "versionPriority": match (group, version) {
                    ("", _) => 1,
                    ("autoscaling", "v2") => 2 * VERSION_PRIORITY,
                    _ => VERSION_PRIORITY,
                },
            });
            if !group.is_empty() {
                spec["group"] = json!(group);
            }
            json!({
                "metadata": {
                    "name": format!("{version}.{group}"),
                    "labels": { "kube-aggregator.kubernetes.io/automanaged": "onstart" },
                },
                "spec": spec,
            })
        })
        .collect()
}

fn metadata(name: &str) -> Value {
    json!({ "name": name, "annotations": { "apf.kubernetes.io/autoupdate-spec": "true" } })
}

pub(crate) fn priority_levels() -> Vec<Value> {
    let level = |name: &str, spec: Value| json!({ "metadata": metadata(name), "spec": spec });
    let queued = |name: &str, shares: i64, lendable: i64, queues: i64, hand: i64| {
        let spec = json!({
            "type": "Limited",
            "limited": {
                "nominalConcurrencyShares": shares,
                "lendablePercent": lendable,
                "limitResponse": {
                    "type": "Queue",
                    "queuing": { "queues": queues, "handSize": hand, "queueLengthLimit": 50 },
                },
            },
        });
        level(name, spec)
    };
    vec![
        level(
            "exempt",
            json!({ "type": "Exempt", "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 } }),
        ),
        level(
            "catch-all",
            json!({
                "type": "Limited",
                "limited": {
                    "nominalConcurrencyShares": 5,
                    "lendablePercent": 0,
                    "limitResponse": { "type": "Reject" },
                },
            }),
        ),
        queued("system", 30, 33, 64, 6),
        queued("node-high", 40, 25, 64, 6),
        queued("leader-election", 10, 0, 16, 4),
        queued("workload-high", 40, 50, 128, 6),
        queued("workload-low", 100, 90, 128, 6),
        queued("global-default", 20, 50, 128, 6),
    ]
}

pub(crate) fn flow_schemas() -> Vec<Value> {
    let group = |name: &str| json!({ "kind": "Group", "group": { "name": name } });
    let user = |name: &str| json!({ "kind": "User", "user": { "name": name } });
    let account = |namespace: &str, name: &str| json!({ "kind": "ServiceAccount", "serviceAccount": { "namespace": namespace, "name": name } });
    let everyone = || vec![group("system:unauthenticated"), group("system:authenticated")];
    let resources = |verbs: &[&str], group: &str, names: &[&str], is_cluster_scoped: bool| {
        let mut rule = json!({ "verbs": verbs, "apiGroups": [group], "resources": names, "namespaces": ["*"] });
        if is_cluster_scoped {
            rule["clusterScope"] = json!(true);
        }
        rule
    };
    let everything = |subjects: Vec<Value>| {
        json!({
            "subjects": subjects,
            "resourceRules": [resources(&["*"], "*", &["*"], true)],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
        })
    };
    let only = |subjects: Vec<Value>, rules: Vec<Value>| json!({ "subjects": subjects, "resourceRules": rules });
    let leases = || resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false);
    let schema = |name: &str, level: &str, precedence: i64, method: &str, rule: Value| {
        let mut spec = json!({
            "priorityLevelConfiguration": { "name": level },
            "matchingPrecedence": precedence,
            "rules": [rule],
        });
        if !method.is_empty() {
            spec["distinguisherMethod"] = json!({ "type": method });
        }
        json!({ "metadata": metadata(name), "spec": spec })
    };
    let probes = json!({
        "subjects": everyone(),
        "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"] }],
    });
    let controllers = || user("system:kube-controller-manager");
    let schedulers = || user("system:kube-scheduler");
    let nodes = || vec![group("system:nodes")];
    let node_objects = vec![
        resources(&["*"], "", &["nodes", "nodes/status"], true),
        resources(&["*"], "coordination.k8s.io", &["leases"], false),
    ];
    let endpoints = resources(&["get", "create", "update"], "", &["endpoints"], false);
    let system = || vec![account("kube-system", "*")];
    vec![
        schema("exempt", "exempt", 1, "", everything(vec![group("system:masters")])),
        schema("probes", "exempt", 2, "", probes),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            only(
                vec![controllers(), schedulers(), account("kube-system", "*")],
                vec![leases()],
            ),
        ),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            "ByUser",
            only(
                vec![controllers(), account("kube-system", "endpoint-controller")],
                vec![endpoints],
            ),
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            "ByUser",
            only(system(), vec![leases()]),
        ),
        schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            only(nodes(), node_objects),
        ),
        schema("system-nodes", "system", 500, "ByUser", everything(nodes())),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            "ByNamespace",
            everything(vec![controllers()]),
        ),
        schema(
            "kube-scheduler",
            "workload-high",
            800,
            "ByNamespace",
            everything(vec![schedulers()]),
        ),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            "ByNamespace",
            everything(system()),
        ),
        schema(
            "service-accounts",
            "workload-low",
            9000,
            "ByUser",
            everything(vec![group("system:serviceaccounts")]),
        ),
        schema(
            "global-default",
            "global-default",
            9900,
            "ByUser",
            everything(everyone()),
        ),
        schema("catch-all", "catch-all", 10_000, "ByUser", everything(everyone())),
    ]
}
