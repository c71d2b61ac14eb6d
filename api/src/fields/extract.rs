//! The fields that a configuration names: what its applier will own.

use std::fmt;

use serde_json::Value;

use super::{
    element,
    place::{Place, ScalarType, Topology, fields_of, item_step, items_of},
    set::{FieldSet, Path},
};

/// A field that the schema does not have, or whose value it does not take. Displays as `.spec.foo: field not declared
/// in schema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    path: Path,
    what: String,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// Most faults that are reported: enough to mend a configuration, and it bounds the answer.
const FAULTS_MAX: usize = 100;

/// The fields that `config` names: scalars, whole atomic lists and maps, keys of maps, items of lists, and what is
/// empty or null.
///
/// # Errors
/// What does not fit the schema, or stands twice in a list that tells its items apart; at most a hundred.
pub fn extract<P: Place>(place: P, config: &Value) -> Result<FieldSet, Vec<FieldFault>> {
    let mut walk = Walk {
        way: Vec::new(),
        set: FieldSet::default(),
        faults: Vec::new(),
    };
    walk.value(place, config);
    if walk.faults.is_empty() {
        Ok(walk.set)
    } else {
        Err(walk.faults)
    }
}

/// The fields of a stored object; of what does not fit the schema, nothing.
pub(super) fn fields_in<P: Place>(place: P, object: &Value) -> FieldSet {
    let mut walk = Walk {
        way: Vec::new(),
        set: FieldSet::default(),
        faults: Vec::new(),
    };
    walk.value(place, object);
    walk.set
}

struct Walk {
    way: Vec<String>,
    set: FieldSet,
    faults: Vec<FieldFault>,
}

impl Walk {
    fn value<P: Place>(&mut self, place: P, value: &Value) {
        match place.topology() {
            Topology::Scalar(scalar) => {
                if let Some(fault) = misfit(scalar, value) {
                    self.fault(fault);
                }
                self.set.insert(&self.way);
            }
            Topology::Atomic => self.set.insert(&self.way),
            Topology::Granular => match value {
                Value::Object(_) | Value::Null => self.fields(place, value),
                other => self.fault(format!("expected map, got {other}")),
            },
            Topology::Open if value.is_object() => self.fields(place, value),
            Topology::Open => self.set.insert(&self.way),
            Topology::Set => self.items(place, &[], value),
            Topology::Keyed(keys) => self.items(place, keys, value),
        }
    }

    fn fields<P: Place>(&mut self, place: P, value: &Value) {
        for (name, value) in fields_of(value) {
            self.way.push(element::field(name));
            match place.field(name) {
                Some(child) => {
                    self.value(child.place, value);
                    if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) || !child.is_named {
                        self.set.insert(&self.way);
                    }
                }
                None => self.fault("field not declared in schema".to_owned()),
            }
            self.way.pop();
        }
    }

    fn items<P: Place>(&mut self, place: P, keys: &[Box<str>], value: &Value) {
        if !value.is_array() && !value.is_null() {
            self.fault(format!("expected list, got {value}"));
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        for (index, item) in items_of(value).iter().enumerate() {
            let step = match item_step(&place, keys, item) {
                Ok(step) => step,
                Err(why) => {
                    self.fault(format!("element {index}: {why}"));
                    continue;
                }
            };
            if !seen.insert(step.clone()) {
                let mut shown = String::new();
                element::show(&step, &mut shown);
                self.fault(format!("duplicate entries for key {shown}"));
                continue;
            }
            self.way.push(step);
            if let Some(inner) = place.item() {
                self.value(inner, item);
            }
            self.set.insert(&self.way);
            self.way.pop();
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(FieldFault {
                path: Path::of(&self.way),
                what,
            });
        }
    }
}

/// Why the value is not of the type.
fn misfit(scalar: ScalarType, value: &Value) -> Option<String> {
    let fits = match scalar {
        ScalarType::String => value.is_string(),
        ScalarType::Numeric => value.is_number(),
        ScalarType::Boolean => value.is_boolean(),
        ScalarType::Any => value.is_string() || value.is_number() || value.is_boolean(),
    };
    if fits || value.is_null() {
        return None;
    }
    Some(match scalar {
        ScalarType::String => format!("expected string, got {value}"),
        ScalarType::Numeric => format!("expected numeric (int or float), got {}", type_name(value)),
        ScalarType::Boolean => format!("expected boolean, got {value}"),
        ScalarType::Any => format!("expected any scalar, got {value}"),
    })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
