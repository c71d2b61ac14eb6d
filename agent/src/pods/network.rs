//! What the pod worker needs of the node's network: one namespace per pod, its files, the services around it.
//!
//! Never here: how it is done. `agent::net` implements [`PodNetwork`]; tests give their own.

use std::{net::IpAddr, path::PathBuf};

use api::node_stream::Service;
use async_trait::async_trait;

/// The pod that asks for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetRequest {
    /// `metadata.uid`; the key of [`PodNetwork::attach`] and [`PodNetwork::detach`].
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// What the pod calls itself: `spec.hostname`, or its name.
    pub hostname: String,
    /// Settings of `spec.dnsPolicy` and `spec.dnsConfig`.
    pub dns: DnsSettings,
}

/// The `spec.dnsPolicy` of a pod, after defaulting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DnsPolicy {
    /// The cluster's DNS, with the namespace's search path.
    #[default]
    ClusterFirst,
    /// The node's own resolv.conf.
    Default,
    /// Only what `dnsConfig` says.
    None,
}

/// `spec.dnsPolicy` and `spec.dnsConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsSettings {
    /// Where the base comes from.
    pub policy: DnsPolicy,
    /// Added to the base.
    pub extra: ResolvConf,
}

/// The content of a resolv.conf, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub nameservers: Vec<IpAddr>,
    /// The `search` line.
    pub search: Vec<String>,
    /// The `options` line: `ndots:5`.
    pub options: Vec<String>,
}

/// A pod that is on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAttachment {
    /// The pod's network namespace, bound to this path.
    pub netns: PathBuf,
    /// The pod's addresses, the primary first; never empty.
    pub ips: Vec<IpAddr>,
    /// What to write into the pod's /etc/resolv.conf, `dnsConfig` merged in.
    pub resolv_conf: ResolvConf,
    /// Lines for /etc/hosts besides those of localhost and the pod itself.
    pub hosts: Vec<(IpAddr, Vec<String>)>,
}

/// A pod could not be put on the network; retried with back-off.
#[derive(Debug, thiserror::Error)]
#[error("attach pod {uid} to the network: {step}")]
pub struct AttachError {
    /// The pod.
    pub uid: String,
    /// What failed, as a person would say it; becomes part of the event `FailedCreatePodSandBox`.
    pub step: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// A pod could not be taken off the network; retried with back-off.
#[derive(Debug, thiserror::Error)]
#[error("detach pod {uid} from the network: {step}")]
pub struct DetachError {
    /// The pod.
    pub uid: String,
    /// What failed.
    pub step: String,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The node's network, as pods see it.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Gives the pod a network namespace with an address, and returns once routes and dataplane are programmed.
    ///
    /// Idempotent: for a pod that is attached (also by a former agent) it answers the same attachment again and
    /// leaves the namespace alone. Not called for pods on the node's network.
    async fn attach(&self, pod: &PodNetRequest) -> Result<PodAttachment, AttachError>;

    /// Takes the pod off the network and forgets its address. Idempotent; unknown uids are fine.
    async fn detach(&self, uid: &str) -> Result<(), DetachError>;

    /// The attachments that exist, also those a former agent made: what is not wanted any more is detached.
    async fn attached(&self) -> Vec<String>;

    /// The resolv.conf of a pod on the node's network (`hostNetwork`).
    async fn host_resolv_conf(&self, namespace: &str, dns: &DnsSettings) -> ResolvConf;

    /// The services with a cluster address in this namespace, for the environment of its containers.
    fn services(&self, namespace: &str) -> Vec<Service>;
}
