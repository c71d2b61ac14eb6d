//! Defaults of pods and of the pod templates in workloads.

use serde_json::{Map, Value, json};

use super::{
    fields::{child, items, set_default, set_default_number, text},
    volumes,
};

const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// Mode of files in volumes made of objects: 0644.
const FILE_MODE: i64 = 0o644;

/// Defaults of a pod's spec, in a pod or in a template.
pub(super) fn spec(spec: &mut Map<String, Value>) {
    set_default(spec, "dnsPolicy", "ClusterFirst");
    set_default(spec, "restartPolicy", "Always");
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_default(spec, "schedulerName", "default-scheduler");
    set_default(spec, "securityContext", json!({}));
    service_account(spec);
    for list in CONTAINER_LISTS {
        for entry in items(spec, list) {
            container(entry);
        }
    }
    for entry in items(spec, "volumes") {
        volume(entry);
    }
}

/// What pods get beyond the defaults of templates.
pub(super) fn only_in_pods(spec: &mut Map<String, Value>) {
    set_default(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers"] {
        for entry in items(spec, list) {
            if host_network {
                ports_of_the_host(entry);
            }
            if let Some(resources) = child(entry, "resources") {
                requests_from_limits(resources);
            }
        }
    }
    if let Some(resources) = child(spec, "resources") {
        requests_from_limits(resources);
    }
}

/// The account stands in two fields, of which one is deprecated; both always agree.
fn service_account(spec: &mut Map<String, Value>) {
    let account = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    };
    if account.is_empty() {
        return;
    }
    let account = json!(account);
    spec.insert("serviceAccount".to_owned(), account.clone());
    spec.insert("serviceAccountName".to_owned(), account);
}

/// What a container is limited to it also requests, unless it says what it requests.
fn requests_from_limits(resources: &mut Map<String, Value>) {
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    set_default(resources, "requests", json!({}));
    if let Some(requests) = child(resources, "requests") {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// In the network of the host, a container's port is the host's.
fn ports_of_the_host(container: &mut Map<String, Value>) {
    for port in items(container, "ports") {
        if let Some(number) = port.get("containerPort").and_then(Value::as_i64) {
            set_default_number(port, "hostPort", number);
        }
    }
}

fn container(container: &mut Map<String, Value>) {
    let policy = pull_policy(text(container, "image"));
    set_default(container, "imagePullPolicy", policy);
    set_default(container, "terminationMessagePath", "/dev/termination-log");
    set_default(container, "terminationMessagePolicy", "File");
    set_default(container, "resources", json!({}));
    for port in items(container, "ports") {
        set_default(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(source) = child(variable, "valueFrom") {
            field_reference(source);
            resource_divisor(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(entry) = child(container, name) {
            probe(entry);
        }
    }
    if let Some(lifecycle) = child(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(handler) = child(lifecycle, name) {
                http_get(handler);
            }
        }
    }
}

/// An image whose tag may move is asked for each time.
fn pull_policy(image: &str) -> &'static str {
    if image.contains('@') {
        return "IfNotPresent";
    }
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) if tag != "latest" => "IfNotPresent",
        Some(_) | None => "Always",
    }
}

fn probe(probe: &mut Map<String, Value>) {
    set_default_number(probe, "timeoutSeconds", 1);
    set_default_number(probe, "periodSeconds", 10);
    set_default_number(probe, "successThreshold", 1);
    set_default_number(probe, "failureThreshold", 3);
    http_get(probe);
    if let Some(grpc) = child(probe, "grpc")
        && !grpc.contains_key("service")
    {
        grpc.insert("service".to_owned(), json!(""));
    }
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = child(handler, "httpGet") {
        set_default(get, "path", "/");
        set_default(get, "scheme", "HTTP");
    }
}

fn field_reference(source: &mut Map<String, Value>) {
    if let Some(reference) = child(source, "fieldRef") {
        set_default(reference, "apiVersion", "v1");
    }
}

fn resource_divisor(source: &mut Map<String, Value>) {
    if let Some(reference) = child(source, "resourceFieldRef") {
        set_default(reference, "divisor", "0");
    }
}

fn volume(volume: &mut Map<String, Value>) {
    // A volume that names no source is an empty directory.
    if volume.iter().all(|(name, value)| name == "name" || value.is_null()) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = child(volume, source) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    volumes::sources(volume);
    if let Some(downward) = child(volume, "downwardAPI") {
        downward_items(downward);
    }
    if let Some(projected) = child(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(token) = child(source, "serviceAccountToken") {
                set_default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = child(source, "downwardAPI") {
                downward_items(downward);
            }
        }
    }
    if let Some(image) = child(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        set_default(image, "pullPolicy", policy);
    }
    if let Some(claim) = child(volume, "ephemeral")
        .and_then(|ephemeral| child(ephemeral, "volumeClaimTemplate"))
        .and_then(|template| child(template, "spec"))
    {
        volumes::claim_spec(claim);
    }
}

fn downward_items(downward: &mut Map<String, Value>) {
    for item in items(downward, "items") {
        field_reference(item);
        resource_divisor(item);
    }
}
