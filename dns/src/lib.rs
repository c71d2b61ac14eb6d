//! Cluster DNS: records from objects (pure) and the node-local server.

pub mod resolv_conf;
