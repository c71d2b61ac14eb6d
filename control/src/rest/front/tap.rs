//! Bodies with something beside them: a copy of what is read, or what is to end with them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use super::super::body::BODY_BYTES_MAX;

/// Where the copy of a body is.
pub(super) struct Tap(Arc<Mutex<Vec<u8>>>);

impl Tap {
    /// What was read until now.
    pub(super) fn take(self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A body with something that goes along with it.
struct With<T> {
    body: Body,
    beside: T,
}

trait Beside: Unpin {
    fn sees(&mut self, data: &[u8]);
}

impl Beside for Tap {
    fn sees(&mut self, data: &[u8]) {
        let mut copy = self.0.lock();
        if copy.len() + data.len() <= BODY_BYTES_MAX {
            copy.extend_from_slice(data);
        }
    }
}

/// Only there until the body is gone.
struct Held<T>(T);

impl<T: Unpin> Beside for Held<T> {
    fn sees(&mut self, _: &[u8]) {}
}

/// The same body, and a copy of what is read of it.
pub(super) fn tap(body: Body) -> (Body, Tap) {
    let copy = Arc::new(Mutex::new(Vec::new()));
    let tapped = With {
        body,
        beside: Tap(copy.clone()),
    };
    (Body::new(tapped), Tap(copy))
}

/// The same response; `until_end` is dropped with its body.
pub(super) fn held<T: Send + Unpin + 'static>(response: Response<Body>, until_end: T) -> Response<Body> {
    response.map(|body| {
        Body::new(With {
            body,
            beside: Held(until_end),
        })
    })
}

impl<T: Beside> HttpBody for With<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.beside.sees(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
