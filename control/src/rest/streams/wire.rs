//! SPDY frames over whatever carries bytes: an upgraded connection, or the messages of a WebSocket.
//!
//! Never here: what streams mean.

use std::pin::Pin;

use bytes::Bytes;
use futures::{Sink, SinkExt, StreamExt as _, stream::BoxStream};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_util::{
    codec::{BytesCodec, FramedWrite},
    io::ReaderStream,
    task::AbortOnDropHandle,
};
use tracing::debug;

use super::remote::ClientGone;
use crate::spdy::{Decoder, Encoder, Frame};

/// Frames that wait to be written; then whoever has more to say waits.
const FRAMES_WAITING_MAX: usize = 16;
/// Bytes read at once.
const READ_BYTES: usize = 32 << 10;

/// A connection that HTTP has let go of.
pub(super) type Connection = TokioIo<Upgraded>;

/// Bytes both ways.
pub(super) struct Transport {
    pub(super) input: BoxStream<'static, Bytes>,
    pub(super) output: Pin<Box<dyn Sink<Bytes, Error = ClientGone> + Send>>,
}

/// The bytes of a connection itself.
pub(super) fn spdy(connection: Connection) -> Transport {
    let (reader, writer) = tokio::io::split(connection);
    let input = ReaderStream::with_capacity(reader, READ_BYTES);
    let input = input.take_while(|read| std::future::ready(read.is_ok()));
    let output = FramedWrite::new(writer, BytesCodec::new());
    Transport {
        input: input.filter_map(|read| std::future::ready(read.ok())).boxed(),
        output: Box::pin(SinkExt::<Bytes>::sink_map_err(output, |_| ClientGone)),
    }
}

/// What a peer sends, as frames.
pub(super) struct FrameReader {
    input: BoxStream<'static, Bytes>,
    decoder: Decoder,
}

impl FrameReader {
    /// The next frame; None at the end, or when the peer does not speak SPDY.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "a client does not speak SPDY/3.1"
                    );
                    return None;
                }
            }
            let bytes = self.input.next().await?;
            self.decoder.put(&bytes);
        }
    }
}

/// Frames to a peer, in order. The task that writes them ends with the senders, or with its handle.
pub(super) struct FrameWriter {
    pub(super) frames: mpsc::Sender<Frame>,
    pub(super) task: AbortOnDropHandle<()>,
}

/// Both directions of a connection.
pub(super) fn open(transport: Transport) -> (FrameReader, FrameWriter) {
    let reader = FrameReader {
        input: transport.input,
        decoder: Decoder::new(),
    };
    let (frames, mut waiting) = mpsc::channel::<Frame>(FRAMES_WAITING_MAX);
    let mut output = transport.output;
    let task = tokio::spawn(async move {
        let mut encoder = Encoder::new();
        while let Some(frame) = waiting.recv().await {
            if output.send(Bytes::from(encoder.encode(&frame))).await.is_err() {
                return;
            }
        }
        // The peer may be gone.
        _ = output.close().await;
    });
    let writer = FrameWriter {
        frames,
        task: AbortOnDropHandle::new(task),
    };
    (reader, writer)
}
