//! Which requests a webhook or a policy is about: rules, selectors, match conditions.
//!
//! Pure. Source: Kubernetes, "Dynamic Admission Control", "Matching requests".

use api::{
    expression::{Answer, Expression, Scope as Names},
    object::Scope as ObjectScope,
    resource::Resource,
    selector::LabelSelector,
};
use serde_json::Value;

use super::review::Subject;

/// The group whose objects say who is asked: they are never asked about themselves, or nobody could mend them.
const OWN_GROUP: &str = "admissionregistration.k8s.io";

/// What is done to which resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
    /// Empty: any name.
    names: Vec<String>,
}

impl Rule {
    /// A rule as it stands in an object, also one with `resourceNames`.
    pub(crate) fn parse(rule: &Value) -> Rule {
        Rule {
            operations: texts(&rule["operations"]),
            groups: texts(&rule["apiGroups"]),
            versions: texts(&rule["apiVersions"]),
            resources: texts(&rule["resources"]),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
            names: texts(&rule["resourceNames"]),
        }
    }

    /// Whether it is about this resource, done by this operation. `subresource` may be empty.
    fn covers(&self, subject: &Subject<'_>, row: &Resource) -> bool {
        let any = |list: &[String], value: &str| list.iter().any(|item| item == "*" || item == value);
        // A namespace is of the cluster, also where it is asked for by its own path.
        let scope = match row.scope {
            ObjectScope::Namespaced => "Namespaced",
            ObjectScope::Cluster => "Cluster",
        };
        any(&self.operations, subject.attempt.operation.name())
            && any(&self.groups, row.group)
            && any(&self.versions, row.version)
            && (self.scope == "*" || self.scope == scope)
            && (self.names.is_empty() || self.names.iter().any(|name| name == subject.attempt.name))
            && self
                .resources
                .iter()
                .any(|pattern| is_resource(pattern, row.plural, subject.attempt.subresource))
    }
}

/// `pods`, `pods/status`, `pods/*`, `*`, `*/scale`, `*/*`
fn is_resource(pattern: &str, plural: &str, subresource: &str) -> bool {
    let (resource, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
    (resource == "*" || resource == plural) && (sub == "*" || sub == subresource)
}

/// Whether a resource in another version than a rule names is what the rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MatchPolicy {
    Exact,
    Equivalent,
}

/// Everything that says what a webhook or policy is about.
#[derive(Debug)]
pub(crate) struct Scope {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    policy: MatchPolicy,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

impl Scope {
    /// Of a webhook, or of `matchConstraints` or `matchResources`: with rules by either name.
    pub(crate) fn parse(object: &Value) -> Scope {
        let rules = |field: &str| {
            object[field]
                .as_array()
                .into_iter()
                .flatten()
                .map(Rule::parse)
                .collect()
        };
        let mut own: Vec<Rule> = rules("rules");
        own.extend::<Vec<Rule>>(rules("resourceRules"));
        let selector = |field: &str| match &object[field] {
            Value::Null => LabelSelector::everything(),
            selector => LabelSelector::from_value(selector).unwrap_or_else(|_| LabelSelector::nothing()),
        };
        Scope {
            rules: own,
            excluded: rules("excludeResourceRules"),
            policy: match object["matchPolicy"].as_str() {
                Some("Exact") => MatchPolicy::Exact,
                _ => MatchPolicy::Equivalent,
            },
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// The row in whose form it wants to see the subject; none if it is not about it. `rows` are all rows of the
    /// subject's collection; the row of the request comes first.
    pub(crate) fn row<'r>(&self, subject: &Subject<'_>, rows: &[&'r Resource]) -> Option<&'r Resource> {
        let asked = *rows.first()?;
        if asked.group == OWN_GROUP {
            return None;
        }
        let rows = match self.policy {
            MatchPolicy::Exact => &rows[..1],
            MatchPolicy::Equivalent => rows,
        };
        // A policy's binding may leave the rules to the policy.
        let found = if self.rules.is_empty() {
            asked
        } else {
            *rows
                .iter()
                .find(|row| self.rules.iter().any(|rule| rule.covers(subject, row)))?
        };
        if rows
            .iter()
            .any(|row| self.excluded.iter().any(|rule| rule.covers(subject, row)))
        {
            return None;
        }
        (self.is_in_namespace(subject) && self.is_labelled(subject)).then_some(found)
    }

    fn is_in_namespace(&self, subject: &Subject<'_>) -> bool {
        self.namespaces.is_everything()
            || match subject.namespace_labels() {
                Some(labels) => self.namespaces.matches_map(labels),
                // What is in no namespace is not left out for its labels.
                None => true,
            }
    }

    fn is_labelled(&self, subject: &Subject<'_>) -> bool {
        self.objects.is_everything() || subject.objects().any(|object| self.objects.matches_object(object))
    }
}

/// A named expression that must hold for the webhook or policy to be asked.
#[derive(Debug)]
pub(crate) struct Condition {
    name: String,
    expression: Result<Expression, String>,
}

/// What conditions came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All hold.
    Holds,
    /// One does not.
    Not,
    /// None is false, and one has no value.
    Fails(String),
}

/// `matchConditions`
pub(crate) fn conditions(list: &Value) -> Vec<Condition> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|condition| Condition {
            name: condition["name"].as_str().unwrap_or_default().to_owned(),
            expression: Expression::compile(condition["expression"].as_str().unwrap_or_default())
                .map_err(|error| error.to_string()),
        })
        .collect()
}

/// Asks all conditions: one that does not hold decides, also where another fails.
pub(crate) fn judge(conditions: &[Condition], names: &Names) -> Verdict {
    let mut verdict = Verdict::Holds;
    for condition in conditions {
        let answer = match &condition.expression {
            Ok(expression) => expression.evaluate(names).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        match answer {
            Ok(Answer::Bool(true)) => {}
            Ok(Answer::Bool(false)) => return Verdict::Not,
            Ok(_) => verdict = Verdict::Fails(format!("match condition {:?} is no bool", condition.name)),
            Err(error) => {
                let name = &condition.name;
                verdict = Verdict::Fails(format!("match condition {name:?} cannot be evaluated: {error}"));
            }
        }
    }
    verdict
}

pub(crate) fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
