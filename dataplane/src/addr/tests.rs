//! Tests of addresses and prefixes.

use core::net::{IpAddr, Ipv4Addr};

use super::{Addr, PortBe, PortRange, Prefix};

fn addr(text: &str) -> Addr {
    Addr::from(text.parse::<IpAddr>().unwrap())
}

#[test]
fn an_ipv4_address_is_held_in_its_mapped_form_and_comes_back() {
    let held = addr("10.42.1.7");
    assert_eq!(held, addr("::ffff:10.42.1.7"));
    assert_eq!(held.v4_word(), Some(u32::from_ne_bytes([10, 42, 1, 7])));
    assert_eq!(IpAddr::from(held), IpAddr::V4(Ipv4Addr::new(10, 42, 1, 7)));
    assert_eq!(addr("fd00::1").v4_word(), None);
    assert_eq!(IpAddr::from(addr("fd00::1")), "fd00::1".parse::<IpAddr>().unwrap());
}

#[test]
fn a_prefix_contains_what_agrees_in_its_bits() {
    let table = [
        ("10.42.0.0", 96 + 16, "10.42.255.255", true),
        ("10.42.0.0", 96 + 16, "10.43.0.0", false),
        ("10.42.1.77", 96 + 24, "10.42.1.1", true),
        ("10.42.1.77", 96 + 32, "10.42.1.78", false),
        ("0.0.0.0", 96, "255.1.2.3", true),
        ("0.0.0.0", 96, "fd00::1", false),
        ("fd00:1::", 32, "fd00:1:2::3", true),
        ("fd00:1::", 32, "fd00:2::3", false),
        ("::", 0, "fd00:2::3", true),
    ];
    for (first, bits, probe, expected) in table {
        assert_eq!(
            Prefix::new(addr(first), bits).contains(&addr(probe)),
            expected,
            "{first}/{bits} {probe}"
        );
    }
}

#[test]
fn ports_compare_in_host_order() {
    let range = PortRange {
        first: 30000,
        last: 32767,
    };
    for (port, expected) in [(29999, false), (30000, true), (32767, true), (32768, false)] {
        assert_eq!(range.contains(PortBe::new(port)), expected, "{port}");
    }
}
