//! Roles and what binds them.

use super::{
    at::At,
    checks::{named, required},
    error::FieldError,
    names, selectors,
};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn create(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    match kind {
        "Role" | "ClusterRole" => role(kind, root, errors),
        "RoleBinding" | "ClusterRoleBinding" => binding(kind, root, errors),
        _ => {}
    }
}

pub(super) fn update(kind: &str, new: &At<'_>, old: &At<'_>, errors: &mut Vec<FieldError>) {
    create(kind, new, errors);
    let (reference, before) = (new.field("roleRef"), old.field("roleRef"));
    if reference.value != before.value {
        errors.push(reference.invalid("cannot change roleRef"));
    }
}

fn role(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    for rule in root.field("rules").items() {
        policy_rule(kind, &rule, errors);
    }
    let aggregation = root.field("aggregationRule");
    if kind == "ClusterRole" && aggregation.map().is_some() {
        let list = aggregation.field("clusterRoleSelectors");
        if list.count() == 0 {
            let reason = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(list.required(reason));
        }
        for selector in list.items() {
            selectors::label_selector(&selector, errors);
        }
    }
}

fn policy_rule(kind: &str, rule: &At<'_>, errors: &mut Vec<FieldError>) {
    let verbs = rule.field("verbs");
    if verbs.count() == 0 {
        errors.push(verbs.required("verbs must contain at least one value"));
    }
    let (groups, resources) = (rule.field("apiGroups"), rule.field("resources"));
    let urls = rule.field("nonResourceURLs");
    if urls.count() > 0 {
        if kind == "Role" {
            errors.push(urls.invalid("namespaced rules cannot apply to non-resource URLs"));
        }
        if groups.count() + resources.count() + rule.field("resourceNames").count() > 0 {
            errors.push(urls.invalid("rules cannot apply to both regular resources and non-resource URLs"));
        }
        return;
    }
    if groups.count() == 0 {
        errors.push(groups.required("resource rules must supply at least one api group"));
    }
    if resources.count() == 0 {
        errors.push(resources.required("resource rules must supply at least one resource"));
    }
}

fn binding(kind: &str, root: &At<'_>, errors: &mut Vec<FieldError>) {
    let reference = root.field("roleRef");
    let group = reference.field("apiGroup");
    if group.text() != GROUP {
        errors.push(group.not_supported(&[GROUP]));
    }
    let roles: &[&str] = match kind {
        "ClusterRoleBinding" => &["ClusterRole"],
        _ => &["ClusterRole", "Role"],
    };
    let role_kind = reference.field("kind");
    if !roles.contains(&role_kind.text()) {
        errors.push(role_kind.not_supported(roles));
    }
    let name = reference.field("name");
    if required(&name, errors) {
        named(&name, names::path_segment, errors);
    }
    for at in root.field("subjects").items() {
        subject(kind, &at, errors);
    }
}

fn subject(binding: &str, at: &At<'_>, errors: &mut Vec<FieldError>) {
    let name = at.field("name");
    required(&name, errors);
    let (kind, group) = (at.field("kind"), at.field("apiGroup"));
    match kind.text() {
        "ServiceAccount" => {
            if !name.is_empty() {
                named(&name, names::dns_subdomain, errors);
            }
            if !group.is_empty() {
                errors.push(group.not_supported(&[""]));
            }
            if binding == "ClusterRoleBinding" {
                required(&at.field("namespace"), errors);
            }
        }
        "User" | "Group" => {
            if group.text() != GROUP {
                errors.push(group.not_supported(&[GROUP]));
            }
        }
        _ => errors.push(kind.not_supported(&["ServiceAccount", "User", "Group"])),
    }
}
