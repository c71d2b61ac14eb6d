//! End-to-end tests: multi-node clusters in network namespaces, driven by real clients.
