//! The API server's rules, as far as planners can feel them.

use std::collections::BTreeMap;

use api::{
    Kind, Object, ObjectKey, Timestamp,
    k8s_openapi::api::core::v1::{NamespaceSpec, Pod, PodCondition, Toleration},
};
use serde_json::Value;

use crate::{
    facts,
    node_health::{NOT_READY, UNREACHABLE},
    plan::{Action, Announcement, Removal},
    world::World,
};

/// One entry of the history.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) key: ObjectKey,
    pub(crate) after: Option<Object>,
}

/// Objects and their history.
#[derive(Default)]
pub(crate) struct Server {
    pub(crate) world: World,
    pub(crate) history: Vec<Change>,
    uids: u64,
    /// How many objects of a kind there may be, as a quota would have it; any number if it is not here.
    pub(crate) room: BTreeMap<Kind, usize>,
}

#[derive(Debug)]
pub(crate) enum Refused {
    /// The write rests on something that is no longer so.
    Conflict,
    /// There are as many objects of the kind as may be.
    NoRoom(String),
    /// A planner should never ask for this.
    Forbidden(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

impl Server {
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.world.get(key)
    }

    pub(crate) fn carry_out(
        &mut self,
        action: Action,
        now: Timestamp,
        announced: &mut Vec<Announcement>,
    ) -> Result<(), Refused> {
        match action {
            Action::Create(object) => self.create(*object, now),
            Action::Update(object) => {
                assert!(
                    object.metadata().resource_version.is_some(),
                    "an update without a version"
                );
                self.update(*object, now)
            }
            Action::UpdateStatus(object) => {
                assert!(
                    object.metadata().resource_version.is_some(),
                    "an update without a version"
                );
                self.update_status(*object)
            }
            Action::Delete { key, uid, how } => {
                let (grace, propagation) = match how {
                    Removal::Graceful => (None, Propagation::Background),
                    Removal::Foreground => (None, Propagation::Foreground),
                    Removal::Now => (Some(0), Propagation::Background),
                };
                self.delete(&key, Some(&uid), grace, propagation, now)
            }
            Action::Bind { pod, uid, node } => self.bind(&pod, &uid, node, now),
            Action::Announce(announcement) => {
                announced.push(announcement);
                Ok(())
            }
        }
    }

    pub(crate) fn create(&mut self, mut object: Object, now: Timestamp) -> Result<(), Refused> {
        let key = object.key();
        if key.name.is_empty() {
            return Err(Refused::Forbidden("a name is required".to_owned()));
        }
        if self.get(&key).is_some() {
            return Err(Refused::Conflict);
        }
        if !key.namespace.is_empty() {
            match self.get(&ObjectKey::new(Kind::Namespace, "", &key.namespace)) {
                None => return Err(Refused::Conflict),
                Some(namespace) if facts::is_terminating(namespace.metadata()) => return Err(Refused::Conflict),
                Some(_) => {}
            }
        }
        if let Some(room) = self.room.get(&key.kind)
            && self.world.of_kind(key.kind).count() >= *room
        {
            return Err(Refused::NoRoom(format!("exceeded quota: {}", key.kind.name())));
        }
        if let Object::Namespace(namespace) = &mut object {
            namespace.spec = Some(NamespaceSpec {
                finalizers: Some(vec!["kubernetes".to_owned()]),
            });
        }
        if let Object::Pod(pod) = &mut object {
            tolerate_for_a_while(pod);
        }
        self.uids += 1;
        let uid = format!("uid-{}", self.uids);
        let metadata = object.metadata_mut();
        metadata.uid = Some(uid);
        metadata.creation_timestamp = Some(facts::stamp(now));
        metadata.generation = Some(1);
        self.put(object);
        Ok(())
    }

    /// Spec and metadata; without a version, whatever the present one.
    pub(crate) fn update(&mut self, object: Object, _now: Timestamp) -> Result<(), Refused> {
        let present = self.present(&object)?;
        let is_pod = matches!(object, Object::Pod(_));
        let (old, mut new) = (present.to_json(), object.to_json());
        if let (Some(old), Some(new)) = (old.as_object(), new.as_object_mut()) {
            match old.get("status") {
                Some(status) => new.insert("status".to_owned(), status.clone()),
                None => new.remove("status"),
            };
        }
        if is_pod && old["spec"] != new["spec"] {
            return Err(Refused::Forbidden("the spec of a pod does not change".to_owned()));
        }
        if old["spec"] != new["spec"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            new["metadata"]["generation"] = generation.into();
        }
        self.put_json(object.kind(), &old, &new);
        Ok(())
    }

    fn update_status(&mut self, object: Object) -> Result<(), Refused> {
        let present = self.present(&object)?;
        let (old, mut new) = (present.to_json(), present.to_json());
        new["status"] = object.to_json()["status"].take();
        self.put_json(object.kind(), &old, &new);
        Ok(())
    }

    /// Deleting what is gone is a success, as for the driver.
    pub(crate) fn delete(
        &mut self,
        key: &ObjectKey,
        uid: Option<&str>,
        grace: Option<i64>,
        propagation: Propagation,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let Some(present) = self.get(key) else { return Ok(()) };
        if uid.is_some_and(|uid| uid != present.uid()) {
            return Ok(());
        }
        let mut object = present.clone();
        let grace = match &object {
            Object::Pod(pod) if facts::node_name(pod).is_some() && !facts::is_finished(pod) => grace.unwrap_or(30),
            _ => 0,
        };
        let is_namespace = matches!(object, Object::Namespace(_));
        let metadata = object.metadata_mut();
        let finalizer = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some("foregroundDeletion"),
            Propagation::Orphan => Some("orphan"),
        };
        if metadata.deletion_timestamp.is_none()
            && let Some(finalizer) = finalizer
        {
            metadata.finalizers.get_or_insert_default().push(finalizer.to_owned());
        }
        let waits = grace > 0 || is_namespace || metadata.finalizers.iter().flatten().next().is_some();
        if !waits {
            self.remove(key);
            return Ok(());
        }
        if metadata.deletion_timestamp.is_none() || metadata.deletion_grace_period_seconds > Some(grace) {
            metadata.deletion_timestamp.get_or_insert(facts::stamp(now));
            metadata.deletion_grace_period_seconds = Some(grace);
            self.put(object);
        }
        Ok(())
    }

    fn bind(&mut self, key: &ObjectKey, uid: &str, node: String, now: Timestamp) -> Result<(), Refused> {
        let Some(Object::Pod(pod)) = self.get(key) else {
            return Err(Refused::Conflict);
        };
        if facts::uid(&pod.metadata) != uid || facts::node_name(pod).is_some() || facts::is_terminating(&pod.metadata) {
            return Err(Refused::Conflict);
        }
        let mut pod = pod.clone();
        pod.spec.get_or_insert_default().node_name = Some(node);
        let scheduled = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "True".to_owned(),
            ..PodCondition::default()
        };
        facts::set_pod_condition(&mut pod, scheduled, now);
        self.put(Object::Pod(pod));
        Ok(())
    }

    /// The present version, if the write may go on top of it.
    fn present(&self, object: &Object) -> Result<Object, Refused> {
        let present = self.get(&object.key()).ok_or(Refused::Conflict)?;
        let version = &object.metadata().resource_version;
        if present.uid() != object.uid() || (version.is_some() && *version != present.metadata().resource_version) {
            return Err(Refused::Conflict);
        }
        Ok(present.clone())
    }

    fn put_json(&mut self, kind: Kind, old: &Value, new: &Value) {
        let mut old = old.clone();
        let mut new = new.clone();
        old["metadata"]["resourceVersion"].take();
        new["metadata"]["resourceVersion"].take();
        if old == new {
            return;
        }
        let object = Object::decode(kind, new.to_string().as_bytes()).expect("what was encoded decodes");
        let is_held = object.metadata().finalizers.iter().flatten().next().is_some()
            || matches!(&object, Object::Namespace(namespace)
                if namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten()).next().is_some())
            || matches!(&object, Object::Pod(pod)
                if pod.metadata.deletion_grace_period_seconds > Some(0));
        if facts::is_terminating(object.metadata()) && !is_held {
            self.remove(&object.key());
        } else {
            self.put(object);
        }
    }

    /// Stores a version, whatever it is, in the form that the API server gives it.
    pub(crate) fn put(&mut self, object: Object) {
        let mut json = object.to_json();
        drop_absent(&mut json);
        let mut object = Object::decode(object.kind(), json.to_string().as_bytes()).expect("what was encoded decodes");
        self.world.revision += 1;
        object.metadata_mut().resource_version = Some(self.world.revision.to_string());
        self.history.push(Change {
            revision: self.world.revision,
            key: object.key(),
            after: Some(object.clone()),
        });
        self.world.put(object);
    }

    pub(crate) fn remove(&mut self, key: &ObjectKey) {
        self.world.revision += 1;
        self.history.push(Change {
            revision: self.world.revision,
            key: key.clone(),
            after: None,
        });
        self.world.remove(key);
    }
}

/// Fields in which zero or false means absent.
const ZERO_IS_ABSENT: [&str; 6] = [
    "availableReplicas",
    "fullyLabeledReplicas",
    "readyReplicas",
    "unavailableReplicas",
    "updatedReplicas",
    "unschedulable",
];

/// Fields that hold maps of people's own, where an empty string is a value.
const FREE_MAPS: [&str; 6] = [
    "labels",
    "annotations",
    "matchLabels",
    "selector",
    "nodeSelector",
    "data",
];

/// Drops what is no value to the API server: empty strings, and zero in some fields.
fn drop_absent(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| {
                field.as_str() != Some("")
                    && !(ZERO_IS_ABSENT.contains(&name.as_str()) && (field.as_i64() == Some(0) || *field == false))
            });
            let nested = fields
                .iter_mut()
                .filter(|(name, _)| !FREE_MAPS.contains(&name.as_str()));
            nested.for_each(|(_, field)| drop_absent(field));
        }
        Value::Array(items) => items.iter_mut().for_each(drop_absent),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// As the admission plugin DefaultTolerationSeconds does.
fn tolerate_for_a_while(pod: &mut Pod) {
    let tolerations = pod.spec.get_or_insert_default().tolerations.get_or_insert_default();
    for key in [NOT_READY, UNREACHABLE] {
        if !tolerations
            .iter()
            .any(|toleration| toleration.key.as_deref() == Some(key))
        {
            tolerations.push(Toleration {
                key: Some(key.to_owned()),
                operator: Some("Exists".to_owned()),
                effect: Some("NoExecute".to_owned()),
                toleration_seconds: Some(300),
                value: None,
            });
        }
    }
}

/// The object a user gets who applies `wanted` over `present`: its spec and labels, the rest as it was.
pub(super) fn merged(present: &Object, wanted: &Object) -> Object {
    let (mut result, wanted_json) = (present.to_json(), wanted.to_json());
    for (field, value) in wanted_json.as_object().into_iter().flatten() {
        if field != "metadata" && field != "status" {
            result[field] = value.clone();
        }
    }
    for field in ["labels", "annotations"] {
        if let Some(map) = wanted_json["metadata"][field].as_object() {
            for (name, value) in map {
                result["metadata"][field][name] = value.clone();
            }
        }
    }
    Object::decode(present.kind(), result.to_string().as_bytes()).expect("what was encoded decodes")
}
