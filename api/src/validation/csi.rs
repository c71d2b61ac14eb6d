//! `storage.k8s.io`: classes of storage, drivers, attachments.
//!
//! Source: `pkg/apis/storage/validation` of Kubernetes, by behaviour.

use super::{
    at::At,
    checks::{named, one_of, one_of_if_set, required, unique_field},
    error::FieldError,
    names, same,
};

/// Most bytes of a class's parameters together.
const PARAMETER_BYTES_MAX: usize = 256 << 10;
const PARAMETERS_MAX: usize = 512;
const DRIVER_NAME_BYTES_MAX: usize = 63;
const NODE_ID_BYTES_MAX: usize = 256;

pub(super) fn create(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    match kind {
        "CSIDriver" => driver(root, errors),
        "CSINode" => node(&root.field("spec").field("drivers"), errors),
        "CSIStorageCapacity" => {
            required(&root.field("storageClassName"), errors);
        }
        "StorageClass" => {
            let provisioner = root.field("provisioner");
            if required(&provisioner, errors) {
                named(&provisioner, |text| names::label_key(&text.to_lowercase()), errors);
            }
            parameters(&root.field("parameters"), errors);
            one_of_if_set(&root.field("reclaimPolicy"), &["Delete", "Retain"], errors);
            one_of(
                &root.field("volumeBindingMode"),
                &["Immediate", "WaitForFirstConsumer"],
                errors,
            );
        }
        "VolumeAttachment" => attachment(&root.field("spec"), errors),
        "VolumeAttributesClass" => {
            driver_name(&root.field("driverName"), errors);
            required(&root.field("parameters"), errors);
            parameters(&root.field("parameters"), errors);
        }
        _ => {}
    }
}

pub(super) fn update(kind: &str, root: &At<'_>, before: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut forbidden = |fields: &[&str]| {
        for name in fields {
            let field = root.field(name);
            if field.value != before.field(name).value {
                errors.push(field.forbidden(format!("updates to {name} are forbidden.")));
            }
        }
    };
    match kind {
        "StorageClass" => {
            forbidden(&["parameters", "provisioner", "reclaimPolicy"]);
            same(
                &root.field("volumeBindingMode"),
                &before.field("volumeBindingMode"),
                errors,
            );
        }
        "VolumeAttributesClass" => forbidden(&["driverName", "parameters"]),
        "VolumeAttachment" => same(&root.field("spec"), &before.field("spec"), errors),
        "CSIStorageCapacity" => {
            for field in ["nodeTopology", "storageClassName"] {
                same(&root.field(field), &before.field(field), errors);
            }
        }
        "CSIDriver" => {
            driver(root, errors);
            for field in ["attachRequired", "volumeLifecycleModes"] {
                same(
                    &root.field("spec").field(field),
                    &before.field("spec").field(field),
                    errors,
                );
            }
        }
        _ => create(kind, root, errors),
    }
}

fn parameters(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let entries = at.map().map_or(0, serde_json::Map::len);
    if entries > PARAMETERS_MAX {
        errors.push(FieldError::too_long(at.path.clone(), PARAMETERS_MAX));
        return;
    }
    let mut bytes = 0;
    for (key, value) in at.map().into_iter().flatten() {
        if key.is_empty() {
            let reason = "field can not be empty.";
            errors.push(FieldError::invalid(at.path.clone(), "", reason));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > PARAMETER_BYTES_MAX {
        errors.push(FieldError::too_long(at.path.clone(), PARAMETER_BYTES_MAX));
    }
}

fn driver_name(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if !required(at, errors) {
        return;
    }
    if at.text().len() > DRIVER_NAME_BYTES_MAX {
        errors.push(FieldError::too_long(at.path.clone(), DRIVER_NAME_BYTES_MAX));
    }
    named(at, |text| names::dns_subdomain(&text.to_lowercase()), errors);
}

fn driver(root: &At<'_>, errors: &mut Vec<FieldError>) {
    driver_name(&root.field("metadata").field("name"), errors);
    let spec = root.field("spec");
    one_of(
        &spec.field("fsGroupPolicy"),
        &["File", "None", "ReadWriteOnceWithFSType"],
        errors,
    );
    for mode in spec.field("volumeLifecycleModes").items() {
        one_of(&mode, &["Ephemeral", "Persistent"], errors);
    }
    unique_field(&spec.field("tokenRequests"), "audience", errors);
    for token in spec.field("tokenRequests").items() {
        let seconds = token.field("expirationSeconds");
        if let Some(given) = seconds.number().filter(|given| *given < 600) {
            let reason = "may not specify a duration less than 10 minutes";
            errors.push(FieldError::invalid(seconds.path.clone(), given, reason));
        }
    }
}

fn node(drivers: &At<'_>, errors: &mut Vec<FieldError>) {
    for driver in drivers.items() {
        driver_name(&driver.field("name"), errors);
        let id = driver.field("nodeID");
        if required(&id, errors) && id.text().len() > NODE_ID_BYTES_MAX {
            let reason = format!("must be {NODE_ID_BYTES_MAX} characters or less");
            errors.push(id.invalid(reason));
        }
        for key in driver.field("topologyKeys").items() {
            named(&key, names::label_key, errors);
        }
    }
    unique_field(drivers, "name", errors);
}

fn attachment(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    required(&spec.field("attacher"), errors);
    let source = spec.field("source");
    let (inline, claimed) = (
        source.field("inlineVolumeSpec").is_set(),
        !source.field("persistentVolumeName").is_empty(),
    );
    match (inline, claimed) {
        (false, false) => {
            errors.push(source.required("must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
        }
        (true, true) => {
            errors.push(source.forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName"))
        }
        (true, false) | (false, true) => {}
    }
    named(&spec.field("nodeName"), names::dns_subdomain, errors);
}
