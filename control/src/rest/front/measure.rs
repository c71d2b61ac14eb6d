//! Under which labels a request is counted. Pure.
//!
//! Only kinds, subresources and paths that are served become labels, so that no client can make up series.
//! Source: Kubernetes metrics reference, `apiserver_request_total`.

use api::resource::Kinds;
use http::{Method, request::Parts};

use super::super::{
    is_long,
    negotiate::{BodyType, body_type},
    path::{ObjectPath, Route},
    query::Query,
    verb,
};
use crate::metrics::RequestMeter;

/// The program that answers, as dashboards select it.
const COMPONENT: &str = "apiserver";

/// What a request is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    /// Of a path that is not about objects: the path.
    subresource: &'static str,
    scope: &'static str,
    changes: bool,
}

/// The labels of a request, and whether it may last as long as its client wants.
pub(super) fn labels(kinds: &Kinds, parts: &Parts, route: Option<&Route>) -> (Labels, bool) {
    let query = Query::parse(&parts.uri).unwrap_or_default();
    let Some(Route::Objects(object)) = route else {
        return (of_path(&parts.method, route), false);
    };
    let is_long = is_long(&query, object);
    let Some(row) = object.resource(kinds) else {
        return (of_path(&parts.method, None), is_long);
    };
    let asked = verb(&parts.method, query.flag("watch"), object);
    let first = object.subresource.split('/').next().unwrap_or_default();
    let is_connect = matches!(first, "exec" | "attach" | "portforward" | "proxy" | "log");
    let labels = Labels {
        verb: match asked {
            _ if is_connect => "CONNECT",
            "get" => "GET",
            "list" => "LIST",
            "watch" => "WATCH",
            "create" => "POST",
            "update" => "PUT",
            "patch" if body_type(&parts.headers) == BodyType::ApplyPatch => "APPLY",
            "patch" => "PATCH",
            "delete" => "DELETE",
            "deletecollection" => "DELETECOLLECTION",
            _ => "other",
        },
        dry_run: if query.get("dryRun") == "All" { "All" } else { "" },
        group: row.group,
        version: row.version,
        resource: row.plural,
        subresource: row.subresource(first).map_or("", |subresource| subresource.name),
        scope: scope(object, asked),
        changes: !matches!(asked, "get" | "list" | "watch"),
    };
    (labels, is_long)
}

fn scope(object: &ObjectPath, asked: &str) -> &'static str {
    match (object.name.as_str(), object.namespace.as_str()) {
        ("", _) if asked == "create" => "resource",
        ("", "") => "cluster",
        ("", _) => "namespace",
        _ => "resource",
    }
}

fn of_path(method: &Method, route: Option<&Route>) -> Labels {
    Labels {
        verb: match method.as_str() {
            "GET" | "HEAD" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            _ => "other",
        },
        dry_run: "",
        group: "",
        version: "",
        resource: "",
        subresource: match route {
            Some(Route::Root) => "/",
            Some(Route::Version) => "/version",
            Some(Route::Metrics) => "/metrics",
            Some(Route::Health { check, .. }) => match check.as_str() {
                "livez" => "/livez",
                "readyz" => "/readyz",
                _ => "/healthz",
            },
            Some(Route::CoreVersions) => "/api",
            Some(Route::Groups | Route::Group(_) | Route::Resources { .. }) => "/apis",
            Some(Route::OpenApiV2) => "/openapi/v2",
            Some(Route::OpenApiIndex | Route::OpenApiDocument(_)) => "/openapi/v3",
            Some(Route::OpenIdConfiguration | Route::OpenIdKeys) => "/openid",
            Some(Route::NodeNet { .. }) => "/skep/v1/nodes",
            Some(Route::Objects(_)) | None => "",
        },
        scope: "",
        changes: !matches!(*method, Method::GET | Method::HEAD),
    }
}

impl Labels {
    /// Whether it is a watch.
    pub(super) fn is_watch(&self) -> bool {
        self.verb == "WATCH"
    }

    fn kind(&self) -> &'static str {
        if self.changes { "mutating" } else { "readOnly" }
    }

    fn of_long(&self) -> [&'static str; 7] {
        [
            self.verb,
            self.group,
            self.version,
            self.resource,
            self.subresource,
            self.scope,
            COMPONENT,
        ]
    }

    /// Counts a request that begins.
    pub(super) fn begin(&self, meter: &RequestMeter, is_long: bool) {
        if is_long {
            meter.long_running.with_label_values(&self.of_long()).inc();
        } else {
            meter.in_flight.with_label_values(&[self.kind()]).inc();
        }
    }

    /// Counts a request that has ended.
    pub(super) fn end(&self, meter: &RequestMeter, is_long: bool, code: u16, seconds: f64) {
        if is_long {
            meter.long_running.with_label_values(&self.of_long()).dec();
        } else {
            meter.in_flight.with_label_values(&[self.kind()]).dec();
        }
        let asked = [
            self.verb,
            self.dry_run,
            self.group,
            self.version,
            self.resource,
            self.subresource,
            self.scope,
            COMPONENT,
        ];
        meter.seconds.with_label_values(&asked).observe(seconds);
        let [verb, dry_run, group, version, resource, subresource, scope, component] = asked;
        let code = code.to_string();
        let answered = [
            verb,
            dry_run,
            group,
            version,
            resource,
            subresource,
            scope,
            component,
            &code,
        ];
        meter.total.with_label_values(&answered).inc();
    }
}

#[cfg(test)]
mod tests;
