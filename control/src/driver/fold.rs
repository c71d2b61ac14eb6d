//! The store's changes folded into the world that planners see.
//!
//! Objects that do not decode are left out with a warning: one broken object must not stop the others' controllers.

use std::error::Error;

use api::{Kind, Object, ObjectKey, object::DecodeError};
use reconcile::World;

use crate::store::{Change, ListRequest, ReadError, Store, StoreKey, Stored};

/// What one change did to the world.
pub(super) enum Folded {
    /// An object that planners decode came, changed or went.
    Object {
        key: ObjectKey,
        before: Option<Object>,
        /// Whether the object is in the world now.
        exists: bool,
    },
    /// An object of another kind came or went.
    Tally { namespace: String, collection: String },
}

/// The world at the newest revision.
pub(super) fn load(store: &Store) -> Result<World, ReadError> {
    let mut world = World::default();
    let census = store.census()?;
    world.revision = census.revision;
    for count in census.counts {
        if !count.namespace.is_empty() && count.collection.parse::<Kind>().is_err() {
            world.count(&count.namespace, &count.collection, count.objects);
        }
    }
    for kind in Kind::ALL {
        let page = store.list(&ListRequest {
            collection: kind.collection(),
            at: Some(census.revision),
            ..ListRequest::default()
        })?;
        for stored in &page.items {
            if let Some(object) = decode(*kind, stored) {
                world.put(object);
            }
        }
    }
    Ok(world)
}

/// Takes one change in. None if no planner can see it.
pub(super) fn fold(world: &mut World, change: &Change) -> Option<Folded> {
    world.revision = change.revision;
    let Ok(kind) = change.key.collection.parse::<Kind>() else {
        return tally(world, change);
    };
    let key = ObjectKey::new(kind, change.key.namespace.as_str(), change.key.name.as_str());
    let after = change.after.as_ref().and_then(|stored| decode(kind, stored));
    let exists = after.is_some();
    let before = match after {
        Some(object) => world.put(object),
        None => world.remove(&key),
    };
    (exists || before.is_some()).then_some(Folded::Object { key, before, exists })
}

fn tally(world: &mut World, change: &Change) -> Option<Folded> {
    let StoreKey {
        collection, namespace, ..
    } = &change.key;
    let more = match (&change.before, &change.after) {
        (None, Some(_)) => 1,
        (Some(_), None) => -1,
        (Some(_), Some(_)) | (None, None) => return None,
    };
    if namespace.is_empty() {
        return None;
    }
    world.count(namespace, collection, more);
    Some(Folded::Tally {
        namespace: namespace.clone(),
        collection: collection.clone(),
    })
}

fn decode(kind: Kind, stored: &Stored) -> Option<Object> {
    match object(kind, stored) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::warn!(object = %stored.key, error = &error as &dyn Error, "object does not decode, controllers do not see it");
            None
        }
    }
}

/// A stored object as its type, with its resourceVersion; without `metadata.managedFields`, which nobody plans by and
/// which are often most of an object, and without the content of an Event, of which there may be many.
pub(crate) fn object(kind: Kind, stored: &Stored) -> Result<Object, DecodeError> {
    let mut object = Object::decode(kind, &stored.value)?;
    if let Object::Event(event) = &mut object {
        let metadata = std::mem::take(&mut event.metadata);
        **event = Default::default();
        event.metadata = metadata;
    }
    let metadata = object.metadata_mut();
    metadata.resource_version = Some(stored.modified.to_string());
    metadata.managed_fields = None;
    Ok(object)
}
