//! SPDY/3.1 framing, as far as Kubernetes' clients speak it: bytes in, frames out, and back. No I/O.
//!
//! Windows are neither kept nor asked for: those clients (moby/spdystream) have none, and whoever uses this holds the
//! transport up instead. Input may be hostile: everything is bounded, nothing panics.
//! Source: draft-mbelshe-httpbis-spdy-00, sections 2.2 to 2.6.

mod headers;

use bytes::{Buf as _, BufMut as _, BytesMut};

use headers::{Compressor, Decompressor};
pub use headers::{HeaderError, Headers};

/// Most bytes of a frame: clients send what they have read, some tens of kilobytes.
const FRAME_BYTES_MAX: usize = 1 << 20;
const VERSION: u16 = 3;
const FRAME_HEADER_BYTES: usize = 8;

const FLAG_FIN: u8 = 0x01;

/// Identifies a stream in its connection: odd if the client began it. 31 bits.
pub type StreamId = u32;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A stream begins.
    SynStream {
        /// Its number.
        id: StreamId,
        /// What it is for.
        headers: Headers,
        /// Its sender sends nothing on it.
        fin: bool,
    },
    /// A stream is accepted.
    SynReply {
        /// Its number.
        id: StreamId,
        /// More about it.
        headers: Headers,
        /// Its sender sends nothing on it.
        fin: bool,
    },
    /// A stream is broken off.
    RstStream {
        /// Its number.
        id: StreamId,
        /// Why.
        status: u32,
    },
    /// Asks for the same back.
    Ping(u32),
    /// No further streams.
    GoAway {
        /// The last stream that was accepted.
        last: StreamId,
        /// Why.
        status: u32,
    },
    /// More headers of a stream.
    Headers {
        /// Its number.
        id: StreamId,
        /// The headers.
        headers: Headers,
        /// Its sender sends nothing more on it.
        fin: bool,
    },
    /// A window grows.
    WindowUpdate {
        /// The stream; 0 for the connection.
        id: StreamId,
        /// By so many bytes.
        delta: u32,
    },
    /// Settings, which say nothing to us.
    Settings,
    /// Bytes of a stream.
    Data {
        /// Its number.
        id: StreamId,
        /// The bytes.
        data: Vec<u8>,
        /// Its sender sends nothing more on it.
        fin: bool,
    },
}

/// What the peer sends is not SPDY/3.1. The connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Of another version of the protocol.
    #[error("a frame of SPDY version {0}")]
    Version(u16),
    /// Of a type that there is not.
    #[error("a frame of type {0}")]
    Type(u16),
    /// Longer than anybody needs.
    #[error("a frame of {0} bytes")]
    TooLong(usize),
    /// Shorter than its type has it.
    #[error("a frame of type {0} is too short")]
    TooShort(u16),
    /// Its headers cannot be read.
    #[error("the headers of a frame")]
    Headers(#[from] HeaderError),
}

/// Makes frames of what a peer sends.
#[derive(Debug)]
pub struct Decoder {
    waiting: BytesMut,
    headers: Decompressor,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Nothing has come yet.
    #[must_use]
    pub fn new() -> Decoder {
        Decoder {
            waiting: BytesMut::new(),
            headers: Decompressor::new(),
        }
    }

    /// Takes more bytes; frames are to be taken out before more are put in.
    pub fn put(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next frame, if it is complete.
    ///
    /// # Errors
    /// When the peer does not speak SPDY/3.1.
    #[expect(
        clippy::should_implement_trait,
        reason = "a decoder is no iterator: more can be put in"
    )]
    pub fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((mut head, _)) = self.waiting.split_at_checked(FRAME_HEADER_BYTES) else {
            return Ok(None);
        };
        let first = head.get_u32();
        let flags_and_length = head.get_u32();
        let flags = (flags_and_length >> 24) as u8;
        let length = (flags_and_length & 0x00ff_ffff) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        if self.waiting.len() < FRAME_HEADER_BYTES + length {
            return Ok(None);
        }
        self.waiting.advance(FRAME_HEADER_BYTES);
        let body = self.waiting.split_to(length);
        let fin = flags & FLAG_FIN != 0;
        if first & 0x8000_0000 == 0 {
            let data = body.to_vec();
            return Ok(Some(Frame::Data { id: first, data, fin }));
        }
        let version = (first >> 16) as u16 & 0x7fff;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        self.control((first & 0xffff) as u16, fin, &body).map(Some)
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: &[u8]) -> Result<Frame, FrameError> {
        let mut word = || body.try_get_u32().map_err(|_| FrameError::TooShort(kind));
        Ok(match kind {
            1 => {
                let id = word()? & 0x7fff_ffff;
                // The stream it belongs to; then priority and slot, which say nothing to us.
                word()?;
                body.try_get_u16().map_err(|_| FrameError::TooShort(kind))?;
                let headers = self.headers.block(body)?;
                Frame::SynStream { id, headers, fin }
            }
            2 => {
                let id = word()? & 0x7fff_ffff;
                let headers = self.headers.block(body)?;
                Frame::SynReply { id, headers, fin }
            }
            3 => Frame::RstStream {
                id: word()? & 0x7fff_ffff,
                status: word()?,
            },
            4 => Frame::Settings,
            6 => Frame::Ping(word()?),
            7 => Frame::GoAway {
                last: word()? & 0x7fff_ffff,
                status: word()?,
            },
            8 => {
                let id = word()? & 0x7fff_ffff;
                let headers = self.headers.block(body)?;
                Frame::Headers { id, headers, fin }
            }
            9 => Frame::WindowUpdate {
                id: word()? & 0x7fff_ffff,
                delta: word()? & 0x7fff_ffff,
            },
            other => return Err(FrameError::Type(other)),
        })
    }
}

/// Makes bytes of frames. Header blocks depend on those before: frames go out in the order they were encoded in.
#[derive(Debug)]
pub struct Encoder {
    headers: Compressor,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Nothing has gone yet.
    #[must_use]
    pub fn new() -> Encoder {
        Encoder {
            headers: Compressor::new(),
        }
    }

    /// The bytes of a frame.
    pub fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let mut body = Vec::new();
        match frame {
            Frame::Data { id, data, fin } => {
                let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + data.len());
                bytes.put_u32(id & 0x7fff_ffff);
                put_flags_and_length(&mut bytes, *fin, data.len());
                bytes.extend_from_slice(data);
                bytes
            }
            Frame::SynStream { id, headers, fin } => {
                body.put_u32(*id);
                body.put_u32(0);
                body.put_u16(0);
                body.extend(self.headers.block(headers));
                control(1, *fin, &body)
            }
            Frame::SynReply { id, headers, fin } => {
                body.put_u32(*id);
                body.extend(self.headers.block(headers));
                control(2, *fin, &body)
            }
            Frame::RstStream { id, status } => {
                body.put_u32(*id);
                body.put_u32(*status);
                control(3, false, &body)
            }
            Frame::Settings => {
                body.put_u32(0);
                control(4, false, &body)
            }
            Frame::Ping(number) => {
                body.put_u32(*number);
                control(6, false, &body)
            }
            Frame::GoAway { last, status } => {
                body.put_u32(*last);
                body.put_u32(*status);
                control(7, false, &body)
            }
            Frame::Headers { id, headers, fin } => {
                body.put_u32(*id);
                body.extend(self.headers.block(headers));
                control(8, *fin, &body)
            }
            Frame::WindowUpdate { id, delta } => {
                body.put_u32(*id);
                body.put_u32(*delta);
                control(9, false, &body)
            }
        }
    }
}

fn control(kind: u16, fin: bool, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + body.len());
    bytes.put_u16(0x8000 | VERSION);
    bytes.put_u16(kind);
    put_flags_and_length(&mut bytes, fin, body.len());
    bytes.extend_from_slice(body);
    bytes
}

fn put_flags_and_length(bytes: &mut Vec<u8>, fin: bool, length: usize) {
    assert!(length <= FRAME_BYTES_MAX, "frames of our own are parts");
    let flags = if fin { FLAG_FIN } else { 0 };
    bytes.put_u32(u32::from(flags) << 24 | u32::try_from(length).expect("checked above"));
}

#[cfg(test)]
mod tests;
