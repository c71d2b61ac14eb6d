//! Tests of resets, by RFC 9293 section 3.5.2.

use super::answer;

fn words(sequence: u32, acknowledged: u32, offset: u8, flags: u8) -> [u32; 3] {
    [
        sequence.to_be(),
        acknowledged.to_be(),
        u32::from_ne_bytes([offset << 4, flags, 0xaa, 0xbb]),
    ]
}

#[test]
fn what_acknowledges_is_reset_in_its_sequence_and_what_does_not_is_acknowledged() {
    const SYN: u8 = 2;
    const FIN: u8 = 1;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    let table = [
        ("syn", SYN, 0, Some((0, 101, RST | ACK))),
        ("syn with data", SYN, 7, Some((0, 108, RST | ACK))),
        ("data without ack", 0, 5, Some((0, 105, RST | ACK))),
        ("fin without ack", FIN, 0, Some((0, 101, RST | ACK))),
        ("established", ACK, 9, Some((200, 0, RST))),
        ("reset", RST, 0, None),
        ("reset with ack", RST | ACK, 0, None),
    ];
    for (name, flags, payload, expected) in table {
        let got = answer(&words(100, 200, 10, flags), payload).map(|(now, _)| now);
        // The data offset stays (options are kept), the window is zero.
        let expected = expected.map(|(sequence, acknowledged, flags): (u32, u32, u8)| {
            [
                sequence.to_be(),
                acknowledged.to_be(),
                u32::from_ne_bytes([10 << 4, flags, 0, 0]),
            ]
        });
        assert_eq!(got, expected, "{name}");
    }
}

#[test]
fn the_sequence_number_wraps() {
    let (now, _) = answer(&words(u32::MAX, 0, 5, 2), 0).unwrap();
    assert_eq!(now[1], 0);
}
