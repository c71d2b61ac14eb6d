//! Tells cgroups of running containers what these may use from now on, and the pod's what they may use together.
//!
//! A child is never allowed more than its parent, at no moment: what grows grows from the top, what shrinks from below.
//! Never here: whether to (`reconcile::pod` has decided).
//! Source: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst; KEP-1287.

use std::io;

use api::k8s_openapi::api::core::v1::ResourceRequirements;

use super::{launch::container_cgroup, layout::PodHome};
use crate::{
    causes::chain,
    runtime::cgroup::{CgroupError, Hierarchies, Limits},
};

/// A running container, and what it may use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resized {
    pub(crate) container: String,
    pub(crate) attempt: u32,
    pub(crate) resources: ResourceRequirements,
    pub(crate) limits: Limits,
}

/// Tells all of them. Blocks. What was told before a failure stays; doing it again does no harm.
///
/// # Errors
/// As a person reads it.
pub(crate) fn carry_out(
    hierarchies: &Hierarchies,
    pod_cgroup: &str,
    together: &Limits,
    resized: &[Resized],
    home: &PodHome,
) -> Result<(), String> {
    for one in resized {
        let cgroup = container_cgroup(pod_cgroup, &one.container);
        refuse_too_little(hierarchies, &cgroup, one)?;
    }
    let told = |result: Result<(), CgroupError>| result.map_err(|err| chain(&err));
    let before = hierarchies.limits(pod_cgroup);
    told(hierarchies.make(pod_cgroup, &growing(&before, together)))?;
    for one in resized {
        let cgroup = container_cgroup(pod_cgroup, &one.container);
        told(hierarchies.make(&cgroup, &one.limits))?;
        remember(home, one).map_err(|err| format!("write down what container {:?} may use: {err}", one.container))?;
    }
    told(hierarchies.make(pod_cgroup, together))
}

/// What is in use cannot be taken away: the kernel would refuse, or kill.
fn refuse_too_little(hierarchies: &Hierarchies, cgroup: &str, one: &Resized) -> Result<(), String> {
    let (Some(limit), Some(usage)) = (one.limits.memory_bytes, hierarchies.memory_usage(cgroup)) else {
        return Ok(());
    };
    let before = hierarchies.limits(cgroup).memory_bytes.unwrap_or(i64::MAX);
    if limit < before && limit < usage {
        return Err(format!(
            "cannot decrease memory limit of container {:?} to {limit}: it uses {usage}",
            one.container
        ));
    }
    Ok(())
}

/// The limits of a pod while its containers change: the larger of both.
fn growing(before: &Limits, after: &Limits) -> Limits {
    let larger = |before: Option<i64>, after: Option<i64>| match (before, after) {
        // Without a limit there is nothing to grow.
        (None, _) | (_, None) => None,
        (Some(before), Some(after)) => (after > before).then_some(after),
    };
    Limits {
        cpu_shares: None,
        cpu_quota_us: larger(before.cpu_quota_us, after.cpu_quota_us),
        memory_bytes: larger(before.memory_bytes, after.memory_bytes),
        pids: None,
    }
}

/// For the agent that comes after this one.
fn remember(home: &PodHome, one: &Resized) -> io::Result<()> {
    let mut record = home.attempt(&one.container, one.attempt)?;
    record.resources = Some(one.resources.clone());
    home.write_attempt(&one.container, one.attempt, &record)
}

#[cfg(test)]
mod tests {
    use super::growing;
    use crate::runtime::cgroup::Limits;

    #[test]
    fn a_pod_grows_before_its_containers_and_shrinks_after_them() {
        let limits = |cpu, memory| Limits {
            cpu_quota_us: cpu,
            memory_bytes: memory,
            ..Limits::default()
        };
        for (before, after, first) in [
            (
                limits(Some(1), Some(1)),
                limits(Some(2), Some(2)),
                limits(Some(2), Some(2)),
            ),
            (
                limits(Some(2), Some(2)),
                limits(Some(1), Some(3)),
                limits(None, Some(3)),
            ),
            (limits(None, None), limits(Some(1), Some(1)), limits(None, None)),
            (limits(Some(1), Some(1)), limits(None, None), limits(None, None)),
        ] {
            assert_eq!(growing(&before, &after), first, "{before:?} {after:?}");
        }
    }
}
