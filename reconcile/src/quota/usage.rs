//! What one object takes from a quota, and which of a quota's resources count it.
//!
//! Source: Kubernetes, "Resource Quotas".

use api::{
    Kind, Object, Timestamp,
    k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service},
    quantity::Quantity,
};

use crate::{
    facts,
    pod_resources::{self, Amounts, Side},
};

/// Counted for every object of a kind: `count/deployments.apps`.
const COUNT_PREFIX: &str = "count/";
/// `gold.storageclass.storage.k8s.io/requests.storage`
const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const STORAGE: &str = "requests.storage";
const CLAIMS: &str = "persistentvolumeclaims";
const PODS: &str = "pods";
const SERVICES: &str = "services";
const NODE_PORTS: &str = "services.nodeports";
const LOAD_BALANCERS: &str = "services.loadbalancers";
/// Kinds that may also be counted by their bare name.
const BARE: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
const COMPUTE: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";
const LIMITS: &str = "limits.";
const STORAGE_CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// An object as quotas see it.
#[derive(Debug, Clone, Copy)]
pub enum Counted<'a> {
    /// Counted by what it asks for, too.
    Pod(&'a Pod),
    /// Counted by its size, too.
    Claim(&'a PersistentVolumeClaim),
    /// Counted by how it is reached, too.
    Service(&'a Service),
    /// One of a collection (`apps/deployments`).
    Other(&'a str),
}

impl<'a> Counted<'a> {
    /// The object in this collection, as [`Kind::collection`] names it; none if quotas leave the collection alone.
    #[must_use]
    pub fn new(collection: &'a str, object: Option<&'a Object>) -> Option<Counted<'a>> {
        match object {
            Some(Object::Pod(pod)) => Some(Counted::Pod(pod)),
            Some(Object::PersistentVolumeClaim(claim)) => Some(Counted::Claim(claim)),
            Some(Object::Service(service)) => Some(Counted::Service(service)),
            _ => (collection != Kind::Event.plural()).then_some(Counted::Other(collection)),
        }
    }

    fn collection(self) -> &'a str {
        match self {
            Counted::Pod(_) => PODS,
            Counted::Claim(_) => CLAIMS,
            Counted::Service(_) => SERVICES,
            Counted::Other(collection) => collection,
        }
    }

    /// Whether a quota's resource of this name counts such objects.
    #[must_use]
    pub fn is_counted_by(self, name: &str) -> bool {
        if let Some(counted) = name.strip_prefix(COUNT_PREFIX) {
            return counted == qualified(self.collection());
        }
        match self {
            Counted::Pod(_) => is_of_pods(name),
            Counted::Claim(_) => {
                let bare = name.split_once(OF_STORAGE_CLASS).map_or(name, |(_, bare)| bare);
                bare == CLAIMS || bare == STORAGE
            }
            Counted::Service(_) => [SERVICES, NODE_PORTS, LOAD_BALANCERS].contains(&name),
            Counted::Other(collection) => name == collection && BARE.contains(&name),
        }
    }

    /// What it takes from a quota that counts it, by the names of the quota's resources.
    #[must_use]
    pub fn usage(self, now: Timestamp) -> Amounts {
        let mut usage = Amounts::new();
        let one = Quantity::from_value(1);
        usage.insert(format!("{COUNT_PREFIX}{}", qualified(self.collection())), one);
        match self {
            Counted::Pod(pod) => {
                if is_charged(pod, now) {
                    usage.insert(PODS.to_owned(), one);
                    of_pod(pod, &mut usage);
                }
            }
            Counted::Claim(claim) => of_claim(claim, &mut usage),
            Counted::Service(service) => of_service(service, &mut usage),
            Counted::Other(collection) => {
                if BARE.contains(&collection) {
                    usage.insert(collection.to_owned(), one);
                }
            }
        }
        usage
    }
}

/// The collection whose objects a quota's resource of this name counts, of those that are counted by number alone.
#[must_use]
pub fn counted_collection(name: &str) -> Option<String> {
    if BARE.contains(&name) {
        return Some(name.to_owned());
    }
    let counted = name.strip_prefix(COUNT_PREFIX)?;
    Some(match counted.split_once('.') {
        None => counted.to_owned(),
        Some((plural, group)) => format!("{group}/{plural}"),
    })
}

/// `deployments.apps` for `apps/deployments`.
fn qualified(collection: &str) -> String {
    match collection.rsplit_once('/') {
        None => collection.to_owned(),
        Some((group, plural)) => format!("{plural}.{group}"),
    }
}

fn is_of_pods(name: &str) -> bool {
    let bare = name
        .strip_prefix(REQUESTS)
        .or(name.strip_prefix(LIMITS))
        .unwrap_or(name);
    name == PODS
        || COMPUTE.contains(&bare)
        || name.starts_with(HUGE_PAGES)
        || name
            .strip_prefix(REQUESTS)
            .is_some_and(|rest| rest.starts_with(HUGE_PAGES) || is_extended(rest))
}

/// The name of a resource that nodes advertise besides their own, for example `example.com/gpu`.
fn is_extended(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(domain, _)| !domain.ends_with("kubernetes.io") && !name.contains(OF_STORAGE_CLASS))
}

/// Finished pods take nothing, nor those whose node should long have stopped them.
fn is_charged(pod: &Pod, now: Timestamp) -> bool {
    !facts::is_finished(pod) && overdue_at(pod).is_none_or(|overdue| now <= overdue)
}

/// When the pod will have been stopped, if it is being deleted.
#[must_use]
pub fn overdue_at(pod: &Pod) -> Option<Timestamp> {
    let deletion = pod.metadata.deletion_timestamp.as_ref()?.0;
    let grace = pod.metadata.deletion_grace_period_seconds?;
    Timestamp::from_second(deletion.as_second().saturating_add(grace)).ok()
}

fn of_pod(pod: &Pod, usage: &mut Amounts) {
    let Some(spec) = &pod.spec else { return };
    let (requests, limits) = (
        pod_resources::effective(spec, Side::Requests),
        pod_resources::effective(spec, Side::Limits),
    );
    for (name, quantity) in requests {
        if COMPUTE.contains(&name.as_str()) || name.starts_with(HUGE_PAGES) {
            usage.insert(format!("{REQUESTS}{name}"), quantity);
            usage.insert(name, quantity);
        } else if is_extended(&name) {
            usage.insert(format!("{REQUESTS}{name}"), quantity);
        }
    }
    for (name, quantity) in limits {
        if COMPUTE.contains(&name.as_str()) {
            usage.insert(format!("{LIMITS}{name}"), quantity);
        }
    }
}

fn of_claim(claim: &PersistentVolumeClaim, usage: &mut Amounts) {
    let spec = claim.spec.as_ref();
    let asked = spec
        .and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"))
        .and_then(|text| Quantity::parse(&text.0).ok());
    let allocated = claim
        .status
        .as_ref()
        .and_then(|status| status.allocated_resources.as_ref()?.get("storage"))
        .and_then(|text| Quantity::parse(&text.0).ok());
    let size = asked.map(|asked| allocated.map_or(asked, |allocated| allocated.max(asked)).rounded_up());
    let mut take = |prefix: &str| {
        usage.insert(format!("{prefix}{CLAIMS}"), Quantity::from_value(1));
        if let Some(size) = size {
            usage.insert(format!("{prefix}{STORAGE}"), size);
        }
    };
    take("");
    let annotated = facts::annotation(&claim.metadata, STORAGE_CLASS_ANNOTATION);
    let class = annotated.or(spec.and_then(|spec| spec.storage_class_name.as_deref()));
    if let Some(class) = class.filter(|class| !class.is_empty()) {
        take(&format!("{class}{OF_STORAGE_CLASS}"));
    }
}

fn of_service(service: &Service, usage: &mut Amounts) {
    let spec = service.spec.as_ref();
    let type_ = spec.and_then(|spec| spec.type_.as_deref()).unwrap_or_default();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let allocates = spec.and_then(|spec| spec.allocate_load_balancer_node_ports) != Some(false);
    let node_ports = match type_ {
        "NodePort" => ports.len(),
        "LoadBalancer" if allocates => ports.len(),
        "LoadBalancer" => ports
            .iter()
            .filter(|port| port.node_port.is_some_and(|port| port != 0))
            .count(),
        _ => 0,
    };
    let node_ports = i64::try_from(node_ports).unwrap_or(i64::MAX);
    usage.insert(SERVICES.to_owned(), Quantity::from_value(1));
    usage.insert(NODE_PORTS.to_owned(), Quantity::from_value(node_ports));
    let balancers = i64::from(type_ == "LoadBalancer");
    usage.insert(LOAD_BALANCERS.to_owned(), Quantity::from_value(balancers));
}
