//! A configuration merged into the object as it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::place::{Handling, Place, fields_of, handling, item_step, items_of};

/// The object with everything that `config` says. Items of lists keep the order of the configuration where it names
/// them, the others stay beside their neighbours. What does not fit the schema must have been refused before.
#[must_use]
pub fn merge<P: Place>(place: P, live: &Value, config: &Value) -> Value {
    both(place, Some(live), Some(config)).unwrap_or_else(|| Value::Object(Map::new()))
}

/// None if nothing is left of a map or list that was not empty.
fn both<P: Place>(place: P, live: Option<&Value>, config: Option<&Value>) -> Option<Value> {
    match handling(&place, [live, config]) {
        Handling::Leaf => config.or(live).cloned(),
        Handling::Fields => {
            let (live, config) = (live.unwrap_or(&Value::Null), config.unwrap_or(&Value::Null));
            let mut out = Map::new();
            for (name, was) in fields_of(live) {
                let merged = match (config.get(name), place.field(name)) {
                    (Some(wanted), Some(child)) => both(child.place, Some(was), Some(wanted)),
                    _ => Some(was.clone()),
                };
                out.extend(merged.map(|merged| (name.clone(), merged)));
            }
            for (name, wanted) in fields_of(config).iter().filter(|(name, _)| live.get(name).is_none()) {
                out.insert(name.clone(), wanted.clone());
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
        Handling::Items(keys) => {
            let out = lists(place, keys, live.map_or(&[], items_of), config.map_or(&[], items_of));
            (!out.is_empty()).then_some(Value::Array(out))
        }
    }
}

fn lists<P: Place>(place: P, keys: &[Box<str>], live: &[Value], config: &[Value]) -> Vec<Value> {
    let step = |item: &Value| item_step(&place, keys, item).ok();
    let live_steps: Vec<Option<String>> = live.iter().map(step).collect();
    let config_steps: Vec<Option<String>> = config.iter().map(step).collect();
    let in_config: BTreeSet<&String> = config_steps.iter().flatten().collect();
    // An item that stands more than once has no counterpart to merge with.
    let mut counterpart: BTreeMap<&String, Option<&Value>> = BTreeMap::new();
    for (step, item) in live_steps.iter().zip(live) {
        if let Some(step) = step {
            counterpart
                .entry(step)
                .and_modify(|known| *known = None)
                .or_insert(Some(item));
        }
    }
    let mut shared = config_steps
        .iter()
        .flatten()
        .filter(|step| counterpart.contains_key(step))
        .peekable();
    let mut done: BTreeSet<&String> = BTreeSet::new();
    let mut out = Vec::with_capacity(live.len().max(config.len()));
    let (mut left, mut right) = (0, 0);
    while left < live.len() || right < config.len() {
        if left < live.len() {
            let here = live_steps[left].as_ref();
            let Some(here) = here.filter(|here| in_config.contains(here)) else {
                out.push(live[left].clone());
                left += 1;
                continue;
            };
            if done.contains(here) || shared.peek().is_some_and(|next| *next != here) {
                // Comes where the configuration has it.
                left += 1;
                continue;
            }
            if config_steps.get(right).and_then(Option::as_ref) == Some(here) {
                left += 1;
            }
        }
        if right < config.len() {
            let wanted = &config[right];
            let merged = match config_steps[right].as_ref() {
                Some(step) => {
                    done.insert(step);
                    if shared.peek() == Some(&step) {
                        shared.next();
                    }
                    let was = counterpart.get(step).copied().flatten();
                    match place.item() {
                        Some(inner) => both(inner, was, Some(wanted)),
                        None => Some(wanted.clone()),
                    }
                }
                None => Some(wanted.clone()),
            };
            out.extend(merged);
            right += 1;
        }
    }
    out
}
