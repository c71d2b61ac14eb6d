//! Who reads a container's output beside its log.
//!
//! A reader that is slow holds the container's output up, as a full pipe would, so that it misses nothing; one that
//! takes nothing for long is let go. Never here: connections.

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags},
};

use super::log_file::Stream;

/// A reader that takes nothing for so long is let go: a forgotten terminal must not hold a container up for ever.
const STALL_MAX: Duration = Duration::from_secs(60);

/// Whether the container still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// What is left is read without regard to readers: no more than a pipe holds.
    Ended,
}

/// The readers of one container.
#[derive(Debug, Default)]
pub(super) struct Readers {
    list: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    stream: Stream,
    pipe: File,
    /// What the pipe had no room for: less than was read at once, as long as the container runs.
    pending: Vec<u8>,
    /// When the pipe last took something.
    taken_at: Instant,
}

impl Readers {
    /// A new reader; the answer is its end.
    pub(super) fn add(&mut self, stream: Stream) -> io::Result<OwnedFd> {
        let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        nix::fcntl::fcntl(
            std::os::fd::AsRawFd::as_raw_fd(&ours),
            FcntlArg::F_SETFL(OFlag::O_NONBLOCK),
        )?;
        self.list.push(Reader {
            stream,
            pipe: File::from(ours),
            pending: Vec::new(),
            taken_at: Instant::now(),
        });
        Ok(theirs)
    }

    /// Passes output on.
    pub(super) fn pass(&mut self, stream: Stream, bytes: &[u8], now: Instant) {
        self.list.retain_mut(|reader| {
            if reader.stream != stream {
                return true;
            }
            reader.pending.extend_from_slice(bytes);
            reader.flush(now).is_ok()
        });
    }

    /// Whether a stream is not to be read now.
    pub(super) fn hold_up(&self, stream: Stream, life: Life) -> bool {
        let waits = |reader: &Reader| reader.stream == stream && !reader.pending.is_empty();
        life == Life::Running && self.list.iter().any(waits)
    }

    /// What to poll for; parallel to the numbers that [`Readers::woken`] takes.
    pub(super) fn poll_fds(&self) -> impl Iterator<Item = PollFd<'_>> {
        self.list.iter().map(|reader| {
            // Without events poll still tells when the other end is closed.
            let events = if reader.pending.is_empty() {
                PollFlags::empty()
            } else {
                PollFlags::POLLOUT
            };
            PollFd::new(reader.pipe.as_fd(), events)
        })
    }

    /// The readers of these numbers have room, or are gone.
    pub(super) fn woken(&mut self, numbers: &[usize], now: Instant) {
        let mut number = 0;
        self.list.retain_mut(|reader| {
            let is_woken = numbers.contains(&number);
            number += 1;
            // One that waits for nothing was woken because it is gone.
            !is_woken || (!reader.pending.is_empty() && reader.flush(now).is_ok())
        });
    }

    /// Lets those go that take nothing; answers when to look again, if anybody waits.
    pub(super) fn let_stuck_go(&mut self, now: Instant) -> Option<Duration> {
        let stuck = |reader: &Reader| !reader.pending.is_empty() && now >= reader.taken_at + STALL_MAX;
        self.list.retain(|reader| !stuck(reader));
        let waiting = self.list.iter().filter(|reader| !reader.pending.is_empty());
        waiting
            .map(|reader| (reader.taken_at + STALL_MAX).saturating_duration_since(now))
            .min()
    }

    /// The last output has been passed on: what readers have no room for is put into larger pipes.
    pub(super) fn finish(&mut self, now: Instant) {
        for mut reader in self.list.drain(..) {
            if reader.pending.is_empty() {
                continue;
            }
            let fd = std::os::fd::AsRawFd::as_raw_fd(&reader.pipe);
            let held = fcntl(fd, FcntlArg::F_GETPIPE_SZ).unwrap_or(0);
            let wanted = held.saturating_add(i32::try_from(reader.pending.len()).unwrap_or(i32::MAX));
            // Where this is not allowed, a slow reader misses the end.
            let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(wanted));
            let _ = reader.flush(now);
        }
    }
}

impl Reader {
    /// Writes what there is room for.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.pipe.write(&self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                    self.taken_at = now;
                }
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        self.taken_at = now;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const PIPE_BYTES: usize = 64 * 1024;

    #[test]
    fn a_slow_reader_holds_its_stream_up_and_misses_nothing() {
        let now = Instant::now();
        let mut readers = Readers::default();
        let mut end = File::from(readers.add(Stream::Stdout).expect("a pipe"));
        readers.pass(Stream::Stderr, b"not for it", now);
        readers.pass(Stream::Stdout, &vec![1; PIPE_BYTES], now);
        assert!(!readers.hold_up(Stream::Stdout, Life::Running));
        readers.pass(Stream::Stdout, &[2; 1000], now);
        assert!(readers.hold_up(Stream::Stdout, Life::Running));
        assert!(!readers.hold_up(Stream::Stderr, Life::Running));
        assert!(!readers.hold_up(Stream::Stdout, Life::Ended));
        let mut first = vec![0; 8192];
        end.read_exact(&mut first).expect("read");
        readers.woken(&[0], now);
        assert!(!readers.hold_up(Stream::Stdout, Life::Running));
        // The container's last words, more than the pipe takes.
        readers.pass(Stream::Stdout, &vec![3; PIPE_BYTES], now);
        readers.finish(now);
        let mut rest = Vec::new();
        end.read_to_end(&mut rest).expect("read");
        assert_eq!(rest.len(), PIPE_BYTES - 8192 + 1000 + PIPE_BYTES);
        assert_eq!((first[0], rest[0], rest[rest.len() - 1]), (1, 1, 3));
    }

    #[test]
    fn readers_that_are_gone_or_stuck_are_let_go() {
        let now = Instant::now();
        let mut readers = Readers::default();
        let gone = readers.add(Stream::Stdout).expect("a pipe");
        let stuck = readers.add(Stream::Stdout).expect("a pipe");
        drop(gone);
        readers.pass(Stream::Stdout, &vec![1; PIPE_BYTES + 1], now);
        assert_eq!(readers.list.len(), 1);
        assert_eq!(readers.let_stuck_go(now), Some(STALL_MAX));
        assert_eq!(readers.let_stuck_go(now + STALL_MAX), None);
        assert!(!readers.hold_up(Stream::Stdout, Life::Running));
        let mut end = File::from(stuck);
        let mut text = Vec::new();
        end.read_to_end(&mut text).expect("read");
        assert_eq!(text.len(), PIPE_BYTES);
    }
}
