use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn conf(nameservers: &str, search: &str, options: &str) -> ResolvConf {
    ResolvConf {
        nameservers: words(nameservers).iter().map(|ip| ip.parse().unwrap()).collect(),
        search: words(search),
        options: words(options),
    }
}

#[test]
fn policy_and_additions() {
    let resolver = PodResolver {
        dns_ip: "10.43.0.10".parse().unwrap(),
        cluster_domain: "cluster.local".to_owned(),
    };
    let host = dns::resolv_conf::parse("nameserver 192.0.2.53\nsearch lab.example svc.cluster.local\noptions rotate\n");
    let none = || conf("", "", "");
    let rows = [
        (
            DnsPolicy::ClusterFirst,
            none(),
            conf(
                "10.43.0.10",
                "shop.svc.cluster.local svc.cluster.local cluster.local lab.example",
                "ndots:5",
            ),
        ),
        (
            DnsPolicy::Default,
            none(),
            conf("192.0.2.53", "lab.example svc.cluster.local", "rotate"),
        ),
        (DnsPolicy::None, none(), none()),
        (
            DnsPolicy::ClusterFirst,
            conf("1.1.1.1 10.43.0.10", "own.example", "ndots:2 edns0"),
            conf(
                "10.43.0.10 1.1.1.1",
                "shop.svc.cluster.local svc.cluster.local cluster.local lab.example own.example",
                "ndots:2 edns0",
            ),
        ),
        (
            DnsPolicy::None,
            conf("1.1.1.1 2.2.2.2 3.3.3.3 4.4.4.4", "a.example", "ndots:1"),
            conf("1.1.1.1 2.2.2.2 3.3.3.3", "a.example", "ndots:1"),
        ),
    ];
    for (policy, extra, expected) in rows {
        let settings = DnsSettings { policy, extra };
        assert_eq!(resolver.resolv_conf("shop", &settings, &host), expected, "{settings:?}");
    }
}

#[test]
fn a_search_list_is_cut_where_kubernetes_cuts_it() {
    let many = (0..40).map(|n| format!("d{n}.example")).collect();
    assert_eq!(bounded(conf("", "", "")).search.len(), 0);
    let cut = bounded(ResolvConf {
        search: many,
        ..conf("", "", "")
    });
    assert_eq!(cut.search.len(), SEARCH_DOMAINS_MAX);
    let long = (0..20).map(|n| format!("{n}{}", "x".repeat(198))).collect();
    let cut = bounded(ResolvConf {
        search: long,
        ..conf("", "", "")
    });
    assert!(cut.search.join(" ").len() <= SEARCH_CHARACTERS_MAX);
}
