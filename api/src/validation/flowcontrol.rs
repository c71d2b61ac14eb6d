//! `flowcontrol.apiserver.k8s.io`: which requests flow together, and how much of the server they may use.
//!
//! Source: `pkg/apis/flowcontrol/validation` of Kubernetes, by behaviour.

use super::{
    at::At,
    checks::{named, one_of, required, within},
    error::FieldError,
    names,
};

const VERBS: [&str; 10] = [
    "*",
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
];
const EXEMPT: &str = "exempt";
const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;

pub(super) fn check(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = root.field("metadata").field("name").text();
    match kind {
        "FlowSchema" => flow_schema(name, &root.field("spec"), errors),
        "PriorityLevelConfiguration" => priority_level(name, &root.field("spec"), errors),
        _ => {}
    }
}

fn flow_schema(name: &str, spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let precedence = spec.field("matchingPrecedence");
    let given = precedence.number().unwrap_or(0);
    let refuse = |reason: &str| FieldError::invalid(precedence.path.clone(), given, reason);
    if given <= 0 {
        errors.push(refuse("must be a positive value"));
    } else if given > PRECEDENCE_MAX {
        errors.push(refuse("must not be greater than 10000"));
    } else if given == 1 && name != EXEMPT {
        errors.push(refuse("only the schema named 'exempt' may have matchingPrecedence 1"));
    }
    let method = spec.field("distinguisherMethod");
    if method.is_set() {
        one_of(&method.field("type"), &["ByNamespace", "ByUser"], errors);
    }
    let level = spec.field("priorityLevelConfiguration").field("name");
    if level.is_empty() {
        errors.push(level.required("must reference a priority level"));
    } else {
        named(&level, names::dns_subdomain, errors);
    }
    for rule in spec.field("rules").items() {
        policy_rule(&rule, errors);
    }
}

fn policy_rule(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let subjects = at.field("subjects");
    if subjects.count() == 0 {
        errors.push(subjects.required("subjects must contain at least one value"));
    }
    for subject in subjects.items() {
        let kind = subject.field("kind");
        one_of(&kind, &["Group", "ServiceAccount", "User"], errors);
        let (field, has_namespace) = match kind.text() {
            "User" => ("user", false),
            "Group" => ("group", false),
            "ServiceAccount" => ("serviceAccount", true),
            _ => continue,
        };
        let body = subject.field(field);
        if !body.is_set() {
            errors.push(body.required(format!("{field} is required when subject kind is '{}'", kind.text())));
            continue;
        }
        required(&body.field("name"), errors);
        if has_namespace {
            required(&body.field("namespace"), errors);
        }
    }
    let (resources, paths) = (at.field("resourceRules"), at.field("nonResourceRules"));
    if resources.count() == 0 && paths.count() == 0 {
        errors.push(at.required("at least one of resourceRules and nonResourceRules has to be non-empty"));
    }
    for rule in resources.items() {
        verbs(&rule.field("verbs"), errors);
        for (list, what) in [("apiGroups", "apiGroups"), ("resources", "resources")] {
            let list = rule.field(list);
            if list.count() == 0 {
                errors.push(list.required(format!("{what} must contain at least one value")));
            } else {
                alone(&list, errors);
            }
        }
        if rule.field("namespaces").count() == 0 && !rule.field("clusterScope").is_true() {
            let reason = "resource rules that are not cluster scoped must supply at least one namespace";
            errors.push(rule.field("namespaces").required(reason));
        }
    }
    for rule in paths.items() {
        verbs(&rule.field("verbs"), errors);
        let urls = rule.field("nonResourceURLs");
        if urls.count() == 0 {
            errors.push(urls.required("nonResourceURLs must contain at least one value"));
        } else {
            alone(&urls, errors);
        }
        for url in urls.items() {
            if url.text() != "*" && !url.text().starts_with('/') {
                errors.push(url.invalid("must start with slash"));
            }
        }
    }
}

fn verbs(list: &At<'_>, errors: &mut Vec<FieldError>) {
    if list.count() == 0 {
        errors.push(list.required("verbs must contain at least one value"));
        return;
    }
    alone(list, errors);
    for verb in list.items() {
        if !VERBS.contains(&verb.text()) && !matches!(verb.text(), "head" | "options" | "post" | "put") {
            errors.push(verb.not_supported(&VERBS));
        }
    }
}

/// A star stands for all, and so alone.
fn alone(list: &At<'_>, errors: &mut Vec<FieldError>) {
    if list.count() > 1 && list.items().any(|item| item.text() == "*") {
        errors.push(list.invalid("if '*' is present, must not specify other values"));
    }
}

fn priority_level(name: &str, spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let (kind, limited, exempt) = (spec.field("type"), spec.field("limited"), spec.field("exempt"));
    if (name == EXEMPT) != (kind.text() == "Exempt") {
        let reason = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(kind.invalid(reason));
    }
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                errors.push(limited.forbidden("must be nil if the type is not Limited"));
            }
            shares(&exempt, 0, errors);
        }
        "Limited" => {
            if exempt.is_set() {
                errors.push(exempt.forbidden("must be nil if the type is Limited"));
            }
            if limited.is_set() {
                limits(&limited, errors);
            } else {
                errors.push(limited.required("must not be empty when type is Limited"));
            }
        }
        _ => errors.push(kind.not_supported(&["Exempt", "Limited"])),
    }
}

fn shares(at: &At<'_>, min: i64, errors: &mut Vec<FieldError>) {
    let nominal = at.field("nominalConcurrencyShares");
    if let Some(given) = nominal.number().filter(|given| *given < min) {
        let reason = "must be a non-negative integer";
        errors.push(FieldError::invalid(nominal.path.clone(), given, reason));
    }
    within(&at.field("lendablePercent"), 0, 100, errors);
}

fn limits(at: &At<'_>, errors: &mut Vec<FieldError>) {
    shares(at, 0, errors);
    let borrowing = at.field("borrowingLimitPercent");
    if let Some(given) = borrowing.number().filter(|given| *given < 0) {
        let reason = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(borrowing.path.clone(), given, reason));
    }
    let response = at.field("limitResponse");
    let (kind, queuing) = (response.field("type"), response.field("queuing"));
    match kind.text() {
        "Reject" => {
            if queuing.is_set() {
                errors.push(queuing.forbidden("must be nil if limited.limitResponse.type is not Limited"));
            }
        }
        "Queue" => {
            if queuing.is_set() {
                self::queuing(&queuing, errors);
            } else {
                let reason = "must not be empty if limited.limitResponse.type is Limited";
                errors.push(queuing.required(reason));
            }
        }
        _ => errors.push(kind.not_supported(&["Queue", "Reject"])),
    }
}

fn queuing(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let number = |field: &str| at.field(field).number().unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    for field in ["queueLengthLimit", "queues", "handSize"] {
        if number(field) <= 0 {
            let reason = "must be positive";
            errors.push(FieldError::invalid(at.path_of(field), number(field), reason));
        }
    }
    if queues > QUEUES_MAX {
        let reason = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(at.path_of("queues"), queues, reason));
    }
    if hand > queues {
        let reason = format!("should not be greater than queues ({queues})");
        errors.push(FieldError::invalid(at.path_of("handSize"), hand, reason));
    }
}
