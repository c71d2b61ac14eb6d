//! One map, typed: entries of `dataplane::layout` in and out, one by one or in batches.
//!
//! Never here: what the entries mean.

use std::{
    io,
    marker::PhantomData,
    mem::{MaybeUninit, size_of},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use dataplane::layout::Plain;

use super::sys::{self, MapInfo};

/// Entries in one batch call: half a megabyte of the largest type.
const BATCH: usize = 4096;

/// The kinds of maps used here, by the kernel's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Hash,
    Array,
    PerCpuArray,
    LruHash,
    Trie,
    SocketStorage,
}

impl Kind {
    fn number(self) -> u32 {
        match self {
            Self::Hash => 1,
            Self::Array => 2,
            Self::PerCpuArray => 6,
            Self::LruHash => 9,
            Self::Trie => 11,
            Self::SocketStorage => 24,
        }
    }

    /// `BPF_F_NO_PREALLOC` wherever the kernel has it.
    fn flags(self) -> u32 {
        match self {
            Self::Hash | Self::Trie | Self::SocketStorage => 1,
            Self::Array | Self::PerCpuArray | Self::LruHash => 0,
        }
    }
}

/// A map as this version of the agent knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spec {
    /// Its name in the object, which is also its pin's.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    pub(super) max_entries: usize,
}

impl Spec {
    pub(super) const fn new<K, V>(name: &'static str, kind: Kind, max_entries: usize) -> Self {
        Self {
            name,
            kind,
            key_size: size_of::<K>(),
            value_size: size_of::<V>(),
            max_entries,
        }
    }

    /// Whether a map is the one described: the kernel and aya would take any that is pinned under the name.
    pub(super) fn check(&self, fd: BorrowedFd<'_>) -> Result<(), LayoutError> {
        let found = sys::map_info(fd).map_err(|source| LayoutError::Read { map: self.name, source })?;
        let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
        let expected = MapInfo {
            kind: self.kind.number(),
            key_size: number(self.key_size),
            value_size: number(self.value_size),
            max_entries: number(self.max_entries),
            flags: self.kind.flags(),
        };
        if found == expected {
            return Ok(());
        }
        let text = |info: MapInfo| {
            let MapInfo {
                kind,
                key_size,
                value_size,
                max_entries,
                flags,
            } = info;
            format!("type {kind}, key {key_size}, value {value_size}, {max_entries} entries, flags {flags}")
        };
        Err(LayoutError::Differs {
            map: self.name,
            expected: text(expected),
            found: text(found),
        })
    }
}

/// A pinned map is not the one this version knows.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// The kernel does not tell what it is.
    #[error("read what the map {map} is")]
    Read {
        /// Name of the map.
        map: &'static str,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// It has another layout.
    #[error("the pinned map {map} is not this version's: {found}, expected {expected}")]
    Differs {
        /// Name of the map.
        map: &'static str,
        /// What this version makes.
        expected: String,
        /// What is pinned.
        found: String,
    },
}

/// A map could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{action} the map {map}")]
pub struct TableError {
    /// Name of the map.
    pub map: &'static str,
    /// `read`, `write`, `delete from` or `walk`.
    pub action: &'static str,
    /// The refusal.
    #[source]
    pub source: io::Error,
}

/// An open map with keys `K` and values `V`.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    fd: OwnedFd,
    spec: Spec,
    types: PhantomData<fn() -> (K, V)>,
}

fn bytes<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: `Plain` types have no padding, so every byte is initialized.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

fn slice_bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// A value that `fill` writes over its bytes, which start as zeros.
fn filled<T: Plain>(fill: impl FnOnce(&mut [u8]) -> io::Result<bool>) -> io::Result<Option<T>> {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the memory is initialized (zeros) and as long as `T`.
    let bytes = unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast(), size_of::<T>()) };
    // SAFETY: every bit pattern of a `Plain` type is a value.
    Ok(fill(bytes)?.then(|| unsafe { value.assume_init() }))
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// Opens a pinned map and checks its layout.
    pub(super) fn open(spec: Spec, directory: &Path) -> Result<Self, LayoutError> {
        let fd =
            sys::open_pin(&directory.join(spec.name)).map_err(|source| LayoutError::Read { map: spec.name, source })?;
        spec.check(fd.as_fd())?;
        Ok(Self {
            fd,
            spec,
            types: PhantomData,
        })
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.spec
    }

    fn error(&self, action: &'static str) -> impl FnOnce(io::Error) -> TableError + use<K, V> {
        let map = self.spec.name;
        move |source| TableError { map, action, source }
    }

    pub(super) fn get(&self, key: &K) -> Result<Option<V>, TableError> {
        filled(|value| sys::lookup(self.fd.as_fd(), bytes(key), value)).map_err(self.error("read"))
    }

    pub(super) fn put(&self, key: &K, value: &V) -> Result<(), TableError> {
        sys::update(self.fd.as_fd(), bytes(key), bytes(value), sys::Write::Any).map_err(self.error("write"))
    }

    /// Writes an entry unless there is one: then nothing happens.
    pub(super) fn put_absent(&self, key: &K, value: &V) -> Result<(), TableError> {
        match sys::update(self.fd.as_fd(), bytes(key), bytes(value), sys::Write::IfAbsent) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            other => other.map_err(self.error("write")),
        }
    }

    /// Removes an entry. False: there was none.
    pub(super) fn delete(&self, key: &K) -> Result<bool, TableError> {
        sys::delete(self.fd.as_fd(), bytes(key)).map_err(self.error("delete from"))
    }

    /// Removes an entry and returns what it held in that moment.
    pub(super) fn take(&self, key: &K) -> Result<Option<V>, TableError> {
        filled(|value| sys::take(self.fd.as_fd(), bytes(key), value)).map_err(self.error("delete from"))
    }

    /// Writes many entries.
    pub(super) fn put_all(&self, entries: Vec<(K, V)>) -> Result<(), TableError> {
        let (keys, values): (Vec<K>, Vec<V>) = entries.into_iter().unzip();
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            let count = keys.len() as u32;
            sys::update_batch(self.fd.as_fd(), slice_bytes(keys), slice_bytes(values), count)
                .map_err(self.error("write"))?;
        }
        Ok(())
    }

    /// Removes many entries; those that are not there are no error.
    pub(super) fn delete_all(&self, keys: &[K]) -> Result<(), TableError> {
        let mut rest = keys;
        while !rest.is_empty() {
            let now = &rest[..rest.len().min(BATCH)];
            let gone = sys::delete_batch(self.fd.as_fd(), slice_bytes(now), now.len() as u32)
                .map_err(self.error("delete from"))?;
            // It stops at one that is missing: step over it.
            let stepped = gone as usize + usize::from((gone as usize) < now.len());
            rest = &rest[stepped..];
        }
        Ok(())
    }

    /// All entries of a hash map, in no order. One that comes or goes meanwhile may be in it or not.
    pub(super) fn entries(&self) -> Result<Vec<(K, V)>, TableError> {
        if self.spec.kind == Kind::Trie {
            return self.walk();
        }
        let mut found = Vec::new();
        let mut cursor = sys::Cursor::start();
        let mut room = BATCH;
        loop {
            let mut keys = vec![0u8; room * size_of::<K>()];
            let mut values = vec![0u8; room * size_of::<V>()];
            let before = cursor;
            match sys::lookup_batch(self.fd.as_fd(), &mut cursor, &mut keys, &mut values, room as u32) {
                Ok((count, end)) => {
                    let pieces = keys
                        .chunks_exact(size_of::<K>())
                        .zip(values.chunks_exact(size_of::<V>()));
                    // SAFETY: each piece is as long as its type, whose every bit pattern is a value.
                    found.extend(pieces.take(count as usize).map(|(key, value)| unsafe {
                        (
                            key.as_ptr().cast::<K>().read_unaligned(),
                            value.as_ptr().cast::<V>().read_unaligned(),
                        )
                    }));
                    if end {
                        return Ok(found);
                    }
                }
                // A bucket with more entries than fit.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < self.spec.max_entries => {
                    room *= 2;
                    cursor = before;
                }
                Err(error) => return Err(self.error("walk")(error)),
            }
        }
    }

    /// Key by key: tries have few entries.
    fn walk(&self) -> Result<Vec<(K, V)>, TableError> {
        let mut found: Vec<(K, V)> = Vec::new();
        loop {
            let last = found.last().map(|(key, _)| bytes(key));
            let next = filled(|next| sys::next_key(self.fd.as_fd(), last, next)).map_err(self.error("walk"))?;
            let Some(key) = next else { return Ok(found) };
            if let Some(value) = self.get(&key)? {
                found.push((key, value));
            }
        }
    }
}

impl<V: Plain> Table<u32, V> {
    /// The values of one index on all possible processors of a per-processor array.
    pub(super) fn per_processor(&self, index: u32, processors: usize) -> Result<Vec<V>, TableError> {
        let stride = size_of::<V>().next_multiple_of(8);
        let mut values = vec![0u8; stride * processors];
        sys::lookup(self.fd.as_fd(), bytes(&index), &mut values).map_err(self.error("read"))?;
        // SAFETY: each piece is at least as long as its type, whose every bit pattern is a value.
        Ok(values
            .chunks_exact(stride)
            .map(|piece| unsafe { piece.as_ptr().cast::<V>().read_unaligned() })
            .collect())
    }
}
