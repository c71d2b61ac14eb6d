//! The mirror's file: records, each with its length and checksum.
//!
//! Layout of a record, little endian: u32 length of the message, u32 CRC-32 of the message, the message (protobuf). A
//! record that is cut short or does not match its checksum ends the file. Never here: what the records mean.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use api::node_stream::ToAgent;
use flate2::Crc;
use prost::Message;
use tracing::warn;

use crate::durable;

const HEADER_BYTES: usize = 8;
/// Larger than any message of the stream; a length beyond it is damage.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// All whole records of the file, none if it is missing.
///
/// # Errors
/// When it is there and cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<ToAgent>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut reader = BufReader::new(file);
    let mut records = Vec::new();
    loop {
        match read_record(&mut reader)? {
            Record::Whole(record) => records.push(*record),
            Record::End => return Ok(records),
            Record::Torn => {
                warn!(path = %path.display(), records = records.len(), "the mirror ends in a torn record, which is ignored");
                return Ok(records);
            }
        }
    }
}

enum Record {
    Whole(Box<ToAgent>),
    End,
    Torn,
}

fn read_record(reader: &mut impl Read) -> io::Result<Record> {
    let mut header = [0; HEADER_BYTES];
    match fill(reader, &mut header)? {
        0 => return Ok(Record::End),
        HEADER_BYTES => {}
        _ => return Ok(Record::Torn),
    }
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = word(0) as usize;
    if length > RECORD_BYTES_MAX {
        return Ok(Record::Torn);
    }
    let mut message = vec![0; length];
    if fill(reader, &mut message)? < length || checksum(&message) != word(4) {
        return Ok(Record::Torn);
    }
    Ok(ToAgent::decode(&*message).map_or(Record::Torn, |record| Record::Whole(Box::new(record))))
}

/// Reads until the buffer is full or the file ends. How many bytes there were.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(more) => filled += more,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(filled)
}

fn checksum(message: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(message);
    crc.sum()
}

/// A file that records are appended to: first a snapshot, then deltas.
#[derive(Debug)]
pub(super) struct RecordFile {
    path: PathBuf,
    writer: BufWriter<File>,
    /// Not in place yet: records are buffered until [`RecordFile::commit`].
    beside: Option<PathBuf>,
    snapshot_bytes: u64,
    delta_bytes: u64,
}

impl RecordFile {
    /// An empty file beside `path`, which takes its place at [`RecordFile::commit`].
    pub(super) fn create(path: &Path) -> io::Result<RecordFile> {
        if let Some(parent) = path.parent() {
            durable::make_private_dir(parent)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        Ok(RecordFile {
            path: path.to_owned(),
            writer: BufWriter::with_capacity(1 << 16, file),
            beside: Some(beside.into()),
            snapshot_bytes: 0,
            delta_bytes: 0,
        })
    }

    /// Puts the file in its place, on disk also after a loss of power.
    pub(super) fn commit(mut self) -> io::Result<RecordFile> {
        self.writer.flush()?;
        if let Some(beside) = self.beside.take() {
            self.writer.get_ref().sync_data()?;
            fs::rename(beside, &self.path)?;
        }
        Ok(self)
    }

    /// Appends a record. After [`RecordFile::commit`] it is with the kernel when this returns: it survives the death
    /// of the process, and a loss of power only by chance, after which no pod runs anyway.
    pub(super) fn append(&mut self, record: &ToAgent) -> io::Result<()> {
        let message = record.encode_to_vec();
        let length = u32::try_from(message.len())
            .ok()
            .filter(|_| message.len() <= RECORD_BYTES_MAX)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a record is too large"))?;
        self.writer.write_all(&length.to_le_bytes())?;
        self.writer.write_all(&checksum(&message).to_le_bytes())?;
        self.writer.write_all(&message)?;
        let bytes = (HEADER_BYTES + message.len()) as u64;
        if self.beside.is_some() {
            self.snapshot_bytes += bytes;
            return Ok(());
        }
        self.delta_bytes += bytes;
        self.writer.flush()
    }

    /// What the snapshot weighs.
    pub(super) fn snapshot_bytes(&self) -> u64 {
        self.snapshot_bytes
    }

    /// What was appended since.
    pub(super) fn delta_bytes(&self) -> u64 {
        self.delta_bytes
    }
}
