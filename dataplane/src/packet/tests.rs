//! Tests of reading and rewriting packets.

use super::*;
use crate::{checksum::tests::full, model::addr};

/// Ethernet and IPv4 in front of a transport header.
fn frame(source: [u8; 4], destination: [u8; 4], protocol: u8, hops: u8, transport: &[u8]) -> Vec<u8> {
    let mut ip = vec![
        0x45,
        0,
        0,
        20 + transport.len() as u8,
        0x12,
        0x34,
        0,
        0,
        hops,
        protocol,
        0,
        0,
    ];
    ip.extend(source);
    ip.extend(destination);
    let sum = full(&ip).to_ne_bytes();
    ip[10..12].copy_from_slice(&sum);
    let mut frame = vec![1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 8, 0];
    frame.extend(ip);
    frame.extend(transport);
    frame
}

fn outer(frame: &[u8]) -> [u8; OUTER] {
    frame[..OUTER].try_into().unwrap()
}

fn transport(frame: &[u8]) -> [u8; TRANSPORT] {
    let mut bytes = [0; TRANSPORT];
    let rest = &frame[OUTER..frame.len().min(OUTER + TRANSPORT)];
    bytes[..rest.len()].copy_from_slice(rest);
    bytes
}

const TCP_SYN_SEGMENT: [u8; 20] = [
    0xc0, 0x01, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0,
];

fn read(frame: &[u8]) -> Packet {
    let mut packet = Packet::read_ipv4(&outer(frame)).unwrap();
    packet.read_transport(&transport(frame));
    packet
}

#[test]
fn a_tcp_packet_gives_its_tuple_and_flags() {
    let packet = read(&frame([10, 42, 1, 2], [10, 43, 0, 7], PROTO_TCP, 64, &TCP_SYN_SEGMENT));
    assert_eq!(packet.key.tuple.source, addr("10.42.1.2"));
    assert_eq!(packet.key.tuple.destination, addr("10.43.0.7"));
    assert_eq!(
        (
            packet.key.tuple.source_port.get(),
            packet.key.tuple.destination_port.get()
        ),
        (0xc001, 80)
    );
    assert!(packet.is_syn() && !packet.is_tcp_midway());
    assert_eq!((packet.transport, packet.tcp_payload(5)), (34, 0));
}

#[test]
fn icmp_echo_uses_its_identifier_as_the_port_of_who_asks() {
    let echo = |kind| {
        read(&frame(
            [1; 4],
            [2; 4],
            PROTO_ICMP,
            64,
            &[kind, 0, 0, 0, 0xab, 0xcd, 0, 1],
        ))
        .key
        .tuple
    };
    assert_eq!((echo(8).source_port.get(), echo(8).destination_port.get()), (0xabcd, 0));
    assert_eq!((echo(0).source_port.get(), echo(0).destination_port.get()), (0, 0xabcd));
    assert_eq!((echo(3).source_port.get(), echo(3).destination_port.get()), (0, 0));
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let good = frame([1; 4], [2; 4], PROTO_UDP, 64, &[0; 8]);
    let cases: [(&str, usize, u8); 4] = [
        ("version 6", 14, 0x65),
        ("short header", 14, 0x44),
        ("length below header", 17, 19),
        ("long header", 14, 0x4f),
    ];
    for (name, at, byte) in cases {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(Packet::read_ipv4(&outer(&bad)), Err(Reason::Truncated), "{name}");
    }
}

#[test]
fn fragments_are_told_apart() {
    let table = [
        ([0x40, 0], Fragment::Whole),
        ([0x20, 0], Fragment::First),
        ([0x20, 1], Fragment::Later),
        ([0, 9], Fragment::Later),
    ];
    for (bytes, expected) in table {
        let mut fragment = frame([1; 4], [2; 4], PROTO_UDP, 64, &[0; 8]);
        fragment[20..22].copy_from_slice(&bytes);
        let packet = Packet::read_ipv4(&outer(&fragment)).unwrap();
        assert_eq!(packet.fragment, expected, "{bytes:?}");
        assert_eq!(packet.has_transport(), expected != Fragment::Later, "{bytes:?}");
    }
}

#[test]
fn a_rewrite_keeps_both_checksums_right() {
    let before = frame([10, 42, 1, 2], [10, 43, 0, 7], PROTO_TCP, 64, &TCP_SYN_SEGMENT);
    let mut packet = read(&before);
    packet.key.tuple.destination = addr("10.42.2.3");
    packet.key.tuple.destination_port = PortBe::new(8080);
    let rewrite = packet.rewrite(true).unwrap();
    assert!(rewrite.header_changed && rewrite.ports_changed);
    let mut after = before.clone();
    let header: Vec<u8> = rewrite.header().iter().flat_map(|word| word.to_ne_bytes()).collect();
    after[REWRITE_OFFSET..REWRITE_OFFSET + 12].copy_from_slice(&header);
    assert_eq!(after, {
        let mut expected = frame([10, 42, 1, 2], [10, 42, 2, 3], PROTO_TCP, 63, &TCP_SYN_SEGMENT);
        expected[..14].copy_from_slice(&before[..14]);
        expected
    });
    let pseudo = |ip: &[u8], ports: &[u8]| [ip, &[0, PROTO_TCP, 0, 20], ports].concat();
    let sum_before = full(&pseudo(&before[26..34], &before[34..38]));
    let (at, bytes, length) = packet.port_bytes(&rewrite);
    assert_eq!((at, length), (34, 4));
    let sum_after = full(&pseudo(&after[26..34], &bytes.to_ne_bytes()));
    let through = rewrite.ports_difference.apply(rewrite.addresses.apply(sum_before));
    assert_eq!(through, sum_after);
}

#[test]
fn a_packet_that_stays_as_it_is_needs_no_write() {
    let packet = read(&frame([1; 4], [2; 4], PROTO_TCP, 64, &TCP_SYN_SEGMENT));
    let rewrite = packet.rewrite(false).unwrap();
    assert!(!rewrite.header_changed && !rewrite.ports_changed);
    assert_eq!(rewrite.checksum, packet.checksum);
}

#[test]
fn the_last_hop_is_not_taken() {
    for (hops, hop, expected) in [(1, true, Err(Reason::HopLimit)), (1, false, Ok(1)), (2, true, Ok(1))] {
        let packet = read(&frame([1; 4], [2; 4], PROTO_TCP, hops, &TCP_SYN_SEGMENT));
        let left = packet
            .rewrite(hop)
            .map(|rewrite| rewrite.hops_and_protocol.to_ne_bytes()[0]);
        assert_eq!(left, expected, "{hops} {hop}");
    }
}

#[test]
fn an_icmp_identifier_is_written_as_two_bytes() {
    let mut packet = read(&frame([1; 4], [2; 4], PROTO_ICMP, 64, &[8, 0, 0, 0, 0xab, 0xcd, 0, 1]));
    packet.key.tuple.source_port = PortBe::new(61_000);
    let rewrite = packet.rewrite(false).unwrap();
    let (at, bytes, length) = packet.port_bytes(&rewrite);
    assert_eq!((at, length), (38, 2));
    assert_eq!(bytes.to_ne_bytes()[..2], 61_000u16.to_be_bytes());
    assert_eq!(packet.transport_checksum(), Some((36, false)));
}
