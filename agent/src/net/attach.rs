//! What the pod worker asks of the network: one port per pod, made before its first container.
//!
//! Never here: how it is done ([`super::PodNet`] does it) and which pods exist.

use std::{net::IpAddr, path::PathBuf};

use async_trait::async_trait;

/// Gives pods their network and takes it away.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Makes the pod's network, or finds it as an earlier run of the agent left it; traffic of a pod that already
    /// runs is not disturbed. Returns only when routes and dataplane carry the pod's traffic.
    ///
    /// # Errors
    /// Everything done so far is kept for the next try or for [`PodNetwork::detach`]; the caller retries with
    /// back-off, except that [`AttachError::RangeFull`] is worth telling the user.
    async fn attach(&self, request: PodNetRequest) -> Result<PodAttachment, AttachError>;

    /// Removes the pod's network and frees its address. Nothing happens if there is none.
    ///
    /// # Errors
    /// When something could not be removed; the caller retries.
    async fn detach(&self, uid: &str) -> Result<(), DetachError>;
}

/// A pod that wants a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetRequest {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// The host name that the pod's processes see.
    pub hostname: String,
}

/// A pod's network, ready for its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodAttachment {
    /// Bind mount of the pod's network namespace.
    pub netns: PathBuf,
    /// The pod's address.
    pub ip: IpAddr,
    /// Content of `/etc/resolv.conf` for `dnsPolicy: ClusterFirst`.
    pub resolv_conf: ResolvConf,
    /// Content of `/etc/hosts`, without the pod's `hostAliases`.
    pub hosts: Vec<HostsEntry>,
}

/// One line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsEntry {
    /// The address.
    pub ip: IpAddr,
    /// Its names, the canonical one first.
    pub names: Vec<String>,
}

/// What a resolver needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Address of the server; none when the host has none either.
    pub nameserver: Vec<IpAddr>,
    /// Domains tried in this order.
    pub search: Vec<String>,
    /// For example `ndots:5`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// The text of the file.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        for server in &self.nameserver {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// A pod's network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The uid cannot be a file name.
    #[error("pod uid {0:?} cannot be a file name")]
    BadUid(String),
    /// Every address of the node's range is taken.
    #[error("no address is left in the node's pod range {range}")]
    RangeFull {
        /// The node's range.
        range: ipnet::IpNet,
    },
    /// The assignment could not be written down.
    #[error("record the address of pod {uid}")]
    Record {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The network namespace could not be made.
    #[error("make the network namespace of pod {uid}")]
    Namespace {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::netns::NetnsError,
    },
    /// Links, addresses or routes could not be made.
    #[error("connect pod {uid}")]
    Connect {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::link::LinkError,
    },
    /// The dataplane did not take the port.
    #[error("program the port of pod {uid}")]
    Program {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::port::PortError,
    },
}

/// A pod's network could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The uid cannot be a file name.
    #[error("pod uid {0:?} cannot be a file name")]
    BadUid(String),
    /// The dataplane kept the port.
    #[error("withdraw the port of pod {uid}")]
    Program {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::port::PortError,
    },
    /// The link could not be removed.
    #[error("remove the link of pod {uid}")]
    Disconnect {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::link::LinkError,
    },
    /// The network namespace could not be released.
    #[error("release the network namespace of pod {uid}")]
    Namespace {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: super::netns::NetnsError,
    },
    /// The release could not be written down.
    #[error("record that the address of pod {uid} is free")]
    Record {
        /// The pod.
        uid: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
