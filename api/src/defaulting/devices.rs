//! Defaults of `resource.k8s.io`.

use serde_json::{Map, Value};

use super::fields::{child, items, set_default, set_default_number, text};

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    let claim = match kind {
        "ResourceClaim" => child(object, "spec"),
        "ResourceClaimTemplate" => child(object, "spec").and_then(|template| child(template, "spec")),
        _ => None,
    };
    let Some(devices) = claim.and_then(|claim| child(claim, "devices")) else {
        return;
    };
    for request in items(devices, "requests") {
        if let Some(exactly) = child(request, "exactly") {
            device_request(exactly);
        }
        items(request, "firstAvailable").for_each(device_request);
    }
}

fn device_request(request: &mut Map<String, Value>) {
    set_default(request, "allocationMode", "ExactCount");
    if text(request, "allocationMode") == "ExactCount" {
        set_default_number(request, "count", 1);
    }
    for toleration in items(request, "tolerations") {
        set_default(toleration, "operator", "Equal");
    }
}
