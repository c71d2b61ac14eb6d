//! What a pod's `/etc/resolv.conf` and `/etc/hosts` say.
//!
//! Pure; reading the host's resolv.conf is the caller's. Source: Kubernetes, "DNS for Services and Pods" and "Adding
//! entries to Pod /etc/hosts"; resolv.conf(5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HostsEntry, PodNetRequest, ResolvConf};

/// Most search domains of a pod (Kubernetes' limit).
const SEARCH_DOMAINS_MAX: usize = 32;
/// Most characters of the search list, with spaces (Kubernetes' limit).
const SEARCH_CHARACTERS_MAX: usize = 2048;

/// How pods find names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodResolver {
    /// Service address of the cluster's DNS.
    pub dns_ip: IpAddr,
    /// `cluster.local`
    pub cluster_domain: String,
}

impl PodResolver {
    /// `/etc/resolv.conf` of a pod with `dnsPolicy: ClusterFirst`: the cluster's domains, then the host's.
    #[must_use]
    pub fn resolv_conf(&self, namespace: &str, host_search: &[String]) -> ResolvConf {
        let domain = &self.cluster_domain;
        let mut search = vec![
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.clone(),
        ];
        let mut characters = search.iter().map(|domain| domain.len() + 1).sum::<usize>();
        for domain in host_search {
            characters += domain.len() + 1;
            if search.len() == SEARCH_DOMAINS_MAX || characters > SEARCH_CHARACTERS_MAX {
                break;
            }
            if !search.contains(domain) {
                search.push(domain.clone());
            }
        }
        ResolvConf {
            nameserver: vec![self.dns_ip],
            search,
            options: vec!["ndots:5".to_owned()],
        }
    }
}

/// `/etc/hosts` of a pod.
#[must_use]
pub(super) fn hosts(request: &PodNetRequest, ip: IpAddr) -> Vec<HostsEntry> {
    let entry = |ip: IpAddr, names: &[&str]| HostsEntry {
        ip,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let v6 = |first: u16, last: u16| IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last));
    vec![
        entry(IpAddr::V4(Ipv4Addr::LOCALHOST), &["localhost"]),
        entry(
            IpAddr::V6(Ipv6Addr::LOCALHOST),
            &["localhost", "ip6-localhost", "ip6-loopback"],
        ),
        entry(v6(0xfe00, 0), &["ip6-localnet"]),
        entry(v6(0xfe00, 0), &["ip6-mcastprefix"]),
        entry(v6(0xfe00, 1), &["ip6-allnodes"]),
        entry(v6(0xfe00, 2), &["ip6-allrouters"]),
        entry(ip, &[request.hostname.as_str()]),
    ]
}
