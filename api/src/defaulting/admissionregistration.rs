//! Defaults of `admissionregistration.k8s.io`.

use serde_json::{Map, Value, json};

use super::fields::{child, items, set_default};

const WEBHOOK_TIMEOUT_S: i64 = 10;

pub(super) fn apply(kind: &str, object: &mut Map<String, Value>) {
    match kind {
        "MutatingWebhookConfiguration" => {
            for webhook in items(object, "webhooks") {
                set_default(webhook, "reinvocationPolicy", "Never");
                self::webhook(webhook);
            }
        }
        "ValidatingWebhookConfiguration" => items(object, "webhooks").for_each(webhook),
        "MutatingAdmissionPolicy" | "ValidatingAdmissionPolicy" => {
            if let Some(spec) = child(object, "spec") {
                set_default(spec, "failurePolicy", "Fail");
                if let Some(constraints) = child(spec, "matchConstraints") {
                    match_resources(constraints);
                }
            }
        }
        "MutatingAdmissionPolicyBinding" | "ValidatingAdmissionPolicyBinding" => {
            if let Some(resources) = child(object, "spec").and_then(|spec| child(spec, "matchResources")) {
                match_resources(resources);
            }
        }
        _ => {}
    }
}

fn webhook(webhook: &mut Map<String, Value>) {
    set_default(webhook, "failurePolicy", "Fail");
    set_default(webhook, "timeoutSeconds", WEBHOOK_TIMEOUT_S);
    matches(webhook);
    for rule in items(webhook, "rules") {
        set_default(rule, "scope", "*");
    }
    if let Some(service) = child(webhook, "clientConfig").and_then(|config| child(config, "service")) {
        set_default(service, "port", 443);
    }
}

fn match_resources(constraints: &mut Map<String, Value>) {
    matches(constraints);
    for rules in ["excludeResourceRules", "resourceRules"] {
        for rule in items(constraints, rules) {
            set_default(rule, "scope", "*");
        }
    }
}

/// What webhooks and policies share: everything matches unless they say otherwise.
fn matches(fields: &mut Map<String, Value>) {
    set_default(fields, "matchPolicy", "Equivalent");
    set_default(fields, "namespaceSelector", json!({}));
    set_default(fields, "objectSelector", json!({}));
}
