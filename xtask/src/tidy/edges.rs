//! Which crate may depend on which: the table of docs/architecture.md.

use serde_json::Value;

struct Rule {
    name: &'static str,
    /// Our crates it may use.
    ours: &'static [&'static str],
    /// Crates of others that it must never see.
    never: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        name: "api",
        ours: &[],
        never: &["tokio", "redb", "aya", "rand", "hyper", "axum"],
    },
    Rule {
        name: "reconcile",
        ours: &["api"],
        never: &[
            "tokio",
            "futures",
            "async-trait",
            "rand",
            "redb",
            "aya",
            "hyper",
            "nix",
            "libc",
        ],
    },
    Rule {
        name: "control",
        ours: &["api", "reconcile"],
        never: &["aya", "libcontainer"],
    },
    Rule {
        name: "dataplane",
        ours: &[],
        never: &["tokio", "k8s-openapi", "serde_json"],
    },
    Rule {
        name: "dataplane-ebpf",
        ours: &["dataplane"],
        never: &["tokio", "k8s-openapi"],
    },
    Rule {
        name: "agent",
        ours: &["api", "reconcile", "dataplane", "dns"],
        never: &["redb", "openraft"],
    },
    Rule {
        name: "dns",
        ours: &["api"],
        never: &["aya", "redb"],
    },
    Rule {
        name: "cli",
        ours: &["api", "control", "agent", "dns"],
        never: &["redb", "aya"],
    },
    Rule {
        name: "xtask",
        ours: &[],
        never: &["tokio"],
    },
    Rule {
        name: "tests",
        ours: &[
            "api",
            "reconcile",
            "control",
            "dataplane",
            "agent",
            "dns",
            "cli",
            "xtask",
        ],
        never: &[],
    },
];

/// Breaches found in the output of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut breaches = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(rule) = RULES.iter().find(|rule| rule.name == name) else {
            breaches.push(format!(
                "{name}: not in the table of crates; add it to docs/architecture.md and to xtask"
            ));
            continue;
        };
        let dependencies = package["dependencies"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for dependency in dependencies {
            breaches.extend(breach(rule, dependency));
        }
    }
    breaches
}

fn breach(rule: &Rule, dependency: &Value) -> Option<String> {
    let used = dependency["name"].as_str().unwrap_or_default();
    let is_ours = RULES.iter().any(|other| other.name == used) && !dependency["path"].is_null();
    if is_ours {
        return (!rule.ours.contains(&used)).then(|| {
            format!(
                "{}: must not depend on {used} (docs/architecture.md, the table of crates)",
                rule.name
            )
        });
    }
    // What only tests of a crate use does not reach its users.
    let for_tests = dependency["kind"] == "dev";
    (!for_tests && rule.never.contains(&used)).then(|| format!("{}: must never see {used}", rule.name))
}

#[cfg(test)]
mod tests;
