//! What a pod's `/etc/resolv.conf` says.
//!
//! Pure; reading the host's resolv.conf is the caller's. Source: Kubernetes, "DNS for Services and Pods"; resolv.conf(5).

use std::net::IpAddr;

use crate::pods::network::{DnsPolicy, DnsSettings, ResolvConf};

/// Most search domains of a pod (Kubernetes' limit).
const SEARCH_DOMAINS_MAX: usize = 32;
/// Most characters of the search list, with spaces (Kubernetes' limit).
const SEARCH_CHARACTERS_MAX: usize = 2048;
/// Most name servers of a pod (Kubernetes' limit, and what resolvers read).
const NAMESERVERS_MAX: usize = 3;

/// How pods find names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodResolver {
    /// Service address of the cluster's DNS.
    pub dns_ip: IpAddr,
    /// `cluster.local`
    pub cluster_domain: String,
}

impl PodResolver {
    /// The resolv.conf that the policy calls for, with what the pod adds to it.
    #[must_use]
    pub fn resolv_conf(&self, namespace: &str, dns: &DnsSettings, host: &dns::resolv_conf::ResolvConf) -> ResolvConf {
        let base = match dns.policy {
            DnsPolicy::ClusterFirst => self.cluster_first(namespace, &host.search),
            DnsPolicy::Default => ResolvConf {
                nameservers: host.nameservers.clone(),
                search: host.search.clone(),
                options: host.options.clone(),
            },
            DnsPolicy::None => ResolvConf::default(),
        };
        bounded(merged(base, &dns.extra))
    }

    fn cluster_first(&self, namespace: &str, host_search: &[String]) -> ResolvConf {
        let domain = &self.cluster_domain;
        let mut search = vec![
            format!("{namespace}.svc.{domain}"),
            format!("svc.{domain}"),
            domain.clone(),
        ];
        search.extend_from_slice(host_search);
        ResolvConf {
            nameservers: vec![self.dns_ip],
            search,
            options: vec!["ndots:5".to_owned()],
        }
    }
}

/// The base and what is added, without repetitions; an added option takes the place of one of the same name.
fn merged(mut base: ResolvConf, extra: &ResolvConf) -> ResolvConf {
    base.nameservers.extend_from_slice(&extra.nameservers);
    base.search.extend_from_slice(&extra.search);
    let name = |option: &str| option.split(':').next().unwrap_or_default().to_owned();
    base.options
        .retain(|option| !extra.options.iter().any(|added| name(added) == name(option)));
    base.options.extend_from_slice(&extra.options);
    base
}

fn bounded(conf: ResolvConf) -> ResolvConf {
    let mut nameservers: Vec<IpAddr> = Vec::new();
    for server in conf.nameservers {
        if !nameservers.contains(&server) && nameservers.len() < NAMESERVERS_MAX {
            nameservers.push(server);
        }
    }
    let mut search: Vec<String> = Vec::new();
    let mut characters = 0;
    for domain in conf.search {
        let longer = characters + domain.len() + usize::from(!search.is_empty());
        if search.contains(&domain) {
            continue;
        }
        if search.len() == SEARCH_DOMAINS_MAX || longer > SEARCH_CHARACTERS_MAX {
            break;
        }
        characters = longer;
        search.push(domain);
    }
    ResolvConf {
        nameservers,
        search,
        options: conf.options,
    }
}

#[cfg(test)]
mod tests;
