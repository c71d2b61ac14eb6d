use super::*;

#[test]
fn what_is_understood_is_taken_and_the_rest_ignored() {
    type Words = &'static [&'static str];
    // (text, name servers, search, options)
    let rows: &[(&str, Words, Words, Words)] = &[
        ("", &[], &[], &[]),
        ("nameserver 192.0.2.53\n", &["192.0.2.53"], &[], &[]),
        (
            "  nameserver\t192.0.2.53 # mine\n; nameserver 1.1.1.1\n",
            &["192.0.2.53"],
            &[],
            &[],
        ),
        ("nameserver fe80::1%eth0\nnameserver nonsense\n", &["fe80::1"], &[], &[]),
        (
            "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
            &["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            &[],
            &[],
        ),
        (
            "domain old.example\nsearch Lab.example. example\n",
            &[],
            &["lab.example", "example"],
            &[],
        ),
        ("search a\nsearch b c\n", &[], &["b", "c"], &[]),
        (
            "options ndots:2 rotate\noptions timeout:1\n",
            &[],
            &[],
            &["ndots:2", "rotate", "timeout:1"],
        ),
        ("sortlist 10.0.0.0\nnameserver\n", &[], &[], &[]),
    ];
    for (text, nameservers, search, options) in rows {
        let conf = parse(text);
        let servers: Vec<IpAddr> = nameservers.iter().map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(conf.nameservers, servers, "{text:?}");
        assert_eq!(conf.search, *search, "{text:?}");
        assert_eq!(conf.options, *options, "{text:?}");
    }
}
