//! WebSocket connections of clients: of channels, and as a tunnel for other frames.
//!
//! Source: RFC 6455.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{SinkExt as _, Stream, StreamExt as _, stream::SplitStream};
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    channels::{Coding, Subprotocol},
    remote::{CLOSE_WAIT, Client, ClientGone, Outbound},
    wire::{Connection, Transport},
};

/// Largest message of a client, for which as much memory is held: some clients send all of their input as one.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What is read and written at once.
const BUFFER_BYTES: usize = 32 << 10;

/// A client of channels, who has been told that all is well by `first`.
pub(super) async fn client(
    connection: Connection,
    subprotocol: Subprotocol,
    first: Message,
) -> Result<Client, ClientGone> {
    let (mut sink, stream) = accept(connection).await.split();
    sink.send(first).await.map_err(|_| ClientGone)?;
    let input = futures::stream::unfold(stream, move |mut stream| async move {
        loop {
            let message = next(&mut stream).await?;
            if let Some(inbound) = subprotocol.decode(message) {
                return Some((inbound, stream));
            }
        }
    });
    let output = futures::sink::unfold(sink, move |mut sink, outbound: Outbound| async move {
        if let Some(message) = subprotocol.encode(&outbound) {
            sink.send(message).await.map_err(|_| ClientGone)?;
        }
        if let Outbound::End(_) = outbound {
            sink.send(Message::Close(Some(normal())))
                .await
                .map_err(|_| ClientGone)?;
        }
        Ok(sink)
    });
    Ok(Client {
        input: input.boxed(),
        output: Box::pin(output),
    })
}

/// The bytes in the messages of a client.
pub(super) async fn tunnel(connection: Connection) -> Transport {
    let (sink, stream) = accept(connection).await.split();
    let input = futures::stream::unfold(stream, |mut stream| async move {
        loop {
            // Text is not for a tunnel, and pings are answered below.
            if let Message::Binary(bytes) = next(&mut stream).await? {
                return Some((bytes, stream));
            }
        }
    });
    let output = sink
        .with(|bytes: Bytes| std::future::ready(Ok::<_, tokio_tungstenite::tungstenite::Error>(Message::Binary(bytes))))
        .sink_map_err(|_| ClientGone);
    Transport {
        input: input.boxed(),
        output: Box::pin(output),
    }
}

/// Sends bytes as messages until they end, or the client goes.
pub(super) async fn send_all(connection: Connection, coding: Coding, bytes: impl Stream<Item = Bytes> + Send) {
    let (mut sink, mut stream) = accept(connection).await.split();
    let send = async {
        let mut bytes = std::pin::pin!(bytes);
        while let Some(part) = bytes.next().await {
            let message = match coding {
                Coding::Binary => Message::Binary(part),
                Coding::Base64 => Message::text(BASE64_STANDARD.encode(part)),
            };
            sink.send(message).await?;
        }
        sink.send(Message::Close(Some(normal()))).await
    };
    let sent = tokio::select! {
        sent = send => sent.is_ok(),
        () = async { while next(&mut stream).await.is_some() {} } => false,
    };
    if sent {
        // So that what was sent is not lost with the connection. An error means that the client takes its time.
        _ = timeout(CLOSE_WAIT, async { while next(&mut stream).await.is_some() {} }).await;
    }
}

async fn accept(connection: Connection) -> WebSocketStream<Connection> {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await
}

/// The next message; None when the client has closed the connection, or it broke.
async fn next(stream: &mut SplitStream<WebSocketStream<Connection>>) -> Option<Message> {
    match stream.next().await? {
        Ok(Message::Close(_)) | Err(_) => None,
        Ok(message) => Some(message),
    }
}

fn normal() -> CloseFrame {
    CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    }
}
