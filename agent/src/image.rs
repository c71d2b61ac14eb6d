//! The images of this node: imported archives, unpacked once per layer, found by reference.
//!
//! Never here: registries; running anything; guessing about content whose digest does not match.
//! Source: OCI image specification 1.1 (layout, manifest, config, layer), `docker save` archives.

pub mod reference;

pub use reference::{InvalidReference, Reference, Target};
