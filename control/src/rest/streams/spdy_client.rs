//! Clients of exec and attach that speak SPDY: a stream for each of the standard streams, and one for the end.
//!
//! Source: Kubernetes' `v4.channel.k8s.io` to `channel.k8s.io` over SPDY, as client-go speaks them.

use std::{collections::VecDeque, time::Duration};

use api::node_stream::Streams;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    channels::parse_size,
    remote::{Client, ClientGone, Inbound, Outbound},
    wire::{self, FrameReader, Transport},
};
use crate::spdy::{Frame, Headers, StreamId};

/// How long a client may take to begin its streams, as with the kubelet.
const STREAMS_WAIT: Duration = Duration::from_secs(30);
/// Longest document about a size.
const SIZE_BYTES_MAX: usize = 1024;
const PROTOCOL_ERROR: u32 = 1;

/// The streams of a client, by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Numbers {
    error: Option<StreamId>,
    stdin: Option<StreamId>,
    stdout: Option<StreamId>,
    stderr: Option<StreamId>,
    resize: Option<StreamId>,
}

impl Numbers {
    fn place(&mut self, name: &str) -> Option<&mut Option<StreamId>> {
        Some(match name {
            "error" => &mut self.error,
            "stdin" => &mut self.stdin,
            "stdout" => &mut self.stdout,
            "stderr" => &mut self.stderr,
            "resize" => &mut self.resize,
            _ => return None,
        })
    }

    /// Whether all have come that a client of this protocol begins.
    fn are_complete(&self, wanted: Streams, resizes: bool) -> bool {
        let has = |is_wanted: bool, number: Option<StreamId>| !is_wanted || number.is_some();
        self.error.is_some()
            && has(wanted.stdin, self.stdin)
            && has(wanted.stdout, self.stdout)
            && has(wanted.stderr, self.stderr)
            && has(wanted.tty && resizes, self.resize)
    }
}

/// A client whose streams have all begun.
pub(super) async fn client(transport: Transport, wanted: Streams, version: &'static str) -> Result<Client, ClientGone> {
    let (mut reader, writer) = wire::open(transport);
    let resizes = matches!(version, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let begun = timeout(STREAMS_WAIT, begin(&mut reader, &writer.frames, wanted, resizes)).await;
    let (numbers, early) = begun.map_err(|_| ClientGone)??;
    let input = Input {
        reader,
        numbers,
        out: writer.frames.clone(),
        size: Vec::new(),
        waiting: VecDeque::new(),
        early,
        _writer: writer.task,
    };
    let input = futures::stream::unfold(input, |mut input| async move { Some((input.next().await?, input)) });
    let with_status = version == "v4.channel.k8s.io";
    let output = futures::sink::unfold(writer.frames, move |out, outbound: Outbound| async move {
        for frame in frames(outbound, numbers, with_status) {
            out.send(frame).await.map_err(|_| ClientGone)?;
        }
        Ok(out)
    });
    Ok(Client {
        input: input.boxed(),
        output: Box::pin(output),
    })
}

/// Accepts streams until all are there; also what came on them meanwhile.
async fn begin(
    reader: &mut FrameReader,
    out: &mpsc::Sender<Frame>,
    wanted: Streams,
    resizes: bool,
) -> Result<(Numbers, VecDeque<Frame>), ClientGone> {
    let mut numbers = Numbers::default();
    let mut early = VecDeque::new();
    while !numbers.are_complete(wanted, resizes) {
        let answer = match reader.next().await.ok_or(ClientGone)? {
            Frame::SynStream { id, headers, fin } => {
                let name = headers.iter().find(|(name, _)| name == "streamtype");
                let place = name.and_then(|(_, value)| numbers.place(value));
                match place {
                    Some(place @ None) => {
                        *place = Some(id);
                        if fin {
                            let data = Vec::new();
                            early.push_back(Frame::Data { id, data, fin });
                        }
                        Frame::SynReply {
                            id,
                            headers: Headers::new(),
                            fin: false,
                        }
                    }
                    // Named twice, or not known.
                    Some(Some(_)) | None => Frame::RstStream {
                        id,
                        status: PROTOCOL_ERROR,
                    },
                }
            }
            Frame::Ping(number) => Frame::Ping(number),
            // Bounded by the streams' beginning: a client waits for the answers.
            frame @ Frame::Data { .. } if early.len() < 64 => {
                early.push_back(frame);
                continue;
            }
            Frame::Data { .. } => return Err(ClientGone),
            _ => continue,
        };
        out.send(answer).await.map_err(|_| ClientGone)?;
    }
    Ok((numbers, early))
}

/// What a client says on its streams.
struct Input {
    reader: FrameReader,
    numbers: Numbers,
    out: mpsc::Sender<Frame>,
    /// The beginning of a document about a size.
    size: Vec<u8>,
    waiting: VecDeque<Inbound>,
    early: VecDeque<Frame>,
    _writer: AbortOnDropHandle<()>,
}

impl Input {
    async fn next(&mut self) -> Option<Inbound> {
        loop {
            if let Some(inbound) = self.waiting.pop_front() {
                return Some(inbound);
            }
            let frame = match self.early.pop_front() {
                Some(frame) => frame,
                None => self.reader.next().await?,
            };
            match frame {
                Frame::Data { id, data, fin } if Some(id) == self.numbers.stdin => {
                    if !data.is_empty() {
                        self.waiting.push_back(Inbound::Data(Bytes::from(data)));
                    }
                    if fin {
                        self.waiting.push_back(Inbound::End);
                    }
                }
                Frame::Data { id, data, .. } if Some(id) == self.numbers.resize => self.sizes(&data),
                Frame::RstStream { id, .. } if Some(id) == self.numbers.stdin => self.waiting.push_back(Inbound::End),
                Frame::Ping(number) => {
                    self.out.send(Frame::Ping(number)).await.ok()?;
                    self.waiting.push_back(Inbound::Alive);
                }
                Frame::SynStream { id, .. } => {
                    let status = PROTOCOL_ERROR;
                    self.out.send(Frame::RstStream { id, status }).await.ok()?;
                }
                _ => self.waiting.push_back(Inbound::Alive),
            }
        }
    }

    /// Documents follow each other, however they are cut.
    fn sizes(&mut self, data: &[u8]) {
        self.size.extend_from_slice(data);
        while let Some(end) = self.size.iter().position(|byte| *byte == b'}') {
            let document: Vec<u8> = self.size.drain(..=end).collect();
            self.waiting.extend(parse_size(&document).map(Inbound::Size));
        }
        if self.size.len() > SIZE_BYTES_MAX {
            self.size.clear();
        }
    }
}

/// The frames that say something to the client.
fn frames(outbound: Outbound, numbers: Numbers, with_status: bool) -> Vec<Frame> {
    let data = |id: Option<StreamId>, data: Vec<u8>, fin: bool| id.map(|id| Frame::Data { id, data, fin });
    let frames = match outbound {
        Outbound::Stdout(bytes) => vec![data(numbers.stdout, bytes, false)],
        Outbound::Stderr(bytes) => vec![data(numbers.stderr, bytes, false)],
        Outbound::End(end) => {
            let words = if with_status {
                end.status().to_string()
            } else {
                end.text().unwrap_or_default()
            };
            vec![
                data(numbers.stdout, Vec::new(), true),
                data(numbers.stderr, Vec::new(), true),
                data(numbers.error, words.into_bytes(), true),
                data(numbers.stdin, Vec::new(), true),
                data(numbers.resize, Vec::new(), true),
            ]
        }
        // A server's pings are even.
        Outbound::Ping => vec![Some(Frame::Ping(2))],
    };
    frames.into_iter().flatten().collect()
}
