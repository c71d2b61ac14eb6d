//! A container's log: lines with time and stream, rotated within bounds.
//!
//! A line longer than [`LINE_BYTES_MAX`] is written in parts. What cannot be written is counted and lost: a container
//! is never held up by a full disk. Never here: reading.
//! Source: the CRI log format (`2016-10-06T00:17:09.669794202Z stdout F text`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use api::Timestamp;

/// Longest part of a line: what kubelet's readers expect.
pub(super) const LINE_BYTES_MAX: usize = 16 * 1024;

/// Which stream a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// Cuts a stream into lines.
#[derive(Debug)]
pub(super) struct Lines {
    stream: Stream,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(stream: Stream) -> Lines {
        Lines {
            stream,
            pending: Vec::new(),
        }
    }

    /// Writes the lines that `bytes` completes and keeps the rest.
    pub(super) fn take(&mut self, mut bytes: &[u8], now: Timestamp, log: &mut LogFile) {
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.pending.len();
            let window = &bytes[..bytes.len().min(room)];
            match window.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.pending.extend_from_slice(&bytes[..end]);
                    bytes = &bytes[end + 1..];
                    self.write(now, 'F', log);
                }
                None => {
                    self.pending.extend_from_slice(window);
                    bytes = &bytes[window.len()..];
                    if self.pending.len() == LINE_BYTES_MAX {
                        // The line may end exactly here.
                        match bytes.first() {
                            Some(b'\n') => {
                                bytes = &bytes[1..];
                                self.write(now, 'F', log);
                            }
                            _ => self.write(now, 'P', log),
                        }
                    }
                }
            }
        }
    }

    /// The stream ended: what is left is a line.
    pub(super) fn end(&mut self, now: Timestamp, log: &mut LogFile) {
        if !self.pending.is_empty() {
            self.write(now, 'F', log);
        }
        self.pending = Vec::new();
    }

    fn write(&mut self, now: Timestamp, tag: char, log: &mut LogFile) {
        log.line(now, self.stream, tag, &self.pending);
        self.pending.clear();
    }
}

/// The file, and its older ones beside it: `0.log`, `0.log.1`, `0.log.2`, …
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    files_max: u32,
    buffer: Vec<u8>,
    lost: u64,
}

impl LogFile {
    pub(super) fn open(path: &Path, bytes_max: u64, files_max: u32) -> io::Result<LogFile> {
        let file = open(path)?;
        Ok(LogFile {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max,
            files_max: files_max.max(1),
            buffer: Vec::new(),
            lost: 0,
        })
    }

    /// Lines that could not be written.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn line(&mut self, now: Timestamp, stream: Stream, tag: char, text: &[u8]) {
        self.buffer.clear();
        // Writing into a Vec does not fail.
        let _ = write!(self.buffer, "{now:.9} {} {tag} ", stream.as_str());
        self.buffer.extend_from_slice(text);
        self.buffer.push(b'\n');
        if self.bytes + self.buffer.len() as u64 > self.bytes_max && self.bytes > 0 {
            // Rather a log that is too long than none.
            let _ = self.rotate();
        }
        match self.file.write_all(&self.buffer) {
            Ok(()) => self.bytes += self.buffer.len() as u64,
            Err(_) => {
                self.lost += 1;
                // Part of the line may be in: take its length from the file.
                self.bytes = self.file.metadata().map_or(self.bytes, |meta| meta.len());
            }
        }
        if self.buffer.capacity() > 2 * LINE_BYTES_MAX {
            self.buffer = Vec::new();
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.files_max).rev() {
            let from = if number == 1 {
                self.path.clone()
            } else {
                rotated(&self.path, number - 1)
            };
            match fs::rename(&from, rotated(&self.path, number)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => {}
            }
        }
        if self.files_max == 1 {
            fs::remove_file(&self.path)?;
        }
        self.file = open(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

/// The name of an older file of a log; 1 is the youngest.
pub(crate) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests;
