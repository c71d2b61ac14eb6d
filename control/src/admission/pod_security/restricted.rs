//! The controls that the standard "restricted" has besides those of "baseline": the practice of hardened pods.
//!
//! Source: Kubernetes, "Pod Security Standards": "Restricted".

use std::collections::BTreeSet;

use api::k8s_openapi::api::core::v1::Volume;
use serde_json::Value;

use super::{
    Check, Control, Version, Violation,
    baseline::{self, OWN_USERS_SINCE, added_capabilities, is_safe_seccomp},
    subject::{Part, Subject, named_containers, plural, quoted, setters},
};

/// In the order in which they are told of.
pub(super) const CONTROLS: [Control; 7] = [
    control(privilege_escalation, 8, None),
    control(capabilities, 22, Some(baseline::capabilities)),
    control(proc_mount, 35, Some(baseline::proc_mount)),
    control(volume_types, 0, Some(baseline::host_path_volumes)),
    control(non_root, 0, None),
    control(root_user, 23, None),
    control(seccomp, 19, Some(baseline::seccomp)),
];

/// The first version in which pods for Windows need not do what means nothing there.
const WINDOWS_SINCE: Version = Version::Minor(25);
const VOLUME_TYPES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

const fn control(check: Check, since: u32, replaces: Option<Check>) -> Control {
    Control { check, since, replaces }
}

fn means_nothing(pod: &Subject<'_>, version: Version) -> bool {
    version >= WINDOWS_SINCE && pod.is_for_windows()
}

fn privilege_escalation(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if means_nothing(pod, version) {
        return None;
    }
    let containers = pod.names(|part| {
        let allowed = part.security.and_then(|security| security.allow_privilege_escalation);
        allowed != Some(false)
    });
    (!containers.is_empty()).then(|| {
        let who = named_containers(&containers);
        let detail = format!("{who} must set securityContext.allowPrivilegeEscalation=false");
        Violation::new("allowPrivilegeEscalation != false", detail)
    })
}

fn capabilities(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if means_nothing(pod, version) {
        return None;
    }
    let keeps = pod.names(|part| {
        let dropped = part
            .security
            .and_then(|security| security.capabilities.as_ref()?.drop.as_ref());
        !dropped.into_iter().flatten().any(|name| name == "ALL")
    });
    let mut details = Vec::new();
    if !keeps.is_empty() {
        let who = named_containers(&keeps);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    details.extend(added_capabilities(pod, &["NET_BIND_SERVICE"]));
    (!details.is_empty()).then(|| Violation::new("unrestricted capabilities", details.join("; ")))
}

fn proc_mount(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    baseline::unmasked(pod)
}

fn volume_types(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let restricted: Vec<(&str, String)> = pod
        .spec
        .volumes
        .iter()
        .flatten()
        .filter_map(|volume| Some((volume.name.as_str(), restricted_type(volume)?)))
        .collect();
    let types: BTreeSet<&str> = restricted.iter().map(|(_, type_)| type_.as_str()).collect();
    let names: Vec<&str> = restricted.iter().map(|(name, _)| *name).collect();
    (!names.is_empty()).then(|| {
        let verb = if names.len() == 1 { "uses" } else { "use" };
        let detail = format!(
            "{} {} {verb} {} {}",
            plural("volume", names.len()),
            quoted(names.iter().copied()),
            plural("restricted volume type", types.len()),
            quoted(types.iter().copied())
        );
        Violation::new("restricted volume types", detail)
    })
}

/// The type of a volume that is not one of the allowed.
fn restricted_type(volume: &Volume) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::to_value(volume) else {
        return None;
    };
    let type_ = fields.keys().find(|field| *field != "name").cloned();
    let type_ = type_.unwrap_or_else(|| "unknown".to_owned());
    (!VOLUME_TYPES.contains(&type_.as_str())).then_some(type_)
}

fn non_root(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if version >= OWN_USERS_SINCE && pod.has_own_users() {
        return None;
    }
    let of_pod = pod.security().and_then(|security| security.run_as_non_root);
    let of_part = |part: &Part<'_>| part.security.and_then(|security| security.run_as_non_root);
    let against = pod.names(|part| of_part(part) == Some(false));
    let reason = "runAsNonRoot != true";
    if of_pod == Some(false) || !against.is_empty() {
        let who = setters(of_pod == Some(false), &against);
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Some(Violation::new(reason, detail));
    }
    let silent = pod.names(|part| of_part(part).is_none() && of_pod.is_none());
    (!silent.is_empty()).then(|| {
        let who = named_containers(&silent);
        Violation::new(
            reason,
            format!("pod or {who} must set securityContext.runAsNonRoot=true"),
        )
    })
}

fn root_user(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if version >= OWN_USERS_SINCE && pod.has_own_users() {
        return None;
    }
    let of_pod = pod.security().and_then(|security| security.run_as_user) == Some(0);
    let containers = pod.names(|part| part.security.and_then(|security| security.run_as_user) == Some(0));
    (of_pod || !containers.is_empty()).then(|| {
        let who = setters(of_pod, &containers);
        Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
    })
}

fn seccomp(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if means_nothing(pod, version) {
        return None;
    }
    if let Some(bad) = baseline::seccomp(pod, version) {
        return Some(bad);
    }
    let is_set = pod
        .security()
        .and_then(|security| security.seccomp_profile.as_ref())
        .is_some_and(is_safe_seccomp);
    let silent = pod.names(|part| {
        let own = part.security.and_then(|security| security.seccomp_profile.as_ref());
        own.is_none() && !is_set
    });
    (!silent.is_empty()).then(|| {
        let detail = format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            named_containers(&silent)
        );
        Violation::new("seccompProfile", detail)
    })
}
