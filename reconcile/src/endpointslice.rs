//! The EndpointSlice controller: the addresses of a service's pods, in slices of at most 100.
//!
//! Never here: what one pod's endpoint says ([`endpoint`]). This file packs endpoints into slices and writes as few
//! of them as it can: an endpoint stays in the slice it is in, and a change of one touches one slice.
//! Source: KEP-752, API reference discovery.k8s.io/v1.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            core::v1::{Node, Pod, Service},
            discovery::v1::{Endpoint, EndpointPort, EndpointSlice},
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};

use crate::{
    facts,
    naming::{self, Hash},
    plan::{Action, Announcement, Asked, Context, Plan, Planner, Refusal, Removal, Severity},
    world::{SERVICE_NAME_LABEL, World, service_selector},
};

mod endpoint;

/// The label that says who maintains a slice.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value for the slices made here.
pub const MANAGED_BY: &str = "endpointslice-controller.k8s.io";
const NAME: &str = "endpointslice-controller";
const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Endpoints in one slice, Kubernetes' default: a change of one endpoint sends its whole slice to every watcher.
const SLICE_ENDPOINTS_MAX: usize = 100;

/// Plans the slices of services, each by the service's key.
#[derive(Debug, Default)]
pub(crate) struct EndpointSlices;

impl Planner for EndpointSlices {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::EndpointSlice, Kind::Node]
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        before: Option<&Object>,
        after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        match changed.kind {
            Kind::Service => vec![changed.clone()],
            Kind::Pod => {
                let pods = (before.and_then(Object::get::<Pod>), after.and_then(Object::get::<Pod>));
                if let (Some(before), Some(after)) = pods
                    && endpoint::is_alike(before, after)
                {
                    return Vec::new();
                }
                let mut keys: Vec<ObjectKey> = [before, after]
                    .into_iter()
                    .flatten()
                    .flat_map(|pod| world.services_selecting(pod.metadata()))
                    .map(service_key)
                    .collect();
                keys.sort();
                keys.dedup();
                keys
            }
            Kind::EndpointSlice => {
                let mut keys: Vec<ObjectKey> = [before, after]
                    .into_iter()
                    .flatten()
                    .filter(|slice| facts::label(slice.metadata(), MANAGED_BY_LABEL) == Some(MANAGED_BY))
                    .filter_map(|slice| facts::label(slice.metadata(), SERVICE_NAME_LABEL))
                    .map(|service| ObjectKey::new(Kind::Service, &changed.namespace, service))
                    .collect();
                keys.dedup();
                keys
            }
            Kind::Node => {
                let zone = |object: Option<&Object>| {
                    object.and_then(|node| facts::label(node.metadata(), endpoint::ZONE_LABEL).map(str::to_owned))
                };
                if zone(before) == zone(after) {
                    return Vec::new();
                }
                let mut keys: Vec<ObjectKey> = world
                    .pods_on(&changed.name)
                    .flat_map(|pod| world.services_selecting(&pod.metadata))
                    .map(service_key)
                    .collect();
                keys.sort();
                keys.dedup();
                keys
            }
            _ => Vec::new(),
        }
    }

    fn announce_refusal(&self, world: &World, key: &ObjectKey, refusal: &Refusal) -> Option<Announcement> {
        let verb = match refusal.asked {
            Asked::Creation => "create",
            Asked::Deletion => "delete",
        };
        let service = format!("Service {}/{}", key.namespace, key.name);
        Some(Announcement {
            about: key.clone(),
            uid: facts::uid(&world.typed::<Service>(&key.namespace, &key.name)?.metadata).to_owned(),
            severity: Severity::Warning,
            reason: "FailedToUpdateEndpointSlices",
            message: format!(
                "Error updating Endpoint Slices for {service}: failed to {verb} EndpointSlice for {service}: {}",
                refusal.message
            ),
            source: NAME,
        })
    }

    fn plan(&self, world: &World, key: &ObjectKey, _context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(service) = world.typed::<Service>(&key.namespace, &key.name) else {
            return plan; // Its slices name it as their owner: the garbage collector takes them.
        };
        let Some(spec) = &service.spec else { return plan };
        let Some(selector) = service_selector(service) else {
            return plan;
        };
        if spec.type_.as_deref() == Some("ExternalName")
            || facts::is_terminating(&service.metadata)
            || world.is_closing(&key.namespace)
        {
            return plan;
        }
        let pods: Vec<&Pod> = world.pods_with(&key.namespace, selector).collect();
        let mut slices: BTreeMap<&str, Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in world.slices_of(&key.namespace, &key.name) {
            if facts::label(&slice.metadata, MANAGED_BY_LABEL) == Some(MANAGED_BY)
                && !facts::is_terminating(&slice.metadata)
            {
                slices.entry(&slice.address_type).or_default().push(slice);
            }
        }
        let families = endpoint::families(spec);
        for family in &families {
            let present = slices.remove(family.address_type()).unwrap_or_default();
            let mut packing = Packing::new(world, service, *family);
            packing.pack(&pods, present);
            packing.write(&mut plan.actions);
        }
        // Slices of a family that the service no longer has.
        plan.actions.extend(slices.into_values().flatten().map(deletion));
        // Deletions last, and all creations in one run.
        plan.actions.sort_by_key(|action| match action {
            Action::Update(_) => 0,
            Action::Create(_) => 1,
            _ => 2,
        });
        plan
    }
}

fn service_key(service: &Service) -> ObjectKey {
    ObjectKey::new(
        Kind::Service,
        facts::namespace(&service.metadata),
        facts::name(&service.metadata),
    )
}

fn deletion(slice: &EndpointSlice) -> Action {
    Action::Delete {
        key: ObjectKey::new(
            Kind::EndpointSlice,
            facts::namespace(&slice.metadata),
            facts::name(&slice.metadata),
        ),
        uid: facts::uid(&slice.metadata).to_owned(),
        how: Removal::Graceful,
    }
}

/// What tells one endpoint from another, whatever its state.
type Identity = (String, String);

fn identity(endpoint: &Endpoint) -> Identity {
    (
        endpoint.addresses.first().cloned().unwrap_or_default(),
        endpoint
            .target_ref
            .as_ref()
            .and_then(|target| target.uid.clone())
            .unwrap_or_default(),
    )
}

/// A slice in work.
struct Draft<'a> {
    present: Option<&'a EndpointSlice>,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

/// The slices of one service and address family.
struct Packing<'a> {
    world: &'a World,
    service: &'a Service,
    family: endpoint::Family,
    labels: BTreeMap<String, String>,
    drafts: Vec<Draft<'a>>,
    surplus: Vec<&'a EndpointSlice>,
}

impl<'a> Packing<'a> {
    fn new(world: &'a World, service: &'a Service, family: endpoint::Family) -> Packing<'a> {
        let mut labels = service.metadata.labels.clone().unwrap_or_default();
        labels.remove(HEADLESS_LABEL);
        labels.insert(SERVICE_NAME_LABEL.to_owned(), facts::name(&service.metadata).to_owned());
        labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned());
        if endpoint::is_headless(service) {
            labels.insert(HEADLESS_LABEL.to_owned(), String::new());
        }
        Packing {
            world,
            service,
            family,
            labels,
            drafts: Vec::new(),
            surplus: Vec::new(),
        }
    }

    fn pack(&mut self, pods: &[&Pod], present: Vec<&'a EndpointSlice>) {
        // Pods whose named ports differ cannot share a slice: ports belong to the slice.
        let mut wanted: Vec<(Vec<EndpointPort>, BTreeMap<Identity, Endpoint>)> = Vec::new();
        for pod in pods {
            let zone = || {
                let node = self.world.typed::<Node>("", facts::node_name(pod)?)?;
                facts::label(&node.metadata, endpoint::ZONE_LABEL).map(str::to_owned)
            };
            let Some(endpoint) = endpoint::of_pod(self.service, pod, self.family, zone) else {
                continue;
            };
            let ports = endpoint::ports(self.service, pod);
            let group = match wanted.iter_mut().find(|(group, _)| *group == ports) {
                Some((_, group)) => group,
                None => &mut wanted.push_mut((ports, BTreeMap::new())).1,
            };
            group.insert(identity(&endpoint), endpoint);
        }
        let mut by_ports: Vec<(Vec<EndpointPort>, Vec<&'a EndpointSlice>)> = Vec::new();
        for slice in present {
            let ports = endpoint::complete(slice.ports.as_deref().unwrap_or_default());
            match by_ports.iter_mut().find(|(group, _)| *group == ports) {
                Some((_, group)) => group.push(slice),
                None => by_ports.push((ports, vec![slice])),
            }
        }
        for (ports, endpoints) in wanted {
            let slices = match by_ports.iter().position(|(group, _)| *group == ports) {
                Some(at) => by_ports.swap_remove(at).1,
                None => Vec::new(),
            };
            self.pack_group(ports, endpoints, slices);
        }
        self.surplus.extend(by_ports.into_iter().flat_map(|(_, slices)| slices));
        if self.drafts.is_empty() {
            // One empty slice says that the service was looked at and has nobody.
            let present = match self
                .surplus
                .iter()
                .position(|slice| slice.ports.iter().flatten().next().is_none())
            {
                Some(at) => Some(self.surplus.swap_remove(at)),
                None => self.surplus.pop(),
            };
            self.drafts.push(Draft {
                present,
                ports: Vec::new(),
                endpoints: Vec::new(),
            });
        }
    }

    fn pack_group(
        &mut self,
        ports: Vec<EndpointPort>,
        mut wanted: BTreeMap<Identity, Endpoint>,
        slices: Vec<&'a EndpointSlice>,
    ) {
        let mut drafts: Vec<Draft<'a>> = Vec::new();
        let mut placed: BTreeSet<Identity> = BTreeSet::new();
        for slice in slices {
            let mut endpoints = Vec::new();
            for endpoint in slice.endpoints.iter().flatten() {
                let identity = identity(endpoint);
                if let Some(endpoint) = wanted.get(&identity)
                    && placed.insert(identity)
                {
                    endpoints.push(endpoint.clone());
                }
            }
            drafts.push(Draft {
                present: Some(slice),
                ports: ports.clone(),
                endpoints,
            });
        }
        wanted.retain(|identity, _| !placed.contains(identity));
        let mut rest: Vec<Endpoint> = wanted.into_values().collect();
        // Slices that change anyway take the new endpoints, the fullest first; then the one that has room for all
        // that is left; then new ones.
        let mut open: Vec<usize> = (0..drafts.len()).filter(|at| self.differs(&drafts[*at])).collect();
        open.sort_by_key(|at| std::cmp::Reverse(drafts[*at].endpoints.len()));
        for at in open {
            if drafts[at].endpoints.is_empty() && rest.is_empty() {
                continue;
            }
            let room = SLICE_ENDPOINTS_MAX
                .saturating_sub(drafts[at].endpoints.len())
                .min(rest.len());
            drafts[at].endpoints.extend(rest.drain(..room));
        }
        if !rest.is_empty()
            && let Some(draft) = drafts
                .iter_mut()
                .filter(|draft| draft.endpoints.len() + rest.len() <= SLICE_ENDPOINTS_MAX)
                .max_by_key(|draft| draft.endpoints.len())
        {
            draft.endpoints.append(&mut rest);
        }
        while !rest.is_empty() {
            let room = SLICE_ENDPOINTS_MAX.min(rest.len());
            drafts.push(Draft {
                present: None,
                ports: ports.clone(),
                endpoints: rest.drain(..room).collect(),
            });
        }
        for draft in drafts {
            match draft.present {
                Some(slice) if draft.endpoints.is_empty() => self.surplus.push(slice),
                _ => self.drafts.push(draft),
            }
        }
    }

    fn differs(&self, draft: &Draft<'_>) -> bool {
        draft.present.is_none_or(|present| {
            present.endpoints.as_deref().unwrap_or_default() != draft.endpoints
                || endpoint::complete(present.ports.as_deref().unwrap_or_default()) != draft.ports
                || present.metadata.labels.as_ref() != Some(&self.labels)
                || facts::controller(&present.metadata)
                    .is_none_or(|owner| owner.uid != facts::uid(&self.service.metadata))
        })
    }

    fn write(self, actions: &mut Vec<Action>) {
        let mut number = 0;
        for draft in &self.drafts {
            if !self.differs(draft) {
                continue;
            }
            let action = match draft.present {
                Some(present) => {
                    let mut slice = present.clone();
                    self.fill(&mut slice, draft);
                    Action::Update(Box::new(slice.into()))
                }
                None => {
                    let mut slice = EndpointSlice {
                        metadata: ObjectMeta {
                            name: Some(self.new_name(&mut number)),
                            generate_name: Some(format!("{}-", facts::name(&self.service.metadata))),
                            namespace: self.service.metadata.namespace.clone(),
                            ..ObjectMeta::default()
                        },
                        address_type: self.family.address_type().to_owned(),
                        ..EndpointSlice::default()
                    };
                    self.fill(&mut slice, draft);
                    Action::Create(Box::new(slice.into()))
                }
            };
            actions.push(action);
        }
        actions.extend(self.surplus.into_iter().map(deletion));
    }

    fn fill(&self, slice: &mut EndpointSlice, draft: &Draft<'_>) {
        slice.metadata.labels = Some(self.labels.clone());
        slice.metadata.owner_references = Some(vec![facts::controlled_by::<Service>(&self.service.metadata)]);
        slice.endpoints = Some(draft.endpoints.clone());
        slice.ports = Some(draft.ports.clone());
    }

    /// A name that depends on what this plan saw: a second plan from the same view is refused, not doubled.
    fn new_name(&self, number: &mut u64) -> String {
        let metadata = &self.service.metadata;
        let view = self
            .world
            .slices_of(facts::namespace(metadata), facts::name(metadata))
            .fold(
                Hash::new().with(facts::uid(metadata)).with(self.family.address_type()),
                |hash, slice| {
                    hash.with(facts::uid(&slice.metadata))
                        .with(slice.metadata.resource_version.as_deref().unwrap_or_default())
                },
            );
        loop {
            let name = naming::generated(&format!("{}-", facts::name(metadata)), view.with_number(*number));
            *number += 1;
            let key = ObjectKey::new(Kind::EndpointSlice, facts::namespace(metadata), &name);
            if self.world.get(&key).is_none() {
                return name;
            }
        }
    }
}

#[cfg(test)]
mod tests;
