//! What a configuration would replace as a whole.

use serde_json::Value;

use super::place::{Place, Topology, fields_of, items_of};

/// The paths of the lists, maps and structs in a configuration that do not merge, as `.spec.containers[0].args`.
#[must_use]
pub fn atomics<P: Place>(place: P, config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(place, config, "", &mut found);
    found
}

fn collect<P: Place>(place: P, value: &Value, path: &str, found: &mut Vec<String>) {
    let has_parts = value.is_object() || value.is_array();
    if has_parts && place.topology() == Topology::Atomic {
        found.push(path.to_owned());
    }
    for (name, value) in fields_of(value) {
        // The values of maps are replaced one by one.
        if let Some(child) = place.field(name).filter(|child| child.is_named) {
            collect(child.place, value, &format!("{path}.{name}"), found);
        }
    }
    if let Some(inner) = place.item() {
        for (index, item) in items_of(value).iter().enumerate() {
            collect(inner, item, &format!("{path}[{index}]"), found);
        }
    }
}
