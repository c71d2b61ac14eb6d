//! Links, addresses, routes and neighbours of one network namespace, through rtnetlink.
//!
//! Every operation can be repeated: it ends in the same state and leaves what is right alone. Never here: which links
//! there should be. Source: rtnetlink(7), Linux `rtnetlink.c`, `fib_frontend.c`.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::fd::RawFd,
    path::PathBuf,
};

use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::{
    AddressMessageBuilder, Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan, RouteMessageBuilder,
    packet_route::{
        link::{InfoData, InfoKind, InfoVeth, InfoVxlan, LinkMessage},
        neighbour::NeighbourState,
        route::RouteMessage,
    },
};
use tokio::task::JoinHandle;

mod error;
mod message;

pub use error::LinkError;
pub use message::{Link, Via};
use message::{address_of, default_link, destination, is_ours, link_of, route_message};
pub use rtnetlink::packet_route::address::AddressScope;

/// The links, addresses and routes of the namespace it was opened in.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's namespace. Needs a runtime.
    ///
    /// # Errors
    /// When the process may not have one more socket.
    pub fn open() -> Result<Netlink, LinkError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Open)?;
        Ok(Netlink {
            handle,
            connection: tokio::spawn(connection),
        })
    }

    /// All links.
    pub async fn links(&self) -> Result<Vec<Link>, LinkError> {
        self.handle
            .link()
            .get()
            .execute()
            .map_ok(link_of)
            .try_collect()
            .await
            .map_err(LinkError::ReadLinks)
    }

    /// The link of this name, if there is one.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, LinkError> {
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        match found.try_next().await {
            Ok(message) => Ok(message.map(link_of)),
            Err(err) if errno(&err) == Some(libc::ENODEV) => Ok(None),
            Err(err) => Err(LinkError::ReadLinks(err)),
        }
    }

    /// All IPv4 addresses, with the index of their link.
    pub async fn addresses(&self) -> Result<Vec<(u32, Ipv4Addr)>, LinkError> {
        let messages: Vec<_> = self
            .handle
            .address()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(LinkError::ReadAddresses)?;
        Ok(messages.iter().filter_map(address_of).collect())
    }

    /// All IPv4 routes.
    async fn routes(&self) -> Result<Vec<RouteMessage>, LinkError> {
        self.handle
            .route()
            .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
            .execute()
            .try_collect()
            .await
            .map_err(LinkError::ReadRoutes)
    }

    /// Index of the link that the IPv4 default route of the lowest metric leads to.
    pub async fn default_route_link(&self) -> Result<Option<u32>, LinkError> {
        Ok(default_link(&self.routes().await?))
    }

    /// Destinations of the routes of ours that lead to the link.
    pub async fn our_routes(&self, index: u32) -> Result<Vec<Ipv4Net>, LinkError> {
        let routes = self.routes().await?;
        let ours = routes.iter().filter(|route| is_ours(route, Some(index)));
        Ok(ours.filter_map(destination).collect())
    }

    /// Destinations of the routes of ours that lead nowhere.
    pub async fn our_unreachable_routes(&self) -> Result<Vec<Ipv4Net>, LinkError> {
        let routes = self.routes().await?;
        let ours = routes.iter().filter(|route| is_ours(route, None));
        Ok(ours.filter_map(destination).collect())
    }

    /// A VXLAN device whose tunnel is chosen per packet, without address resolution, up.
    ///
    /// A device of the name with other properties is replaced: a leftover of another version.
    pub async fn ensure_vxlan(&self, wanted: &Vxlan<'_>) -> Result<Link, LinkError> {
        let link = match self.link(wanted.name).await? {
            Some(link) if link.kind == Some(InfoKind::Vxlan) && link.mac == wanted.mac => link,
            found => {
                if found.is_some() {
                    self.remove(wanted.name).await?;
                }
                let message = LinkMessageBuilder::<LinkVxlan>::new(wanted.name)
                    .append_info_data(InfoVxlan::CollectMetadata(true))
                    .append_info_data(InfoVxlan::Learning(false))
                    // IPv4 without checksum, as is usual: the inner packet has its own.
                    .append_info_data(InfoVxlan::UDPCsum(false))
                    .port(wanted.port)
                    .address(wanted.mac.to_vec())
                    .mtu(wanted.mtu)
                    .arp(false)
                    .build();
                self.make(wanted.name, message).await?;
                self.existing(wanted.name).await?
            }
        };
        self.ensure_mtu(&link, wanted.mtu).await?;
        self.ensure_up(&link).await?;
        Ok(link)
    }

    /// A pair of virtual Ethernet links, the far end in another namespace; both down if they are made now.
    ///
    /// An end of the name whose peer is not where it should be cannot be told from a good one here: the caller looks
    /// for the far end and calls [`Netlink::remove`] first if it is missing.
    pub async fn ensure_veth(&self, wanted: &Veth<'_>) -> Result<Link, LinkError> {
        if self.link(wanted.name).await?.is_none() {
            let far = LinkMessageBuilder::<LinkUnspec>::new()
                .name(wanted.far_name.to_owned())
                .address(wanted.far_mac.to_vec())
                .mtu(wanted.mtu)
                .setns_by_fd(wanted.far_namespace)
                .build();
            let near = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
                .name(wanted.name.to_owned())
                .set_info_data(InfoData::Veth(InfoVeth::Peer(far)))
                .address(wanted.mac.to_vec())
                .mtu(wanted.mtu)
                .build();
            self.make(wanted.name, near).await?;
        }
        self.existing(wanted.name).await
    }

    /// Sets a link's largest packet.
    pub async fn ensure_mtu(&self, link: &Link, mtu: u32) -> Result<(), LinkError> {
        if link.mtu == mtu {
            return Ok(());
        }
        self.change(link, LinkUnspec::new_with_index(link.index).mtu(mtu).build())
            .await
    }

    /// Brings a link up.
    pub async fn ensure_up(&self, link: &Link) -> Result<(), LinkError> {
        if link.up {
            return Ok(());
        }
        self.change(link, LinkUnspec::new_with_index(link.index).up().build())
            .await
    }

    /// Gives a link an address of its own, /32.
    ///
    /// `scope` link keeps it from being chosen as the source of anything else.
    pub async fn ensure_address(&self, link: &Link, ip: Ipv4Addr, scope: AddressScope) -> Result<(), LinkError> {
        let mut message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link.index)
            .address(ip, 32)
            .build();
        message.header.scope = scope;
        let mut request = self.handle.address().add(link.index, IpAddr::V4(ip), 32);
        *request.message_mut() = message;
        match request.replace().execute().await {
            Err(source) if errno(&source) != Some(libc::EEXIST) => Err(LinkError::Address {
                address: IpAddr::V4(ip),
                link: link.name.clone(),
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Takes an address, /32, from a link. False if the link does not have it.
    pub async fn remove_address(&self, link: &Link, ip: Ipv4Addr) -> Result<bool, LinkError> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new()
            .index(link.index)
            .address(ip, 32)
            .build();
        match self.handle.address().del(message).execute().await {
            Ok(()) => Ok(true),
            Err(err) if errno(&err) == Some(libc::EADDRNOTAVAIL) => Ok(false),
            Err(source) => Err(LinkError::RemoveAddress {
                address: IpAddr::V4(ip),
                link: link.name.clone(),
                source,
            }),
        }
    }

    /// Makes a route, or points the one that is there elsewhere.
    pub async fn ensure_route(&self, destination: Ipv4Net, via: Via) -> Result<(), LinkError> {
        self.handle
            .route()
            .add(route_message(destination, via))
            .replace()
            .execute()
            .await
            .map_err(|source| LinkError::MakeRoute { destination, source })
    }

    /// Removes a route of ours, if it is there.
    pub async fn remove_route(&self, destination: Ipv4Net, via: Via) -> Result<(), LinkError> {
        match self.handle.route().del(route_message(destination, via)).execute().await {
            Err(source) if errno(&source) != Some(libc::ESRCH) => Err(LinkError::RemoveRoute { destination, source }),
            _ => Ok(()),
        }
    }

    /// Fixes a neighbour's MAC.
    pub async fn ensure_neighbour(&self, link: &Link, ip: Ipv4Addr, mac: [u8; 6]) -> Result<(), LinkError> {
        self.handle
            .neighbours()
            .add(link.index, IpAddr::V4(ip))
            .link_local_address(&mac)
            .state(NeighbourState::Permanent)
            .replace()
            .execute()
            .await
            .map_err(|source| LinkError::Neighbour {
                address: IpAddr::V4(ip),
                source,
            })
    }

    /// Removes a link with its addresses and routes. False if there is none.
    pub async fn remove(&self, name: &str) -> Result<bool, LinkError> {
        let Some(link) = self.link(name).await? else {
            return Ok(false);
        };
        match self.handle.link().del(link.index).execute().await {
            Ok(()) => Ok(true),
            Err(err) if errno(&err) == Some(libc::ENODEV) => Ok(false),
            Err(source) => Err(LinkError::RemoveLink {
                name: name.to_owned(),
                source,
            }),
        }
    }

    async fn make(&self, name: &str, message: LinkMessage) -> Result<(), LinkError> {
        match self.handle.link().add(message).execute().await {
            Err(source) if errno(&source) != Some(libc::EEXIST) => Err(LinkError::MakeLink {
                name: name.to_owned(),
                source,
            }),
            _ => Ok(()),
        }
    }

    async fn change(&self, link: &Link, message: LinkMessage) -> Result<(), LinkError> {
        self.handle
            .link()
            .change(message)
            .execute()
            .await
            .map_err(|source| LinkError::ChangeLink {
                name: link.name.clone(),
                source,
            })
    }

    /// The link of this name, which must be there.
    pub async fn existing(&self, name: &str) -> Result<Link, LinkError> {
        self.link(name).await?.ok_or_else(|| LinkError::Gone(name.to_owned()))
    }
}

/// A VXLAN device to be.
#[derive(Debug, Clone, Copy)]
pub struct Vxlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// UDP port of the tunnel.
    pub port: u16,
    /// Its MAC. The same on every node: without address resolution the kernel sends to the device's own.
    pub mac: [u8; 6],
    /// Largest packet inside the tunnel.
    pub mtu: u32,
}

/// A veth pair to be.
#[derive(Debug, Clone, Copy)]
pub struct Veth<'a> {
    /// Name of the end in this namespace.
    pub name: &'a str,
    /// MAC of the end in this namespace.
    pub mac: [u8; 6],
    /// Name of the end in the other namespace.
    pub far_name: &'a str,
    /// MAC of the end in the other namespace.
    pub far_mac: [u8; 6],
    /// The other namespace; open until the call returns.
    pub far_namespace: RawFd,
    /// Largest packet.
    pub mtu: u32,
}

/// Writes a kernel setting of the calling thread's namespace, unless it has that value.
///
/// # Errors
/// When it is there and refuses.
pub fn set(path: &str, value: &str) -> Result<(), LinkError> {
    let path = PathBuf::from("/proc/sys").join(path);
    if fs::read_to_string(&path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| LinkError::Setting {
        path,
        value: value.to_owned(),
        source,
    })
}

/// As [`set`], for a setting that some kernels do not have.
///
/// # Errors
/// As [`set`].
pub fn set_if_there(path: &str, value: &str) -> Result<(), LinkError> {
    match set(path, value) {
        Err(LinkError::Setting { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn errno(err: &rtnetlink::Error) -> Option<i32> {
    match err {
        rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
        _ => None,
    }
}
