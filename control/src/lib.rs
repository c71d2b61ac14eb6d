//! Control plane: the store, the REST and node stream servers, authentication and admission, and the one driver that
//! carries out what `reconcile` plans.
//!
//! Never here: the agent, the dataplane, aya.

mod admission;
mod aggregation;
mod audit;
pub mod auth;
mod authorization;
mod certificates;
pub mod config;
mod conversion;
mod definitions;
pub mod driver;
mod durable;
pub mod engine;
mod flow;
mod followed;
pub mod kinds;
mod metrics;
pub mod pki;
mod policy_status;
mod reach;
mod rest;
#[cfg(test)]
mod seeds;
mod server;
pub mod spdy;
pub mod store;
pub mod stream;

pub use audit::AuditError;
pub use config::{AuditConfig, ServerConfig};
pub use server::{BootstrapError, ServerError, TlsError, run};
