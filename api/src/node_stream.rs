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

/// Parts of one request, in one direction, that may be on their way without their reader having taken them. With parts
/// of [`PART_BYTES_MAX`] this is 1 MiB: enough for a fast link, and what one slow reader costs.
pub const WINDOW_PARTS: u32 = 16;

/// Most bytes of one part: small enough to let others' parts through, large enough to be cheap.
pub const PART_BYTES_MAX: usize = 64 << 10;
