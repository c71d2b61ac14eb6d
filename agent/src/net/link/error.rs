//! Why a link, address, route or neighbour could not be read or changed.

use std::{io, net::IpAddr, path::PathBuf};

use ipnet::Ipv4Net;

/// A link, address, route or neighbour could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No netlink socket.
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    /// No runtime for work inside a namespace.
    #[error("start a runtime")]
    Runtime(#[source] io::Error),
    /// The links could not be read.
    #[error("read the links")]
    ReadLinks(#[source] rtnetlink::Error),
    /// The addresses could not be read.
    #[error("read the addresses")]
    ReadAddresses(#[source] rtnetlink::Error),
    /// The routes could not be read.
    #[error("read the routes")]
    ReadRoutes(#[source] rtnetlink::Error),
    /// A link could not be made.
    #[error("make link {name}")]
    MakeLink {
        /// The link.
        name: String,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A link could not be changed.
    #[error("change link {name}")]
    ChangeLink {
        /// The link.
        name: String,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A link could not be removed.
    #[error("remove link {name}")]
    RemoveLink {
        /// The link.
        name: String,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A link that was just made is not there.
    #[error("link {0} is gone")]
    Gone(String),
    /// An address could not be given to a link.
    #[error("give address {address} to link {link}")]
    Address {
        /// The address.
        address: IpAddr,
        /// The link.
        link: String,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// An address could not be taken from a link.
    #[error("take address {address} from link {link}")]
    RemoveAddress {
        /// The address.
        address: IpAddr,
        /// The link.
        link: String,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A route could not be made.
    #[error("make route to {destination}")]
    MakeRoute {
        /// Where to.
        destination: Ipv4Net,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A route could not be removed.
    #[error("remove route to {destination}")]
    RemoveRoute {
        /// Where to.
        destination: Ipv4Net,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A neighbour could not be set.
    #[error("set neighbour {address}")]
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// Why.
        #[source]
        source: rtnetlink::Error,
    },
    /// A kernel setting could not be written.
    #[error("write {value:?} to {path}")]
    Setting {
        /// File below /proc/sys.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] crate::net::netns::NetnsError),
}
