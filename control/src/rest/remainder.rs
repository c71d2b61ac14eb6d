//! What a handler left unread of a request's body.
//!
//! A client over HTTP/1.1 writes its whole body before it reads the answer: if the server closes the connection before,
//! the client sees a broken pipe instead of why it was refused. So what is left is read and thrown away, up to a
//! bound. Never here: what bodies mean.
//! Source: RFC 9112, section 9.6.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

/// Bytes that are thrown away at most: more than any manifest somebody may send by mistake. Who sends more finds the
/// connection closed.
const DISCARDED_BYTES_MAX: usize = 64 << 20;
/// How long that may take.
const DISCARD_WAIT: Duration = Duration::from_secs(10);

/// Where a body returns to when its handler drops it.
pub(super) struct Remainder(Arc<Mutex<Option<Body>>>);

/// A body that is only lent to a handler.
struct Lent {
    /// There until it is dropped.
    body: Option<Body>,
    owner: Arc<Mutex<Option<Body>>>,
}

/// The same body, and where it can be found again afterwards.
pub(super) fn lend(body: Body) -> (Body, Remainder) {
    let owner = Arc::new(Mutex::new(None));
    let lent = Lent {
        body: Some(body),
        owner: owner.clone(),
    };
    (Body::new(lent), Remainder(owner))
}

impl Remainder {
    /// Reads what is left. Returns when the client has sent everything, or too much, or too slowly.
    pub(super) async fn discard(self) {
        let Some(mut body) = self.0.lock().take() else {
            return;
        };
        let discard = async {
            let mut discarded = 0;
            while let Some(Ok(frame)) = body.frame().await {
                discarded += frame.data_ref().map_or(0, Bytes::len);
                if discarded > DISCARDED_BYTES_MAX {
                    return;
                }
            }
        };
        // Too slow is as good as too much: the answer follows in either case.
        let _ = tokio::time::timeout(DISCARD_WAIT, discard).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.owner.lock() = self.body.take();
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
