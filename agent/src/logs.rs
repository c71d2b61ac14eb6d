//! Reading a container's log: the tail, a time on, as it grows, across rotated files.
//!
//! Never here: writing (the shim does). Source: the CRI log format; `kubectl logs`.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use api::Timestamp;

use crate::inotify::{Inotify, WatchFlags};

/// Rotated files that may exist beside the current one; see the shim's configuration.
const ROTATED_MAX: u32 = 64;
/// Bytes of one answer: small enough to flow, large enough to be cheap.
const CHUNK_BYTES: usize = 32 * 1024;
/// Bytes read from the end at a time while looking for the tail.
const TAIL_BLOCK_BYTES: u64 = 64 * 1024;
/// A followed log is looked at again after this time if the kernel cannot tell of its growth.
const FOLLOW_RECHECK: Duration = Duration::from_secs(10);

/// What is wanted of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Only so many lines at the end.
    pub(crate) tail_lines: Option<u64>,
    /// Only lines from then on.
    pub(crate) since: Option<Timestamp>,
    /// Only so many bytes.
    pub(crate) limit_bytes: Option<u64>,
    /// The time before each line.
    pub(crate) timestamps: bool,
    /// Go on until the log cannot grow any more.
    pub(crate) follow: bool,
}

/// A log could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("read {path:?}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("watch {path:?}")]
    Watch {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::Read {
        path: path.to_owned(),
        source,
    }
}

/// Sends the log at `path` in chunks until it is told, or until `send` answers that nobody listens any more.
///
/// `ended` says whether the container has ended; a followed log ends then. That shows by a change in `bundle`.
pub(crate) async fn read<S, F>(
    path: &Path,
    bundle: &Path,
    wanted: &Wanted,
    mut send: S,
    ended: impl Fn() -> bool,
) -> Result<(), LogError>
where
    S: FnMut(Vec<u8>) -> F,
    F: Future<Output = bool>,
{
    // Watched before the first look, so that nothing that is written in between is missed.
    let watch = if wanted.follow {
        Some(watch(path, bundle)?)
    } else {
        None
    };
    let mut cursor = {
        let (path, wanted) = (path.to_owned(), wanted.clone());
        blocking(move || Cursor::open(&path, &wanted)).await?
    };
    loop {
        // Asked first: what was written before the end is then read below.
        let last = ended();
        loop {
            let (back, chunk) = blocking(move || {
                let chunk = cursor.chunk();
                (cursor, chunk)
            })
            .await;
            cursor = back;
            let chunk = chunk.map_err(read_error(path))?;
            if chunk.is_empty() {
                break;
            }
            if !send(chunk).await {
                return Ok(());
            }
        }
        let Some(watch) = &watch else { return Ok(()) };
        if last || cursor.is_full() {
            return Ok(());
        }
        // Or a while: a shim that was killed leaves no sign.
        let changed = tokio::time::timeout(FOLLOW_RECHECK, watch.changed()).await;
        changed.unwrap_or(Ok(())).map_err(|source| LogError::Watch {
            path: path.to_owned(),
            source,
        })?;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(err) => std::panic::resume_unwind(err.into_panic()),
    }
}

/// A place in a log that is spread over files.
struct Cursor {
    path: PathBuf,
    wanted: Wanted,
    /// Older files still to be read, oldest first.
    older: VecDeque<File>,
    current: BufReader<File>,
    /// Bytes that may still be sent.
    room: u64,
    /// A line whose end has not been written yet.
    pending: Vec<u8>,
    /// The last part sent was not the end of its line.
    in_line: bool,
}

impl Cursor {
    fn open(path: &Path, wanted: &Wanted) -> Result<Cursor, LogError> {
        let mut files = VecDeque::new();
        files.push_front(File::open(path).map_err(read_error(path))?);
        for number in 1..=ROTATED_MAX {
            let older = rotated(path, number);
            match File::open(&older) {
                Ok(file) => files.push_front(file),
                Err(err) if err.kind() == io::ErrorKind::NotFound => break,
                Err(err) => return Err(read_error(&older)(err)),
            }
        }
        if let Some(lines) = wanted.tail_lines {
            keep_tail(&mut files, lines).map_err(read_error(path))?;
        }
        let first = files.pop_front().unwrap_or(File::open(path).map_err(read_error(path))?);
        Ok(Cursor {
            path: path.to_owned(),
            room: wanted.limit_bytes.unwrap_or(u64::MAX),
            wanted: wanted.clone(),
            older: files,
            current: BufReader::new(first),
            pending: Vec::new(),
            in_line: false,
        })
    }

    fn is_full(&self) -> bool {
        self.room == 0
    }

    /// The next lines, up to [`CHUNK_BYTES`] and a little; empty at the end of what is there.
    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_BYTES && self.room > 0 {
            let count = self.current.read_until(b'\n', &mut self.pending)?;
            if count == 0 || !self.pending.ends_with(b"\n") {
                if !self.next_file()? {
                    break;
                }
                continue;
            }
            let line = std::mem::take(&mut self.pending);
            self.take_line(&line, &mut chunk);
        }
        Ok(chunk)
    }

    /// Goes on to the next file, if this one is at its end; false at the end of the newest.
    fn next_file(&mut self) -> io::Result<bool> {
        let moved = self.find_next_file()?;
        if moved {
            // A line that a full disk has cut off.
            self.pending.clear();
        }
        Ok(moved)
    }

    fn find_next_file(&mut self) -> io::Result<bool> {
        if let Some(next) = self.older.pop_front() {
            self.current = BufReader::new(next);
            return Ok(true);
        }
        // Rotated under our eyes: the name means another file now.
        use std::os::unix::fs::MetadataExt as _;
        let ours = self.current.get_ref().metadata()?;
        match fs::metadata(&self.path) {
            Ok(named) if (named.dev(), named.ino()) != (ours.dev(), ours.ino()) => {
                // It may have been rotated more than once: begin after ours.
                for number in (1..=ROTATED_MAX).rev() {
                    let Ok(file) = File::open(rotated(&self.path, number)) else {
                        continue;
                    };
                    let meta = file.metadata()?;
                    if (meta.dev(), meta.ino()) == (ours.dev(), ours.ino()) {
                        self.older.clear();
                    } else {
                        self.older.push_back(file);
                    }
                }
                self.older.push_back(File::open(&self.path)?);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(err) => Err(err),
        }
    }

    fn take_line(&mut self, line: &[u8], chunk: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else { return };
        if let Some(since) = self.wanted.since
            && entry.time < since
        {
            return;
        }
        let before = chunk.len();
        if self.wanted.timestamps && !self.in_line {
            chunk.extend_from_slice(entry.time_text);
            chunk.push(b' ');
        }
        chunk.extend_from_slice(entry.text);
        if entry.ends_line {
            chunk.push(b'\n');
        }
        self.in_line = !entry.ends_line;
        let added = (chunk.len() - before) as u64;
        if added > self.room {
            chunk.truncate(before + usize::try_from(self.room).unwrap_or(usize::MAX));
        }
        self.room = self.room.saturating_sub(added);
    }
}

/// One line of the file.
struct Entry<'a> {
    time: Timestamp,
    time_text: &'a [u8],
    text: &'a [u8],
    ends_line: bool,
}

impl Entry<'_> {
    fn parse(line: &[u8]) -> Option<Entry<'_>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let time_text = parts.next()?;
        let _stream = parts.next()?;
        let tag = parts.next()?;
        Some(Entry {
            time: std::str::from_utf8(time_text).ok()?.parse().ok()?,
            time_text,
            text: parts.next().unwrap_or_default(),
            ends_line: tag == b"F",
        })
    }
}

/// Skips everything before the last `lines` lines.
fn keep_tail(files: &mut VecDeque<File>, lines: u64) -> io::Result<()> {
    let mut left = lines;
    for index in (0..files.len()).rev() {
        let file = &mut files[index];
        let (found, offset) = last_lines(file, left)?;
        file.seek(SeekFrom::Start(offset))?;
        left -= found;
        if left == 0 {
            files.drain(..index);
            return Ok(());
        }
    }
    Ok(())
}

/// How many of the last `wanted` lines a file has, and where they begin. Parts of a line count once, by their end.
fn last_lines(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let length = file.metadata()?.len();
    if wanted == 0 {
        return Ok((0, length));
    }
    let mut start = length;
    loop {
        start = start.saturating_sub(TAIL_BLOCK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        Read::by_ref(file).take(length - start).read_to_end(&mut bytes)?;
        let (found, offset) = count_from_end(&bytes, wanted, start == 0);
        if found == wanted || start == 0 {
            return Ok((found, start + offset));
        }
    }
}

fn count_from_end(bytes: &[u8], wanted: u64, from_start: bool) -> (u64, u64) {
    // Where lines of the file begin; the first is only known to be one at the file's start.
    let mut begins: Vec<usize> = Vec::new();
    if from_start {
        begins.push(0);
    }
    begins.extend(
        bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1),
    );
    begins.retain(|begin| *begin < bytes.len());
    let mut found = 0;
    let mut offset = bytes.len();
    for begin in begins.iter().rev() {
        let end = bytes[*begin..]
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(bytes.len(), |at| begin + at);
        if Entry::parse(&bytes[*begin..end]).is_none_or(|entry| entry.ends_line) {
            if found == wanted {
                return (found, offset as u64);
            }
            found += 1;
        }
        offset = *begin;
    }
    (found, offset as u64)
}

/// The name of an older file of a log; 1 is the youngest.
fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Tells when something in the log's directory is written, renamed or made, or the container's state is.
fn watch(path: &Path, bundle: &Path) -> Result<Inotify, LogError> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    Inotify::new()
        .and_then(|inotify| {
            inotify.watch(dir, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
            // Only renames: the bundle holds the container's root filesystem, too.
            inotify.watch(bundle, WatchFlags::MOVED_TO)?;
            Ok(inotify)
        })
        .map_err(|source| LogError::Watch {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests;
