//! Containers: names, images, ports, environment, mounts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{USER_MAX, probe, resources, volume::Volumes};
use crate::validation::{
    at::At,
    checks::{
        PROTOCOLS, ip_address, named, named_if_set, no_upward_path, one_of, one_of_if_set, port_number, relative_path,
        required, within,
    },
    error::FieldError,
    names,
};

const FIELD_PATHS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCE_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// The containers and the init containers of a pod.
pub(super) fn containers(spec: &At<'_>, volumes: &Volumes<'_>, errors: &mut Vec<FieldError>) {
    let containers = spec.field("containers");
    if containers.count() == 0 {
        errors.push(containers.required(""));
    }
    let host_network = spec.field("hostNetwork").is_true();
    let mut seen = BTreeSet::new();
    let lists = [(containers, Role::Main), (spec.field("initContainers"), Role::Init)];
    for (list, role) in &lists {
        for container in list.items() {
            let name = container.field("name");
            if required(&name, errors) && named(&name, names::dns_label, errors) && !seen.insert(name.text()) {
                errors.push(name.duplicate());
            }
            body(&container, volumes, host_network, errors);
            match role {
                Role::Main => {
                    let policies = ["Always", "Never", "OnFailure"];
                    one_of_if_set(&container.field("restartPolicy"), &policies, errors);
                    lifecycle_and_probes(&container, errors);
                }
                Role::Init => init(&container, errors),
            }
        }
    }
    host_ports(&lists[0].0, errors);
}

enum Role {
    Main,
    Init,
}

fn init(container: &At<'_>, errors: &mut Vec<FieldError>) {
    let policy = container.field("restartPolicy");
    one_of_if_set(&policy, &["Always", "Never", "OnFailure"], errors);
    if policy.text() == "Always" {
        lifecycle_and_probes(container, errors);
        return;
    }
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        let at = container.field(field);
        if at.is_set() {
            let reason = "may not be set for init containers without restartPolicy=Always";
            errors.push(at.forbidden(reason));
        }
    }
}

fn lifecycle_and_probes(container: &At<'_>, errors: &mut Vec<FieldError>) {
    let lifecycle = container.field("lifecycle");
    for hook in ["postStart", "preStop"] {
        let hook = lifecycle.field(hook);
        if hook.is_set() {
            probe::hook(&hook, errors);
        }
    }
    probe::probe(&container.field("livenessProbe"), probe::Purpose::Liveness, errors);
    probe::probe(&container.field("readinessProbe"), probe::Purpose::Readiness, errors);
    probe::probe(&container.field("startupProbe"), probe::Purpose::Startup, errors);
}

pub(super) fn body(container: &At<'_>, volumes: &Volumes<'_>, host_network: bool, errors: &mut Vec<FieldError>) {
    let image = container.field("image");
    if required(&image, errors) && image.text().trim() != image.text() {
        let reason = "must not have leading or trailing whitespace";
        errors.push(image.invalid(reason));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    one_of(&container.field("imagePullPolicy"), &policies, errors);
    let policies = ["FallbackToLogsOnError", "File"];
    one_of(&container.field("terminationMessagePolicy"), &policies, errors);
    ports(&container.field("ports"), host_network, errors);
    environment(container, errors);
    mounts(container, volumes, errors);
    resources::requirements(&container.field("resources"), errors);
    let context = container.field("securityContext");
    within(&context.field("runAsUser"), 0, USER_MAX, errors);
    within(&context.field("runAsGroup"), 0, USER_MAX, errors);
    one_of_if_set(&context.field("procMount"), &["Default", "Unmasked"], errors);
    profiles(&context, errors);
    let escalation = context.field("allowPrivilegeEscalation");
    if escalation.value == &json!(false) && context.field("privileged").is_true() {
        let reason = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(context.invalid(reason));
    }
    let mut added = context.field("capabilities").field("add").items();
    if escalation.value == &json!(false) && added.any(|added| added.text() == "CAP_SYS_ADMIN") {
        let reason = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
        errors.push(context.invalid(reason));
    }
}

/// Profiles of system calls and of files: those on the node are named, others are not.
pub(super) fn profiles(context: &At<'_>, errors: &mut Vec<FieldError>) {
    for (field, name) in [("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")] {
        let profile = context.field(field);
        if !profile.is_set() {
            continue;
        }
        let (kind, on_node) = (profile.field("type"), profile.field("localhostProfile"));
        match (kind.text(), on_node.is_set()) {
            ("Localhost", false) => {
                errors.push(on_node.required(format!("must be set when {name} type is Localhost")));
            }
            ("Localhost", true) => relative_path(&on_node, errors),
            (_, true) => errors.push(on_node.invalid(format!("can only be set when {name} type is Localhost"))),
            (_, false) => {}
        }
        match kind.text() {
            "Localhost" | "RuntimeDefault" | "Unconfined" => {}
            "" => errors.push(kind.required(format!("type is required when {field} is set"))),
            _ => errors.push(kind.not_supported(&["Localhost", "RuntimeDefault", "Unconfined"])),
        }
    }
}

fn ports(ports: &At<'_>, host_network: bool, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.field("name");
        if !name.is_empty() && named(&name, names::port_name, errors) && !seen.insert(name.text()) {
            errors.push(name.duplicate());
        }
        let number = port.field("containerPort");
        if number.number().unwrap_or(0) == 0 {
            errors.push(number.required(""));
        } else {
            port_number(&number, errors);
        }
        let host = port.field("hostPort");
        if host.number().is_some_and(|number| number != 0) {
            port_number(&host, errors);
            if host_network && host.number() != number.number() {
                let reason = "must match `containerPort` when `hostNetwork` is true";
                errors.push(host.invalid(reason));
            }
        }
        if !port.field("hostIP").is_empty() {
            ip_address(&port.field("hostIP"), errors);
        }
        one_of(&port.field("protocol"), &PROTOCOLS, errors);
    }
}

/// No two containers of a pod listen on the same port of the node.
fn host_ports(containers: &At<'_>, errors: &mut Vec<FieldError>) {
    let mut seen = BTreeSet::new();
    for port in containers
        .items()
        .flat_map(|container| container.field("ports").items())
    {
        let host = port.field("hostPort");
        let Some(number) = host.number().filter(|number| *number != 0) else {
            continue;
        };
        let (protocol, ip) = (port.field("protocol"), port.field("hostIP"));
        let identity = format!("{}/{}/{number}", protocol.text(), ip.text());
        if !seen.insert(identity.clone()) {
            errors.push(FieldError::duplicate(host.path.clone(), identity));
        }
    }
}

fn environment(container: &At<'_>, errors: &mut Vec<FieldError>) {
    for variable in container.field("env").items() {
        let name = variable.field("name");
        if required(&name, errors) {
            named(&name, names::env_name, errors);
        }
        value_from(&variable, errors);
    }
    for source in container.field("envFrom").items() {
        named_if_set(&source.field("prefix"), names::env_name, errors);
        let sources = [source.field("configMapRef"), source.field("secretRef")];
        let set: Vec<&At<'_>> = sources.iter().filter(|source| source.is_set()).collect();
        match set.as_slice() {
            [] => {
                let reason = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(source.path.clone(), "", reason));
            }
            [one] => {
                required(&one.field("name"), errors);
            }
            _ => errors.push(FieldError::invalid(source.path.clone(), "", ONE_FIELD)),
        }
    }
}

const ONE_FIELD: &str = "may not have more than one field specified at a time";

fn value_from(variable: &At<'_>, errors: &mut Vec<FieldError>) {
    let source = variable.field("valueFrom");
    if !source.is_set() {
        return;
    }
    let mut count = 0;
    for field in [
        "fieldRef",
        "resourceFieldRef",
        "configMapKeyRef",
        "secretKeyRef",
        "fileKeyRef",
    ] {
        let at = source.field(field);
        if !at.is_set() {
            continue;
        }
        count += 1;
        match field {
            "fieldRef" => field_path(&at.field("fieldPath"), FieldPlace::Environment, errors),
            "resourceFieldRef" => resource_field(&at, errors),
            "configMapKeyRef" | "secretKeyRef" => {
                let key = at.field("key");
                if required(&key, errors) {
                    named(&key, names::config_key, errors);
                }
            }
            _ => {}
        }
    }
    if count == 0 {
        let reason = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(source.path.clone(), "", reason));
    } else if !variable.field("value").is_empty() {
        let reason = "may not be specified when `value` is not empty";
        errors.push(FieldError::invalid(source.path.clone(), "", reason));
    } else if count > 1 {
        errors.push(FieldError::invalid(source.path.clone(), "", ONE_FIELD));
    }
}

/// Where a field of the pod is shown to its containers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldPlace {
    Environment,
    Volume,
}

/// A field of the pod that its containers may see.
pub(super) fn field_path(at: &At<'_>, place: FieldPlace, errors: &mut Vec<FieldError>) {
    if !required(at, errors) {
        return;
    }
    let path = at.text();
    let subscript = ["metadata.labels", "metadata.annotations"]
        .into_iter()
        .find_map(|map| path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']"));
    if let Some(key) = subscript {
        if let Err(reason) = names::label_key(&key.to_lowercase()) {
            errors.push(FieldError::invalid(at.path.clone(), path, reason));
        }
        return;
    }
    let supported: &[&str] = match place {
        FieldPlace::Environment => &FIELD_PATHS,
        FieldPlace::Volume => &[
            "metadata.annotations",
            "metadata.labels",
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
        ],
    };
    if !supported.contains(&path) {
        errors.push(FieldError::not_supported(at.path.clone(), path, supported));
    }
}

/// A resource of a container that containers may see.
pub(super) fn resource_field(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let resource = at.field("resource");
    if !required(&resource, errors) {
        return;
    }
    let text = resource.text();
    let is_huge_page = ["limits.hugepages-", "requests.hugepages-"]
        .iter()
        .any(|prefix| text.starts_with(prefix));
    if !is_huge_page && !RESOURCE_FIELDS.contains(&text) {
        errors.push(FieldError::not_supported(resource.path.clone(), text, &RESOURCE_FIELDS));
    }
}

fn mounts(container: &At<'_>, volumes: &Volumes<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: BTreeMap<&str, ()> = BTreeMap::new();
    for mount in container.field("volumeMounts").items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        if required(&name, errors) && !volumes.contains(name.text()) {
            errors.push(name.not_found());
        }
        if required(&path, errors) && seen.insert(path.text(), ()).is_some() {
            errors.push(path.invalid("must be unique"));
        }
        let (sub, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
        relative_path(&sub, errors);
        relative_path(&expression, errors);
        if !sub.is_empty() && !expression.is_empty() {
            let reason = "subPathExpr and subPath are mutually exclusive";
            errors.push(expression.invalid(reason));
        }
        let propagations = ["Bidirectional", "HostToContainer", "None"];
        one_of_if_set(&mount.field("mountPropagation"), &propagations, errors);
    }
    for device in container.field("volumeDevices").items() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        if required(&name, errors) && !volumes.contains(name.text()) {
            errors.push(name.not_found());
        }
        if required(&path, errors) {
            no_upward_path(&path, errors);
        }
    }
}
