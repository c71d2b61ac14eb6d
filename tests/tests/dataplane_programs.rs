//! Every program at a device against golden packets: pass, drop, rewrite, truncated.
//!
//! Needs root; where it cannot run it fails. Programs at sockets cannot be run this way: `dataplane_network` has them.
#![expect(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

#[path = "dataplane_programs/frame.rs"]
mod frame;
#[path = "dataplane_programs/kernel.rs"]
mod kernel;

use std::collections::BTreeMap;

use dataplane::verdict::{Hook, Reason, VNI_CLIENT, VNI_POD};

use frame::{ACK, Frame, MAC_A, MAC_B, RST, SYN, TCP, UDP};
use kernel::{DROP, FromTunnel, Kernel, NEXT, OTHER_MAC, OVERLAY_MAC, OVERLAY_SOURCE_MAC, POD_MAC, REDIRECT, run};

const NODE: [u8; 4] = [192, 168, 0, 2];

/// From the pod 10.42.1.2.
fn sent(from: &str, to: &str, flags: u8) -> Frame {
    Frame::tcp(from, to, flags).macs(MAC_B, POD_MAC)
}

fn check(what: &str, got: (u32, Vec<u8>), action: u32, packet: &Frame) {
    assert_eq!(got.0, action, "{what}: action");
    assert_eq!(got.1, packet.bytes(), "{what}: packet\n{packet:?}");
}

fn arp() -> Vec<u8> {
    let mut bytes = [&MAC_B[..], &MAC_A, &[8, 6]].concat();
    bytes.resize(42, 0);
    bytes
}

/// Frames cut short or that contradict themselves, for every program that reads packets.
fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let whole = sent("10.42.1.2:1", "10.42.1.3:80", SYN).bytes();
    let mut short_header = whole.clone();
    short_header[14] = 0x44;
    let mut long_header = whole.clone();
    long_header[14] = 0x4f;
    let udp = Frame::udp("10.42.1.2:1", "10.42.1.3:80", b"").bytes();
    // The kernel itself takes no IPv4 shorter than its header here.
    let mut short_frame = arp();
    short_frame.truncate(33);
    vec![
        ("a frame too short", short_frame),
        ("no ports", whole[..36].to_vec()),
        ("no flags", whole[..47].to_vec()),
        ("half a UDP header", udp[..40].to_vec()),
        ("a header too short", short_header),
        ("a header longer than the packet", long_header),
    ]
}

#[test]
fn no_program_passes_a_broken_packet() {
    let kernel = Kernel::load();
    let tunnel = FromTunnel::to(kernel.program("from_overlay"), NODE, VNI_POD);
    for (what, packet) in broken() {
        for (name, hook) in [
            ("from_pod", Hook::FromPod),
            ("to_pod", Hook::ToPod),
            ("to_overlay", Hook::ToOverlay),
            ("from_uplink", Hook::FromUplink),
            ("to_uplink", Hook::ToUplink),
        ] {
            let before = kernel.drops(hook, Reason::Truncated);
            assert_eq!(kernel.run(name, &packet).0, DROP, "{name}: {what}");
            assert_eq!(kernel.drops(hook, Reason::Truncated), before + 1, "{name}: {what}");
        }
        assert_eq!(tunnel.run(&packet).0, DROP, "from_overlay: {what}");
    }
}

#[test]
fn what_is_not_ipv4_passes_where_it_belongs() {
    let kernel = Kernel::load();
    let mut ipv6 = Frame::tcp("10.42.1.2:1", "10.42.1.3:80", SYN).bytes();
    ipv6[12..14].copy_from_slice(&[0x86, 0xdd]);
    for (name, expected) in [
        ("from_pod", DROP),
        ("to_pod", DROP),
        ("to_overlay", DROP),
        ("from_uplink", NEXT),
        ("to_uplink", NEXT),
    ] {
        assert_eq!(kernel.run(name, &ipv6), (expected, ipv6.clone()), "{name}");
        assert_eq!(kernel.run(name, &arp()), (NEXT, arp()), "{name}");
    }
}

#[test]
fn from_pod() {
    let mut kernel = Kernel::load();
    kernel.serve(&[("10.42.2.9", 8080)]);
    let run = |packet: &Frame| kernel.run("from_pod", &packet.bytes());
    let pod = "10.42.1.2:40000";
    let host = sent(pod, "192.168.0.1:6443", SYN);
    check("to the host", run(&host), NEXT, &host);
    let local = sent(pod, "10.42.1.3:80", SYN);
    check(
        "to a local pod",
        run(&local),
        REDIRECT,
        &local.clone().macs(OTHER_MAC, POD_MAC).hop(),
    );
    let remote = sent(pod, "10.42.2.2:80", SYN);
    check(
        "to a remote pod",
        run(&remote),
        REDIRECT,
        &remote.clone().macs(OVERLAY_MAC, OVERLAY_SOURCE_MAC).hop(),
    );
    let service = sent(pod, "10.43.0.7:80", SYN);
    let translated = sent(pod, "10.42.2.9:8080", SYN)
        .macs(OVERLAY_MAC, OVERLAY_SOURCE_MAC)
        .hop();
    check("to a service", run(&service), REDIRECT, &translated);
    // Beside the service's flow: the port is a matter of chance; everything else is not.
    let (action, bytes) = run(&sent(pod, "10.42.2.9:8080", SYN));
    let port = u16::from_be_bytes([bytes[34], bytes[35]]);
    assert!((61_000..=65_535).contains(&port), "{port}");
    let direct = sent(&format!("10.42.1.2:{port}"), "10.42.2.9:8080", SYN)
        .macs(OVERLAY_MAC, OVERLAY_SOURCE_MAC)
        .hop();
    check("to its backend directly", (action, bytes), REDIRECT, &direct);
    let spoofed = sent("10.42.1.9:1", "10.42.1.3:80", SYN);
    check("from another address", run(&spoofed), DROP, &spoofed);
    let spoofed = sent(pod, "10.42.1.3:80", SYN).macs(MAC_B, MAC_A);
    check("from another MAC", run(&spoofed), DROP, &spoofed);
    assert_eq!(kernel.drops(Hook::FromPod, Reason::SpoofedSource), 2);
    let mut last = sent(pod, "10.42.1.3:80", SYN);
    last.hops = 1;
    check("out of hops", run(&last), DROP, &last);
    assert_eq!(kernel.drops(Hook::FromPod, Reason::HopLimit), 1);
}

#[test]
fn datagrams_are_rewritten_with_and_without_a_checksum() {
    let mut kernel = Kernel::load();
    kernel.serve(&[("10.42.1.3", 5300)]);
    for payload in [&b""[..], b"x", b"a longer payload of odd length."] {
        let packet = Frame::udp("10.42.1.2:5000", "10.43.0.7:80", payload).macs(MAC_B, POD_MAC);
        let expected = Frame::udp("10.42.1.2:5000", "10.42.1.3:5300", payload)
            .macs(OTHER_MAC, POD_MAC)
            .hop();
        check(
            "with a checksum",
            kernel.run("from_pod", &packet.bytes()),
            REDIRECT,
            &expected,
        );
        let clear = |mut bytes: Vec<u8>| {
            bytes[40..42].fill(0);
            bytes
        };
        let got = kernel.run("from_pod", &clear(packet.bytes()));
        assert_eq!(got, (REDIRECT, clear(expected.bytes())), "without a checksum");
    }
}

#[test]
fn refused_connections_are_answered_with_a_reset() {
    let mut kernel = Kernel::load();
    kernel.serve(&[]);
    let syn = sent("10.42.1.2:40000", "10.43.0.7:80", SYN);
    let reset = Frame {
        sequence: 0,
        acknowledged: 101,
        window: 0,
        ..Frame::tcp("10.43.0.7:80", "10.42.1.2:40000", RST | ACK)
    }
    .macs(POD_MAC, MAC_B);
    check("a SYN", kernel.run("from_pod", &syn.bytes()), REDIRECT, &reset);
    assert_eq!(kernel.drops(Hook::FromPod, Reason::NoBackend), 1);
    let midway = Frame {
        sequence: 7,
        acknowledged: 900,
        ..sent("10.42.1.2:40000", "10.43.0.7:80", ACK)
    };
    let reset = Frame {
        sequence: 900,
        acknowledged: 0,
        window: 0,
        ..Frame::tcp("10.43.0.7:80", "10.42.1.2:40000", RST)
    }
    .macs(POD_MAC, MAC_B);
    check(
        "an ACK of nothing",
        kernel.run("from_pod", &midway.bytes()),
        REDIRECT,
        &reset,
    );
    let data = Frame {
        payload: b"12345".to_vec(),
        flags: SYN,
        ..syn.clone()
    };
    let mut answer = Frame {
        sequence: 0,
        acknowledged: 106,
        window: 0,
        payload: b"12345".to_vec(),
        ..reset.clone()
    };
    answer.flags = RST | ACK;
    check(
        "a SYN with data",
        kernel.run("from_pod", &data.bytes()),
        REDIRECT,
        &answer,
    );
    let reset_in = sent("10.42.1.2:40000", "10.43.0.7:80", RST);
    assert_eq!(
        kernel.run("from_pod", &reset_in.bytes()).0,
        DROP,
        "a reset is never answered"
    );
    let datagram = Frame::udp("10.42.1.2:40000", "10.43.0.7:80", b"x").macs(MAC_B, POD_MAC);
    assert_eq!(kernel.run("from_pod", &datagram.bytes()).0, DROP, "a datagram");
    let outside = Frame::tcp("203.0.113.7:5000", "192.168.0.1:30080", SYN);
    let reset = Frame {
        sequence: 0,
        acknowledged: 101,
        window: 0,
        ..Frame::tcp("192.168.0.1:30080", "203.0.113.7:5000", RST | ACK)
    }
    .macs(MAC_A, MAC_B);
    check(
        "from outside",
        kernel.run("from_uplink", &outside.bytes()),
        REDIRECT,
        &reset,
    );
}

#[test]
fn to_pod() {
    let mut kernel = Kernel::load();
    kernel.serve(&[("192.168.0.1", 6443)]);
    let plain = Frame::tcp("192.168.0.1:5000", "10.42.1.2:80", SYN);
    check("from the host", kernel.run("to_pod", &plain.bytes()), NEXT, &plain);
    let unknown = Frame::tcp("192.168.0.1:5000", "10.42.1.9:80", SYN);
    check("to no pod", kernel.run("to_pod", &unknown.bytes()), DROP, &unknown);
    assert_eq!(kernel.drops(Hook::ToPod, Reason::NoPod), 1);
    let out = kernel.run("from_pod", &sent("10.42.1.2:40000", "10.43.0.7:80", SYN).bytes());
    check(
        "a service of the host",
        out,
        NEXT,
        &sent("10.42.1.2:40000", "192.168.0.1:6443", SYN),
    );
    let answer = Frame::tcp("192.168.0.1:6443", "10.42.1.2:40000", SYN | ACK);
    let translated = Frame::tcp("10.43.0.7:80", "10.42.1.2:40000", SYN | ACK);
    check("its answer", kernel.run("to_pod", &answer.bytes()), NEXT, &translated);
}

#[test]
fn from_overlay() {
    let mut kernel = Kernel::load();
    kernel.serve(&[("10.42.2.9", 8080)]);
    let packet = |from: &str| Frame::tcp(from, "10.42.1.3:80", SYN);
    let bare = packet("10.42.2.2:5000");
    check(
        "without a tunnel",
        kernel.run("from_overlay", &bare.bytes()),
        DROP,
        &bare,
    );
    assert_eq!(kernel.drops(Hook::FromOverlay, Reason::UnknownNode), 1);
    let program = kernel.program("from_overlay");
    let pods = FromTunnel::to(program, NODE, VNI_POD);
    check(
        "from a remote pod",
        pods.run(&bare.bytes()),
        REDIRECT,
        &bare.clone().macs(OTHER_MAC, MAC_A).hop(),
    );
    let host = Frame::tcp("10.42.2.2:5000", "192.168.0.1:9100", SYN);
    check("to this node", pods.run(&host.bytes()), NEXT, &host);
    let spoofed = packet("10.42.1.2:5000");
    check(
        "from a pod that is not the sender's",
        pods.run(&spoofed.bytes()),
        DROP,
        &spoofed,
    );
    assert_eq!(kernel.drops(Hook::FromOverlay, Reason::SpoofedSource), 1);
    let stranger = FromTunnel::to(program, [192, 168, 0, 7], VNI_POD);
    check("from no known node", stranger.run(&bare.bytes()), DROP, &bare);
    let out = kernel.run("from_pod", &sent("10.42.1.2:40000", "10.43.0.7:80", SYN).bytes());
    assert_eq!(out.0, REDIRECT);
    let answer = Frame::tcp("10.42.2.9:8080", "10.42.1.2:40000", SYN | ACK);
    let translated = Frame::tcp("10.43.0.7:80", "10.42.1.2:40000", SYN | ACK)
        .macs(POD_MAC, MAC_A)
        .hop();
    check(
        "an answer to a service's client",
        pods.run(&answer.bytes()),
        REDIRECT,
        &translated,
    );
    let client = FromTunnel::to(program, NODE, VNI_CLIENT);
    let request = packet("203.0.113.7:5000");
    check(
        "for a client outside",
        client.run(&request.bytes()),
        REDIRECT,
        &request.clone().macs(OTHER_MAC, MAC_A).hop(),
    );
    let answer = Frame::tcp("10.42.1.3:80", "203.0.113.7:5000", SYN | ACK).macs(MAC_B, OTHER_MAC);
    let back = kernel.run("from_pod", &answer.bytes());
    check(
        "its answer",
        back,
        REDIRECT,
        &answer.clone().macs(OVERLAY_MAC, OVERLAY_SOURCE_MAC).hop(),
    );
}

#[test]
fn to_overlay() {
    let kernel = Kernel::load();
    let packet = Frame::tcp("192.168.0.1:5000", "10.42.2.2:80", SYN);
    let framed = packet.clone().macs(OVERLAY_MAC, OVERLAY_SOURCE_MAC);
    check(
        "from the host",
        kernel.run("to_overlay", &packet.bytes()),
        NEXT,
        &framed,
    );
    let lost = Frame::tcp("192.168.0.1:5000", "10.42.9.9:80", SYN);
    check(
        "to nobody's range",
        kernel.run("to_overlay", &lost.bytes()),
        DROP,
        &lost,
    );
    let foreign = Frame::tcp("203.0.113.7:5000", "10.42.2.2:80", SYN);
    check(
        "from a foreign address",
        kernel.run("to_overlay", &foreign.bytes()),
        DROP,
        &foreign,
    );
    // What another program has put into a tunnel is on its way already.
    let tunnel = FromTunnel::to(kernel.program("to_overlay"), NODE, VNI_POD);
    check("in a tunnel", tunnel.run(&foreign.bytes()), NEXT, &foreign);
}

#[test]
fn from_uplink_and_to_uplink() {
    let mut kernel = Kernel::load();
    kernel.serve(&[("10.42.1.2", 8080)]);
    let (uplink_in, uplink_out) = ("from_uplink", "to_uplink");
    let ssh = Frame::tcp("203.0.113.7:5000", "192.168.0.1:22", SYN);
    check("to the node", kernel.run(uplink_in, &ssh.bytes()), NEXT, &ssh);
    let dns = Frame::udp("203.0.113.7:5000", "169.254.20.10:53", b"q");
    check("to the DNS address", kernel.run(uplink_in, &dns.bytes()), DROP, &dns);
    assert_eq!(kernel.drops(Hook::FromUplink, Reason::DnsFromOutside), 1);
    let request = Frame::tcp("203.0.113.7:5000", "192.168.0.1:30080", SYN);
    let translated = Frame::tcp("203.0.113.7:5000", "10.42.1.2:8080", SYN)
        .macs(POD_MAC, MAC_A)
        .hop();
    check(
        "to a node port",
        kernel.run(uplink_in, &request.bytes()),
        REDIRECT,
        &translated,
    );
    let answer = Frame::tcp("10.42.1.2:8080", "203.0.113.7:5000", SYN | ACK).macs(MAC_B, POD_MAC);
    let back = Frame::tcp("192.168.0.1:30080", "203.0.113.7:5000", SYN | ACK)
        .macs(MAC_B, POD_MAC)
        .hop();
    check("its answer", kernel.run("from_pod", &answer.bytes()), REDIRECT, &back);
    check("the answer leaves", kernel.run(uplink_out, &back.bytes()), NEXT, &back);
    let host = Frame::tcp("192.168.0.1:5000", "203.0.113.7:443", SYN);
    check("the node's own", kernel.run(uplink_out, &host.bytes()), NEXT, &host);
    let leak = Frame::tcp("10.42.1.2:5000", "10.43.0.99:80", SYN);
    check(
        "a service that is none",
        kernel.run(uplink_out, &leak.bytes()),
        DROP,
        &leak,
    );
    for protocol in [TCP, UDP] {
        let out = Frame {
            protocol,
            ..Frame::tcp("10.42.1.2:5000", "203.0.113.7:443", SYN)
        };
        let (action, bytes) = kernel.run(uplink_out, &out.bytes());
        // The port is a matter of chance; everything else is not.
        let port = u16::from_be_bytes([bytes[34], bytes[35]]);
        assert!((61_000..=65_535).contains(&port), "{port}");
        let node = format!("192.168.0.1:{port}");
        let translated = Frame {
            protocol,
            ..Frame::tcp(&node, "203.0.113.7:443", SYN)
        };
        check("a pod leaves", (action, bytes), NEXT, &translated);
        let answer = Frame {
            protocol,
            ..Frame::tcp("203.0.113.7:443", &node, SYN | ACK)
        };
        let expected = Frame {
            protocol,
            ..Frame::tcp("203.0.113.7:443", "10.42.1.2:5000", SYN | ACK)
        };
        check(
            "and is answered",
            kernel.run(uplink_in, &answer.bytes()),
            NEXT,
            &expected,
        );
    }
    let ping = Frame::echo("10.42.1.2:77", "203.0.113.7:0");
    let (action, bytes) = kernel.run(uplink_out, &ping.bytes());
    let node = format!("192.168.0.1:{}", u16::from_be_bytes([bytes[38], bytes[39]]));
    let translated = Frame::echo(&node, "203.0.113.7:0");
    check("a pod's echo request", (action, bytes), NEXT, &translated);
    let answer = Frame::echo("203.0.113.7:0", &node);
    let expected = Frame::echo("203.0.113.7:0", "10.42.1.2:77");
    check("and its reply", kernel.run(uplink_in, &answer.bytes()), NEXT, &expected);
}

#[test]
fn turns_are_taken_one_by_one_also_on_several_processors() {
    let mut kernel = Kernel::load();
    let backends = [("10.42.1.3", 1), ("10.42.1.3", 2), ("10.42.1.3", 3)];
    kernel.serve(&backends);
    let program = kernel.program("from_pod");
    let target = |port: u16| {
        let packet = sent(&format!("10.42.1.2:{port}"), "10.43.0.7:80", SYN);
        let (action, bytes) = run(program, &packet.bytes()).unwrap();
        assert_eq!(action, REDIRECT);
        u16::from_be_bytes([bytes[36], bytes[37]])
    };
    let order: Vec<u16> = (1..=9).map(target).collect();
    assert_eq!(order, [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    let mut counts = BTreeMap::new();
    let found: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4u16)
            .map(|thread| scope.spawn(move || (0..300).map(|n| target(1_000 + 1_000 * thread + n)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for port in found {
        *counts.entry(port).or_insert(0) += 1;
    }
    assert_eq!(counts, BTreeMap::from([(1, 400), (2, 400), (3, 400)]));
}
