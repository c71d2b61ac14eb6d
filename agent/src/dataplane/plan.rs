//! From what the maps hold to what they should hold, as ordered steps.
//!
//! Order: backends, slots, frontends; then, once no program can still be reading the old generation, deletions in
//! reverse. A reader sees the old set of backends or the new one, never a mix or a hole. Ids come from what the maps
//! hold, so that they survive the agent.
//! Never here: I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dataplane::{
    addr::{Addr, MAPPED_BITS, PortBe},
    layout::{
        self, AFFINITY_S_MAX, AFFINITY_SHIFT, BACKENDS_MAX, FRONTEND_OUTSIDE, FRONTENDS_MAX, FrontendKey, KnownNode,
        NODE_LOCAL, NODES_MAX, ROUTES_MAX, Route, RouteKey, SCOPE_ADDRESS, SCOPE_NODE_PORT, SERVICES_MAX,
        SLOT_OF_MEMBER, SLOTS_MAX, SlotKey,
    },
};
use ipnet::IpNet;

use super::desired::{Backend, Frontend, Image, Listen, SetName};

/// Contents of the maps that an image is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct State {
    pub(super) frontends: BTreeMap<FrontendKey, layout::Frontend>,
    pub(super) slots: BTreeMap<SlotKey, u32>,
    pub(super) backends: BTreeMap<u32, layout::Backend>,
    pub(super) nodes: BTreeMap<Addr, KnownNode>,
    pub(super) routes: BTreeMap<RouteKey, Route>,
}

/// One change to one map. Steps are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    PutNodes(Vec<(Addr, KnownNode)>),
    PutRoutes(Vec<(RouteKey, Route)>),
    PutBackends(Vec<(u32, layout::Backend)>),
    PutSlots(Vec<(SlotKey, u32)>),
    /// The flip: from here on new connections see the new generation.
    PutFrontends(Vec<(FrontendKey, layout::Frontend)>),
    DeleteFrontends(Vec<FrontendKey>),
    /// Until every program that may have read what follows has ended.
    WaitForReaders,
    DeleteSlots(Vec<SlotKey>),
    DeleteBackends(Vec<u32>),
    DeleteRoutes(Vec<RouteKey>),
    DeleteNodes(Vec<Addr>),
}

/// An image does not fit. Nothing was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the map {map} holds {limit} entries, {wanted} are wanted: what it has is kept")]
pub struct FullError {
    /// Name of the map.
    pub map: &'static str,
    /// Entries it can hold.
    pub limit: usize,
    /// Entries the image needs (with the old generation beside the new one, for slots).
    pub wanted: usize,
}

/// Key of a frontend in the maps.
pub(super) fn frontend_key(frontend: &Frontend) -> FrontendKey {
    let (addr, scope) = match frontend.listen {
        Listen::Inside(ip) | Listen::Everywhere(ip) => (Addr::from(ip), SCOPE_ADDRESS),
        Listen::Nodes => (Addr::ANY, SCOPE_NODE_PORT),
    };
    FrontendKey {
        addr,
        port: PortBe::new(frontend.port),
        protocol: frontend.protocol.number(),
        scope,
    }
}

/// Key of a range of addresses in the maps.
pub(super) fn route_key(range: &IpNet) -> RouteKey {
    let bits = u32::from(range.prefix_len());
    RouteKey {
        bits: if range.addr().is_ipv4() {
            MAPPED_BITS + bits
        } else {
            bits
        },
        addr: range.network().into(),
    }
}

/// A backend in the maps.
pub(super) fn backend_value(backend: &Backend) -> layout::Backend {
    layout::Backend {
        addr: backend.ip.into(),
        port: PortBe::new(backend.port),
        protocol: backend.protocol.number(),
        reserved: 0,
    }
}

/// The steps from `state` to `image`.
///
/// # Errors
/// [`FullError`] when a map is too small for it.
pub(super) fn plan(state: &State, image: &Image, local_node: Addr) -> Result<Vec<Step>, FullError> {
    let backends = plan_backends(state, image)?;
    let services = plan_services(state, image, &backends.ids)?;
    let (nodes, routes) = network(image, local_node);
    fits("NODES", NODES_MAX, nodes.len())?;
    fits("ROUTES", ROUTES_MAX, routes.len())?;

    let gone_slots: Vec<_> = {
        let live: BTreeSet<_> = services.frontends.values().map(|f| (f.service, f.generation)).collect();
        state
            .slots
            .keys()
            .filter(|key| !live.contains(&(key.service, key.generation)))
            .copied()
            .collect()
    };
    let gone_frontends = absent(&state.frontends, &services.frontends);
    let readers = !gone_slots.is_empty() || !backends.gone.is_empty();
    let steps = [
        Step::PutNodes(changed(&state.nodes, &nodes)),
        Step::PutRoutes(changed(&state.routes, &routes)),
        Step::PutBackends(backends.new),
        Step::PutSlots(services.slots),
        Step::PutFrontends(changed(&state.frontends, &services.frontends)),
        Step::DeleteFrontends(gone_frontends),
        Step::WaitForReaders,
        Step::DeleteSlots(gone_slots),
        Step::DeleteBackends(backends.gone),
        Step::DeleteRoutes(absent(&state.routes, &routes)),
        Step::DeleteNodes(absent(&state.nodes, &nodes)),
    ];
    Ok(steps
        .into_iter()
        .filter(|step| step.len().map_or(readers, |len| len > 0))
        .collect())
}

impl Step {
    /// Entries it touches; none for a wait.
    pub(super) fn len(&self) -> Option<usize> {
        match self {
            Self::PutNodes(entries) => Some(entries.len()),
            Self::PutRoutes(entries) => Some(entries.len()),
            Self::PutBackends(entries) => Some(entries.len()),
            Self::PutSlots(entries) => Some(entries.len()),
            Self::PutFrontends(entries) => Some(entries.len()),
            Self::DeleteFrontends(keys) => Some(keys.len()),
            Self::WaitForReaders => None,
            Self::DeleteSlots(keys) => Some(keys.len()),
            Self::DeleteBackends(keys) => Some(keys.len()),
            Self::DeleteRoutes(keys) => Some(keys.len()),
            Self::DeleteNodes(keys) => Some(keys.len()),
        }
    }
}

impl State {
    /// What the maps hold after a step.
    pub(super) fn record(&mut self, step: &Step) {
        match step {
            Step::PutNodes(entries) => self.nodes.extend(entries.iter().copied()),
            Step::PutRoutes(entries) => self.routes.extend(entries.iter().copied()),
            Step::PutBackends(entries) => self.backends.extend(entries.iter().copied()),
            Step::PutSlots(entries) => self.slots.extend(entries.iter().copied()),
            Step::PutFrontends(entries) => self.frontends.extend(entries.iter().copied()),
            Step::DeleteFrontends(keys) => forget(&mut self.frontends, keys),
            Step::WaitForReaders => {}
            Step::DeleteSlots(keys) => forget(&mut self.slots, keys),
            Step::DeleteBackends(keys) => forget(&mut self.backends, keys),
            Step::DeleteRoutes(keys) => forget(&mut self.routes, keys),
            Step::DeleteNodes(keys) => forget(&mut self.nodes, keys),
        }
    }
}

fn forget<K: Ord, V>(held: &mut BTreeMap<K, V>, keys: &[K]) {
    for key in keys {
        held.remove(key);
    }
}

fn fits(map: &'static str, limit: usize, wanted: usize) -> Result<(), FullError> {
    if wanted <= limit {
        Ok(())
    } else {
        Err(FullError { map, limit, wanted })
    }
}

fn changed<K: Ord + Copy, V: PartialEq + Copy>(held: &BTreeMap<K, V>, wanted: &BTreeMap<K, V>) -> Vec<(K, V)> {
    wanted
        .iter()
        .filter(|(key, value)| held.get(key) != Some(value))
        .map(|(key, value)| (*key, *value))
        .collect()
}

fn absent<K: Ord + Copy, V>(held: &BTreeMap<K, V>, wanted: &BTreeMap<K, V>) -> Vec<K> {
    held.keys().filter(|key| !wanted.contains_key(key)).copied().collect()
}

struct Backends {
    ids: HashMap<layout::Backend, u32>,
    new: Vec<(u32, layout::Backend)>,
    gone: Vec<u32>,
}

fn plan_backends(state: &State, image: &Image) -> Result<Backends, FullError> {
    let wanted: BTreeSet<layout::Backend> = image
        .sets
        .values()
        .flatten()
        .chain(&image.alive)
        .map(backend_value)
        .collect();
    let mut ids = HashMap::new();
    let mut gone = Vec::new();
    for (&id, backend) in &state.backends {
        if wanted.contains(backend) && !ids.contains_key(backend) {
            ids.insert(*backend, id);
        } else {
            gone.push(id);
        }
    }
    fits("BACKENDS", BACKENDS_MAX, wanted.len() + gone.len())?;
    // Ids that are going are still held: the new ones must not be among them.
    let mut free = (1u32..).filter(|id| !state.backends.contains_key(id));
    let mut new = Vec::new();
    for backend in wanted {
        if let std::collections::hash_map::Entry::Vacant(entry) = ids.entry(backend)
            && let Some(id) = free.next()
        {
            entry.insert(id);
            new.push((id, backend));
        }
    }
    Ok(Backends { ids, new, gone })
}

struct Services {
    frontends: BTreeMap<FrontendKey, layout::Frontend>,
    slots: Vec<(SlotKey, u32)>,
}

fn plan_services(
    state: &State,
    image: &Image,
    backend_ids: &HashMap<layout::Backend, u32>,
) -> Result<Services, FullError> {
    fits("FRONTENDS", FRONTENDS_MAX, image.frontends.len())?;
    let ids = service_ids(state, image)?;
    // The newest generation of each service that any slot or frontend names.
    let mut newest: HashMap<u32, u32> = HashMap::new();
    let named = state.slots.keys().map(|key| (key.service, key.generation));
    for (service, generation) in named.chain(state.frontends.values().map(|f| (f.service, f.generation))) {
        let newest = newest.entry(service).or_default();
        *newest = (*newest).max(generation);
    }
    let mut slots = Vec::new();
    let mut tables: BTreeMap<&SetName, (u32, u32, u32, u32)> = BTreeMap::new();
    for (name, set) in &image.sets {
        let Some(&service) = ids.get(name) else { continue };
        let wanted: BTreeSet<u32> = set
            .iter()
            .filter_map(|b| backend_ids.get(&backend_value(b)).copied())
            .collect();
        let held = newest.get(&service).copied().unwrap_or_default();
        let slot = |slot| SlotKey {
            service,
            generation: held,
            slot,
        };
        let current: Vec<u32> = state
            .slots
            .range(slot(0)..slot(SLOT_OF_MEMBER))
            .map(|(_, &id)| id)
            .collect();
        let affinity_s = image.affinities_s.get(name).map_or(0, |&s| s.min(AFFINITY_S_MAX));
        let members = if affinity_s == 0 {
            BTreeSet::new()
        } else {
            wanted.clone()
        };
        let held_members = state.slots.range(slot(SLOT_OF_MEMBER)..=slot(u32::MAX));
        let count = wanted.len() as u32;
        let same = current.len() == wanted.len()
            && current.iter().all(|id| wanted.contains(id))
            && held_members.map(|(_, id)| id).eq(&members);
        let generation = if same { held } else { held.wrapping_add(1) };
        if !same {
            // Those that stay keep their order.
            let stay = current.iter().copied().filter(|id| wanted.contains(id));
            let come = wanted.iter().copied().filter(|id| !current.contains(id));
            let by_id = members.iter().map(|&id| (SLOT_OF_MEMBER | id, id));
            let entries = (0u32..).zip(stay.chain(come)).chain(by_id);
            slots.extend(entries.map(|(slot, id)| {
                (
                    SlotKey {
                        service,
                        generation,
                        slot,
                    },
                    id,
                )
            }));
        }
        tables.insert(name, (service, generation, count, affinity_s));
    }
    fits("SLOTS", SLOTS_MAX, state.slots.len() + slots.len())?;
    let frontends = image
        .frontends
        .iter()
        .filter_map(|(frontend, name)| {
            let &(service, generation, count, affinity_s) = tables.get(name)?;
            let outside = match frontend.listen {
                Listen::Inside(_) => 0,
                Listen::Everywhere(_) | Listen::Nodes => FRONTEND_OUTSIDE,
            };
            let flags = outside | affinity_s << AFFINITY_SHIFT;
            Some((
                frontend_key(frontend),
                layout::Frontend {
                    service,
                    generation,
                    count,
                    flags,
                },
            ))
        })
        .collect();
    Ok(Services { frontends, slots })
}

/// A set keeps the id of a frontend of it that is there already, so that its turns and its flows go on.
fn service_ids<'i>(state: &State, image: &'i Image) -> Result<HashMap<&'i SetName, u32>, FullError> {
    let mut ids: HashMap<&SetName, u32> = HashMap::new();
    let mut owners: HashMap<u32, &SetName> = HashMap::new();
    for (frontend, name) in &image.frontends {
        if let Some(held) = state.frontends.get(&frontend_key(frontend))
            && !ids.contains_key(name)
            && *owners.entry(held.service).or_insert(name) == name
        {
            ids.insert(name, held.service);
        }
    }
    let used: BTreeSet<u32> = state
        .frontends
        .values()
        .map(|f| f.service)
        .chain(state.slots.keys().map(|key| key.service))
        .collect();
    let mut free = (1u32..).filter(|id| !used.contains(id));
    for name in image.sets.keys() {
        if !ids.contains_key(name) {
            let id = free.next().unwrap_or(u32::MAX);
            fits("TURNS", SERVICES_MAX - 1, id as usize)?;
            ids.insert(name, id);
        }
    }
    Ok(ids)
}

fn network(image: &Image, local: Addr) -> (BTreeMap<Addr, KnownNode>, BTreeMap<RouteKey, Route>) {
    let nodes = image.nodes.keys().map(|&ip| {
        let addr = Addr::from(ip);
        (
            addr,
            KnownNode {
                flags: if addr == local { NODE_LOCAL } else { 0 },
            },
        )
    });
    let routes = image
        .routes
        .iter()
        .map(|(range, &node)| (route_key(range), Route { node: node.into() }));
    (nodes.collect(), routes.collect())
}

#[cfg(test)]
mod tests;
