//! Image references and how a short one becomes a full one: `nginx` is `docker.io/library/nginx:latest`.
//!
//! Never here: what an image contains. Source: the `distribution/reference` grammar.

use std::{fmt, str::FromStr};

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Longest repository name, from the reference grammar.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag, from the reference grammar.
const TAG_BYTES_MAX: usize = 128;

/// What a reference points at within its repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// `:1.27`; whoever imports last decides what it is.
    Tag(String),
    /// `@sha256:…`, the digest of the manifest: always the same image.
    Digest(String),
}

/// A full reference: registry, repository, and tag or digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// `docker.io`, `registry.example:5000`
    pub domain: String,
    /// `library/nginx`
    pub path: String,
    /// Tag or digest; a digest wins where the text has both.
    pub target: Target,
}

/// The text is no image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image reference {text:?}: {problem}")]
pub struct InvalidReference {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Reference {
    /// `docker.io/library/nginx`, without tag or digest.
    #[must_use]
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Reference, InvalidReference> {
        let invalid = |problem| InvalidReference {
            text: text.to_owned(),
            problem,
        };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (text, None),
        };
        if let Some(digest) = digest {
            let hex = digest
                .strip_prefix("sha256:")
                .ok_or_else(|| invalid("a digest begins with sha256:"))?;
            if !is_sha256_hex(hex) {
                return Err(invalid("a sha256 digest has 64 lower-case hexadecimal digits"));
            }
        }
        let (name, tag) = match named.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (named, None),
        };
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(invalid("a tag has up to 128 letters, digits, '_', '.' and '-'"));
        }
        if name.is_empty() {
            return Err(invalid("the name is empty"));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(invalid("the name is longer than 255 characters"));
        }
        let (domain, path) = match name.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
            Some(_) => (DEFAULT_DOMAIN, name.to_owned()),
            None => (DEFAULT_DOMAIN, format!("{OFFICIAL_PREFIX}{name}")),
        };
        let domain = if domain == "index.docker.io" {
            DEFAULT_DOMAIN
        } else {
            domain
        };
        let path = if domain == DEFAULT_DOMAIN && !path.contains('/') {
            format!("{OFFICIAL_PREFIX}{path}")
        } else {
            path
        };
        if !path.split('/').all(is_path_component) {
            return Err(invalid(
                "a repository has lower-case letters and digits, separated by '.', '_', '-' and '/'",
            ));
        }
        let domain_is_clean = domain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b':' | b'-' | b'[' | b']'));
        if !domain_is_clean {
            return Err(invalid("the registry is not a host name with an optional port"));
        }
        Ok(Reference {
            domain: domain.to_owned(),
            path,
            target: match digest {
                Some(digest) => Target::Digest(digest.to_owned()),
                None => Target::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
            },
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Tag(tag) => write!(f, "{}/{}:{tag}", self.domain, self.path),
            Target::Digest(digest) => write!(f, "{}/{}@{digest}", self.domain, self.path),
        }
    }
}

/// Whether these are the hexadecimal digits of a SHA-256, lower case.
pub(super) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= TAG_BYTES_MAX
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// Lower-case runs separated by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_run = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(is_run)
        && bytes.last().is_some_and(is_run)
        && bytes
            .iter()
            .all(|byte| is_run(byte) || matches!(byte, b'.' | b'_' | b'-'))
        && bytes.split(is_run).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}

#[cfg(test)]
mod tests;
