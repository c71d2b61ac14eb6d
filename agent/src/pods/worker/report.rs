//! What a worker tells the control plane: status, events, the end.
//!
//! Never here: what they say.

use api::{
    k8s_openapi::api::core::v1::PodStatus,
    node_stream::{self, EventRecord, FromAgent, PodGone, from_agent},
};
use reconcile::{plan::Severity, pod::Note};
use tracing::error;

use super::Task;

impl Task {
    /// Sends the status if it is news.
    pub(super) async fn publish(&mut self, status: PodStatus) {
        if self.observed.removed || self.sent.as_ref() == Some(&status) {
            return;
        }
        let status_json = match serde_json::to_vec(&status) {
            Ok(json) => json,
            Err(err) => {
                error!(error = &err as &dyn std::error::Error, "pod status does not encode");
                return;
            }
        };
        let message = node_stream::PodStatus {
            namespace: self.namespace(),
            name: self.name(),
            uid: self.uid.clone(),
            status_json,
        };
        self.send(from_agent::Kind::PodStatus(message)).await;
        self.sent = Some(status);
    }

    /// Records an event about the pod.
    pub(super) async fn announce(&self, note: &Note) {
        if self.observed.removed {
            return;
        }
        let event = EventRecord {
            namespace: self.namespace(),
            involved_kind: "Pod".to_owned(),
            involved_name: self.name(),
            involved_uid: self.uid.clone(),
            r#type: match note.severity {
                Severity::Normal => "Normal".to_owned(),
                Severity::Warning => "Warning".to_owned(),
            },
            reason: note.reason.to_owned(),
            message: note.message.clone(),
        };
        self.send(from_agent::Kind::Event(event)).await;
    }

    /// The pod's object may go.
    pub(super) async fn say_gone(&self) {
        if self.observed.removed {
            return;
        }
        let gone = PodGone {
            namespace: self.namespace(),
            name: self.name(),
            uid: self.uid.clone(),
        };
        self.send(from_agent::Kind::PodGone(gone)).await;
    }

    async fn send(&self, kind: from_agent::Kind) {
        // Nobody listens when the agent ends; the next one finds out by itself.
        let _ = self.context.out.send(FromAgent { kind: Some(kind) }).await;
    }

    fn namespace(&self) -> String {
        self.pod.metadata.namespace.clone().unwrap_or_default()
    }

    fn name(&self) -> String {
        self.pod.metadata.name.clone().unwrap_or_default()
    }
}
