//! The name of a sandbox, and every name derived from it.
//!
//! All of a sandbox's things carry its name: namespaces and nodes NAME-1…, control groups skep-sandbox/NAME-1…, links. Links
//! have 15 bytes only: where the name does not fit, a digest of it stands in, and the link's alias has it in full.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name: with a node's number behind it, it is still a DNS label.
const NAME_BYTES_MAX: usize = 40;
/// Longest name of a link, without its terminating zero (IFNAMSIZ).
const LINK_BYTES_MAX: usize = 15;

/// Control group of all sandboxes. Not that of agents on the host, whose nodes may have the names of a sandbox's.
const CGROUP: &str = "skep-sandbox";

/// A valid name: small letters, digits and `-`, beginning and ending with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SandboxName(String);

/// The name is not one a sandbox can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{name:?} is not a sandbox name: up to {NAME_BYTES_MAX} small letters, digits and '-', beginning and ending with a letter or digit"
)]
pub(crate) struct InvalidName {
    name: String,
}

impl FromStr for SandboxName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let is_valid = (1..=NAME_BYTES_MAX).contains(&bytes.len())
            && bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
            && bytes.first().is_some_and(|byte| inner(*byte))
            && bytes.last().is_some_and(|byte| inner(*byte));
        if is_valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName { name: text.to_owned() })
        }
    }
}

impl TryFrom<String> for SandboxName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<SandboxName> for String {
    fn from(name: SandboxName) -> Self {
        name.0
    }
}

impl fmt::Display for SandboxName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl SandboxName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of a node, counted from 1; also of its network namespace.
    pub(crate) fn node(&self, number: u16) -> String {
        format!("{}-{number}", self.0)
    }

    /// Control group of the server and the supervisor, below the root of every hierarchy.
    pub(crate) fn server_cgroup(&self) -> String {
        format!("{CGROUP}/{}-server", self.0)
    }

    /// Control group of a node; its pods are below it.
    pub(crate) fn node_cgroup(&self, number: u16) -> String {
        format!("{CGROUP}/{}", self.node(number))
    }

    /// The bridge in the host's network namespace.
    pub(crate) fn bridge(&self) -> String {
        self.link("br-", "")
    }

    /// The host's end of a node's cable.
    pub(crate) fn host_link(&self, number: u16) -> String {
        self.link("", &format!("-{number}"))
    }

    fn link(&self, prefix: &str, suffix: &str) -> String {
        let whole = format!("{prefix}{}{suffix}", self.0);
        if whole.len() <= LINK_BYTES_MAX {
            return whole;
        }
        let digest = format!("{:06x}", self.digest() & 0x00ff_ffff);
        let room = LINK_BYTES_MAX - prefix.len() - suffix.len() - digest.len();
        // Names are ASCII, so every byte is a boundary.
        format!("{prefix}{}{digest}{suffix}", &self.0[..room])
    }

    /// FNV-1a: spreads names, keeps no secret.
    pub(crate) fn digest(&self) -> u32 {
        self.0.bytes().fold(0x811c_9dc5, |digest, byte| {
            (digest ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels_with_room_for_a_number() {
        for (text, valid) in [
            ("skep", true),
            ("a", true),
            ("a-1", true),
            ("0", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("a/b", false),
            (&"a".repeat(40), true),
            (&"a".repeat(41), false),
        ] {
            assert_eq!(text.parse::<SandboxName>().is_ok(), valid, "{text:?}");
        }
    }

    #[test]
    fn links_fit_and_differ_between_sandboxes() {
        let short: SandboxName = "skep".parse().expect("valid");
        assert_eq!(short.bridge(), "br-skep");
        assert_eq!(short.host_link(3), "skep-3");
        let one: SandboxName = "a-rather-long-name-1".parse().expect("valid");
        let two: SandboxName = "a-rather-long-name-2".parse().expect("valid");
        for name in [one.bridge(), one.host_link(1), one.host_link(199)] {
            assert!(name.len() <= LINK_BYTES_MAX, "{name}");
        }
        assert_ne!(one.bridge(), two.bridge());
        assert_ne!(one.host_link(1), two.host_link(1));
        assert_ne!(one.host_link(1), one.host_link(2));
    }
}
