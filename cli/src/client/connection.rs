//! Requests and answers.
//!
//! An answer that is not a success becomes a [`RequestError`] that says what the server said, or what to do when
//! there is no server.

use futures::{Stream, StreamExt, TryStreamExt};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::{Client, Config, client::Body};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

use super::{
    status::Status,
    websocket::{self, HandshakeError, WebSocket},
};

/// Largest answer to a single request: a list of some hundred thousand objects.
const ANSWER_BYTES_MAX: usize = 1 << 30;
const JSON: &str = "application/json";

/// A request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error(
        "the server {server} cannot be reached ({cause}); is it running? `skep sandbox status` and `skep sandbox list` show this machine's sandboxes, and KUBECONFIG says which server is meant"
    )]
    Unreachable { server: String, cause: String },
    #[error("{0}")]
    Refused(Status),
    #[error("build the request for {path}")]
    Build {
        path: String,
        #[source]
        source: http::Error,
    },
    #[error("read the server's answer to {path}")]
    Read {
        path: String,
        #[source]
        source: kube::Error,
    },
    #[error("the server's answer to {path} is not JSON")]
    Decode {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("speak through the server's answer to {path}")]
    Handshake {
        path: String,
        #[source]
        source: HandshakeError,
    },
    #[error("the server's answer to {path} is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong { path: String },
}

impl RequestError {
    /// The server's Status, if it is the server that refused.
    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            Self::Unreachable { .. }
            | Self::Build { .. }
            | Self::Read { .. }
            | Self::Decode { .. }
            | Self::Handshake { .. }
            | Self::TooLong { .. } => None,
        }
    }

    /// Says what was being done with which file, if the object came from one.
    pub(crate) fn while_doing(self, doing: &str, source: Option<&str>) -> Self {
        match (self, source) {
            (Self::Refused(status), Some(source)) => Self::Refused(status.while_doing(doing, source)),
            (other, _) => other,
        }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.status()
            .is_some_and(|status| status.code == StatusCode::NOT_FOUND.as_u16())
    }

    pub(crate) fn is_conflict(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "Conflict")
    }
}

/// A way to one server.
#[derive(Clone)]
pub(crate) struct Connection {
    client: Client,
    server: String,
    namespace: String,
    namespace_was_asked_for: bool,
}

impl Connection {
    /// `namespace` is the one that was asked for; None: the context's.
    pub(super) fn new(config: Config, namespace: Option<String>) -> anyhow::Result<Self> {
        let server = config.cluster_url.to_string();
        let namespace_was_asked_for = namespace.is_some();
        let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self {
            client: Client::try_from(config)?,
            server,
            namespace,
            namespace_was_asked_for,
        })
    }

    /// True if the namespace stands on the command line: then it must not be silently another one.
    pub(crate) fn namespace_was_asked_for(&self) -> bool {
        self.namespace_was_asked_for
    }

    /// The namespace of objects that do not name one.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// GET, as JSON.
    pub(crate) async fn get_json(&self, path: &str) -> Result<Value, RequestError> {
        self.send_json(Method::GET, path, JSON, None).await
    }

    /// GET with an `Accept` header of one's own.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Value, RequestError> {
        self.send_json(Method::GET, path, accept, None).await
    }

    /// POST of an object.
    pub(crate) async fn post(&self, path: &str, object: &Value) -> Result<Value, RequestError> {
        self.send_json(Method::POST, path, JSON, Some((JSON, object))).await
    }

    /// PATCH with a patch of the given media type.
    pub(crate) async fn patch(&self, path: &str, media_type: &str, patch: &Value) -> Result<Value, RequestError> {
        self.send_json(Method::PATCH, path, JSON, Some((media_type, patch)))
            .await
    }

    /// DELETE with options.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<Value, RequestError> {
        self.send_json(Method::DELETE, path, JSON, Some((JSON, options))).await
    }

    /// GET whose answer comes line by line, for as long as the server sends.
    pub(crate) async fn get_lines(
        &self,
        path: &str,
        accept: &str,
    ) -> Result<impl Stream<Item = std::io::Result<String>> + use<>, RequestError> {
        let response = self.send(Method::GET, path, accept, None).await?;
        let response = self.refuse_failure(path, response).await?;
        let bytes = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let lines = tokio_stream_of_lines(StreamReader::new(Box::pin(bytes)));
        Ok(lines)
    }

    /// GET that becomes a WebSocket of this protocol.
    pub(crate) async fn websocket(&self, path: &str, protocol: &'static str) -> Result<WebSocket, RequestError> {
        let mut request = request(Method::GET, path, JSON, None).map_err(not_built(path))?;
        let asked = websocket::ask(request.headers_mut(), protocol);
        let response = self.carry(request).await?;
        let code = response.status();
        if code != StatusCode::SWITCHING_PROTOCOLS {
            let bytes = read_all(path, response.into_body()).await?;
            return Err(RequestError::Refused(Status::from_answer(code.as_u16(), &bytes)));
        }
        asked.accept(response).await.map_err(|source| RequestError::Handshake {
            path: path.to_owned(),
            source,
        })
    }

    async fn send_json(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Value, RequestError> {
        let response = self.send(method, path, accept, body).await?;
        let response = self.refuse_failure(path, response).await?;
        let bytes = read_all(path, response.into_body()).await?;
        serde_json::from_slice(&bytes).map_err(|source| RequestError::Decode {
            path: path.to_owned(),
            source,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Option<(&str, &Value)>,
    ) -> Result<Response<Body>, RequestError> {
        let request = request(method, path, accept, body).map_err(not_built(path))?;
        self.carry(request).await
    }

    async fn carry(&self, request: Request<Body>) -> Result<Response<Body>, RequestError> {
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| RequestError::Unreachable {
                server: self.server.trim_end_matches('/').to_owned(),
                cause: innermost(&error),
            })?;
        for text in warnings(response.headers()) {
            eprintln!("Warning: {text}");
        }
        Ok(response)
    }

    async fn refuse_failure(&self, path: &str, response: Response<Body>) -> Result<Response<Body>, RequestError> {
        let code = response.status();
        if code.is_success() {
            return Ok(response);
        }
        let bytes = read_all(path, response.into_body()).await?;
        Err(RequestError::Refused(Status::from_answer(code.as_u16(), &bytes)))
    }
}

fn request(
    method: Method,
    path: &str,
    accept: &str,
    body: Option<(&str, &Value)>,
) -> Result<Request<Body>, http::Error> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::ACCEPT, accept);
    let body = match body {
        None => Body::empty(),
        Some((media_type, value)) => {
            request = request.header(header::CONTENT_TYPE, media_type);
            Body::from(value.to_string().into_bytes())
        }
    };
    request.body(body)
}

fn not_built(path: &str) -> impl FnOnce(http::Error) -> RequestError {
    move |source| RequestError::Build {
        path: path.to_owned(),
        source,
    }
}

/// The texts of `Warning: 299 - "text"` headers: what the server does not refuse, and a person should know.
/// Source: RFC 7234, "Warning"; Kubernetes, KEP-1693.
fn warnings(headers: &http::HeaderMap) -> Vec<String> {
    let text = |value: &http::HeaderValue| {
        let quoted = value.to_str().ok()?.strip_prefix("299 ")?.split_once('"')?.1;
        Some(quoted.rsplit_once('"')?.0.replace("\\\"", "\"").replace("\\\\", "\\"))
    };
    headers.get_all(header::WARNING).iter().filter_map(text).collect()
}

async fn read_all(path: &str, body: Body) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|source| RequestError::Read {
            path: path.to_owned(),
            source,
        })?;
        if bytes.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(RequestError::TooLong { path: path.to_owned() });
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn tokio_stream_of_lines<R>(reader: R) -> impl Stream<Item = std::io::Result<String>>
where
    R: tokio::io::AsyncRead + Unpin,
{
    let reader = BufReader::new(reader);
    futures::stream::try_unfold(reader, |mut reader| async move {
        let mut bytes = Vec::new();
        if reader.read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(None);
        }
        Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), reader)))
    })
}

/// The cause a person can act on is the last of the chain: "Connection refused", "certificate has expired".
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_taken_out_of_their_headers() {
        let mut headers = http::HeaderMap::new();
        for value in [r#"299 - "unknown field \"spec.colour\"""#, "199 - \"other\"", "299"] {
            headers.append(header::WARNING, http::HeaderValue::from_static(value));
        }
        assert_eq!(warnings(&headers), ["unknown field \"spec.colour\""]);
    }
}
