//! `admissionregistration.k8s.io`: webhooks and policies; `apiregistration.k8s.io`.
//!
//! Source: `pkg/apis/admissionregistration/validation` of Kubernetes and the validation of kube-aggregator, by
//! behaviour.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    at::At,
    checks::{named, named_if_set, one_of, one_of_if_set, required, unique_field, within},
    error::FieldError,
    names,
    selectors::label_selector,
};
use crate::{custom::check_expression, expression::Expression};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const MATCH_CONDITIONS_MAX: usize = 64;

pub(super) fn check(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    match kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            let webhooks = root.field("webhooks");
            for item in webhooks.items() {
                webhook(&item, errors);
                one_of_if_set(&item.field("reinvocationPolicy"), &["IfNeeded", "Never"], errors);
            }
            unique_field(&webhooks, "name", errors);
        }
        "ValidatingAdmissionPolicy" => validating_policy(&spec, errors),
        "MutatingAdmissionPolicy" => mutating_policy(&spec, errors),
        "ValidatingAdmissionPolicyBinding" => {
            binding(&spec, errors);
            actions(&spec.field("validationActions"), errors);
        }
        "MutatingAdmissionPolicyBinding" => binding(&spec, errors),
        "APIService" => api_service(root, errors),
        _ => {}
    }
}

fn webhook(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = at.field("name");
    if required(&name, errors) && named(&name, names::dns_subdomain, errors) && name.text().split('.').count() < 3 {
        errors.push(name.invalid("should be a domain with at least three segments separated by dots"));
    }
    at.field("rules").items().for_each(|item| rule(&item, errors));
    one_of_if_set(&at.field("failurePolicy"), &["Fail", "Ignore"], errors);
    one_of_if_set(&at.field("matchPolicy"), &["Equivalent", "Exact"], errors);
    let effects = at.field("sideEffects");
    if effects.is_empty() {
        errors.push(effects.required("must specify one of None, NoneOnDryRun"));
    } else {
        one_of(&effects, &["None", "NoneOnDryRun"], errors);
    }
    let seconds = at.field("timeoutSeconds");
    if let Some(given) = seconds.number().filter(|given| !(1..=30).contains(given)) {
        let reason = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(seconds.path.clone(), given, reason));
    }
    review_versions(&at.field("admissionReviewVersions"), errors);
    client_config(&at.field("clientConfig"), errors);
    for selector in ["namespaceSelector", "objectSelector"] {
        label_selector(&at.field(selector), errors);
    }
    match_conditions(&at.field("matchConditions"), errors);
}

/// The versions of reviews that a webhook understands.
pub(super) fn review_versions(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.count() == 0 {
        errors.push(at.required("must specify one of v1, v1beta1"));
        return;
    }
    let mut seen = BTreeSet::new();
    for version in at.items() {
        if seen.insert(version.text().to_owned()) {
            named(&version, names::dns_1035_label, errors);
        } else {
            errors.push(version.invalid("duplicate version"));
        }
    }
    if !at.items().any(|version| matches!(version.text(), "v1" | "v1beta1")) {
        errors.push(at.invalid("must include at least one of v1, v1beta1"));
    }
}

/// Where a webhook is.
pub(super) fn client_config(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let (url, service) = (at.field("url"), at.field("service"));
    if url.is_set() == service.is_set() {
        errors.push(at.required("exactly one of url or service is required"));
        return;
    }
    if service.is_set() {
        required(&service.field("name"), errors);
        required(&service.field("namespace"), errors);
        within(&service.field("port"), 1, 65_535, errors);
        let path = service.field("path");
        if !path.is_empty() && !path.text().starts_with('/') {
            errors.push(path.invalid("must start with a '/'"));
        }
        return;
    }
    let form = "; desired format: https://host[/path]";
    match url.text().strip_prefix("https://") {
        None => errors.push(url.invalid(format!("'https' is the only allowed URL scheme{form}"))),
        Some(rest) => {
            let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
            if host.is_empty() {
                errors.push(url.invalid(format!("host must be specified{form}")));
            }
            for (mark, reason) in [
                ('#', "fragments are not permitted in the URL"),
                ('?', "query parameters are not permitted in the URL"),
            ] {
                if rest.contains(mark) {
                    errors.push(url.invalid(reason));
                }
            }
            if host.contains('@') {
                errors.push(url.invalid("user information is not permitted in the URL"));
            }
        }
    }
}

/// Certificates by which another server is known, in PEM and base64.
pub(super) fn ca_bundle(at: &At<'_>, errors: &mut Vec<FieldError>) {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    if at.is_empty() {
        return;
    }
    let bundle = STANDARD
        .decode(at.text())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let first = bundle
        .as_deref()
        .and_then(|bundle| bundle.split_once(BEGIN)?.1.split_once(END));
    let is_base64 = |text: &str| {
        STANDARD
            .decode(text.split_ascii_whitespace().collect::<String>())
            .is_ok()
    };
    if !first.is_some_and(|(body, _)| is_base64(body)) {
        errors.push(at.invalid("unable to load root certificates: unable to parse bytes as PEM block"));
    }
}

fn rule(at: &At<'_>, errors: &mut Vec<FieldError>) {
    let operations = at.field("operations");
    required(&operations, errors);
    for operation in operations.items() {
        one_of(&operation, &OPERATIONS, errors);
    }
    for (list, what) in [
        ("operations", "operations"),
        ("apiGroups", "API groups"),
        ("apiVersions", "API versions"),
    ] {
        let list = at.field(list);
        if list.count() > 1 && list.items().any(|item| item.text() == "*") {
            errors.push(list.invalid(format!("if '*' is present, must not specify other {what}")));
        }
    }
    required(&at.field("apiGroups"), errors);
    let versions = at.field("apiVersions");
    required(&versions, errors);
    versions
        .items()
        .filter(At::is_empty)
        .for_each(|version| errors.push(version.required("")));
    let resources = at.field("resources");
    required(&resources, errors);
    for resource in resources.items().filter(At::is_empty) {
        errors.push(resource.required(""));
    }
    one_of_if_set(&at.field("scope"), &SCOPES, errors);
}

fn match_conditions(list: &At<'_>, errors: &mut Vec<FieldError>) {
    if list.count() > MATCH_CONDITIONS_MAX {
        errors.push(FieldError::too_many(
            list.path.clone(),
            list.count(),
            MATCH_CONDITIONS_MAX,
        ));
        return;
    }
    for condition in list.items() {
        let name = condition.field("name");
        if required(&name, errors) {
            named(&name, names::label_key, errors);
        }
        expression(&condition.field("expression"), errors);
    }
    unique_field(list, "name", errors);
}

fn expression(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.text().trim().is_empty() {
        errors.push(at.required(""));
    } else if let Err(reason) = check_expression(at.text()) {
        errors.push(at.invalid(format!("compilation failed: {reason}")));
    }
}

fn mutation_expression(at: &At<'_>, errors: &mut Vec<FieldError>) {
    if at.text().trim().is_empty() {
        errors.push(at.required(""));
    } else if let Err(reason) = Expression::compile_mutation(at.text()) {
        errors.push(at.invalid(reason.to_string()));
    }
}

fn policy(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let kind = spec.field("paramKind");
    if kind.is_set() {
        required(&kind.field("apiVersion"), errors);
        required(&kind.field("kind"), errors);
    }
    one_of_if_set(&spec.field("failurePolicy"), &["Fail", "Ignore"], errors);
    let constraints = spec.field("matchConstraints");
    if required(&constraints, errors) {
        required(&constraints.field("resourceRules"), errors);
        match_resources(&constraints, errors);
    }
    match_conditions(&spec.field("matchConditions"), errors);
    for variable in spec.field("variables").items() {
        let name = variable.field("name");
        if required(&name, errors) && !is_identifier(name.text()) {
            errors.push(name.invalid("name is not a valid CEL identifier"));
        }
        expression(&variable.field("expression"), errors);
    }
    unique_field(&spec.field("variables"), "name", errors);
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn match_resources(at: &At<'_>, errors: &mut Vec<FieldError>) {
    one_of_if_set(&at.field("matchPolicy"), &["Equivalent", "Exact"], errors);
    for selector in ["namespaceSelector", "objectSelector"] {
        label_selector(&at.field(selector), errors);
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        at.field(list).items().for_each(|item| rule(&item, errors));
    }
}

fn validating_policy(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    policy(spec, errors);
    let (validations, audits) = (spec.field("validations"), spec.field("auditAnnotations"));
    if validations.count() == 0 && audits.count() == 0 {
        let reason = "validations or auditAnnotations must contain at least one item";
        errors.push(validations.required(reason));
        errors.push(audits.required(reason));
        return;
    }
    for validation in validations.items() {
        let rule = validation.field("expression");
        if rule.text().trim().is_empty() {
            errors.push(rule.required("expression is not specified"));
        } else {
            expression(&rule, errors);
        }
        let message = validation.field("message");
        if message.text().trim().contains('\n') {
            errors.push(message.invalid("message must not contain line breaks"));
        }
        if !validation.field("messageExpression").is_empty() {
            expression(&validation.field("messageExpression"), errors);
        }
        let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
        one_of_if_set(&validation.field("reason"), &reasons, errors);
    }
    for audit in audits.items() {
        let key = audit.field("key");
        if required(&key, errors) {
            named(&key, names::label_key, errors);
        }
        expression(&audit.field("valueExpression"), errors);
    }
}

fn mutating_policy(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    policy(spec, errors);
    let mutations = spec.field("mutations");
    if mutations.count() == 0 {
        errors.push(mutations.required("mutations must contain at least one item"));
    }
    for mutation in mutations.items() {
        let kind = mutation.field("patchType");
        one_of(&kind, &["ApplyConfiguration", "JSONPatch"], errors);
        let (field, other) = match kind.text() {
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
            "JSONPatch" => ("jsonPatch", "applyConfiguration"),
            _ => continue,
        };
        let patch = mutation.field(field);
        if !patch.is_set() {
            errors.push(patch.required(format!("must be specified when patchType is {}", kind.text())));
        } else {
            mutation_expression(&patch.field("expression"), errors);
        }
        if mutation.field(other).is_set() {
            let reason = format!("may not be specified when patchType is {}", kind.text());
            errors.push(mutation.field(other).forbidden(reason));
        }
    }
    one_of(&spec.field("reinvocationPolicy"), &["IfNeeded", "Never"], errors);
}

fn binding(spec: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = spec.field("policyName");
    if required(&name, errors) {
        named(&name, names::dns_subdomain, errors);
    }
    let reference = spec.field("paramRef");
    if reference.is_set() {
        let (name, selector) = (reference.field("name"), reference.field("selector"));
        match (!name.is_empty(), selector.is_set()) {
            (true, true) => errors.push(name.forbidden("name and selector are mutually exclusive")),
            (false, false) => errors.push(reference.required("one of name or selector must be specified")),
            (true, false) => named_if_set(&name, names::dns_subdomain, errors),
            (false, true) => label_selector(&selector, errors),
        }
        one_of(&reference.field("parameterNotFoundAction"), &["Allow", "Deny"], errors);
    }
    let resources = spec.field("matchResources");
    if resources.is_set() {
        match_resources(&resources, errors);
    }
}

fn actions(list: &At<'_>, errors: &mut Vec<FieldError>) {
    if !required(list, errors) {
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for action in list.items() {
        one_of(&action, &["Audit", "Deny", "Warn"], errors);
        if seen.contains(&action.text()) {
            errors.push(action.duplicate());
        }
        seen.push(action.text());
    }
    if seen.contains(&"Deny") && seen.contains(&"Warn") {
        let reason = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                      API response and headers serves no purpose)";
        errors.push(list.invalid(reason));
    }
}

fn api_service(root: &At<'_>, errors: &mut Vec<FieldError>) {
    let spec = root.field("spec");
    let (group, version) = (spec.field("group"), spec.field("version"));
    let name = root.field("metadata").field("name");
    let expected = format!("{}.{}", version.text(), group.text());
    if name.text() != expected && !(group.is_empty() && name.text() == format!("{}.", version.text())) {
        errors.push(name.invalid(format!("must be `spec.version+\".\"+spec.group`: {expected:?}")));
    }
    named_if_set(&group, names::dns_subdomain, errors);
    if required(&version, errors) {
        named(&version, names::dns_1035_label, errors);
    }
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let priority = spec.field(field);
        let given = priority.number().unwrap_or(0);
        if !(1..=max).contains(&given) {
            let reason = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(priority.path.clone(), given, reason));
        }
    }
    let (service, bundle, skip) = (
        spec.field("service"),
        spec.field("caBundle"),
        spec.field("insecureSkipTLSVerify"),
    );
    if !service.is_set() {
        if !bundle.is_empty() {
            errors.push(bundle.invalid("local APIServices may not have a caBundle"));
        }
        if skip.is_true() {
            errors.push(skip.invalid("local APIServices may not have insecureSkipTLSVerify"));
        }
        return;
    }
    required(&service.field("namespace"), errors);
    required(&service.field("name"), errors);
    within(&service.field("port"), 1, 65_535, errors);
    if skip.is_true() && !bundle.is_empty() {
        errors.push(skip.invalid("may not be true if caBundle is present"));
    }
}
