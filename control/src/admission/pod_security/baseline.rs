//! The controls of the standard "baseline": what is known to let a pod out.
//!
//! Source: Kubernetes, "Pod Security Standards": "Baseline".

use std::collections::BTreeSet;

use api::k8s_openapi::api::core::v1::{LifecycleHandler, SELinuxOptions, SeccompProfile};

use super::{
    Control, Version, Violation,
    subject::{Part, Subject, named_containers, plural, quoted, quoted_set, setters},
};

/// In the order in which they are told of.
pub(super) const CONTROLS: [Control; 13] = [
    control(app_armor, 0),
    control(capabilities, 0),
    control(host_namespaces, 0),
    control(host_path_volumes, 0),
    control(host_ports, 0),
    control(probe_hosts, 34),
    control(privileged, 0),
    control(proc_mount, 0),
    control(se_linux, 0),
    control(seccomp_annotations, 0),
    control(seccomp, 19),
    control(sysctls, 0),
    control(host_process, 0),
];

/// The first version in which pods with users of their own may do more inside.
pub(super) const OWN_USERS_SINCE: Version = Version::Minor(35);
const SECCOMP_FIELDS_SINCE: Version = Version::Minor(19);
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Parameters that concern the pod alone, and the first minor version in which they are allowed.
const SYSCTLS: [(&str, u32); 12] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.tcp_wmem", 32),
];
/// Types of SELinux, and the first minor version in which they are allowed.
const SE_LINUX_TYPES: [(&str, u32); 5] = [
    ("", 0),
    ("container_engine_t", 31),
    ("container_init_t", 0),
    ("container_kvm_t", 0),
    ("container_t", 0),
];

const fn control(check: super::Check, since: u32) -> Control {
    Control {
        check,
        since,
        replaces: None,
    }
}

fn app_armor(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let is_bad = |kind: &&str| !matches!(*kind, "RuntimeDefault" | "Localhost");
    let of_pod = pod
        .security()
        .and_then(|security| security.app_armor_profile.as_ref())
        .map(|profile| profile.type_.as_str())
        .filter(is_bad);
    let of_part = |part: &Part<'_>| {
        let profile = part.security.and_then(|security| security.app_armor_profile.clone());
        profile
            .map(|profile| profile.type_)
            .filter(|kind| is_bad(&kind.as_str()))
    };
    let containers = pod.names(|part| of_part(part).is_some());
    let mut values: BTreeSet<String> = pod.parts().iter().filter_map(of_part).collect();
    values.extend(of_pod.map(str::to_owned));
    let annotations: Vec<String> = pod
        .metadata
        .annotations
        .iter()
        .flatten()
        .filter(|(key, value)| {
            let is_allowed = value.is_empty() || *value == "runtime/default" || value.starts_with("localhost/");
            key.starts_with(APP_ARMOR_ANNOTATION) && !is_allowed
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let count = values.len() + annotations.len();
    let mut details = Vec::new();
    if !values.is_empty() {
        details.push(format!(
            "{} must not set AppArmor profile type to {}",
            setters(of_pod.is_some(), &containers),
            quoted(values.iter().map(String::as_str))
        ));
    }
    if !annotations.is_empty() {
        details.push(annotations.join(", "));
    }
    (count > 0).then(|| Violation::new(plural("forbidden AppArmor profile", count), details.join(", ")))
}

pub(super) fn capabilities(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let added = added_capabilities(pod, &CAPABILITIES)?;
    Some(Violation::new("non-default capabilities", added))
}

/// Who adds capabilities besides these, and which.
pub(super) fn added_capabilities(pod: &Subject<'_>, allowed: &[&str]) -> Option<String> {
    let added = |part: &Part<'_>| -> Vec<String> {
        let capabilities = part
            .security
            .and_then(|security| security.capabilities.as_ref()?.add.as_ref());
        let added = capabilities.into_iter().flatten();
        added
            .filter(|name| !allowed.contains(&name.as_str()))
            .cloned()
            .collect()
    };
    let containers = pod.names(|part| !added(part).is_empty());
    let names: Vec<String> = pod.parts().iter().flat_map(added).collect();
    (!containers.is_empty()).then(|| {
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            named_containers(&containers),
            quoted_set(names.iter().map(String::as_str))
        )
    })
}

fn host_namespaces(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let spec = pod.spec;
    let shared = [
        (spec.host_network, "hostNetwork=true"),
        (spec.host_pid, "hostPID=true"),
        (spec.host_ipc, "hostIPC=true"),
    ];
    let shared: Vec<&str> = shared
        .into_iter()
        .filter(|(is_shared, _)| *is_shared == Some(true))
        .map(|(_, words)| words)
        .collect();
    (!shared.is_empty()).then(|| Violation::new("host namespaces", shared.join(", ")))
}

pub(super) fn host_path_volumes(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let volumes: Vec<&str> = pod
        .spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.host_path.is_some())
        .map(|volume| volume.name.as_str())
        .collect();
    (!volumes.is_empty()).then(|| {
        let detail = format!(
            "{} {}",
            plural("volume", volumes.len()),
            quoted(volumes.iter().copied())
        );
        Violation::new("hostPath volumes", detail)
    })
}

fn host_ports(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let taken = |part: &Part<'_>| -> Vec<String> {
        let ports = part.host_ports.iter().filter(|port| **port != 0);
        ports.map(ToString::to_string).collect()
    };
    let containers = pod.names(|part| !taken(part).is_empty());
    let ports: BTreeSet<String> = pod.parts().iter().flat_map(taken).collect();
    let list: Vec<&str> = ports.iter().map(String::as_str).collect();
    uses(&containers).map(|who| {
        let detail = format!("{who} {} {}", plural("hostPort", list.len()), list.join(", "));
        Violation::new("hostPort", detail)
    })
}

/// `container "a" uses`, if it is somebody.
fn uses(containers: &[&str]) -> Option<String> {
    let verb = if containers.len() == 1 { "uses" } else { "use" };
    (!containers.is_empty()).then(|| format!("{} {verb}", named_containers(containers)))
}

fn probe_hosts(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let hosts = |part: &Part<'_>| -> Vec<String> {
        let of_probes = part.probes.iter().flat_map(|probe| {
            let http = probe.http_get.as_ref().and_then(|action| action.host.clone());
            let tcp = probe.tcp_socket.as_ref().and_then(|action| action.host.clone());
            [http, tcp]
        });
        let handler = |handler: &LifecycleHandler| {
            let http = handler.http_get.as_ref().and_then(|action| action.host.clone());
            let tcp = handler.tcp_socket.as_ref().and_then(|action| action.host.clone());
            [http, tcp]
        };
        let handlers = part
            .lifecycle
            .into_iter()
            .flat_map(|cycle| [&cycle.post_start, &cycle.pre_stop]);
        let of_handlers = handlers.flatten().flat_map(handler);
        of_probes
            .chain(of_handlers)
            .flatten()
            .filter(|host| !host.is_empty())
            .collect()
    };
    let mut containers = pod.names(|part| !hosts(part).is_empty());
    containers.sort_unstable();
    let all: BTreeSet<String> = pod.parts().iter().flat_map(hosts).collect();
    uses(&containers).map(|who| {
        let word = plural("probe or lifecycle host", all.len());
        let detail = format!("{who} {word} {}", quoted(all.iter().map(String::as_str)));
        Violation::new("probe or lifecycle host", detail)
    })
}

fn privileged(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let containers = pod.names(|part| part.security.is_some_and(|security| security.privileged == Some(true)));
    (!containers.is_empty()).then(|| {
        let who = named_containers(&containers);
        Violation::new(
            "privileged",
            format!("{who} must not set securityContext.privileged=true"),
        )
    })
}

pub(super) fn proc_mount(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if version >= OWN_USERS_SINCE && pod.has_own_users() {
        return None;
    }
    unmasked(pod)
}

/// Who sees more of `/proc` than others.
pub(super) fn unmasked(pod: &Subject<'_>) -> Option<Violation> {
    let mount = |part: &Part<'_>| {
        let mount = part.security.and_then(|security| security.proc_mount.clone());
        mount.filter(|mount| mount != "Default")
    };
    let containers = pod.names(|part| mount(part).is_some());
    let mounts: Vec<String> = pod.parts().iter().filter_map(mount).collect();
    (!containers.is_empty()).then(|| {
        let detail = format!(
            "{} must not set securityContext.procMount to {}",
            named_containers(&containers),
            quoted_set(mounts.iter().map(String::as_str))
        );
        Violation::new("procMount", detail)
    })
}

fn se_linux(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    let is_bad_type = |options: &SELinuxOptions| {
        let given = options.type_.as_deref().unwrap_or_default();
        let is_allowed = |(name, since): &(&str, u32)| *name == given && version >= Version::Minor(*since);
        !SE_LINUX_TYPES.iter().any(is_allowed)
    };
    let is_set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let is_bad = |options: &SELinuxOptions| is_bad_type(options) || is_set(&options.user) || is_set(&options.role);
    let of_pod = pod.security().and_then(|security| security.se_linux_options.as_ref());
    let of_part = |part: &Part<'_>| part.security.and_then(|security| security.se_linux_options.clone());
    let containers = pod.names(|part| of_part(part).is_some_and(|options| is_bad(&options)));
    let all: Vec<SELinuxOptions> = of_pod
        .cloned()
        .into_iter()
        .chain(pod.parts().iter().filter_map(of_part))
        .collect();
    let types: BTreeSet<&str> = all
        .iter()
        .filter(|options| is_bad_type(options))
        .filter_map(|options| options.type_.as_deref())
        .collect();
    let mut faults = Vec::new();
    if !types.is_empty() {
        faults.push(format!("{} {}", plural("type", types.len()), quoted(types)));
    }
    for (word, is_named) in [
        ("user", all.iter().any(|options| is_set(&options.user))),
        ("role", all.iter().any(|options| is_set(&options.role))),
    ] {
        if is_named {
            faults.push(format!("{word} may not be set"));
        }
    }
    (!faults.is_empty()).then(|| {
        let who = setters(of_pod.is_some_and(is_bad), &containers);
        let detail = format!(
            "{who} set forbidden securityContext.seLinuxOptions: {}",
            faults.join("; ")
        );
        Violation::new("seLinuxOptions", detail)
    })
}

fn seccomp_annotations(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    if version >= SECCOMP_FIELDS_SINCE {
        return None;
    }
    let is_allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let keys = std::iter::once(SECCOMP_POD_ANNOTATION.to_owned()).chain(
        pod.parts()
            .into_iter()
            .map(|part| format!("{SECCOMP_CONTAINER_ANNOTATION}{}", part.name)),
    );
    let annotations = pod.metadata.annotations.as_ref();
    let forbidden: BTreeSet<String> = keys
        .filter_map(|key| {
            let value = annotations?.get(&key).filter(|value| !is_allowed(value))?;
            Some(format!("{key}={value:?}"))
        })
        .collect();
    (!forbidden.is_empty()).then(|| {
        let list: Vec<&str> = forbidden.iter().map(String::as_str).collect();
        let word = plural("annotation", list.len());
        Violation::new("seccompProfile", format!("forbidden {word} {}", list.join(", ")))
    })
}

pub(super) fn is_safe_seccomp(profile: &SeccompProfile) -> bool {
    matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost")
}

pub(super) fn seccomp(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let bad = |profile: Option<&SeccompProfile>| {
        let profile = profile.filter(|profile| !is_safe_seccomp(profile))?;
        Some(profile.type_.clone())
    };
    let of_pod = bad(pod.security().and_then(|security| security.seccomp_profile.as_ref()));
    let of_part = |part: &Part<'_>| bad(part.security.and_then(|security| security.seccomp_profile.as_ref()));
    let containers = pod.names(|part| of_part(part).is_some());
    let mut values: BTreeSet<String> = pod.parts().iter().filter_map(of_part).collect();
    values.extend(of_pod.clone());
    (!values.is_empty()).then(|| {
        let detail = format!(
            "{} must not set securityContext.seccompProfile.type to {}",
            setters(of_pod.is_some(), &containers),
            quoted(values.iter().map(String::as_str))
        );
        Violation::new("seccompProfile", detail)
    })
}

fn sysctls(pod: &Subject<'_>, version: Version) -> Option<Violation> {
    let is_allowed = |name: &str| {
        let known = SYSCTLS.iter().find(|(known, _)| *known == name);
        known.is_some_and(|(_, since)| version >= Version::Minor(*since))
    };
    let forbidden: Vec<&str> = pod
        .security()
        .into_iter()
        .flat_map(|security| security.sysctls.iter().flatten())
        .map(|sysctl| sysctl.name.as_str())
        .filter(|name| !is_allowed(name))
        .collect();
    (!forbidden.is_empty()).then(|| Violation::new("forbidden sysctls", forbidden.join(", ")))
}

fn host_process(pod: &Subject<'_>, _version: Version) -> Option<Violation> {
    let of_pod = pod
        .security()
        .and_then(|security| security.windows_options.as_ref()?.host_process)
        .unwrap_or(false);
    let containers = pod.names(|part| {
        let host_process = part
            .security
            .and_then(|security| security.windows_options.as_ref()?.host_process);
        host_process == Some(true)
    });
    (of_pod || !containers.is_empty()).then(|| {
        let who = setters(of_pod, &containers);
        let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
        Violation::new("hostProcess", detail)
    })
}
