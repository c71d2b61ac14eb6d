//! What the maps hold, as JSON with stable field names, for `skep net`.
//!
//! Never here: changes to maps.

use std::{collections::BTreeMap, fs, io, net::IpAddr};

use dataplane::{
    addr::{Addr, PROTO_ICMP, PROTO_TCP, PROTO_UDP, PortBe},
    layout::{
        self, FRONTEND_OUTSIDE, FrontendKey, KIND_DIRECT, KIND_FORWARDED, KIND_MASQUERADE, KIND_NODE_PORT,
        KIND_SERVICE, NODE_LOCAL, SCOPE_NODE_PORT, SITE_INNER, SITE_UPLINK_IN, SITE_UPLINK_OUT, STATE_ANSWERED,
        STATE_FIN, STATE_PAIR_FIN, SlotKey, Tuple,
    },
    verdict::{ALL_HOOKS, ALL_REASONS, drop_index},
};
use serde_json::{Value, json};

use super::{
    DumpError, Image, TableError,
    conntrack::Flows,
    desired::SetName,
    object::Maps,
    plan::{self, frontend_key},
    pod_port::uid_of,
    table::Table,
};

pub(super) fn services(maps: &Maps, image: Option<&Image>) -> Result<Value, DumpError> {
    let backends: BTreeMap<_, _> = maps.backends.entries()?.into_iter().collect();
    let slots: BTreeMap<_, _> = maps.slots.entries()?.into_iter().collect();
    let names = names(image);
    let mut frontends = maps.frontends.entries()?;
    frontends.sort_by_key(|(key, _)| *key);
    let mut rows = Vec::new();
    for (key, frontend) in frontends {
        let range = |slot| SlotKey {
            service: frontend.service,
            generation: frontend.generation,
            slot,
        };
        let members: Vec<_> = slots
            .range(range(0)..range(frontend.count))
            .filter_map(|(_, id)| backends.get(id).map(|backend| (id, backend)))
            .map(|(id, backend)| json!({ "id": id, "address": ip(backend.addr), "port": backend.port.get() }))
            .collect();
        let name = names.get(&key);
        let is_node_port = key.scope == SCOPE_NODE_PORT;
        rows.push(json!({
            "namespace": name.map(|name| &name.namespace),
            "service": name.map(|name| &name.service),
            "portName": name.map(|name| &name.port),
            "address": if is_node_port { "*".to_owned() } else { ip(key.addr) },
            "port": key.port.get(),
            "protocol": protocol(key.protocol),
            "scope": match (is_node_port, frontend.flags & FRONTEND_OUTSIDE != 0) {
                (true, _) => "nodePort",
                (false, true) => "external",
                (false, false) => "cluster",
            },
            "id": frontend.service,
            "generation": frontend.generation,
            "affinitySeconds": frontend.affinity_s(),
            "turn": maps.turns.get(&frontend.service)?.unwrap_or_default(),
            "backends": members,
        }));
    }
    Ok(Value::Array(rows))
}

fn names(image: Option<&Image>) -> BTreeMap<FrontendKey, &SetName> {
    let pairs = image.into_iter().flat_map(|image| &image.frontends);
    pairs.map(|(frontend, name)| (frontend_key(frontend), name)).collect()
}

pub(super) fn endpoints(maps: &Maps, image: Option<&Image>) -> Result<Value, DumpError> {
    let mut backends: Vec<_> = maps.backends.entries()?;
    backends.sort_by_key(|(id, _)| *id);
    let backends: Vec<_> = backends
        .iter()
        .map(|(id, backend)| {
            json!({
                "id": id,
                "address": ip(backend.addr),
                "port": backend.port.get(),
                "protocol": protocol(backend.protocol),
                "services": services_of(backend, image),
            })
        })
        .collect();
    let mut pods: Vec<_> = maps.pods.entries()?;
    pods.sort_by_key(|(addr, _)| *addr);
    let pods: Vec<_> = pods
        .iter()
        .map(|(addr, pod)| {
            let [a, b, c, d, e, f] = pod.mac;
            json!({
                "uid": uid_of(pod),
                "address": ip(*addr),
                "interfaceIndex": pod.ifindex,
                "mac": format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            })
        })
        .collect();
    Ok(json!({ "backends": backends, "pods": pods, "nodes": nodes(maps, image)? }))
}

/// `namespace/name:port` of the services that a backend is selected for.
fn services_of(backend: &layout::Backend, image: Option<&Image>) -> Vec<String> {
    let sets = image.into_iter().flat_map(|image| &image.sets);
    sets.filter(|(_, set)| set.iter().any(|member| plan::backend_value(member) == *backend))
        .map(|(name, _)| match name.port.as_str() {
            "" => format!("{}/{}", name.namespace, name.service),
            port => format!("{}/{}:{port}", name.namespace, name.service),
        })
        .collect()
}

fn nodes(maps: &Maps, image: Option<&Image>) -> Result<Vec<Value>, TableError> {
    let mut nodes = maps.nodes.entries()?;
    nodes.sort_by_key(|(addr, _)| *addr);
    let routes = maps.routes.entries()?;
    let ranges = |node: Addr| -> Vec<String> {
        let owned = routes.iter().filter(|(_, route)| route.node == node);
        owned
            .map(|(key, _)| match key.addr.v4_word() {
                Some(_) => format!(
                    "{}/{}",
                    ip(key.addr),
                    key.bits.saturating_sub(dataplane::addr::MAPPED_BITS)
                ),
                None => format!("{}/{}", ip(key.addr), key.bits),
            })
            .collect()
    };
    let rows = nodes.into_iter().map(|(addr, node)| {
        json!({
            "address": ip(addr),
            "name": image.and_then(|image| image.nodes.get(&IpAddr::from(addr))),
            "local": node.flags & NODE_LOCAL != 0,
            "ranges": ranges(addr),
        })
    });
    Ok(rows.collect())
}

pub(super) fn conntrack(maps: &Maps, now_s: u32) -> Result<Value, DumpError> {
    let mut flows = maps.flows.entries()?;
    flows.sort_by_key(|(key, _)| *key);
    let known = Flows::new(&flows);
    let rows = flows.iter().enumerate().map(|(index, (key, flow))| {
        let (source, destination) = ends(&key.tuple);
        let (translated_source, translated_destination) = ends(&flow.tuple);
        json!({
            "protocol": protocol(key.protocol),
            "kind": match flow.kind {
                KIND_SERVICE => "service",
                KIND_NODE_PORT => "nodePort",
                KIND_FORWARDED => "forwarded",
                KIND_MASQUERADE => "masquerade",
                KIND_DIRECT => "direct",
                _ => "unknown",
            },
            "direction": if flow.reply == 0 { "original" } else { "reply" },
            "site": match key.site {
                SITE_INNER => "inner",
                SITE_UPLINK_IN => "uplinkIn",
                SITE_UPLINK_OUT => "uplinkOut",
                _ => "unknown",
            },
            "source": source,
            "destination": destination,
            "translatedSource": translated_source,
            "translatedDestination": translated_destination,
            "via": (flow.via != Addr::ANY).then(|| ip(flow.via)),
            "idleSeconds": now_s.saturating_sub(flow.seen.get()),
            "state": state(known.state(index)),
        })
    });
    Ok(Value::Array(rows.collect()))
}

fn state(state: u32) -> &'static str {
    let closing = STATE_FIN | STATE_PAIR_FIN;
    if layout::is_closed(state) {
        "closed"
    } else if state & closing != 0 {
        "closing"
    } else if state & STATE_ANSWERED != 0 {
        "answered"
    } else {
        "opened"
    }
}

pub(super) fn maps(maps: &Maps) -> Result<Value, DumpError> {
    fn row<K: layout::Plain, V: layout::Plain>(table: &Table<K, V>) -> Result<Value, TableError> {
        let spec = table.spec();
        Ok(json!({ "name": spec.name, "entries": table.entries()?.len(), "limit": spec.max_entries }))
    }
    Ok(Value::Array(vec![
        row(&maps.frontends)?,
        row(&maps.slots)?,
        row(&maps.backends)?,
        row(&maps.affinities)?,
        row(&maps.pods)?,
        row(&maps.nodes)?,
        row(&maps.routes)?,
        row(&maps.flows)?,
        row(&maps.fragments)?,
    ]))
}

pub(super) fn drops(maps: &Maps) -> Result<Value, DumpError> {
    let processors = possible_processors().map_err(DumpError::Processors)?;
    let mut rows = Vec::new();
    for &hook in ALL_HOOKS {
        for &reason in ALL_REASONS {
            let counts = maps.drops.per_processor(drop_index(hook, reason), processors)?;
            let packets: u64 = counts.iter().sum();
            if packets > 0 {
                rows.push(json!({ "hook": hook.name(), "reason": reason.name(), "packets": packets }));
            }
        }
    }
    Ok(Value::Array(rows))
}

/// Processors that a per-processor map has values for.
fn possible_processors() -> io::Result<usize> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible")?;
    processors_in(&text).ok_or_else(|| io::Error::other(format!("cannot read {text:?} as a list of processors")))
}

/// One more than the highest number in a list such as `0-3,8`.
fn processors_in(list: &str) -> Option<usize> {
    let last = list.trim().rsplit([',', '-']).next()?;
    last.parse::<usize>().ok().map(|last| last + 1)
}

fn ip(addr: Addr) -> String {
    IpAddr::from(addr).to_string()
}

fn ends(tuple: &Tuple) -> (String, String) {
    let end = |addr: Addr, port: PortBe| std::net::SocketAddr::new(addr.into(), port.get()).to_string();
    (
        end(tuple.source, tuple.source_port),
        end(tuple.destination, tuple.destination_port),
    )
}

fn protocol(number: u8) -> String {
    match number {
        PROTO_TCP => "TCP".to_owned(),
        PROTO_UDP => "UDP".to_owned(),
        PROTO_ICMP => "ICMP".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
