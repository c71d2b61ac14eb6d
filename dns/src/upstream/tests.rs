use super::*;

#[test]
fn the_server_never_asks_itself() {
    let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
    let own = ips(&["169.254.20.10", "10.43.0.10"]);
    for (servers, expected) in [
        (&["192.0.2.53"][..], &["192.0.2.53"][..]),
        (&["10.43.0.10", "192.0.2.53"], &["192.0.2.53"]),
        (&["169.254.20.10"], &[]),
        (&["0.0.0.0"], &[]),
        (&[], &[]),
    ] {
        assert_eq!(usable(&ips(servers), &own), ips(expected), "{servers:?}");
    }
}
