//! A pod's connection to the node, and what it is called in maps and pins.
//!
//! Pure. Never here: attaching programs.

use std::net::IpAddr;

use dataplane::{addr::Addr, layout::LocalPod};

use super::{
    error::PodError,
    object::{TCX_EGRESS, TCX_INGRESS},
};

/// Bytes of a pod's UID: a UUID as text.
const UID_MAX: usize = 36;
const FROM_POD: &str = "from_pod";
const TO_POD: &str = "to_pod";

/// A pod's connection to the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodPort {
    /// UID of the pod, at most 36 bytes.
    pub uid: String,
    /// Index of the host side of its veth.
    pub host_ifindex: u32,
    /// The pod's address.
    pub ip: IpAddr,
    /// MAC of the pod's own side of the veth.
    pub mac: [u8; 6],
}

/// Whether it can name a pin: 1 to 36 letters, digits and hyphens.
pub(super) fn is_uid(uid: &str) -> bool {
    (1..=UID_MAX).contains(&uid.len()) && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The pod's entry in `PODS`.
pub(super) fn local_pod(pod: &PodPort) -> Result<LocalPod, PodError> {
    if !is_uid(&pod.uid) {
        return Err(PodError::Uid { uid: pod.uid.clone() });
    }
    let mut uid = [0; UID_MAX];
    uid[..pod.uid.len()].copy_from_slice(pod.uid.as_bytes());
    // At most 36, by the check above.
    Ok(LocalPod {
        ifindex: pod.host_ifindex,
        mac: pod.mac,
        uid_len: pod.uid.len() as u16,
        uid,
    })
}

/// The UID in an entry.
pub(super) fn uid_of(pod: &LocalPod) -> String {
    let length = usize::from(pod.uid_len).min(UID_MAX);
    String::from_utf8_lossy(&pod.uid[..length]).into_owned()
}

/// What was said of a pod when its entry was made.
pub(super) fn port_of(addr: Addr, pod: &LocalPod) -> PodPort {
    PodPort {
        uid: uid_of(pod),
        host_ifindex: pod.ifindex,
        ip: addr.into(),
        mac: pod.mac,
    }
}

/// Names of a pod's links with their programs and where they attach: what the pod sends comes in at the host side.
pub(super) fn links(uid: &str) -> [(String, &'static str, u32); 2] {
    [
        (format!("pod-{uid}-in"), FROM_POD, TCX_INGRESS),
        (format!("pod-{uid}-out"), TO_POD, TCX_EGRESS),
    ]
}

/// The program of a link by its name; none if it is no pod's.
pub(super) fn program_of(link: &str) -> Option<&'static str> {
    let (uid, side) = link.strip_prefix("pod-")?.rsplit_once('-')?;
    match side {
        "in" if is_uid(uid) => Some(FROM_POD),
        "out" if is_uid(uid) => Some(TO_POD),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
