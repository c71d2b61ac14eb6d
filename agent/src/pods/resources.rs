//! Requests and limits as cgroups and the OOM killer understand them.
//!
//! Pure. Source: Kubernetes documentation, "Resource Management for Pods and Containers", "Node out of memory behavior".

use std::collections::BTreeMap;

use api::{
    k8s_openapi::{
        api::core::v1::{Container, PodSpec},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
    quantity::Quantity,
};
use reconcile::pod::{Qos, qos};

use crate::runtime::cgroup::{CPU_PERIOD_US, Limits};

/// Fewest shares the kernel takes.
const SHARES_MIN: i64 = 2;
const SHARES_PER_CPU: i64 = 1024;
/// Shortest quota the kernel takes, in microseconds.
const QUOTA_US_MIN: i64 = 1000;
/// Most processes of a pod: enough for any real workload, few enough that no pod can use up the machine's pids.
const PIDS_PER_POD_MAX: i64 = 16_384;

/// The limits of one container.
pub(crate) fn of_container(container: &Container) -> Limits {
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let cpu_limit = amount(limits, "cpu").map(Quantity::milli_value);
    // A request that is left out equals the limit.
    let cpu_request = amount(requests, "cpu").map(Quantity::milli_value).or(cpu_limit);
    Limits {
        cpu_shares: Some(shares(cpu_request.unwrap_or(0))),
        cpu_quota_us: cpu_limit.map(quota_us),
        memory_bytes: amount(limits, "memory").map(Quantity::value),
        pids: None,
    }
}

/// The limits of a pod: what its containers may use together.
pub(crate) fn of_pod(spec: &PodSpec) -> Limits {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let together: Vec<&Container> = spec.containers.iter().chain(sidecars).collect();
    let alone: Vec<&Container> = spec.init_containers.iter().flatten().collect();
    let requests: i64 = together.iter().map(|container| cpu_request(container)).sum();
    let initial = alone.iter().map(|container| cpu_request(container)).max().unwrap_or(0);
    Limits {
        cpu_shares: Some(shares(requests.max(initial))),
        cpu_quota_us: sum_or_largest(&together, &alone, "cpu", Quantity::milli_value).map(quota_us),
        memory_bytes: sum_or_largest(&together, &alone, "memory", Quantity::value),
        pids: Some(PIDS_PER_POD_MAX),
    }
}

/// How readily the kernel kills a container's processes when memory runs out: -997 to 1000.
pub(crate) fn oom_score_adj(spec: &PodSpec, container: &Container, node_memory_bytes: i64) -> i32 {
    match qos(spec) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let requests = container
                .resources
                .as_ref()
                .and_then(|resources| resources.requests.as_ref());
            let memory = amount(requests, "memory").map_or(0, Quantity::value);
            let share = 1000_i64.saturating_mul(memory) / node_memory_bytes.max(1);
            i32::try_from((1000 - share).clamp(3, 999)).unwrap_or(999)
        }
    }
}

/// A pod is limited only where all its containers are.
fn sum_or_largest(
    together: &[&Container],
    alone: &[&Container],
    resource: &str,
    value: fn(Quantity) -> i64,
) -> Option<i64> {
    let limit = |container: &&Container| {
        let limits = container.resources.as_ref()?.limits.as_ref();
        amount(limits, resource).map(value)
    };
    let sum: i64 = together.iter().map(limit).sum::<Option<i64>>()?;
    let largest = alone.iter().map(limit).collect::<Option<Vec<i64>>>()?;
    Some(largest.into_iter().chain([sum]).max().unwrap_or(sum))
}

fn cpu_request(container: &Container) -> i64 {
    let resources = container.resources.as_ref();
    let of = |amounts: Option<&BTreeMap<String, Text>>| amount(amounts, "cpu").map(Quantity::milli_value);
    of(resources.and_then(|resources| resources.requests.as_ref()))
        .or_else(|| of(resources.and_then(|resources| resources.limits.as_ref())))
        .unwrap_or(0)
}

fn shares(milli: i64) -> u64 {
    let shares = (milli.saturating_mul(SHARES_PER_CPU) / 1000).clamp(SHARES_MIN, 262_144);
    u64::try_from(shares).unwrap_or(2)
}

fn quota_us(milli: i64) -> i64 {
    let period = i64::try_from(CPU_PERIOD_US).unwrap_or(100_000);
    (milli.saturating_mul(period) / 1000).max(QUOTA_US_MIN)
}

/// An amount that is given and not zero.
fn amount(amounts: Option<&BTreeMap<String, Text>>, resource: &str) -> Option<Quantity> {
    let quantity: Quantity = amounts?.get(resource)?.0.parse().ok()?;
    (!quantity.is_zero()).then_some(quantity)
}

#[cfg(test)]
mod tests {
    use api::k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::{of_container, of_pod, oom_score_adj};
    use crate::runtime::cgroup::Limits;

    fn spec(containers: serde_json::Value) -> PodSpec {
        serde_json::from_value(json!({"containers": containers})).unwrap()
    }

    #[test]
    fn limits_of_containers_and_pods() {
        let half = json!({"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "250m"}});
        let pod = spec(json!([{"name": "a", "resources": half}, {"name": "b", "resources": half}]));
        let a = of_container(&pod.containers[0]);
        let expected = Limits {
            cpu_shares: Some(256),
            cpu_quota_us: Some(50_000),
            memory_bytes: Some(64 << 20),
            pids: None,
        };
        assert_eq!(a, expected);
        let together = of_pod(&pod);
        assert_eq!((together.cpu_shares, together.cpu_quota_us), (Some(512), Some(100_000)));
        assert_eq!(together.memory_bytes, Some(128 << 20));
        // One container without a limit leaves the pod without one.
        let open = spec(json!([{"name": "a", "resources": half}, {"name": "b"}]));
        assert_eq!((of_pod(&open).memory_bytes, of_pod(&open).cpu_quota_us), (None, None));
        assert_eq!(of_container(&open.containers[1]).cpu_shares, Some(2));
    }

    #[test]
    fn the_score_follows_the_class() {
        let node = 1000 << 20;
        let score = |resources: serde_json::Value| {
            let pod = spec(json!([{"name": "a", "resources": resources}]));
            oom_score_adj(&pod, &pod.containers[0], node)
        };
        assert_eq!(score(json!({})), 1000);
        assert_eq!(score(json!({"limits": {"cpu": "1", "memory": "1Mi"}})), -997);
        assert_eq!(score(json!({"requests": {"memory": "100Mi"}})), 900);
        assert_eq!(score(json!({"requests": {"memory": "2000Mi"}})), 3);
    }
}
