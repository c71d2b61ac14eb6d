//! Events that follow from a pod's status having changed.
//!
//! What the node did (pulled, created, started) it announces itself; these are the conclusions.
//! Source: the reasons and messages of Kubernetes' node events.

use api::k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::plan::Severity;

/// An event about the pod, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whether somebody should look.
    pub severity: Severity,
    /// CamelCase.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// Routine.
    #[must_use]
    pub fn normal(reason: &'static str, message: String) -> Note {
        Note {
            severity: Severity::Normal,
            reason,
            message,
        }
    }

    /// Something to look at.
    #[must_use]
    pub fn warning(reason: &'static str, message: String) -> Note {
        Note {
            severity: Severity::Warning,
            reason,
            message,
        }
    }
}

/// The events between two statuses: a container began to wait for another reason, or for another restart.
pub(super) fn notes(pod: &Pod, before: &PodStatus, after: &PodStatus) -> Vec<Note> {
    let mut notes = Vec::new();
    for status in statuses(after) {
        let former = statuses(before).find(|former| former.name == status.name);
        let (Some((reason, message)), known) = (waiting(status), former.and_then(waiting)) else {
            continue;
        };
        let same_wait = known.is_some_and(|(known, _)| known == reason)
            && former.is_some_and(|former| former.restart_count == status.restart_count);
        if !same_wait {
            notes.extend(of_wait(pod, status, reason, message));
        }
    }
    if before.reason != after.reason && after.reason.as_deref() == Some(super::status::DEADLINE_EXCEEDED) {
        notes.push(Note::warning(
            super::status::DEADLINE_EXCEEDED,
            after.message.clone().unwrap_or_default(),
        ));
    }
    notes
}

fn of_wait(pod: &Pod, status: &ContainerStatus, reason: &str, message: &str) -> Vec<Note> {
    let image = &status.image;
    match reason {
        "CrashLoopBackOff" => vec![Note::warning(
            "BackOff",
            format!(
                "Back-off restarting failed container {} in pod {}",
                status.name,
                super::status::full_name(pod)
            ),
        )],
        "ErrImagePull" => vec![
            Note::warning("Failed", format!("Failed to pull image \"{image}\": {message}")),
            Note::warning("Failed", "Error: ErrImagePull".to_owned()),
        ],
        "ImagePullBackOff" => vec![
            Note::normal("BackOff", format!("Back-off pulling image \"{image}\"")),
            Note::warning("Failed", "Error: ImagePullBackOff".to_owned()),
        ],
        "ErrImageNeverPull" => vec![
            Note::warning("ErrImageNeverPull", message.to_owned()),
            Note::warning("Failed", "Error: ErrImageNeverPull".to_owned()),
        ],
        "InvalidImageName" => vec![
            Note::warning("InspectFailed", message.to_owned()),
            Note::warning("Failed", "Error: InvalidImageName".to_owned()),
        ],
        "CreateContainerConfigError" | "CreateContainerError" => {
            vec![Note::warning("Failed", format!("Error: {message}"))]
        }
        _ => Vec::new(),
    }
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((
        waiting.reason.as_deref().unwrap_or_default(),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}
