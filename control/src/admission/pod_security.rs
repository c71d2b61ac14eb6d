//! How safe pods of a namespace must be: the levels that its labels name, and what of a pod violates one.
//!
//! Pure: functions of labels and of pods. Never here: what becomes of a violation.
//! Source: Kubernetes, "Pod Security Standards", "Pod Security Admission"; the admission plugin PodSecurity, by
//! behaviour.

mod baseline;
mod restricted;
mod subject;

use std::{collections::BTreeMap, fmt};

use api::{
    k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::apis::meta::v1::ObjectMeta},
    validation::FieldError,
};
use serde_json::Value;

use self::subject::Subject;

const LABEL_PREFIX: &str = "pod-security.kubernetes.io/";
/// In the audit log: what is enforced on the pod.
pub(crate) const ENFORCED_ANNOTATION: &str = "pod-security.kubernetes.io/enforce-policy";
/// In the audit log: what of the pod violates the level of the log.
pub(crate) const VIOLATIONS_ANNOTATION: &str = "pod-security.kubernetes.io/audit-violations";

/// A Pod Security Standard, the least strict first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

/// In which version of Kubernetes the standards are taken: `v1.N`, or the latest, which is newer than all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Minor(u32),
    Latest,
}

/// A level in a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LevelVersion {
    pub(crate) level: Level,
    pub(crate) version: Version,
}

/// What a namespace asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Pods that violate it are refused.
    pub(crate) enforce: LevelVersion,
    /// Pods that violate it, and templates of such pods, are written into the audit log.
    pub(crate) audit: LevelVersion,
    /// Who makes such pods is told.
    pub(crate) warn: LevelVersion,
}

/// What of a pod violates a control.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    reason: String,
    detail: String,
}

/// All violations of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violations(Vec<Violation>);

/// One control: looks at a pod in a version.
type Check = fn(&Subject<'_>, Version) -> Option<Violation>;

/// A control of a standard.
struct Control {
    check: Check,
    /// The first minor version that has it.
    since: u32,
    /// The control of the weaker standard that this one makes needless.
    replaces: Option<Check>,
}

impl Level {
    fn parse(text: &str) -> Option<Level> {
        Some(match text {
            "privileged" => Level::Privileged,
            "baseline" => Level::Baseline,
            "restricted" => Level::Restricted,
            _ => return None,
        })
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Version> {
        if text == "latest" {
            return Some(Version::Latest);
        }
        let minor = text.strip_prefix("v1.")?;
        let is_canonical = minor.bytes().all(|byte| byte.is_ascii_digit()) && (minor == "0" || !minor.starts_with('0'));
        is_canonical.then(|| minor.parse().ok().map(Version::Minor))?
    }
}

impl LevelVersion {
    /// Asks for nothing.
    const NONE: LevelVersion = LevelVersion {
        level: Level::Privileged,
        version: Version::Latest,
    };
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::Latest => write!(f, "{}:latest", self.level),
            Version::Minor(minor) => write!(f, "{}:v1.{minor}", self.level),
        }
    }
}

impl Policy {
    /// What the labels of a namespace ask for, and what is wrong with them. A level that cannot be read is the
    /// strictest where it refuses, and the least strict where it warns; who is to be warned of is who would be refused,
    /// unless the labels say otherwise.
    pub(crate) fn of(namespace: &Value) -> (Policy, Vec<FieldError>) {
        let mut faults = Vec::new();
        let (enforce_level, enforce_version) = read(namespace, "enforce", &mut faults);
        let (audit_level, audit_version) = read(namespace, "audit", &mut faults);
        let (warn_level, warn_version) = read(namespace, "warn", &mut faults);
        let enforce = LevelVersion {
            level: match enforce_level {
                Label::Absent => Level::Privileged,
                Label::Says(level) => level,
                Label::Wrong => Level::Restricted,
            },
            version: enforce_version.unwrap_or(Version::Latest),
        };
        let audit = match audit_level {
            Label::Says(level) => LevelVersion {
                level,
                version: audit_version.unwrap_or(Version::Latest),
            },
            Label::Absent | Label::Wrong => LevelVersion::NONE,
        };
        let warn = match (warn_level, enforce_level) {
            (Label::Says(level), _) => LevelVersion {
                level,
                version: warn_version.unwrap_or(Version::Latest),
            },
            (Label::Absent, Label::Says(level)) => LevelVersion {
                level,
                version: warn_version.unwrap_or(enforce.version),
            },
            (Label::Absent | Label::Wrong, _) => LevelVersion::NONE,
        };
        (Policy { enforce, audit, warn }, faults)
    }

    /// Whether existing pods may violate what is enforced now and was not before.
    pub(crate) fn is_tightened_from(&self, before: &Policy) -> bool {
        let (new, old) = (self.enforce, before.enforce);
        new != old && new.level != Level::Privileged && (new.version != old.version || new.level > old.level)
    }
}

/// What a label says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label<T> {
    Absent,
    Says(T),
    Wrong,
}

impl<T> Label<T> {
    fn unwrap_or(self, default: T) -> T {
        match self {
            Label::Says(value) => value,
            Label::Absent | Label::Wrong => default,
        }
    }
}

fn read(namespace: &Value, mode: &str, faults: &mut Vec<FieldError>) -> (Label<Level>, Label<Version>) {
    let level = label(
        namespace,
        mode,
        Level::parse,
        faults,
        "must be one of privileged, baseline, restricted",
    );
    let mode = format!("{mode}-version");
    let version = label(
        namespace,
        &mode,
        Version::parse,
        faults,
        "must be \"latest\" or \"v1.x\"",
    );
    (level, version)
}

fn label<T>(
    namespace: &Value,
    mode: &str,
    parse: impl Fn(&str) -> Option<T>,
    faults: &mut Vec<FieldError>,
    rule: &str,
) -> Label<T> {
    let key = format!("{LABEL_PREFIX}{mode}");
    let Some(text) = namespace["metadata"]["labels"].get(&key).and_then(Value::as_str) else {
        return Label::Absent;
    };
    match parse(text) {
        Some(value) => Label::Says(value),
        None => {
            faults.push(FieldError::invalid(format!("metadata.labels[{key}]"), text, rule));
            Label::Wrong
        }
    }
}

/// What of a pod, or of a template of pods, violates the standard.
pub(crate) fn violations(standard: LevelVersion, metadata: &ObjectMeta, spec: &PodSpec) -> Violations {
    let subject = Subject { metadata, spec };
    let version = standard.version;
    let has = |control: &&Control| version >= Version::Minor(control.since);
    let restricted: Vec<&Control> = match standard.level {
        Level::Restricted => restricted::CONTROLS.iter().filter(has).collect(),
        Level::Privileged | Level::Baseline => Vec::new(),
    };
    let baseline: Vec<&Control> = match standard.level {
        Level::Privileged => Vec::new(),
        Level::Baseline | Level::Restricted => baseline::CONTROLS.iter().filter(has).collect(),
    };
    let is_replaced = |control: &Control| {
        let replaced = restricted.iter().filter_map(|strict| strict.replaces);
        replaced
            .into_iter()
            .any(|check| std::ptr::fn_addr_eq(check, control.check))
    };
    let found = baseline
        .into_iter()
        .filter(|control| !is_replaced(control))
        .chain(restricted.iter().copied())
        .filter_map(|control| (control.check)(&subject, version));
    Violations(found.collect())
}

impl Violations {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is violated, without whose fault it is.
    fn reasons(&self) -> String {
        let list: Vec<&str> = self.0.iter().map(|violation| violation.reason.as_str()).collect();
        list.join(", ")
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { reason, detail }) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{reason}")?;
            if !detail.is_empty() {
                write!(f, " ({detail})")?;
            }
        }
        Ok(())
    }
}

/// What may violate a standard that begins to be enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Pods,
    /// What makes pods from a template.
    Workloads,
}

/// What to say of what is there already, by name, when a standard begins to be enforced. `total` may be more than were
/// looked at.
pub(crate) fn warnings_of_existing(
    what: Existing,
    namespace: &str,
    standard: LevelVersion,
    looked_at: &[(String, Violations)],
    total: usize,
) -> Vec<String> {
    let (one, many, violate) = match what {
        Existing::Pods => ("pod", "pods", "violate"),
        Existing::Workloads => ("workload", "workloads", "make pods that violate"),
    };
    let mut warnings = Vec::new();
    if looked_at.len() < total {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {} of {total} existing {many}",
            looked_at.len()
        ));
    }
    let mut alike: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, violations) in looked_at.iter().filter(|(_, violations)| !violations.is_empty()) {
        alike.entry(violations.reasons()).or_default().push(name);
    }
    if !alike.is_empty() {
        warnings.push(format!(
            "existing {many} in namespace {namespace:?} {violate} the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut of_pods: Vec<String> = alike
        .into_iter()
        .filter_map(|(reasons, names)| {
            let first = names.iter().min()?;
            Some(match names.len() - 1 {
                0 => format!("{first}: {reasons}"),
                1 => format!("{first} (and 1 other {one}): {reasons}"),
                others => format!("{first} (and {others} other {many}): {reasons}"),
            })
        })
        .collect();
    of_pods.sort();
    warnings.extend(of_pods);
    warnings
}

/// Whether an update of a pod can change what it violates: its containers, or what they run.
pub(crate) fn is_significant(old: &Value, new: &Value) -> bool {
    let images = |pod: &Value, list: &str| -> Vec<(String, String)> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers
            .map(|container| {
                let text = |field: &str| container[field].as_str().unwrap_or_default().to_owned();
                (text("name"), text("image"))
            })
            .collect()
    };
    ["containers", "initContainers", "ephemeralContainers"]
        .into_iter()
        .any(|list| images(old, list) != images(new, list))
}

#[cfg(test)]
mod tests;
