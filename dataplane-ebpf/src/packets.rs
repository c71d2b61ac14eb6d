//! The programs at devices (tcx): read a packet, ask for a verdict, carry it out.
//!
//! Never here: decisions about packets.

use core::mem::size_of;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_F_ZERO_CSUM_TX, bpf_tunnel_key},
    helpers::generated::{
        bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer, bpf_skb_get_tunnel_key,
        bpf_skb_load_bytes, bpf_skb_set_tunnel_key, bpf_skb_store_bytes,
    },
    macros::classifier,
    programs::TcContext,
};
use dataplane::{
    addr::{Addr, Mac, PROTO_TCP, PROTO_UDP},
    layout::FragmentPorts,
    packet::{self, Ethertype, Fragment, OUTER, Packet, REWRITE_OFFSET, TRANSPORT, TRANSPORT_MIN},
    path, reset,
    tables::Tables,
    verdict::{Action, Hook, Reason, Verdict},
};

use crate::maps::{Maps, count_drop};

/// On to the next program, or along the path the packet is on.
const NEXT: i32 = -1;
const DROP: i32 = 2;
/// Hops that an overlay packet may take on the underlay.
const TUNNEL_HOPS: u8 = 64;

/// Packets that a pod sends: ingress of the host side of its veth.
#[classifier]
pub(crate) fn from_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the kernel passes a valid context.
    let link = unsafe { (*skb).ifindex };
    run(skb, Hook::FromPod, |packet, source| {
        path::from_pod(&Maps, link, source, packet)
    })
}

/// Packets that the host's stack sends to a pod: egress of the host side of its veth.
#[classifier]
pub(crate) fn to_pod(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the kernel passes a valid context.
    let link = unsafe { (*skb).ifindex };
    run(skb, Hook::ToPod, |packet, _| path::to_pod(&Maps, link, packet))
}

/// Packets that come out of the overlay: ingress of the VXLAN device.
#[classifier]
pub(crate) fn from_overlay(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    let Some(key) = tunnel_key(skb) else {
        return dropped(Hook::FromOverlay, Reason::UnknownNode);
    };
    // SAFETY: without the flag for IPv6 the kernel fills in the IPv4 address, host byte order.
    let sender = Addr::from_v4_word(unsafe { key.__bindgen_anon_1.remote_ipv4 }.to_be());
    run(skb, Hook::FromOverlay, |packet, _| {
        path::from_overlay(&Maps, &sender, key.tunnel_id, packet)
    })
}

/// Packets that go into the overlay: egress of the VXLAN device. What a program redirected here has its tunnel.
#[classifier]
pub(crate) fn to_overlay(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    if tunnel_key(skb).is_some() {
        return NEXT;
    }
    run(skb, Hook::ToOverlay, |packet, _| path::to_overlay(&Maps, packet))
}

/// Packets that come in from the underlay: ingress of the uplink.
#[classifier]
pub(crate) fn from_uplink(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, Hook::FromUplink, |packet, _| {
        path::from_uplink(&Maps, packet)
    })
}

/// Packets that leave to the underlay: egress of the uplink.
#[classifier]
pub(crate) fn to_uplink(ctx: TcContext) -> i32 {
    run(ctx.skb.skb, Hook::ToUplink, |packet, _| path::to_uplink(&Maps, packet))
}

#[inline(always)]
fn dropped(hook: Hook, reason: Reason) -> i32 {
    count_drop(hook, reason);
    DROP
}

#[inline(always)]
fn run(skb: *mut __sk_buff, hook: Hook, decide: impl FnOnce(&mut Packet, &Mac) -> Verdict) -> i32 {
    let mut outer = [0u8; OUTER];
    if load(skb, 0, &mut outer).is_err() {
        return dropped(hook, Reason::Truncated);
    }
    let source = packet::source_mac(&outer);
    let outcome = match packet::ethertype(&outer) {
        Ethertype::Ipv4 => match read(skb, &outer) {
            Ok(mut packet) => {
                let verdict = decide(&mut packet, &source);
                carry_out(skb, hook, &packet, verdict)
            }
            Err(reason) => Err(reason),
        },
        // The underlay carries what it carries; pods and the overlay have IPv4 only, and neighbours to resolve.
        Ethertype::Arp => Ok(NEXT),
        Ethertype::Other => match hook {
            Hook::FromUplink | Hook::ToUplink => Ok(NEXT),
            _ => Err(Reason::Protocol),
        },
    };
    match outcome {
        Ok(action) => action,
        Err(reason) => dropped(hook, reason),
    }
}

#[inline(always)]
fn read(skb: *mut __sk_buff, outer: &[u8; OUTER]) -> Result<Packet, Reason> {
    let mut packet = Packet::read_ipv4(outer)?;
    if packet.has_transport() {
        let mut bytes = [0u8; TRANSPORT];
        let at = u32::from(packet.transport);
        if packet.key.protocol == PROTO_TCP {
            load(skb, at, &mut bytes)?;
        } else {
            let mut short = [0u8; TRANSPORT_MIN];
            load(skb, at, &mut short)?;
            bytes[..TRANSPORT_MIN].copy_from_slice(&short);
        }
        packet.read_transport(&bytes);
    }
    match packet.fragment {
        Fragment::Whole => {}
        Fragment::First => {
            let ports = FragmentPorts {
                source_port: packet.key.tuple.source_port,
                destination_port: packet.key.tuple.destination_port,
            };
            Maps.add_fragment(&packet.fragment_key(), &ports);
        }
        Fragment::Later => {
            let ports = Maps.fragment(&packet.fragment_key()).ok_or(Reason::Fragment)?;
            packet.set_ports(ports.source_port, ports.destination_port);
        }
    }
    Ok(packet)
}

#[inline(always)]
fn carry_out(skb: *mut __sk_buff, hook: Hook, packet: &Packet, verdict: Verdict) -> Result<i32, Reason> {
    match verdict.action {
        Action::Drop => return Err(verdict.reason),
        Action::Refuse => {
            // Answers of the overlay would have to go back through it; its senders find out by their own time-out.
            if matches!(hook, Hook::FromPod | Hook::FromUplink) && packet.key.protocol == PROTO_TCP {
                count_drop(hook, verdict.reason);
                return refuse(skb, packet);
            }
            return Err(verdict.reason);
        }
        Action::Pass | Action::Deliver | Action::Tunnel | Action::Uplink => {}
    }
    // One place that writes, for the verifier's sake. What the host's stack forwards takes its hop there.
    let hop = verdict.action != Action::Pass && hook != Hook::ToOverlay;
    write(skb, packet, hop)?;
    let config = Maps.config().ok_or(Reason::NotConfigured)?;
    match verdict.action {
        Action::Deliver => {
            store(skb, 0, &verdict.mac)?;
            // SAFETY: the helper takes plain numbers.
            Ok(unsafe { bpf_redirect_peer(verdict.link, 0) } as i32)
        }
        Action::Tunnel => {
            store(skb, 0, &overlay_macs(&config.overlay_mac))?;
            enter_tunnel(skb, &verdict)?;
            if hook == Hook::ToOverlay {
                return Ok(NEXT);
            }
            // SAFETY: the helper takes plain numbers.
            Ok(unsafe { bpf_redirect(config.overlay_ifindex, 0) } as i32)
        }
        Action::Uplink => {
            // SAFETY: no parameters: the kernel looks the next hop up itself.
            Ok(unsafe { bpf_redirect_neigh(config.uplink_ifindex, core::ptr::null_mut(), 0, 0) } as i32)
        }
        Action::Pass | Action::Drop | Action::Refuse => Ok(NEXT),
    }
}

/// Destination and source of frames in the overlay. Every node's device has the same MAC, and a device drops frames
/// from its own: the source is another one.
#[inline(always)]
fn overlay_macs(device: &Mac) -> [u8; 12] {
    let [a, b, c, d, e, f] = *device;
    [a, b, c, d, e, f, a, b, c, d, e, f ^ 0x80]
}

/// Makes the packet what its tuple says, with all checksums.
#[inline(always)]
fn write(skb: *mut __sk_buff, packet: &Packet, hop: bool) -> Result<(), Reason> {
    let rewrite = packet.rewrite(hop)?;
    if !rewrite.header_changed && !rewrite.ports_changed {
        return Ok(());
    }
    if rewrite.header_changed {
        let words = rewrite.header();
        store_words(skb, REWRITE_OFFSET as u32, &words)?;
    }
    if packet.fragment == Fragment::Later {
        return Ok(());
    }
    let Some((checksum, covers_addresses)) = packet.transport_checksum() else {
        return Ok(());
    };
    // UDP may go without a checksum, which zero says.
    let mangled = if packet.key.protocol == PROTO_UDP {
        u64::from(BPF_F_MARK_MANGLED_0)
    } else {
        0
    };
    if covers_addresses && rewrite.addresses.0 != 0 {
        let flags = mangled | u64::from(BPF_F_PSEUDO_HDR);
        replace_checksum(skb, checksum, rewrite.addresses.0, flags)?;
    }
    if rewrite.ports_changed {
        replace_checksum(skb, checksum, rewrite.ports_difference.0, mangled)?;
        let (at, bytes, length) = packet.port_bytes(&rewrite);
        let word = bytes.to_ne_bytes();
        if length == 4 {
            store(skb, at, &word)?;
        } else {
            store(skb, at, &[word[0], word[1]])?;
        }
    }
    Ok(())
}

/// Turns a TCP segment into the reset that answers it, and sends it back.
#[inline(always)]
fn refuse(skb: *mut __sk_buff, packet: &Packet) -> Result<i32, Reason> {
    if packet.fragment != Fragment::Whole {
        return Ok(DROP);
    }
    let at = u32::from(packet.transport) + reset::OFFSET;
    let mut bytes = [0u8; 12];
    load(skb, at, &mut bytes)?;
    let word = |i: usize| u32::from_ne_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let payload = packet.tcp_payload(bytes[8] >> 4);
    let Some((words, difference)) = reset::answer(&[word(0), word(4), word(8)], payload) else {
        return Ok(DROP);
    };
    let mut macs = [0u8; 12];
    load(skb, 0, &mut macs)?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = macs;
    store(skb, 0, &[g, h, i, j, k, l, a, b, c, d, e, f])?;
    store_words(
        skb,
        (packet::ETHERNET + 12) as u32,
        &[packet.destination_was, packet.source_was],
    )?;
    let [a, b, c, d] = packet.ports_was.to_ne_bytes();
    store(skb, u32::from(packet.transport), &[c, d, a, b])?;
    store_words(skb, at, &words)?;
    replace_checksum(skb, u32::from(packet.transport) + 16, difference.0, 0)?;
    // SAFETY: the kernel passes a valid context.
    let link = unsafe { (*skb).ifindex };
    // SAFETY: the helper takes plain numbers.
    Ok(unsafe { bpf_redirect(link, 0) } as i32)
}

#[inline(always)]
fn tunnel_key(skb: *mut __sk_buff) -> Option<bpf_tunnel_key> {
    // SAFETY: all fields are integers.
    let mut key: bpf_tunnel_key = unsafe { core::mem::zeroed() };
    // SAFETY: `key` is as long as said.
    let refused = unsafe { bpf_skb_get_tunnel_key(skb, &mut key, size_of::<bpf_tunnel_key>() as u32, 0) };
    (refused == 0).then_some(key)
}

#[inline(always)]
fn enter_tunnel(skb: *mut __sk_buff, verdict: &Verdict) -> Result<(), Reason> {
    // SAFETY: all fields are integers.
    let mut key: bpf_tunnel_key = unsafe { core::mem::zeroed() };
    key.tunnel_id = verdict.vni;
    key.tunnel_ttl = TUNNEL_HOPS;
    key.__bindgen_anon_1.remote_ipv4 = u32::from_be(verdict.node.v4_word().ok_or(Reason::Protocol)?);
    let flags = u64::from(BPF_F_ZERO_CSUM_TX);
    // SAFETY: `key` is as long as said.
    let refused = unsafe { bpf_skb_set_tunnel_key(skb, &mut key, size_of::<bpf_tunnel_key>() as u32, flags) };
    if refused == 0 { Ok(()) } else { Err(Reason::Kernel) }
}

#[inline(always)]
fn load<const N: usize>(skb: *mut __sk_buff, at: u32, into: &mut [u8; N]) -> Result<(), Reason> {
    // SAFETY: `into` is N bytes long.
    let refused = unsafe { bpf_skb_load_bytes(skb.cast(), at, into.as_mut_ptr().cast(), N as u32) };
    if refused == 0 { Ok(()) } else { Err(Reason::Truncated) }
}

#[inline(always)]
fn store<const N: usize>(skb: *mut __sk_buff, at: u32, bytes: &[u8; N]) -> Result<(), Reason> {
    // SAFETY: `bytes` is N bytes long.
    let refused = unsafe { bpf_skb_store_bytes(skb, at, bytes.as_ptr().cast(), N as u32, 0) };
    if refused == 0 { Ok(()) } else { Err(Reason::Kernel) }
}

#[inline(always)]
fn store_words<const N: usize>(skb: *mut __sk_buff, at: u32, words: &[u32; N]) -> Result<(), Reason> {
    // SAFETY: `words` is four times N bytes long.
    let refused = unsafe { bpf_skb_store_bytes(skb, at, words.as_ptr().cast(), 4 * N as u32, 0) };
    if refused == 0 { Ok(()) } else { Err(Reason::Kernel) }
}

#[inline(always)]
fn replace_checksum(skb: *mut __sk_buff, at: u32, difference: u32, flags: u64) -> Result<(), Reason> {
    // SAFETY: the helper takes plain numbers. From 0 and of size 0: `difference` is already one.
    let refused = unsafe { bpf_l4_csum_replace(skb, at, 0, difference.into(), flags) };
    if refused == 0 { Ok(()) } else { Err(Reason::Kernel) }
}
