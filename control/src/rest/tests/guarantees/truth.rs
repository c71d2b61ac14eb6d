//! What happened, and what a watch of a part of it must have told.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::Value;

use crate::store::{Revision, StoreKey};

/// A part of the objects, as a client asks for it.
pub(super) struct Selection {
    /// Path and query.
    pub(super) path: &'static str,
    pub(super) collection: &'static str,
    pub(super) matches: fn(&StoreKey, &Value) -> bool,
}

fn tier(object: &Value) -> Option<&str> {
    object["metadata"]["labels"]["tier"].as_str()
}

/// One of each way to select.
pub(super) const SELECTIONS: [Selection; 10] = [
    Selection {
        path: "/api/v1/configmaps?",
        collection: "configmaps",
        matches: |_, _| true,
    },
    Selection {
        path: "/api/v1/namespaces/a/configmaps?",
        collection: "configmaps",
        matches: |key, _| key.namespace == "a",
    },
    Selection {
        path: "/api/v1/configmaps?labelSelector=tier%3Dx",
        collection: "configmaps",
        matches: |_, object| tier(object) == Some("x"),
    },
    Selection {
        path: "/api/v1/namespaces/b/configmaps?labelSelector=tier!%3Dx",
        collection: "configmaps",
        matches: |key, object| key.namespace == "b" && tier(object) != Some("x"),
    },
    Selection {
        path: "/api/v1/configmaps?labelSelector=tier+in+(x,y)",
        collection: "configmaps",
        matches: |_, object| matches!(tier(object), Some("x" | "y")),
    },
    Selection {
        path: "/api/v1/configmaps?fieldSelector=metadata.name%3Do3",
        collection: "configmaps",
        matches: |key, _| key.name == "o3",
    },
    Selection {
        path: "/api/v1/namespaces/a/configmaps/o1?",
        collection: "configmaps",
        matches: |key, _| key.namespace == "a" && key.name == "o1",
    },
    Selection {
        path: "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1",
        collection: "pods",
        matches: |_, object| object["spec"]["nodeName"] == "n1",
    },
    Selection {
        path: "/api/v1/pods?fieldSelector=status.phase!%3DRunning",
        collection: "pods",
        matches: |_, object| object["status"]["phase"] != "Running",
    },
    Selection {
        path: "/api/v1/namespaces/b/pods?fieldSelector=status.phase%3DRunning&labelSelector=!tier",
        collection: "pods",
        matches: |key, object| key.namespace == "b" && object["status"]["phase"] == "Running" && tier(object).is_none(),
    },
];

/// Every change that was acknowledged: what was put, or nothing for a deletion.
#[derive(Default)]
pub(super) struct Truth {
    pub(super) changes: BTreeMap<Revision, (StoreKey, Option<Value>)>,
}

/// The objects at a revision, each with that of its newest version.
type Objects<'a> = BTreeMap<&'a StoreKey, (Revision, &'a Value)>;

/// What one watch is to tell, from its beginning on.
struct Expected<'a> {
    /// What was there.
    initial: Vec<(Revision, &'a Value)>,
    changes: Vec<(&'static str, Revision, &'a Value)>,
}

impl Truth {
    pub(super) fn revision(&self) -> Option<Revision> {
        self.changes.last_key_value().map(|(revision, _)| *revision)
    }

    /// What was there at a revision, and each change after it.
    fn after(&self, selection: &Selection, revision: Revision) -> Expected<'_> {
        let mut objects: Objects<'_> = BTreeMap::new();
        let mut changes = Vec::new();
        let mut initial = None;
        for (at, (key, object)) in &self.changes {
            if key.collection != selection.collection {
                continue;
            }
            if *at > revision && initial.is_none() {
                initial = Some(selected(selection, &objects));
            }
            let before = match object {
                Some(object) => objects.insert(key, (*at, object)),
                None => objects.remove(key),
            };
            let before = before.map(|(_, object)| object);
            if *at > revision {
                let matches = |object: &&Value| (selection.matches)(key, object);
                match (before.filter(matches), object.as_ref().filter(matches)) {
                    (None, None) => {}
                    (None, Some(object)) => changes.push(("ADDED", *at, object)),
                    (Some(_), Some(object)) => changes.push(("MODIFIED", *at, object)),
                    (Some(before), None) => changes.push(("DELETED", *at, before)),
                }
            }
        }
        Expected {
            initial: initial.unwrap_or_else(|| selected(selection, &objects)),
            changes,
        }
    }

    /// How many events a watch from `after` on tells of all that happened.
    pub(super) fn count_after(&self, selection: &Selection, after: Revision) -> usize {
        self.after(selection, after).changes.len()
    }
}

fn selected<'a>(selection: &Selection, objects: &Objects<'a>) -> Vec<(Revision, &'a Value)> {
    let matching = objects
        .iter()
        .filter(|(key, (_, object))| (selection.matches)(key, object));
    matching.map(|(_, version)| *version).collect()
}

/// How a watch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Behind a revision.
    After(Revision),
    /// With what was there, closed by a mark.
    Marked,
    /// With what was there, without a mark.
    Unmarked,
    /// With what happened next.
    Now,
}

/// One event.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) kind: String,
    pub(super) revision: Revision,
    /// Marks the end of the initial objects.
    pub(super) is_mark: bool,
    /// Without its revision.
    pub(super) object: Value,
}

impl Told {
    pub(super) fn parse(mut event: Value) -> Told {
        let mut object = event["object"].take();
        let metadata = object["metadata"].as_object_mut();
        let revision = metadata.and_then(|metadata| metadata.remove("resourceVersion"));
        Told {
            kind: event["type"].as_str().unwrap_or_default().to_owned(),
            revision: revision
                .and_then(|revision| revision.as_str()?.parse().ok())
                .unwrap_or_default(),
            is_mark: object["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true",
            object,
        }
    }

    fn is(&self, (kind, revision, object): &(&str, Revision, &Value)) -> bool {
        self.kind == *kind && self.revision == *revision && self.object == **object
    }

    pub(super) fn is_refusal(&self) -> bool {
        self.kind == "ERROR" && self.object["code"] == 410
    }
}

/// One watch from its beginning to its end.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) start: Start,
    /// Where the store was when it was asked for, and at the latest when it began.
    pub(super) opened: RangeInclusive<Revision>,
    /// The oldest revision before it was asked for, and when its last event had come.
    pub(super) oldest: RangeInclusive<Revision>,
    pub(super) told: Vec<Told>,
}

impl Segment {
    /// Compares it with what happened.
    pub(super) fn check(&self, selection: &Selection, truth: &Truth) -> Result<(), String> {
        let mut told = &self.told[..];
        if let Some((last, before)) = told.split_last()
            && last.kind == "ERROR"
        {
            self.check_refusal(last, before)?;
            told = before;
        } else if let Start::After(after) = self.start
            && after < *self.oldest.start()
            && !told.is_empty()
        {
            return Err(format!("not refused: the oldest was {}", self.oldest.start()));
        }
        let begins = match self.start {
            Start::After(after) => after..=after,
            Start::Marked => match told.iter().find(|event| event.is_mark) {
                Some(mark) if self.opened.contains(&mark.revision) => mark.revision..=mark.revision,
                Some(mark) => return Err(format!("the mark says {}", mark.revision)),
                None => self.opened.clone(),
            },
            Start::Unmarked | Start::Now => self.opened.clone(),
        };
        let mut reasons = Vec::new();
        for begin in begins {
            match self.check_from(begin, told, &truth.after(selection, begin)) {
                Ok(()) => return Ok(()),
                Err(reason) => reasons.push(format!("from {begin}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    fn check_refusal(&self, last: &Told, before: &[Told]) -> Result<(), String> {
        let known = match (before.iter().rev().find(|event| event.revision > 0), self.start) {
            (Some(event), _) => event.revision,
            (None, Start::After(after)) => after,
            (None, _) => *self.opened.start(),
        };
        if !last.is_refusal() {
            return Err(format!("an error: {}", last.object));
        }
        if known >= *self.oldest.end() {
            return Err(format!("refused at {known}, the oldest is {}", self.oldest.end()));
        }
        Ok(())
    }

    /// Exactly what is expected from `begin` on, as far as it was told.
    fn check_from(&self, begin: Revision, told: &[Told], expected: &Expected<'_>) -> Result<(), String> {
        let initial: &[_] = match self.start {
            Start::Marked | Start::Unmarked => &expected.initial,
            Start::After(_) | Start::Now => &[],
        };
        let (mut initial, mut changes) = (initial.iter(), expected.changes.iter());
        let mut reached = begin;
        let mut is_marked = self.start != Start::Marked;
        for (at, event) in told.iter().enumerate() {
            let wrong = |what: &str| Err(format!("event {at}, {what}: {event:?}"));
            if event.kind == "BOOKMARK" {
                if initial.len() > 0 {
                    return wrong("before all that was there");
                }
                if event.is_mark == is_marked {
                    return wrong("the mark comes once, and first");
                }
                is_marked = true;
                if event.revision < reached || (!event.is_mark && event.revision == reached) {
                    return wrong("tells nothing new");
                }
                if changes.as_slice().first().is_some_and(|next| next.1 <= event.revision) {
                    return wrong("a change before it was not told");
                }
                reached = event.revision;
                continue;
            }
            if let Some((revision, object)) = initial.next() {
                if !event.is(&("ADDED", *revision, object)) {
                    return wrong("not what was there");
                }
                continue;
            }
            if !is_marked {
                return wrong("before the mark");
            }
            match changes.next() {
                Some(change) if event.is(change) => reached = change.1,
                Some(change) => return wrong(&format!("expected {change:?}")),
                None => return wrong("never happened"),
            }
        }
        Ok(())
    }
}
