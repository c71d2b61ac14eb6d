//! Standard streams of a process, given by its shim to the agent as descriptors.
//!
//! What flows through them then needs no shim, and ends with either side. Lines of JSON on the socket between both.
//! Source: unix(7), SCM_RIGHTS.

use std::{
    io::{self, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

use serde::{Deserialize, Serialize};

use crate::net::descriptors;

/// Longest line.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What a shim says about streams, one JSON document per line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub(crate) enum Said {
    /// Here they are: as many descriptors come with the line.
    Streams {
        /// What each is.
        names: Vec<End>,
    },
    /// There are none.
    Failed {
        /// Why.
        message: String,
    },
    /// The process has ended.
    Exited {
        /// Exit code; 128 and the signal for a killed process.
        code: i32,
    },
}

/// The agent's end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// To be written to.
    Stdin,
    /// To be read from.
    Stdout,
    /// To be read from.
    Stderr,
    /// The master of a terminal, for reading, writing and sizing.
    Terminal,
}

/// The agent's ends of a process' streams.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) terminal: Option<OwnedFd>,
}

impl Ends {
    fn named(&self) -> Vec<(End, BorrowedFd<'_>)> {
        let all = [
            (End::Stdin, &self.stdin),
            (End::Stdout, &self.stdout),
            (End::Stderr, &self.stderr),
            (End::Terminal, &self.terminal),
        ];
        let some = all
            .into_iter()
            .filter_map(|(end, fd)| Some((end, fd.as_ref()?.as_fd())));
        some.collect()
    }

    fn put(&mut self, end: End, fd: OwnedFd) {
        let place = match end {
            End::Stdin => &mut self.stdin,
            End::Stdout => &mut self.stdout,
            End::Stderr => &mut self.stderr,
            End::Terminal => &mut self.terminal,
        };
        *place = Some(fd);
    }
}

/// Sends the streams. The sender's copies stay open until they are dropped.
pub(super) fn give(socket: &UnixStream, ends: &Ends) -> io::Result<()> {
    let named = ends.named();
    let names = named.iter().map(|(end, _)| *end).collect();
    let fds: Vec<BorrowedFd<'_>> = named.iter().map(|(_, fd)| *fd).collect();
    descriptors::send(socket, &line(&Said::Streams { names })?, &fds)
}

/// Says something else.
pub(super) fn say(mut socket: &UnixStream, said: &Said) -> io::Result<()> {
    socket.write_all(&line(said)?)
}

fn line(said: &Said) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(said).map_err(io::Error::other)?;
    line.push(b'\n');
    Ok(line)
}

/// What the other end gets; blocks, within the socket's read timeout.
#[derive(Debug)]
pub(crate) struct Hearing {
    socket: UnixStream,
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Hearing {
    pub(crate) fn new(socket: UnixStream) -> Hearing {
        Hearing {
            socket,
            bytes: Vec::new(),
            fds: Vec::new(),
        }
    }

    /// The streams that the shim gives; a refusal is an error with its message.
    pub(crate) fn take_streams(&mut self) -> io::Result<Ends> {
        loop {
            match self.next()? {
                Said::Streams { names } => {
                    let mut ends = Ends::default();
                    if names.len() != self.fds.len() {
                        return Err(io::Error::other("the shim names other streams than it gives"));
                    }
                    for (end, fd) in names.into_iter().zip(self.fds.drain(..)) {
                        ends.put(end, fd);
                    }
                    return Ok(ends);
                }
                Said::Failed { message } => return Err(io::Error::other(message)),
                Said::Exited { .. } => {}
            }
        }
    }

    /// The socket, and what has come that was not asked for yet.
    pub(crate) fn into_rest(self) -> (UnixStream, Vec<u8>) {
        (self.socket, self.bytes)
    }

    /// The next line that says something about streams; others are passed over.
    fn next(&mut self) -> io::Result<Said> {
        loop {
            while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=end).collect();
                if let Ok(said) = serde_json::from_slice(&line) {
                    return Ok(said);
                }
            }
            if self.bytes.len() > LINE_BYTES_MAX {
                return Err(io::Error::other("the shim's line does not end"));
            }
            let mut buffer = [0_u8; 4096];
            let (count, fds) = descriptors::receive(&self.socket, &mut buffer)?;
            self.bytes.extend_from_slice(&buffer[..count]);
            self.fds.extend(fds);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Read as _};

    use super::*;

    #[test]
    fn streams_arrive_by_name_and_other_lines_are_passed_over() {
        let (shim, agent) = UnixStream::pair().expect("a pair");
        let (read, write) = nix::unistd::pipe().expect("a pipe");
        (&shim).write_all(b"{\"phase\":\"running\"}\n").expect("write");
        let ends = Ends {
            stdin: Some(write),
            stdout: None,
            stderr: Some(read),
            terminal: None,
        };
        give(&shim, &ends).expect("give");
        drop(ends);
        say(&shim, &Said::Exited { code: 7 }).expect("say");
        let mut hearing = Hearing::new(agent);
        let taken = hearing.take_streams().expect("streams");
        assert!(taken.stdout.is_none() && taken.terminal.is_none());
        let mut write = File::from(taken.stdin.expect("standard input"));
        write.write_all(b"through").expect("write");
        drop(write);
        let mut text = String::new();
        File::from(taken.stderr.expect("standard error"))
            .read_to_string(&mut text)
            .expect("read");
        assert_eq!(text, "through");
        assert_eq!(hearing.next().expect("a line"), Said::Exited { code: 7 });
        drop(shim);
        assert!(hearing.next().is_err());
    }

    #[test]
    fn a_refusal_is_an_error_with_its_words() {
        let (shim, agent) = UnixStream::pair().expect("a pair");
        let failed = Said::Failed {
            message: "no such program".to_owned(),
        };
        say(&shim, &failed).expect("say");
        let error = Hearing::new(agent).take_streams().expect_err("a refusal");
        assert_eq!(error.to_string(), "no such program");
    }
}
