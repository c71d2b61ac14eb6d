//! Which fields differ between two versions of an object.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    element,
    place::{Handling, Place, fields_of, handling, item_step, items_of},
    set::FieldSet,
};

/// What a write changes. No field is in two of the sets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// Fields that only the new version has, maps and items included.
    pub added: FieldSet,
    /// Fields with another value.
    pub modified: FieldSet,
    /// Fields that only the old version has, maps and items included.
    pub removed: FieldSet,
}

impl Comparison {
    /// True if the versions are the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// The fields that the write sets.
    #[must_use]
    pub fn set(&self) -> FieldSet {
        match (self.added.is_empty(), self.modified.is_empty()) {
            (true, _) => self.modified.clone(),
            (_, true) => self.added.clone(),
            (false, false) => self.added.union(&self.modified),
        }
    }
}

/// Compares two versions. Costs what differs: equal parts are only looked at for equality.
#[must_use]
pub fn compare<P: Place>(place: P, old: &Value, new: &Value) -> Comparison {
    let mut walk = Walk {
        way: Vec::new(),
        out: Comparison::default(),
    };
    walk.values(place, Some(old), Some(new));
    walk.out
}

struct Walk {
    way: Vec<String>,
    out: Comparison,
}

impl Walk {
    fn values<P: Place>(&mut self, place: P, old: Option<&Value>, new: Option<&Value>) {
        if old.is_some() && old == new {
            return;
        }
        match handling(&place, [old, new]) {
            Handling::Leaf => {
                self.note(old.is_some(), new.is_some());
                return;
            }
            Handling::Fields => self.fields(place, old, new),
            Handling::Items(keys) => self.items(place, keys, old, new),
        }
        if old.is_none() || new.is_none() {
            self.note(old.is_some(), new.is_some());
        }
    }

    fn note(&mut self, was: bool, is: bool) {
        let set = match (was, is) {
            (false, _) => &mut self.out.added,
            (true, false) => &mut self.out.removed,
            (true, true) => &mut self.out.modified,
        };
        set.insert(&self.way);
    }

    fn fields<P: Place>(&mut self, place: P, old: Option<&Value>, new: Option<&Value>) {
        let standing = place.standing();
        let names = |side: Option<&Value>| -> Vec<String> {
            side.map_or_else(Vec::new, |value| fields_of(value).keys().cloned().collect())
        };
        let is_in = |side: Option<&Value>, name: &str| side.is_some_and(|value| fields_of(value).contains_key(name));
        let mut all = names(old);
        all.extend(names(new).into_iter().filter(|name| !is_in(old, name)));
        let standing_only = standing.iter().filter(|name| !is_in(old, name) && !is_in(new, name));
        all.extend(standing_only.map(|name| (*name).to_owned()));
        for name in all {
            let (was, is) = (part(old, &name, standing), part(new, &name, standing));
            let Some(child) = place.field(&name) else { continue };
            if (was.is_none() && is.is_none()) || was == is {
                continue;
            }
            self.way.push(element::field(&name));
            self.values(child.place, was, is);
            self.way.pop();
        }
    }

    fn items<P: Place>(&mut self, place: P, keys: &[Box<str>], old: Option<&Value>, new: Option<&Value>) {
        let Some(inner) = place.item() else { return };
        let mut steps: BTreeMap<String, [Vec<&Value>; 2]> = BTreeMap::new();
        for (side, list) in [old, new].into_iter().enumerate() {
            for item in list.map_or(&[][..], items_of) {
                // An item that cannot be told apart from others belongs to nobody.
                if let Ok(step) = item_step(&place, keys, item) {
                    steps.entry(step).or_default()[side].push(item);
                }
            }
        }
        for (step, [was, is]) in steps {
            self.way.push(step);
            match (was.as_slice(), is.as_slice()) {
                ([], [new]) => self.values(inner, None, Some(new)),
                ([old], []) => self.values(inner, Some(old), None),
                ([old], [new]) => self.values(inner, Some(old), Some(new)),
                // Items that stand more than once are one value together.
                (was, is) if was.len() > 1 && is.len() > 1 => {
                    if was != is {
                        self.note(true, true);
                    }
                }
                (was, is) if was.len() > 1 => {
                    if let [new] = is {
                        self.values(inner, None, Some(new));
                    }
                    self.note(true, false);
                }
                (was, _) => {
                    if let [old] = was {
                        self.values(inner, Some(old), None);
                    }
                    self.note(false, true);
                }
            }
            self.way.pop();
        }
    }
}

/// A field of one side; a standing field that JSON leaves out is an empty struct.
fn part<'v>(side: Option<&'v Value>, name: &str, standing: &[&str]) -> Option<&'v Value> {
    static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));
    let there = side?
        .get(name)
        .filter(|value| !value.is_null() || !standing.contains(&name));
    there.or_else(|| standing.contains(&name).then_some(&*EMPTY))
}
