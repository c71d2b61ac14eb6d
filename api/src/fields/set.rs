//! Sets of fields, held as the FieldsV1 JSON that they are written as.
//!
//! In `{"f:spec":{".":{},"f:replicas":{}}}` a step with an empty object, or with `.` in its object, is a member; one
//! without is only the way to members. Working on the JSON itself means that sets which a write does not touch are
//! never decoded.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    element::{self, Canonical},
    place::Place,
};

/// A set of fields. No step in it leads nowhere.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldSet(Map<String, Value>);

/// JSON that is no FieldsV1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fieldsV1 has no path element {0:?}")]
pub struct MalformedSet(pub String);

/// The way to one field, from the root. Displays as in messages: `.spec.ports[port=80,protocol="TCP"].name`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<String>);

impl Path {
    pub(super) fn of(elements: &[String]) -> Path {
        Path(elements.to_vec())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.0.iter().for_each(|step| element::show(step, &mut text));
        f.write_str(&text)
    }
}

/// Marks a step that is a member and leads further.
const SELF: &str = ".";

impl FieldSet {
    /// The set that FieldsV1 JSON describes. Steps of unknown sorts are dropped, as from a later version.
    ///
    /// # Errors
    /// When a step is malformed or an object is missing; the caller must not use the set.
    pub fn parse(fields: &Value) -> Result<FieldSet, MalformedSet> {
        let Value::Object(fields) = fields else {
            return Err(MalformedSet(fields.to_string()));
        };
        parse(fields).map(FieldSet)
    }

    /// A set that was written by [`FieldSet::into_json`] before.
    pub(super) fn trusted(fields: Map<String, Value>) -> FieldSet {
        FieldSet(fields)
    }

    /// FieldsV1.
    #[must_use]
    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    /// True if there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one field, not what is above it. The root cannot be a member.
    pub(super) fn insert(&mut self, path: &[String]) {
        let Some((last, way)) = path.split_last() else { return };
        let mut at = &mut self.0;
        for step in way {
            let was_there = at.contains_key(step.as_str());
            let node = at.entry(step.as_str()).or_insert_with(|| Value::Object(Map::new()));
            at = node.as_object_mut().expect("every node of a set is an object");
            if was_there && at.is_empty() {
                at.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
        }
        match at.get_mut(last.as_str()) {
            None => {
                at.insert(last.clone(), Value::Object(Map::new()));
            }
            Some(Value::Object(node)) if !node.is_empty() => {
                node.insert(SELF.to_owned(), Value::Object(Map::new()));
            }
            Some(_) => {}
        }
    }

    /// Everything in either.
    #[must_use]
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        FieldSet(union(&self.0, &other.0))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        FieldSet(intersection(&self.0, &other.0))
    }

    /// What is in this set only. A member above another is no other.
    #[must_use]
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        FieldSet(difference(&self.0, &other.0))
    }

    /// Every member, those above before those below.
    #[must_use]
    pub fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        collect(&self.0, &mut Vec::new(), &mut paths);
        paths
    }

    /// Whether the step is a member of the first level.
    pub(super) fn has(&self, step: &str) -> bool {
        self.0.get(step).is_some_and(is_member)
    }

    /// What is below the step.
    pub(super) fn below(&self, step: &str) -> Option<FieldSet> {
        let node = self.0.get(step).map(children)?;
        (!node.is_empty()).then_some(FieldSet(node))
    }

    /// The set with every field of a struct that leads to a member as a member itself: fields of a struct come and go
    /// with what is in them, keys of a map and items of a list only by themselves.
    pub(super) fn with_named_fields<P: Place>(&self, place: Option<P>) -> FieldSet {
        FieldSet(named(&self.0, place))
    }

    /// The set without everything outside the first-level steps that `keep` accepts.
    pub(super) fn retain(mut self, keep: impl Fn(&str) -> bool) -> FieldSet {
        self.0.retain(|step, _| keep(step));
        self
    }

    /// Whether any member of the other is in this set. Costs the size of the other.
    pub(super) fn touches(&self, other: &FieldSet) -> bool {
        touches(&self.0, &other.0)
    }

    /// Whether the field is a member.
    #[must_use]
    pub fn contains(&self, path: &Path) -> bool {
        let Some((last, way)) = path.0.split_last() else {
            return false;
        };
        way.iter()
            .try_fold(&self.0, |at, step| at.get(step)?.as_object())
            .and_then(|at| at.get(last))
            .is_some_and(is_member)
    }
}

fn parse(fields: &Map<String, Value>) -> Result<Map<String, Value>, MalformedSet> {
    let mut out = Map::new();
    for (step, node) in fields {
        let Value::Object(node) = node else {
            return Err(MalformedSet(step.clone()));
        };
        if step == SELF {
            continue;
        }
        let step = match element::canonical(step) {
            Canonical::Known(step) => step,
            Canonical::Unknown => continue,
            Canonical::Malformed => return Err(MalformedSet(step.clone())),
        };
        let member = node.is_empty() || node.contains_key(SELF);
        put(&mut out, step, member, parse(node)?);
    }
    Ok(out)
}

fn is_member(node: &Value) -> bool {
    node.as_object()
        .is_some_and(|node| node.is_empty() || node.contains_key(SELF))
}

fn children(node: &Value) -> Map<String, Value> {
    let mut below = node.as_object().cloned().unwrap_or_default();
    below.remove(SELF);
    below
}

/// Adds a step unless it leads nowhere.
fn put(out: &mut Map<String, Value>, step: String, member: bool, mut below: Map<String, Value>) {
    if below.is_empty() {
        if member {
            out.insert(step, Value::Object(below));
        }
        return;
    }
    if member {
        below.insert(SELF.to_owned(), Value::Object(Map::new()));
    }
    out.insert(step, Value::Object(below));
}

fn union(a: &Map<String, Value>, b: &Map<String, Value>) -> Map<String, Value> {
    let mut out = a.clone();
    for (step, right) in b.iter().filter(|(step, _)| *step != SELF) {
        match out.remove(step) {
            None => {
                out.insert(step.clone(), right.clone());
            }
            Some(left) if left == *right => {
                out.insert(step.clone(), left);
            }
            Some(left) => {
                let below = union(&children(&left), &children(right));
                put(&mut out, step.clone(), is_member(&left) || is_member(right), below);
            }
        }
    }
    out
}

fn intersection(a: &Map<String, Value>, b: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (step, left) in a.iter().filter(|(step, _)| *step != SELF) {
        let Some(right) = b.get(step) else { continue };
        let below = intersection(&children(left), &children(right));
        put(&mut out, step.clone(), is_member(left) && is_member(right), below);
    }
    out
}

fn difference(a: &Map<String, Value>, b: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (step, left) in a.iter().filter(|(step, _)| *step != SELF) {
        let Some(right) = b.get(step) else {
            out.insert(step.clone(), left.clone());
            continue;
        };
        let below = difference(&children(left), &children(right));
        put(&mut out, step.clone(), is_member(left) && !is_member(right), below);
    }
    out
}

fn touches(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    b.iter().filter(|(step, _)| *step != SELF).any(|(step, right)| {
        a.get(step).is_some_and(|left| {
            (is_member(left) && is_member(right))
                || left
                    .as_object()
                    .zip(right.as_object())
                    .is_some_and(|(left, right)| touches(left, right))
        })
    })
}

fn collect(fields: &Map<String, Value>, way: &mut Vec<String>, out: &mut Vec<Path>) {
    let steps = || fields.iter().filter(|(step, _)| *step != SELF);
    for (step, _) in steps().filter(|(_, node)| is_member(node)) {
        way.push(step.clone());
        out.push(Path::of(way));
        way.pop();
    }
    for (step, node) in steps() {
        if let Value::Object(node) = node {
            way.push(step.clone());
            collect(node, way, out);
            way.pop();
        }
    }
}

fn named<P: Place>(fields: &Map<String, Value>, place: Option<P>) -> Map<String, Value> {
    let mut out = Map::new();
    for (step, node) in fields.iter().filter(|(step, _)| *step != SELF) {
        let (inner, is_named) = match (element::field_name(step), place) {
            (Some(name), Some(place)) => match place.field(name) {
                Some(child) => (Some(child.place), child.is_named),
                None => (None, false),
            },
            (None, Some(place)) if element::is_item(step) => (place.item(), false),
            _ => (None, false),
        };
        put(
            &mut out,
            step.clone(),
            is_member(node) || is_named,
            named(&children(node), inner),
        );
    }
    out
}
