//! The numbers of the channels that a WebSocket to a process in a pod carries, the first byte of each message.
//!
//! Source: Kubernetes' WebSocket subprotocols `channel.k8s.io` (to v5); KEP-4006 for closing in v5.

/// The process' standard input.
pub const STDIN: u8 = 0;
/// Its standard output.
pub const STDOUT: u8 = 1;
/// Its standard error.
pub const STDERR: u8 = 2;
/// How it ended: a Status.
pub const ERROR: u8 = 3;
/// The size of its terminal.
pub const RESIZE: u8 = 4;
/// In v5: the next byte names a channel that is closed.
pub const CLOSE: u8 = 255;
