//! The programs at sockets (cgroup): connect, send, receive, and who the peer is.
//!
//! An IPv6 socket that talks IPv4 uses mapped addresses, which is how the maps hold IPv4 anyway.
//! Never here: service selection.

use core::ptr;

use aya_ebpf::{
    bindings::bpf_sock_addr,
    helpers::generated::{bpf_get_netns_cookie, bpf_set_retval},
    macros::cgroup_sock_addr,
    programs::SockAddrContext,
};
use dataplane::{
    addr::{Addr, PROTO_UDP, PortBe},
    layout::{SocketPeer, SocketPeers},
    socket::{self, Selection},
    tables::Tables,
    verdict::Hook,
};

use crate::maps::{Maps, SOCKET_PEERS, SOCKETS, count_drop};

const ALLOW: i32 = 1;
const REFUSE: i32 = 0;
const ECONNREFUSED: i32 = 111;

/// connect(2) on an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub(crate) fn connect4(ctx: SockAddrContext) -> i32 {
    connect::<V4>(&ctx)
}

/// connect(2) on an IPv6 socket.
#[cgroup_sock_addr(connect6)]
pub(crate) fn connect6(ctx: SockAddrContext) -> i32 {
    connect::<V6>(&ctx)
}

/// sendto(2) and its like on an unconnected IPv4 socket, and on an IPv6 socket to a mapped address.
#[cgroup_sock_addr(sendmsg4)]
pub(crate) fn sendmsg4(ctx: SockAddrContext) -> i32 {
    send::<V4>(&ctx)
}

/// sendto(2) and its like on an unconnected IPv6 socket.
#[cgroup_sock_addr(sendmsg6)]
pub(crate) fn sendmsg6(ctx: SockAddrContext) -> i32 {
    send::<V6>(&ctx)
}

/// recvfrom(2) and its like on an IPv4 socket.
#[cgroup_sock_addr(recvmsg4)]
pub(crate) fn recvmsg4(ctx: SockAddrContext) -> i32 {
    receive::<V4>(&ctx)
}

/// recvfrom(2) and its like on an IPv6 socket.
#[cgroup_sock_addr(recvmsg6)]
pub(crate) fn recvmsg6(ctx: SockAddrContext) -> i32 {
    receive::<V6>(&ctx)
}

/// getpeername(2) on an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn getpeername4(ctx: SockAddrContext) -> i32 {
    peer_name::<V4>(&ctx)
}

/// getpeername(2) on an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub(crate) fn getpeername6(ctx: SockAddrContext) -> i32 {
    peer_name::<V6>(&ctx)
}

/// Where the address is in the context. The verifier allows volatile access to single words only.
trait Family {
    fn address(context: *mut bpf_sock_addr) -> Addr;
    /// False when the address is not of this family.
    fn set_address(context: *mut bpf_sock_addr, addr: &Addr) -> bool;
}

struct V4;
struct V6;

impl Family for V4 {
    #[inline(always)]
    fn address(context: *mut bpf_sock_addr) -> Addr {
        // SAFETY: the kernel passes a valid context.
        Addr::from_v4_word(unsafe { ptr::read_volatile(&raw const (*context).user_ip4) })
    }

    #[inline(always)]
    fn set_address(context: *mut bpf_sock_addr, addr: &Addr) -> bool {
        let Some(word) = addr.v4_word() else { return false };
        // SAFETY: the kernel passes a valid context.
        unsafe { ptr::write_volatile(&raw mut (*context).user_ip4, word) };
        true
    }
}

impl Family for V6 {
    #[inline(always)]
    fn address(context: *mut bpf_sock_addr) -> Addr {
        // SAFETY: the kernel passes a valid context.
        unsafe {
            Addr([
                ptr::read_volatile(&raw const (*context).user_ip6[0]),
                ptr::read_volatile(&raw const (*context).user_ip6[1]),
                ptr::read_volatile(&raw const (*context).user_ip6[2]),
                ptr::read_volatile(&raw const (*context).user_ip6[3]),
            ])
        }
    }

    #[inline(always)]
    fn set_address(context: *mut bpf_sock_addr, addr: &Addr) -> bool {
        // SAFETY: the kernel passes a valid context.
        unsafe {
            ptr::write_volatile(&raw mut (*context).user_ip6[0], addr.0[0]);
            ptr::write_volatile(&raw mut (*context).user_ip6[1], addr.0[1]);
            ptr::write_volatile(&raw mut (*context).user_ip6[2], addr.0[2]);
            ptr::write_volatile(&raw mut (*context).user_ip6[3], addr.0[3]);
        }
        true
    }
}

#[inline(always)]
fn port(context: *mut bpf_sock_addr) -> PortBe {
    // SAFETY: the kernel passes a valid context.
    PortBe(unsafe { ptr::read_volatile(&raw const (*context).user_port) } as u16)
}

/// The socket has no address yet, so that its namespace stands for it.
#[inline(always)]
fn client(context: *mut bpf_sock_addr) -> Addr {
    // SAFETY: the kernel passes a valid context.
    Addr::of_namespace(unsafe { bpf_get_netns_cookie(context.cast()) })
}

#[inline(always)]
fn redirect<F: Family>(context: *mut bpf_sock_addr, addr: &Addr, port: PortBe) -> i32 {
    if F::set_address(context, addr) {
        // SAFETY: the kernel passes a valid context.
        unsafe { ptr::write_volatile(&raw mut (*context).user_port, u32::from(port.0)) };
    }
    ALLOW
}

#[inline(always)]
fn refuse(reason: dataplane::verdict::Reason) -> i32 {
    count_drop(Hook::Socket, reason);
    // SAFETY: the helper takes a plain number.
    unsafe { bpf_set_retval(-ECONNREFUSED) };
    REFUSE
}

#[inline(always)]
fn connect<F: Family>(ctx: &SockAddrContext) -> i32 {
    let context = ctx.sock_addr;
    // SAFETY: the kernel passes a valid context.
    let protocol = unsafe { ptr::read_volatile(&raw const (*context).protocol) } as u8;
    match socket::select(&Maps, &client(context), &F::address(context), port(context), protocol) {
        Selection::Unchanged => ALLOW,
        Selection::Refused(reason) => refuse(reason),
        Selection::Peer(mut peer) => {
            // SAFETY: the socket is valid while this program runs, and nobody else holds a reference to its value.
            let held = unsafe { SOCKETS.get_or_insert_ptr_mut(ctx, Some(&mut peer)) };
            if !held.is_null() {
                // SAFETY: not null, and the value lives as long as the socket.
                unsafe { *held = peer };
            }
            redirect::<F>(context, &peer.backend, peer.backend_port)
        }
    }
}

#[inline(always)]
fn send<F: Family>(ctx: &SockAddrContext) -> i32 {
    let context = ctx.sock_addr;
    let (addr, port) = (F::address(context), port(context));
    // SAFETY: the socket is valid while this program runs.
    let known = unsafe { SOCKET_PEERS.get_ptr_mut(ctx) };
    if !known.is_null() {
        // SAFETY: not null, and the value lives as long as the socket. A concurrent send on the same socket may
        // write other whole words of it; the worst is one more turn taken.
        let known: &mut SocketPeers = unsafe { &mut *known };
        let now = Maps.now_s();
        for peer in &mut known.peers {
            if socket::holds(&Maps, peer, &addr, port, now) {
                peer.seen = now;
                return redirect::<F>(context, &peer.backend, peer.backend_port);
            }
        }
    }
    match socket::select(&Maps, &client(context), &addr, port, PROTO_UDP) {
        Selection::Unchanged => ALLOW,
        Selection::Refused(reason) => refuse(reason),
        Selection::Peer(peer) => {
            // SAFETY: as above. Without a first value the kernel fills in zeros.
            let peers = unsafe { SOCKET_PEERS.get_or_insert_ptr_mut(ctx, None) };
            if !peers.is_null() {
                // SAFETY: not null, and the value lives as long as the socket.
                unsafe { (*peers).remember(&peer) };
            }
            redirect::<F>(context, &peer.backend, peer.backend_port)
        }
    }
}

#[inline(always)]
fn receive<F: Family>(ctx: &SockAddrContext) -> i32 {
    let context = ctx.sock_addr;
    let (addr, port) = (F::address(context), port(context));
    // SAFETY: the socket is valid while this program runs.
    let known = unsafe { SOCKET_PEERS.get_ptr_mut(ctx) };
    if !known.is_null() {
        // SAFETY: not null, and the value lives as long as the socket.
        for peer in unsafe { &(*known).peers } {
            if socket::answers(peer, &addr, port) {
                return redirect::<F>(context, &peer.frontend, peer.frontend_port);
            }
        }
    }
    peer_name::<F>(ctx)
}

#[inline(always)]
fn peer_name<F: Family>(ctx: &SockAddrContext) -> i32 {
    let context = ctx.sock_addr;
    // SAFETY: the socket is valid while this program runs.
    let held: *mut SocketPeer = unsafe { SOCKETS.get_ptr_mut(ctx) };
    if held.is_null() {
        return ALLOW;
    }
    // SAFETY: not null, and the value lives as long as the socket.
    let peer = unsafe { &*held };
    if socket::answers(peer, &F::address(context), port(context)) {
        return redirect::<F>(context, &peer.frontend, peer.frontend_port);
    }
    ALLOW
}
