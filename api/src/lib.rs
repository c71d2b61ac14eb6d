//! Object types, the table of kinds, and what belongs to a kind alone: names, selectors, quantities, defaults,
//! validation, the node stream's messages.
//!
//! Never here: a runtime, a clock, files, sockets, the store. Everything is a function of its arguments.
//! Source: the Kubernetes API reference (v1.36) and API conventions.

pub mod channel;
pub mod conversion;
pub mod custom;
pub mod defaulting;
pub mod discovery;
pub mod expression;
pub mod fields;
pub mod inert;
pub mod net_state;
pub mod node_stream;
pub mod object;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod qos;
pub mod quantity;
pub mod resource;
pub mod schema;
pub mod selector;
#[cfg(test)]
mod support;
pub mod table;
pub mod validation;
pub mod yaml;

pub use jiff::Timestamp;
pub use k8s_openapi;
pub use object::{Kind, Object, ObjectKey};
