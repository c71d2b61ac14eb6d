//! Moves bytes between a process' streams and the exchange of a request.
//!
//! Output that its reader does not take stays in the pipe, and holds the process up, not the agent.

use std::{
    future::pending,
    io::{self, Read as _, Write as _},
    os::fd::OwnedFd,
    time::Duration,
};

use api::node_stream::{Channel, PART_BYTES_MAX, TerminalSize};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

use crate::{
    exchange::{Down, Exchange, Inlet, Outlet},
    shim::handover::Ends,
};

/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
const _: () = assert!(READ_BYTES <= PART_BYTES_MAX, "what is read is one part");

/// Moves bytes until all output has ended and `ended` is through, or for `drain_max` after `ended` without any output.
/// Without output, until `ended`. Also until nobody wants it any more.
pub(super) async fn pump(
    ends: Ends,
    exchange: Exchange,
    ended: impl Future<Output = ()>,
    drain_max: Duration,
) -> io::Result<()> {
    let Exchange { outlet, inlet } = exchange;
    let stdin = ends.stdin.map(Stream::new).transpose()?;
    let mut stdout = Output::new(ends.stdout)?;
    let mut stderr = Output::new(ends.stderr)?;
    let mut input = std::pin::pin!(take_input(inlet, stdin, ends.terminal));
    let mut ended = std::pin::pin!(ended);
    let mut input_open = true;
    let mut deadline: Option<Instant> = None;
    loop {
        if deadline.is_some() && !stdout.is_open() && !stderr.is_open() {
            return Ok(());
        }
        let drained = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => pending().await,
            }
        };
        let moved = tokio::select! {
            moved = stdout.read() => Some((Channel::Main, moved)),
            moved = stderr.read() => Some((Channel::Stderr, moved)),
            () = &mut input, if input_open => {
                input_open = false;
                None
            }
            () = &mut ended, if deadline.is_none() => {
                deadline = Some(Instant::now() + drain_max);
                None
            }
            () = drained => return Ok(()),
        };
        if let Some((channel, bytes)) = moved
            && !bytes.is_empty()
        {
            // While the reader is slow, input must still reach the process, which may wait for it.
            if !send(&outlet, channel, &bytes, input.as_mut(), &mut input_open).await {
                return Ok(());
            }
            deadline = deadline.map(|_| Instant::now() + drain_max);
        }
    }
}

/// Sends a part while input goes on; false when nobody wants it.
async fn send(
    outlet: &Outlet,
    channel: Channel,
    bytes: &[u8],
    mut input: std::pin::Pin<&mut impl Future<Output = ()>>,
    input_open: &mut bool,
) -> bool {
    let mut sending = std::pin::pin!(outlet.data(channel, bytes));
    loop {
        tokio::select! {
            sent = &mut sending => return sent.is_ok(),
            () = input.as_mut(), if *input_open => *input_open = false,
        }
    }
}

/// Writes what comes down until the request has ended. The process' end of its input is its own affair: what comes
/// after it is dropped.
async fn take_input(mut inlet: Inlet, mut stdin: Option<Stream>, terminal: Option<OwnedFd>) {
    while let Some(down) = inlet.next().await {
        match down {
            Down::Data(data) => {
                if let Some(stream) = &stdin
                    && stream.write_all(&data).await.is_err()
                {
                    stdin = None;
                }
            }
            Down::End => stdin = None,
            Down::Size(size) => {
                if let Some(terminal) = &terminal {
                    // A terminal whose process has ended has no size any more.
                    let _ = tcsetwinsize(terminal, winsize(size));
                }
            }
        }
    }
}

fn winsize(size: TerminalSize) -> Winsize {
    let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
    Winsize {
        ws_row: cells(size.rows),
        ws_col: cells(size.columns),
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// A stream to be read to its end.
struct Output {
    stream: Option<Stream>,
    buffer: Vec<u8>,
}

impl Output {
    fn new(fd: Option<OwnedFd>) -> io::Result<Output> {
        Ok(Output {
            stream: fd.map(Stream::new).transpose()?,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// What comes next; nothing at the end. Never ready without a stream.
    async fn read(&mut self) -> Vec<u8> {
        let Some(stream) = &self.stream else {
            return pending().await;
        };
        match stream.read(&mut self.buffer).await {
            Ok(count) if count > 0 => self.buffer[..count].to_vec(),
            // Among errors: nobody has the terminal open any more.
            Ok(_) | Err(_) => {
                self.stream = None;
                Vec::new()
            }
        }
    }
}

/// A pipe or a terminal.
struct Stream(AsyncFd<std::fs::File>);

impl Stream {
    fn new(fd: OwnedFd) -> io::Result<Stream> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        #[expect(
            deprecated,
            reason = "unsound for types that lie about their descriptor; a File does not, and the successor is unsafe"
        )]
        let fd = AsyncFd::new(std::fs::File::from(fd))?;
        Ok(Stream(fd))
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |mut file| file.read(buffer)).await
    }

    async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let count = self.0.async_io(Interest::WRITABLE, |mut file| file.write(data)).await?;
            data = &data[count..];
        }
        Ok(())
    }
}
