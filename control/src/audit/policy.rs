//! Which requests are written down, and how much of them. Pure.
//!
//! The first rule that fits a request decides; without one nothing is written.
//! Source: `audit.k8s.io/v1` Policy; Kubernetes, "Auditing": audit policy.

use serde::Deserialize;

use crate::{
    auth::Caller,
    authorization::{Request, ResourceRequest},
};

/// How much is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) enum Level {
    /// Nothing.
    #[default]
    None,
    /// Who, what, when.
    Metadata,
    /// And what the request carried.
    Request,
    /// And what was answered.
    RequestResponse,
}

impl Level {
    /// As policies and events name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Level::None => "None",
            Level::Metadata => "Metadata",
            Level::Request => "Request",
            Level::RequestResponse => "RequestResponse",
        }
    }
}

/// Moments of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Stage {
    /// Known who asks for what, before anything is done.
    RequestReceived,
    /// An answer that lasts has begun.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// The handler hit a bug.
    Panic,
}

impl Stage {
    /// As policies and events name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Stage::RequestReceived => "RequestReceived",
            Stage::ResponseStarted => "ResponseStarted",
            Stage::ResponseComplete => "ResponseComplete",
            Stage::Panic => "Panic",
        }
    }
}

/// The policy is not one.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Not YAML, or not of the form of a policy.
    #[error("the policy is malformed")]
    Malformed(#[source] serde_yaml_ng::Error),
    /// Of another kind or version.
    #[error("it is {found}; an audit policy is audit.k8s.io/v1 Policy")]
    Kind {
        /// What it says it is.
        found: String,
    },
    /// Without rules nothing would ever be written.
    #[error("it has no rules")]
    NoRules,
    /// A rule can be about objects or about paths.
    #[error("rule {index}: a rule with nonResourceURLs has no resources and no namespaces")]
    Mixed {
        /// From 0.
        index: usize,
    },
    /// Only the last segment of a path can be left open.
    #[error("rule {index}: the path {url:?} must begin with / and can have * only at its end")]
    Path {
        /// From 0.
        index: usize,
        /// As it stands there.
        url: String,
    },
}

/// What the policy wants of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) level: Level,
    pub(super) omitted: Vec<Stage>,
    pub(super) omits_managed_fields: bool,
}

impl Demand {
    /// Nothing is written.
    pub(super) fn nothing() -> Demand {
        Demand {
            level: Level::None,
            omitted: Vec::new(),
            omits_managed_fields: false,
        }
    }
}

/// Rules in order.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde::de::IgnoredAny,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

/// Whom and what it is about (nothing named: everything), and what is written then.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

/// Kinds of one group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    group: String,
    /// `pods`, `pods/log`, `pods/*`, `*/scale`, `*`; none: all.
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

impl Policy {
    /// The policy in a file.
    ///
    /// # Errors
    /// See [`PolicyError`].
    pub(super) fn parse(text: &str) -> Result<Policy, PolicyError> {
        let policy: Policy = serde_yaml_ng::from_str(text).map_err(PolicyError::Malformed)?;
        if (policy.api_version.as_str(), policy.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            return Err(PolicyError::Kind {
                found: format!("{:?} {:?}", policy.api_version, policy.kind),
            });
        }
        if policy.rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            let is_of_objects = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            if is_of_objects && !rule.urls.is_empty() {
                return Err(PolicyError::Mixed { index });
            }
            if let Some(url) = rule.urls.iter().find(|url| !is_path_pattern(url)) {
                return Err(PolicyError::Path {
                    index,
                    url: url.clone(),
                });
            }
        }
        Ok(policy)
    }

    /// What is to be written of a request. `caller` is nobody if who asks could not be found out.
    pub(super) fn demand(&self, caller: Option<&Caller>, request: &Request) -> Demand {
        let Some(rule) = self.rules.iter().find(|rule| rule.fits(caller, request)) else {
            return Demand::nothing();
        };
        Demand {
            level: rule.level,
            omitted: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
            omits_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn fits(&self, caller: Option<&Caller>, request: &Request) -> bool {
        let user_fits = self.users.is_empty() || caller.is_some_and(|caller| self.users.contains(&caller.user));
        let group_fits = self.user_groups.is_empty()
            || caller.is_some_and(|caller| caller.groups.iter().any(|group| self.user_groups.contains(group)));
        if !user_fits || !group_fits {
            return false;
        }
        let verb = match request {
            Request::Resource(asked) => &asked.verb,
            Request::Path { verb, .. } => verb,
        };
        if !self.verbs.is_empty() && !self.verbs.contains(verb) {
            return false;
        }
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            return match request {
                Request::Resource(asked) => self.fits_objects(asked),
                Request::Path { .. } => false,
            };
        }
        if !self.urls.is_empty() {
            return match request {
                Request::Resource(_) => false,
                Request::Path { path, .. } => self.urls.iter().any(|url| path_fits(url, path)),
            };
        }
        true
    }

    fn fits_objects(&self, asked: &ResourceRequest) -> bool {
        if !self.namespaces.is_empty() && !self.namespaces.contains(&asked.namespace) {
            return false;
        }
        self.resources.is_empty() || self.resources.iter().any(|resources| resources.fit(asked))
    }
}

impl Resources {
    fn fit(&self, asked: &ResourceRequest) -> bool {
        if self.group != asked.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !self.resource_names.contains(&asked.name) {
            return false;
        }
        self.resources.iter().any(|pattern| {
            *pattern == asked.path()
                || pattern == "*"
                || pattern
                    .strip_prefix("*/")
                    .is_some_and(|subresource| !asked.subresource.is_empty() && subresource == asked.subresource)
                || pattern
                    .strip_suffix("/*")
                    .is_some_and(|resource| resource == asked.resource)
        })
    }
}

fn is_path_pattern(url: &str) -> bool {
    url == "*" || (url.starts_with('/') && !url.trim_end_matches('*').contains('*'))
}

fn path_fits(pattern: &str, path: &str) -> bool {
    pattern == "*"
        || pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|beginning| path.starts_with(beginning))
}

#[cfg(test)]
mod tests;
