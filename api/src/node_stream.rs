//! Messages and service stubs of the node stream (`proto/skep/node/v1/node.proto`), generated.
//!
//! The transport is chosen by `control` (server) and `agent` (client).

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code; its documentation is in the .proto file"
)]

tonic::include_proto!("skep.node.v1");
