//! The host's resolver configuration: upstream servers, search domains, options.
//!
//! Parsing is pure; [`read`] is the only I/O. Never here: which of the servers may be used.
//! Source: resolv.conf(5).

use std::{fs, io, net::IpAddr, path::Path};

/// What glibc reads: more servers are ignored there too.
const NAMESERVERS_MAX: usize = 3;

/// What a resolv.conf says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolvConf {
    /// Servers in the order they are asked.
    pub nameservers: Vec<IpAddr>,
    /// Domains tried in this order; the last `search` or `domain` line counts.
    pub search: Vec<String>,
    /// For example `ndots:2`.
    pub options: Vec<String>,
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read; a missing file is an error too.
pub fn read(path: &Path) -> io::Result<ResolvConf> {
    fs::read_to_string(path).map(|text| parse(&text))
}

/// Takes from the text what it understands and ignores the rest, as resolvers do.
#[must_use]
pub fn parse(text: &str) -> ResolvConf {
    let mut conf = ResolvConf::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address = words.next().and_then(parse_address);
                if conf.nameservers.len() < NAMESERVERS_MAX {
                    conf.nameservers.extend(address);
                }
            }
            Some("search") => conf.search = words.map(domain).collect(),
            Some("domain") => conf.search = words.take(1).map(domain).collect(),
            Some("options") => conf.options.extend(words.map(str::to_owned)),
            _ => {}
        }
    }
    conf
}

fn domain(word: &str) -> String {
    word.trim_end_matches('.').to_ascii_lowercase()
}

/// An address, without the `%interface` that a link-local one may carry.
fn parse_address(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
