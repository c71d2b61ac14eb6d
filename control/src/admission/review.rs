//! What webhooks and policies are told of a request: the parts of an AdmissionReview.
//!
//! Pure. Source: Kubernetes API reference, admission.k8s.io/v1 AdmissionReview.

use std::borrow::Cow;

use api::{expression::Scope as Names, resource::Resource};
use serde_json::{Map, Value, json};

use super::authorizer;
use crate::{
    auth::Caller,
    authorization::Access,
    engine::{Annotations, Target, Warnings, WriteOptions, object},
};

/// What somebody does with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Connect,
    Create,
    Delete,
    Update,
}

impl Operation {
    /// As rules name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Operation::Connect => "CONNECT",
            Operation::Create => "CREATE",
            Operation::Delete => "DELETE",
            Operation::Update => "UPDATE",
        }
    }

    /// The kind of the options of such a request.
    const fn options(self) -> Option<&'static str> {
        match self {
            // What is connected to has its options for an object.
            Operation::Connect => None,
            Operation::Create => Some("CreateOptions"),
            Operation::Delete => Some("DeleteOptions"),
            Operation::Update => Some("UpdateOptions"),
        }
    }
}

/// Somebody is about to do something with an object. Objects are in the form that is stored.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) operation: Operation,
    /// The row of the request.
    pub(crate) asked: &'a Resource,
    /// Empty for the object itself.
    pub(crate) subresource: &'a str,
    /// Of no meaning for what is of the cluster.
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The version that is there; none before a creation.
    pub(crate) old: Option<&'a Value>,
    pub(crate) dry_run: bool,
    pub(crate) warnings: &'a Warnings,
    /// For the audit log.
    pub(crate) annotations: &'a Annotations,
}

impl<'a> Attempt<'a> {
    /// Before it is known what is there.
    pub(crate) fn new(
        caller: &'a Caller,
        operation: Operation,
        asked: &'a Resource,
        namespace: &'a str,
        name: &'a str,
        options: &'a WriteOptions,
    ) -> Attempt<'a> {
        Attempt {
            caller,
            operation,
            asked,
            subresource: "",
            namespace,
            name,
            old: None,
            dry_run: options.dry_run,
            warnings: &options.warnings,
            annotations: &options.annotations,
        }
    }

    /// What a refusal is about.
    pub(crate) fn target(&self) -> Target {
        Target::new(self.asked, self.name)
    }

    /// Whether a pod is being bound to a node, which is the scheduler's own business.
    pub(crate) fn is_binding(&self) -> bool {
        self.subresource == "binding" && self.asked.group.is_empty() && self.asked.kind == "Pod"
    }
}

/// What webhooks and policies are told of an attempt.
pub(crate) struct Subject<'a> {
    pub(crate) attempt: &'a Attempt<'a>,
    /// What it is about to become; none for a deletion.
    pub(crate) object: Option<&'a Value>,
    /// The namespace of the object; none for what is of the cluster.
    pub(crate) in_namespace: Option<&'a Value>,
    /// Knows who may do what; without it, expressions cannot ask.
    pub(crate) access: Option<&'a Access>,
}

impl<'a> Subject<'a> {
    /// The labels that namespace selectors are about: of the namespace that the object is in, or that it is.
    pub(super) fn namespace_labels(&self) -> Option<Option<&'a Map<String, Value>>> {
        let is_namespace = self.attempt.asked.group.is_empty() && self.attempt.asked.plural == "namespaces";
        let namespace = if is_namespace {
            self.object.or(self.attempt.old)
        } else {
            self.in_namespace
        };
        namespace.map(|namespace| namespace["metadata"]["labels"].as_object())
    }

    /// The new and the old object, as far as there are any.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &'a Value> {
        self.object.into_iter().chain(self.attempt.old)
    }

    /// Whether its objects are of the row's kind, and not options or a Scale.
    pub(crate) fn is_whole(&self) -> bool {
        self.attempt.operation != Operation::Connect && self.attempt.subresource != "scale"
    }

    /// What somebody is told who wants to see it as this row shows it, of a kind that no webhook converts.
    pub(crate) fn told(&self, row: &'a Resource) -> Told<'a> {
        Told {
            attempt: *self.attempt,
            row,
            object: self.object.map(|object| self.shown(row, object)),
            old: self.attempt.old.map(|object| self.shown(row, object)),
            in_namespace: self.in_namespace,
            access: self.access,
        }
    }

    /// The same, with its objects as a webhook has converted them.
    pub(crate) fn told_converted(&self, row: &'a Resource, object: Option<Value>, old: Option<Value>) -> Told<'a> {
        Told {
            attempt: *self.attempt,
            row,
            object: object.map(Cow::Owned),
            old: old.map(Cow::Owned),
            in_namespace: self.in_namespace,
            access: self.access,
        }
    }

    /// An object of it in the form of a row of a kind that no webhook converts.
    pub(crate) fn shown<'o>(&self, row: &Resource, object: &'o Value) -> Cow<'o, Value> {
        if !self.is_whole() || (row.stored_as.is_none() && row.custom.is_none()) {
            return Cow::Borrowed(object);
        }
        let mut shown = object.clone();
        object::show_as(row, &mut shown);
        Cow::Owned(shown)
    }
}

/// A subject as a row shows it.
pub(crate) struct Told<'a> {
    attempt: Attempt<'a>,
    row: &'a Resource,
    pub(crate) object: Option<Cow<'a, Value>>,
    old: Option<Cow<'a, Value>>,
    in_namespace: Option<&'a Value>,
    access: Option<&'a Access>,
}

impl Told<'_> {
    /// The `request` of a review.
    pub(crate) fn request(&self, uid: &str) -> Value {
        let namespace = if self.attempt.asked.is_namespaced() {
            self.attempt.namespace
        } else {
            ""
        };
        let kind = |row: &Resource| {
            let (group, version, kind) = match row.subresource(self.attempt.subresource) {
                Some(sub) if !self.attempt.subresource.is_empty() => (sub.group, sub.version, sub.kind),
                _ => (row.group, row.version, row.kind),
            };
            json!({ "group": group, "version": version, "kind": kind })
        };
        let resource = |row: &Resource| json!({ "group": row.group, "version": row.version, "resource": row.plural });
        let mut request = json!({
            "uid": uid,
            "kind": kind(self.row),
            "resource": resource(self.row),
            "requestKind": kind(self.attempt.asked),
            "requestResource": resource(self.attempt.asked),
            "operation": self.attempt.operation.name(),
            "userInfo": self.attempt.caller.user_info(),
            "object": self.object,
            "oldObject": self.old,
            "dryRun": self.attempt.dry_run,
            "options": self.attempt.operation.options().map(|kind| json!({ "kind": kind, "apiVersion": "meta.k8s.io/v1" })),
        });
        for (field, text) in [
            ("name", self.attempt.name),
            ("namespace", namespace),
            ("subResource", self.attempt.subresource),
            ("requestSubResource", self.attempt.subresource),
        ] {
            if !text.is_empty() {
                request[field] = json!(text);
            }
        }
        request
    }

    /// The names that expressions can use, apart from what a policy adds.
    pub(crate) fn names(&self) -> Names {
        let mut names = Names::default();
        let mut request = self.request("");
        for (field, name) in [("object", "object"), ("oldObject", "oldObject")] {
            names.set(name, &request[field].take());
        }
        if let Some(fields) = request.as_object_mut() {
            for field in ["uid", "object", "oldObject"] {
                fields.remove(field);
            }
        }
        names.set("request", &request);
        if let Some(access) = self.access {
            names.set_authorizer(
                authorizer::of(access, &self.attempt),
                authorizer::question(&self.attempt),
            );
        }
        names
    }

    /// The names that the expressions of a policy can use, with these parameters.
    pub(crate) fn names_with(&self, params: &Value) -> Names {
        let mut names = self.names();
        names.set("namespaceObject", self.in_namespace.unwrap_or(&Value::Null));
        names.set("params", params);
        names
    }
}
