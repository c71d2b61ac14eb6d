//! Pods, and the pod templates of workloads.

mod container;
mod parts;
mod probe;
mod resources;
mod scheduling;
mod update;
mod volume;

use std::collections::BTreeMap;

pub(super) use self::{
    parts::{ephemeral, resize},
    scheduling::tolerations,
    update::update,
    volume::{host_path, nfs},
};
use super::{
    at::At,
    checks::{ip_address, named, named_if_set, not_negative, one_of, one_of_if_set, required, within},
    error::FieldError,
    names,
};

const DNS_POLICIES: [&str; 4] = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCH_PATHS_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;
const SYSCTL_MAX: usize = 253;
const SYSCTL: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
const USER_MAX: i64 = i32::MAX as i64;

pub(super) fn create(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    template(&spec, errors);
    let ephemeral = spec.field("ephemeralContainers");
    if ephemeral.count() > 0 {
        errors.push(ephemeral.forbidden("cannot be set on create"));
    }
    let node = spec.field("nodeName");
    if !node.is_empty() && spec.field("schedulingGates").count() > 0 {
        let reason = "cannot be set until all schedulingGates have been cleared";
        errors.push(node.forbidden(reason));
    }
}

/// The template of pods in a workload: metadata and spec.
pub(super) fn in_workload(at: &At<'_>, errors: &mut Vec<FieldError>) {
    super::metadata::template(&at.field("metadata"), errors);
    let spec = at.field("spec");
    template(&spec, errors);
    let ephemeral = spec.field("ephemeralContainers");
    if ephemeral.count() > 0 {
        errors.push(ephemeral.forbidden("ephemeral containers not allowed in pod template"));
    }
}

/// The spec of a pod, wherever it stands.
pub(super) fn template(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let volumes = volume::volumes(&spec.field("volumes"), errors);
    container::containers(spec, &volumes, errors);
    one_of(&spec.field("restartPolicy"), &["Always", "Never", "OnFailure"], errors);
    one_of(&spec.field("dnsPolicy"), &DNS_POLICIES, errors);
    dns_config(spec, errors);
    not_negative(&spec.field("terminationGracePeriodSeconds"), errors);
    within(&spec.field("activeDeadlineSeconds"), 1, i64::from(i32::MAX), errors);
    super::checks::labels(&spec.field("nodeSelector"), errors);
    named_if_set(&spec.field("serviceAccountName"), names::dns_subdomain, errors);
    named_if_set(&spec.field("nodeName"), names::dns_subdomain, errors);
    named_if_set(&spec.field("hostname"), names::dns_label, errors);
    named_if_set(&spec.field("subdomain"), names::dns_label, errors);
    named_if_set(&spec.field("priorityClassName"), names::dns_subdomain, errors);
    named_if_set(&spec.field("runtimeClassName"), names::dns_subdomain, errors);
    let policies = ["Never", "PreemptLowerPriority"];
    one_of_if_set(&spec.field("preemptionPolicy"), &policies, errors);
    one_of_if_set(&spec.field("os").field("name"), &["linux", "windows"], errors);
    security_context(spec, errors);
    scheduling::tolerations(&spec.field("tolerations"), errors);
    scheduling::affinity(&spec.field("affinity"), errors);
    scheduling::spread(&spec.field("topologySpreadConstraints"), errors);
    for gate in spec.field("readinessGates").items() {
        named(&gate.field("conditionType"), names::label_key, errors);
    }
    for gate in spec.field("schedulingGates").items() {
        named(&gate.field("name"), names::label_key, errors);
    }
    super::checks::unique_field(&spec.field("schedulingGates"), "name", errors);
    for alias in spec.field("hostAliases").items() {
        ip_address(&alias.field("ip"), errors);
        for hostname in alias.field("hostnames").items() {
            named(&hostname, names::dns_subdomain, errors);
        }
    }
}

fn dns_config(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let config = spec.field("dnsConfig");
    let servers = config.field("nameservers");
    if spec.field("dnsPolicy").text() == "None" && servers.count() == 0 {
        let reason = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        let path = if config.is_set() {
            servers.path.clone()
        } else {
            config.path.clone()
        };
        errors.push(FieldError::required(path, reason));
    }
    if servers.count() > NAMESERVERS_MAX {
        let reason = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        errors.push(servers.invalid(reason));
    }
    for server in servers.items() {
        ip_address(&server, errors);
    }
    let searches = config.field("searches");
    if searches.count() > SEARCH_PATHS_MAX {
        let reason = format!("must not have more than {SEARCH_PATHS_MAX} search paths");
        errors.push(searches.invalid(reason));
    }
    let chars: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if chars > SEARCH_CHARS_MAX + 1 {
        let reason =
            format!("must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list");
        errors.push(searches.invalid(reason));
    }
    for search in searches.items() {
        // A dot alone, and a dot at the end, are meant for the resolver.
        let text = search.text();
        if let Err(reason) = names::dns_subdomain(text.strip_suffix('.').filter(|_| text != ".").unwrap_or(text))
            && text != "."
        {
            errors.push(FieldError::invalid(search.path.clone(), text, reason));
        }
    }
    for option in config.field("options").items() {
        required(&option.field("name"), errors);
    }
}

fn security_context(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let context = spec.field("securityContext");
    for field in ["runAsUser", "runAsGroup", "fsGroup"] {
        within(&context.field(field), 0, USER_MAX, errors);
    }
    for group in context.field("supplementalGroups").items() {
        within(&group, 0, USER_MAX, errors);
    }
    one_of_if_set(
        &context.field("fsGroupChangePolicy"),
        &["Always", "OnRootMismatch"],
        errors,
    );
    one_of_if_set(&context.field("supplementalGroupsPolicy"), &["Merge", "Strict"], errors);
    container::profiles(&context, errors);
    let share = spec.field("shareProcessNamespace");
    if share.is_true() && spec.field("hostPID").is_true() {
        let reason = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(share.path.clone(), true, reason));
    }
    let mut seen = BTreeMap::new();
    for sysctl in context.field("sysctls").items() {
        let name = sysctl.field("name");
        if !required(&name, errors) {
            continue;
        }
        if !is_sysctl(name.text()) {
            errors.push(name.invalid(format!(
                "must have at most {SYSCTL_MAX} characters and match regex {SYSCTL}"
            )));
        } else if seen.insert(name.text(), ()).is_some() {
            errors.push(name.duplicate());
        }
    }
}

/// Steps of lower case letters, digits, `-` and `_`, between dots or slashes.
fn is_sysctl(name: &str) -> bool {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= SYSCTL_MAX
        && name.split(['.', '/']).all(|step| {
            let bytes = step.as_bytes();
            bytes.first().is_some_and(is_edge)
                && bytes.last().is_some_and(is_edge)
                && bytes.iter().all(|byte| is_edge(byte) || matches!(byte, b'-' | b'_'))
        })
}
