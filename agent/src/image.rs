//! The images of this node: imported archives, unpacked once per layer, found by reference.
//!
//! Never here: registries; running anything; guessing about content whose digest does not match.
//! Source: OCI image specification 1.1 (layout, manifest, config, layer), `docker save` archives.
//!
//! ```text
//! images/lock                 held by whoever changes the store; readers need none
//! images/index.json           the list of images, replaced atomically
//! images/blobs/sha256/<hex>   image configurations
//! images/layers/<16 hex>/fs   one unpacked layer, named by its diff id; a lower directory of overlayfs
//! images/tmp/                 work in progress; emptied by the next import
//! ```

mod archive;
mod config;
mod layer;
pub mod reference;
mod store;

pub use config::{HealthConfig, ImageConfig};
pub use reference::{InvalidReference, Reference, Target};
pub use store::{Image, ImageStore, ImportError, ImportProgress, ImportedImage, StoreError};
