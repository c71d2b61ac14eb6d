//! Speaking to an API server as a client: connection, discovery, manifests, tables.
//!
//! Objects are JSON values throughout, so that a field this build does not know survives.

pub(crate) mod arguments;
pub(crate) mod connection;
pub(crate) mod discovery;
pub(crate) mod manifest;
pub(crate) mod object;
pub(crate) mod output;
pub(crate) mod pod_choice;
pub(crate) mod remote_command;
pub(crate) mod status;
pub(crate) mod table;
pub(crate) mod targets;
pub(crate) mod tunnel;
pub(crate) mod watch;
pub(crate) mod websocket;

pub(crate) use arguments::ConnectionArguments;
pub(crate) use connection::Connection;
