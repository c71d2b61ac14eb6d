//! The wires of a sandbox: a bridge in the host's network namespace, and from each node a cable to it.
//!
//! Uses netlink only, never a program; makes no rule of any kind, so nodes reach the host and each other, and what is
//! beyond the host only if the host routes for them.

use std::{fs::File, io, net::Ipv4Addr, os::fd::AsRawFd};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    Handle, LinkBridge, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::LinkAttribute,
        route::{RouteAddress, RouteAttribute},
    },
};

use super::{
    netns::{self, NetnsError},
    registry::Sandbox,
};

/// The ranges bridges are made of, one of 256: private, and apart from the cluster's own 10.42 and 10.43.
const RANGES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 231, 0, 0), 16);
/// The node's end of its cable.
const NODE_LINK: &str = "eth0";

/// The wires could not be laid or taken up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnderlayError {
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    #[error("{step} {link}")]
    Link {
        step: &'static str,
        link: String,
        #[source]
        source: rtnetlink::Error,
    },
    #[error(
        "the link {link} exists already and is not this sandbox's: remove it with `ip link delete {link}`, or give the sandbox another --name"
    )]
    LinkExists { link: String },
    #[error("the link {link} is not there though it was just made")]
    LinkGone { link: String },
    #[error("list the addresses and routes of this machine")]
    Routes(#[source] rtnetlink::Error),
    #[error("every range of {RANGES} is in use on this machine")]
    NoRange,
    #[error("open this process's network namespace")]
    OwnNamespace(#[source] io::Error),
    #[error(transparent)]
    Namespace(#[from] NetnsError),
}

fn connect() -> Result<Handle, UnderlayError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(UnderlayError::Open)?;
    tokio::spawn(connection);
    Ok(handle)
}

/// A range that neither this machine nor another sandbox uses. `preference` spreads the choices.
pub(crate) async fn choose_range(preference: u32, taken: &[Ipv4Net]) -> Result<Ipv4Net, UnderlayError> {
    let mut used = taken.to_vec();
    used.extend(used_ranges(&connect()?).await.map_err(UnderlayError::Routes)?);
    free_range(preference, &used).ok_or(UnderlayError::NoRange)
}

fn free_range(preference: u32, used: &[Ipv4Net]) -> Option<Ipv4Net> {
    let ranges: Vec<Ipv4Net> = RANGES.subnets(24).ok()?.collect();
    let start = preference as usize % ranges.len();
    let overlaps = |range: &Ipv4Net, other: &Ipv4Net| range.contains(other) || other.contains(range);
    ranges[start..]
        .iter()
        .chain(&ranges[..start])
        .find(|range| !used.iter().any(|other| overlaps(range, other)))
        .copied()
}

async fn used_ranges(handle: &Handle) -> Result<Vec<Ipv4Net>, rtnetlink::Error> {
    let mut ranges = Vec::new();
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await? {
        for attribute in &message.attributes {
            if let AddressAttribute::Address(std::net::IpAddr::V4(address)) = attribute {
                ranges.extend(Ipv4Net::new(*address, message.header.prefix_len).map(|net| net.trunc()));
            }
        }
    }
    let mut routes = handle
        .route()
        .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
        .execute();
    while let Some(message) = routes.try_next().await? {
        for attribute in &message.attributes {
            if let RouteAttribute::Destination(RouteAddress::Inet(address)) = attribute
                && message.header.destination_prefix_length > 0
            {
                ranges.extend(Ipv4Net::new(*address, message.header.destination_prefix_length));
            }
        }
    }
    Ok(ranges)
}

/// Makes sure that nothing has the name of anything that the sandbox is to have.
pub(crate) async fn check_free(sandbox: &Sandbox) -> Result<(), UnderlayError> {
    let handle = connect()?;
    let cables = sandbox.node_numbers().map(|number| sandbox.name.host_link(number));
    for link in std::iter::once(sandbox.name.bridge()).chain(cables) {
        if index_of(&handle, &link).await?.is_some() {
            return Err(UnderlayError::LinkExists { link });
        }
    }
    for number in sandbox.node_numbers() {
        netns::check_free(&sandbox.name.node(number))?;
    }
    Ok(())
}

/// Makes the bridge with the server's address.
pub(crate) async fn create_bridge(sandbox: &Sandbox) -> Result<(), UnderlayError> {
    let handle = connect()?;
    let bridge = sandbox.name.bridge();
    if index_of(&handle, &bridge).await?.is_some() {
        return Err(UnderlayError::LinkExists { link: bridge });
    }
    // An address of its own: otherwise it changes with each port that joins, and neighbours would be wrong for a while.
    let [a, b, c, d] = sandbox.name.digest().to_be_bytes();
    let message = LinkBridge::new(&bridge)
        .address(vec![0x02, 0x5e, a, b, c, d])
        .append_extra_attribute(LinkAttribute::IfAlias(alias(sandbox)))
        .up()
        .build();
    handle
        .link()
        .add(message)
        .execute()
        .await
        .map_err(failed("create the bridge", &bridge))?;
    let index = existing_index(&handle, &bridge).await?;
    handle
        .address()
        .add(index, sandbox.server_address().into(), sandbox.subnet.prefix_len())
        .execute()
        .await
        .map_err(failed("give an address to the bridge", &bridge))
}

/// Makes a node's namespace and its cable to the bridge.
pub(crate) async fn create_node(sandbox: &Sandbox, number: u16) -> Result<(), UnderlayError> {
    let handle = connect()?;
    let host_link = sandbox.name.host_link(number);
    if index_of(&handle, &host_link).await?.is_some() {
        return Err(UnderlayError::LinkExists { link: host_link });
    }
    let node = sandbox.name.node(number);
    netns::create(&node)?;
    let host = File::open("/proc/self/ns/net").map_err(UnderlayError::OwnNamespace)?;
    let inside = sandbox.clone();
    netns::within_async(&netns::path(&node), move || async move {
        wire_node(&inside, number, &host).await
    })??;

    let index = existing_index(&handle, &host_link).await?;
    let bridge = existing_index(&handle, &sandbox.name.bridge()).await?;
    let message = LinkUnspec::new_with_index(index)
        .controller(bridge)
        .append_extra_attribute(LinkAttribute::IfAlias(alias(sandbox)))
        .up()
        .build();
    handle
        .link()
        .change(message)
        .execute()
        .await
        .map_err(failed("connect to the bridge", &host_link))
}

/// Runs in the node's namespace: makes the cable, hands its other end to the host, and configures the node's.
async fn wire_node(sandbox: &Sandbox, number: u16, host: &File) -> Result<(), UnderlayError> {
    let handle = connect()?;
    let host_link = sandbox.name.host_link(number);
    let loopback = existing_index(&handle, "lo").await?;
    let message = LinkUnspec::new_with_index(loopback).up().build();
    handle
        .link()
        .change(message)
        .execute()
        .await
        .map_err(failed("enable", "lo"))?;

    let message = LinkVeth::new(NODE_LINK, &host_link).build();
    handle
        .link()
        .add(message)
        .execute()
        .await
        .map_err(failed("create the cable", &host_link))?;
    let peer = existing_index(&handle, &host_link).await?;
    let message = LinkUnspec::new_with_index(peer).setns_by_fd(host.as_raw_fd()).build();
    handle
        .link()
        .change(message)
        .execute()
        .await
        .map_err(failed("hand to the host", &host_link))?;

    let index = existing_index(&handle, NODE_LINK).await?;
    handle
        .address()
        .add(index, sandbox.node_address(number).into(), sandbox.subnet.prefix_len())
        .execute()
        .await
        .map_err(failed("give an address to", NODE_LINK))?;
    let message = LinkUnspec::new_with_index(index).up().build();
    handle
        .link()
        .change(message)
        .execute()
        .await
        .map_err(failed("enable", NODE_LINK))?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(sandbox.server_address())
        .build();
    handle
        .route()
        .add(route)
        .execute()
        .await
        .map_err(failed("add the default route over", NODE_LINK))
}

/// Takes up what `create_bridge` and `create_node` laid. Ok if it is not there.
pub(crate) async fn remove(sandbox: &Sandbox) -> Result<(), UnderlayError> {
    let handle = connect()?;
    for number in sandbox.node_numbers() {
        remove_link(&handle, &sandbox.name.host_link(number)).await?;
        netns::remove(&sandbox.name.node(number))?;
    }
    remove_link(&handle, &sandbox.name.bridge()).await
}

async fn remove_link(handle: &Handle, link: &str) -> Result<(), UnderlayError> {
    let Some(index) = index_of(handle, link).await? else {
        return Ok(());
    };
    match handle.link().del(index).execute().await {
        // Gone with its other end meanwhile.
        Err(error) if is_missing(&error) => Ok(()),
        outcome => outcome.map_err(failed("remove the link", link)),
    }
}

async fn existing_index(handle: &Handle, link: &str) -> Result<u32, UnderlayError> {
    index_of(handle, link)
        .await?
        .ok_or_else(|| UnderlayError::LinkGone { link: link.to_owned() })
}

async fn index_of(handle: &Handle, link: &str) -> Result<Option<u32>, UnderlayError> {
    match handle
        .link()
        .get()
        .match_name(link.to_owned())
        .execute()
        .try_next()
        .await
    {
        Ok(message) => Ok(message.map(|message| message.header.index)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(source) => Err(UnderlayError::Link {
            step: "look for the link",
            link: link.to_owned(),
            source,
        }),
    }
}

fn is_missing(error: &rtnetlink::Error) -> bool {
    matches!(error, rtnetlink::Error::NetlinkError(message)
        if matches!(message.raw_code().abs(), libc::ENODEV | libc::ENOENT))
}

fn failed<'a>(step: &'static str, link: &'a str) -> impl Fn(rtnetlink::Error) -> UnderlayError + 'a {
    move |source| UnderlayError::Link {
        step,
        link: link.to_owned(),
        source,
    }
}

fn alias(sandbox: &Sandbox) -> String {
    format!("skep sandbox {}", sandbox.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().expect("valid")
    }

    #[test]
    fn ranges_in_use_are_passed_over() {
        for (preference, used, expected) in [
            (0, vec![], Some("10.231.0.0/24")),
            (7, vec![], Some("10.231.7.0/24")),
            (7, vec!["10.231.7.0/24"], Some("10.231.8.0/24")),
            (7, vec!["10.231.7.128/32", "10.231.8.0/23"], Some("10.231.10.0/24")),
            (255, vec!["10.231.255.0/24"], Some("10.231.0.0/24")),
            (256 + 3, vec![], Some("10.231.3.0/24")),
            (0, vec!["10.0.0.0/8"], None),
        ] {
            let used: Vec<Ipv4Net> = used.into_iter().map(net).collect();
            assert_eq!(
                free_range(preference, &used),
                expected.map(net),
                "{preference} {used:?}"
            );
        }
    }
}
