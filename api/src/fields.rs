//! Who owns which fields of an object: sets of fields, what a write changes, and server-side apply.
//!
//! Everything is a function of JSON values and of a [`Place`] in a schema; built-in kinds have theirs ([`Typed`]), custom
//! ones another ([`KindPlace`] is either), data without a schema has [`Deduced`]. Never here: requests, the store, which fields a subresource may write, clocks.
//! Source: Kubernetes, "Server-Side Apply"; `sigs.k8s.io/structured-merge-diff` v6, by behaviour; the FieldsV1 format.

mod atomic;
mod compare;
mod element;
mod extract;
mod last_applied;
mod managers;
mod merge;
mod ownership;
mod place;
mod remove;
mod set;
mod typed;

pub use crate::custom::KindPlace;
pub use atomic::atomics;
pub use compare::{Comparison, compare};
pub use extract::{FieldFault, extract};
pub use managers::{Entry, MalformedFields, Managers, Operation, is_reset};
pub use merge::merge;
pub use ownership::{Applied, Configuration, Conflict, Conflicts, Filter, Writer, apply, track};
pub(crate) use place::Held;
pub use place::{Child, Deduced, Place, ScalarType, Topology};
pub use remove::remove;
pub use set::{FieldSet, MalformedSet, Path};
pub use typed::Typed;

#[cfg(test)]
mod tests;
