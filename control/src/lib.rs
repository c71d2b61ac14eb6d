//! Control plane: the store, the REST and node stream servers, authentication and admission, and the one driver that
//! carries out what `reconcile` plans.
//!
//! Never here: the agent, the dataplane, aya.

mod admission;
pub mod auth;
mod authorization;
pub mod config;
mod definitions;
pub mod driver;
mod durable;
pub mod engine;
mod following;
pub mod kinds;
pub mod pki;
mod rest;
mod server;
mod spdy;
pub mod store;
pub mod stream;

pub use config::ServerConfig;
pub use server::{BootstrapError, ServerError, TlsError, run};
