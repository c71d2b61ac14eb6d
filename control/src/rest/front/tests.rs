use super::*;

#[test]
fn sources_are_named_in_the_order_of_the_way() {
    let peer = Some("10.0.0.9".parse().unwrap());
    let rows: [(Option<&str>, Option<&str>, &[&str]); 5] = [
        (None, None, &["10.0.0.9"]),
        (Some("1.1.1.1, 2.2.2.2"), None, &["1.1.1.1", "2.2.2.2", "10.0.0.9"]),
        (
            Some("1.1.1.1,unknown"),
            Some("3.3.3.3"),
            &["1.1.1.1", "3.3.3.3", "10.0.0.9"],
        ),
        (Some("10.0.0.9"), None, &["10.0.0.9"]),
        (None, Some("x"), &["10.0.0.9"]),
    ];
    for (forwarded, real, expected) in rows {
        let ips: Vec<String> = source_ips(forwarded, real, peer)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(ips, expected, "{forwarded:?} {real:?}");
    }
}
