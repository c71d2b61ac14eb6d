//! The course of one request around its handler: it is written down, counted, bounded, and answered whatever happens.
//!
//! A [`Course`] begins with the request and ends, by being dropped, with the last byte of its answer: so the end of a
//! watch, and of a request whose client went away, is written down and counted, too.
//! Source: Kubernetes, "Auditing"; the order of kube-apiserver's filters.

mod measure;
mod tap;

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use api::{Timestamp, protobuf};
use axum::body::Body;
use bytes::Bytes;
use futures::{FutureExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Request as HttpRequest, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use self::{measure::Labels, tap::Tap};
use super::{
    Inner, Peer, Rest, gate,
    negotiate::{BodyType, body_type},
    path::{self, Route},
    remainder, status,
};
use crate::{
    audit::{self, Arrival, ObjectReference, Trail},
    auth::Caller,
    authorization::Request,
    engine::{Annotations, ApiError},
    flow::Seat,
};

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-kubernetes-pf-flowschema-uid"),
    HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"),
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// Of an id that a client gives its request: that of a UUID, twice.
const AUDIT_ID_BYTES_MAX: usize = 72;
/// Addresses that proxies may name; more are not proxies.
const FORWARDED_MAX: usize = 16;
/// The code of a request whose client did not wait for the answer, as others write it down; it is never sent.
const CLIENT_GONE: u16 = 499;

/// One request and what is known of it so far.
pub(super) struct Course {
    inner: Arc<Inner>,
    pub(super) route: Option<Route>,
    /// What it asks to do, as rules see it.
    pub(super) asked: Request,
    /// It may last as long as its client wants.
    pub(super) is_long: bool,
    trail: Trail,
    /// What the engine says to the log.
    pub(super) annotations: Annotations,
    labels: Labels,
    begun: Instant,
    tap: Option<Tap>,
    /// Uids of its flow schema and its priority level.
    flow: Option<[String; 2]>,
    seat: Option<Seat>,
    end: Option<End>,
}

/// What came of a request.
struct End {
    code: u16,
    /// The Status to write down.
    status: Value,
    is_panic: bool,
}

/// Answers a request, whatever happens.
pub(super) async fn pass(rest: Rest, request: HttpRequest<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let path = parts.uri.path().to_owned();
    let headers = parts.headers.clone();
    let mut course = Course::begin(rest.inner.clone(), &parts);
    let (body, remainder) = remainder::lend(body);
    // A request that hits a bug must not take the other requests of its connection with it.
    let answer = AssertUnwindSafe(rest.answer(&mut course, parts, body))
        .catch_unwind()
        .await;
    let (mut response, end) = match answer {
        Ok(Ok(response)) => {
            let end = End::of(response.status(), None);
            (response, end)
        }
        Ok(Err(error)) => refused(&error),
        Err(_) => refused(&ApiError::Panicked),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        remainder.discard().await;
    }
    tracing::debug!(%method, path, code = response.status().as_u16(), "request");
    if let Ok(id) = HeaderValue::from_str(course.trail.id()) {
        response.headers_mut().insert(AUDIT_ID, id);
    }
    // A watch takes a seat only while it begins; all other answers are complete.
    course.seat = None;
    for (name, uid) in FLOW_HEADERS.into_iter().zip(course.flow.take().into_iter().flatten()) {
        if let Ok(uid) = HeaderValue::from_str(&uid) {
            response.headers_mut().insert(name, uid);
        }
    }
    for (key, value) in course.annotations.take() {
        course.trail.annotate(key, &value);
    }
    course.tell_objects(&headers, &mut response).await;
    let begins = course.is_long && !response.status().is_client_error() && !response.status().is_server_error();
    if begins {
        course.trail.started(end.code);
        course.end = Some(end);
        return tap::held(response, course);
    }
    course.end = Some(end);
    response
}

fn refused(error: &ApiError) -> (Response<Body>, End) {
    let response = status::refuse(error);
    let mut end = End::of(response.status(), Some(status::failure(error)));
    end.is_panic = matches!(error, ApiError::Panicked);
    (response, end)
}

impl End {
    fn of(code: StatusCode, failure: Option<Value>) -> End {
        let mut status = failure.unwrap_or_else(|| json!({ "metadata": {}, "code": code.as_u16() }));
        // What is written down is a part of an event, not an object of its own.
        if let Some(fields) = status.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        End {
            code: code.as_u16(),
            status,
            is_panic: false,
        }
    }
}

impl Course {
    fn begin(inner: Arc<Inner>, parts: &Parts) -> Course {
        let route = path::parse(parts.uri.path());
        let asked = gate::request(parts, route.as_ref());
        let (labels, is_long) = measure::labels(&inner.engine.registry().kinds(), parts, route.as_ref());
        let trail = inner.audit.follow(arrival(parts));
        labels.begin(&inner.metrics.requests, is_long);
        Course {
            inner,
            route,
            asked,
            is_long,
            trail,
            annotations: Annotations::default(),
            labels,
            begun: Instant::now(),
            tap: None,
            flow: None,
            seat: None,
            end: None,
        }
    }

    /// It is known who asks; nobody if that failed.
    pub(super) fn received(&mut self, caller: Option<&Caller>) {
        let reference = match &self.route {
            Some(Route::Objects(object)) => Some(ObjectReference {
                resource: object.plural.clone(),
                namespace: match &self.asked {
                    Request::Resource(asked) => asked.namespace.clone(),
                    Request::Path { .. } => object.namespace.clone(),
                },
                name: object.name.clone(),
                group: object.group.clone(),
                version: object.version.clone(),
                subresource: object.subresource.clone(),
                ..ObjectReference::default()
            }),
            _ => None,
        };
        self.trail.received(caller, &self.asked, reference);
    }

    /// The caller acts as another.
    pub(super) fn impersonated(&mut self, caller: &Caller) {
        self.trail.impersonated(caller);
    }

    /// Waits until the request may run. Logs and streams last and do little: they take no seat.
    ///
    /// # Errors
    /// When its client has too many others.
    pub(super) async fn take_seat(&mut self, caller: &Caller) -> Result<(), ApiError> {
        if self.is_long && !self.labels.is_watch() {
            return Ok(());
        }
        let admission = self
            .inner
            .flow
            .admit(caller, &self.asked)
            .await
            .map_err(ApiError::Read)?;
        self.flow = Some([admission.schema_uid, admission.level_uid]);
        match admission.seat {
            Ok(seat) => {
                self.seat = Some(seat);
                Ok(())
            }
            Err(refusal) => {
                tracing::debug!(user = caller.user, ?refusal, "too many requests");
                Err(ApiError::TooManyRequests(
                    "too many requests, please try again later".to_owned(),
                ))
            }
        }
    }

    /// Whether it may be done was decided.
    pub(super) fn judged(&mut self, is_allowed: bool, reason: &str) {
        let decision = if is_allowed { "allow" } else { "forbid" };
        self.trail.annotate("authorization.k8s.io/decision", decision);
        self.trail.annotate("authorization.k8s.io/reason", reason);
    }

    /// The body, of which a copy is kept if the audit policy wants it.
    pub(super) fn tapped(&mut self, body: Body) -> Body {
        if !self.trail.wants_request() || self.is_long {
            return body;
        }
        let (body, tap) = tap::tap(body);
        self.tap = Some(tap);
        body
    }

    /// Writes down what was carried and answered, as far as the policy wants it.
    async fn tell_objects(&mut self, headers: &HeaderMap, response: &mut Response<Body>) {
        if let Some(tap) = self.tap.take()
            && let Some(object) = decoded(headers, &tap.take())
        {
            self.trail.request_object(object);
        }
        if !self.trail.wants_response() || self.is_long {
            return;
        }
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = match body.collect().await {
            Ok(collected) => {
                let bytes = collected.to_bytes();
                if let Ok(object) = serde_json::from_slice(&bytes) {
                    self.trail.response_object(object);
                }
                Body::from(bytes)
            }
            // It breaks off for the client as it did here.
            Err(error) => Body::from_stream(stream::iter([Err::<Bytes, _>(error)])),
        };
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or_else(|| End {
            code: CLIENT_GONE,
            status: json!({
                "metadata": {},
                "status": "Failure",
                "message": "the client did not wait for the answer",
                "code": CLIENT_GONE,
            }),
            is_panic: false,
        });
        let (meter, seconds) = (&self.inner.metrics.requests, self.begun.elapsed().as_secs_f64());
        self.labels.end(meter, self.is_long, end.code, seconds);
        if end.is_panic {
            self.trail.panicked(end.status);
        } else {
            self.trail.complete(end.status);
        }
    }
}

fn decoded(headers: &HeaderMap, bytes: &[u8]) -> Option<Value> {
    match body_type(headers) {
        BodyType::Protobuf => protobuf::decode(bytes).ok().map(|(_, object)| object),
        BodyType::Yaml | BodyType::ApplyPatch => serde_yaml_ng::from_slice(bytes).ok(),
        BodyType::Json
        | BodyType::JsonPatch
        | BodyType::MergePatch
        | BodyType::StrategicMergePatch
        | BodyType::Unknown => serde_json::from_slice(bytes).ok(),
    }
}

fn arrival(parts: &Parts) -> Arrival {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let given = text(&AUDIT_ID).filter(|id| !id.is_empty() && id.len() <= AUDIT_ID_BYTES_MAX);
    let uri = parts.uri.path_and_query();
    Arrival {
        id: given.map_or_else(audit::new_id, str::to_owned),
        at: Timestamp::now(),
        uri: uri.map_or_else(String::new, |uri| uri.as_str().to_owned()),
        source_ips: source_ips(
            text(&FORWARDED_FOR),
            text(&REAL_IP),
            parts.extensions.get::<Peer>().map(|peer| peer.0),
        ),
        user_agent: text(&header::USER_AGENT).unwrap_or_default().to_owned(),
    }
}

/// Where a request came from, in the order of its way: what proxies tell, then who really called.
fn source_ips(forwarded: Option<&str>, real: Option<&str>, peer: Option<IpAddr>) -> Vec<IpAddr> {
    let told = forwarded.unwrap_or_default().split(',');
    let mut ips: Vec<IpAddr> = told
        .filter_map(|ip| ip.trim().parse().ok())
        .take(FORWARDED_MAX)
        .collect();
    let real = real.and_then(|ip| ip.trim().parse().ok());
    for ip in real.into_iter().chain(peer) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips
}

#[cfg(test)]
mod tests;
