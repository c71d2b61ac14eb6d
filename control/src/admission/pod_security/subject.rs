//! A pod as controls look at it, and how they say who violates them.

use std::collections::BTreeSet;

use api::k8s_openapi::{
    api::core::v1::{ContainerPort, Lifecycle, PodSecurityContext, PodSpec, Probe, SecurityContext},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::Violation;

/// A pod, or a template of pods.
pub(super) struct Subject<'a> {
    pub(super) metadata: &'a ObjectMeta,
    pub(super) spec: &'a PodSpec,
}

/// What controls look at of a container of any kind.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) security: Option<&'a SecurityContext>,
    pub(super) host_ports: Vec<i32>,
    pub(super) probes: Vec<&'a Probe>,
    pub(super) lifecycle: Option<&'a Lifecycle>,
}

fn host_ports(ports: Option<&[ContainerPort]>) -> Vec<i32> {
    ports.into_iter().flatten().filter_map(|port| port.host_port).collect()
}

fn present(probes: [&Option<Probe>; 3]) -> Vec<&Probe> {
    probes.into_iter().flatten().collect()
}

impl<'a> Subject<'a> {
    /// All containers, in the order in which they are told of.
    pub(super) fn parts(&self) -> Vec<Part<'a>> {
        let init = self.spec.init_containers.iter().flatten();
        let lasting = init.chain(&self.spec.containers).map(|container| Part {
            name: &container.name,
            security: container.security_context.as_ref(),
            host_ports: host_ports(container.ports.as_deref()),
            probes: present([
                &container.liveness_probe,
                &container.readiness_probe,
                &container.startup_probe,
            ]),
            lifecycle: container.lifecycle.as_ref(),
        });
        let ephemeral = self.spec.ephemeral_containers.iter().flatten().map(|container| Part {
            name: &container.name,
            security: container.security_context.as_ref(),
            host_ports: host_ports(container.ports.as_deref()),
            probes: present([
                &container.liveness_probe,
                &container.readiness_probe,
                &container.startup_probe,
            ]),
            lifecycle: container.lifecycle.as_ref(),
        });
        lasting.chain(ephemeral).collect()
    }

    /// The names of the containers of which this holds.
    pub(super) fn names(&self, holds: impl Fn(&Part<'a>) -> bool) -> Vec<&'a str> {
        self.parts()
            .iter()
            .filter(|part| holds(part))
            .map(|part| part.name)
            .collect()
    }

    pub(super) fn security(&self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    pub(super) fn is_for_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// Whether root in the pod is nobody on the node.
    pub(super) fn has_own_users(&self) -> bool {
        self.spec.host_users == Some(false)
    }
}

impl Violation {
    pub(super) fn new(reason: impl Into<String>, detail: impl Into<String>) -> Violation {
        Violation {
            reason: reason.into(),
            detail: detail.into(),
        }
    }
}

/// `pod and containers "a", "b"`; empty if it is nobody.
pub(super) fn setters(pod: bool, containers: &[&str]) -> String {
    let mut list = Vec::new();
    if pod {
        list.push("pod".to_owned());
    }
    if !containers.is_empty() {
        list.push(named_containers(containers));
    }
    list.join(" and ")
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn named_containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", names.len()), quoted(names.iter().copied()))
}

/// `"a", "b"`
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let list: Vec<String> = names.into_iter().map(|name| format!("{name:?}")).collect();
    list.join(", ")
}

/// The values, each once, quoted.
pub(super) fn quoted_set<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    quoted(values.into_iter().collect::<BTreeSet<_>>())
}

/// The word, in the plural unless there is one.
pub(super) fn plural(word: &str, count: usize) -> String {
    if count == 1 {
        word.to_owned()
    } else {
        format!("{word}s")
    }
}
