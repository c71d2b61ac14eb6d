//! The bpf(2) commands that aya does not offer: pins, links that are replaced in place, batches.
//!
//! Never here: policy, paths, types of keys and values.
//! Source: Linux `include/uapi/linux/bpf.h`, `union bpf_attr`.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

const MAP_LOOKUP_ELEM: u32 = 1;
const MAP_UPDATE_ELEM: u32 = 2;
const MAP_DELETE_ELEM: u32 = 3;
const MAP_GET_NEXT_KEY: u32 = 4;
const OBJ_PIN: u32 = 6;
const OBJ_GET: u32 = 7;
const OBJ_GET_INFO_BY_FD: u32 = 15;
const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
const MAP_LOOKUP_BATCH: u32 = 24;
const MAP_UPDATE_BATCH: u32 = 26;
const MAP_DELETE_BATCH: u32 = 27;
const LINK_CREATE: u32 = 28;
const LINK_UPDATE: u32 = 29;

/// Size of the largest part of `union bpf_attr` used here.
const ATTR: usize = 64;

/// `union bpf_attr` as bytes, zero where nothing is said.
#[repr(C, align(8))]
struct Attr([u8; ATTR]);

impl Attr {
    fn new() -> Self {
        Self([0; ATTR])
    }

    fn u32(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Self {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        self
    }

    fn fd(self, at: usize, fd: BorrowedFd<'_>) -> Self {
        // A descriptor is never negative.
        self.u32(at, fd.as_raw_fd().cast_unsigned())
    }

    fn read(self, at: usize, bytes: &[u8]) -> Self {
        self.u64(at, bytes.as_ptr().addr() as u64)
    }

    fn write(self, at: usize, bytes: &mut [u8]) -> Self {
        self.u64(at, bytes.as_mut_ptr().addr() as u64)
    }

    fn get(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    /// # Safety
    /// Every address in it is of a buffer that is as long as the command says and lives through the call.
    unsafe fn call(&mut self, command: u32) -> io::Result<i32> {
        // SAFETY: the attribute is as long as said; its addresses are valid by this function's contract.
        let result = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), ATTR) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        i32::try_from(result).map_err(io::Error::other)
    }

    /// # Safety
    /// As [`Self::call`], and the command returns a new descriptor.
    unsafe fn open(&mut self, command: u32) -> io::Result<OwnedFd> {
        // SAFETY: passed on.
        let fd = unsafe { self.call(command) }?;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Pins a map, program or link.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = Attr::new().read(0, path.as_bytes_with_nul()).fd(8, fd);
    // SAFETY: the path is a C string and outlives the call.
    unsafe { attr.call(OBJ_PIN) }.map(drop)
}

/// Opens what is pinned at a path.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = Attr::new().read(0, path.as_bytes_with_nul());
    // SAFETY: the path is a C string and outlives the call; the result is a descriptor.
    unsafe { attr.open(OBJ_GET) }
}

fn info<const N: usize>(fd: BorrowedFd<'_>) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut attr = Attr::new().fd(0, fd).u32(4, N as u32).write(8, &mut bytes);
    // SAFETY: the buffer is as long as said.
    unsafe { attr.call(OBJ_GET_INFO_BY_FD) }?;
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What a map is, as far as its layout goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MapInfo {
    pub(super) kind: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

pub(super) fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    // struct bpf_map_info { type, id, key_size, value_size, max_entries, map_flags, … }
    let bytes: [u8; 24] = info(fd)?;
    Ok(MapInfo {
        kind: word(&bytes, 0),
        key_size: word(&bytes, 8),
        value_size: word(&bytes, 12),
        max_entries: word(&bytes, 16),
        flags: word(&bytes, 20),
    })
}

/// What a link connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkTarget {
    /// A cgroup of the unified hierarchy, by its id. 0: it is gone.
    Cgroup(u64),
    /// A device, by its index. 0: it is gone.
    Device(u32),
    /// Something that this agent never makes.
    Foreign,
}

pub(super) fn link_target(fd: BorrowedFd<'_>) -> io::Result<LinkTarget> {
    const CGROUP: u32 = 3;
    const TCX: u32 = 11;
    // struct bpf_link_info { type, id, prog_id, (padding), union { cgroup { u64 id, … }, tcx { ifindex, … } } }
    let bytes: [u8; 32] = info(fd)?;
    Ok(match word(&bytes, 0) {
        CGROUP => LinkTarget::Cgroup(u64::from(word(&bytes, 16)) | u64::from(word(&bytes, 20)) << 32),
        TCX => LinkTarget::Device(word(&bytes, 16)),
        _ => LinkTarget::Foreign,
    })
}

/// Attaches a program to a cgroup's directory.
pub(super) fn link_cgroup(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>, attach: u32) -> io::Result<OwnedFd> {
    let mut attr = Attr::new().fd(0, program).fd(4, cgroup).u32(8, attach);
    // SAFETY: no addresses; the result is a descriptor.
    unsafe { attr.open(LINK_CREATE) }
}

/// Attaches a program to a device of this thread's network namespace.
pub(super) fn link_device(program: BorrowedFd<'_>, ifindex: u32, attach: u32) -> io::Result<OwnedFd> {
    let mut attr = Attr::new().fd(0, program).u32(4, ifindex).u32(8, attach);
    // SAFETY: no addresses; the result is a descriptor.
    unsafe { attr.open(LINK_CREATE) }
}

/// Exchanges a link's program; no packet and no connection sees a moment without one.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attr::new().fd(0, link).fd(4, program);
    // SAFETY: no addresses.
    unsafe { attr.call(LINK_UPDATE) }.map(drop)
}

/// Reads a value into `value`. False: there is none.
pub(super) fn lookup(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).read(8, key).write(16, value);
    // SAFETY: the caller's buffers have the map's sizes.
    found(unsafe { attr.call(MAP_LOOKUP_ELEM) })
}

/// As [`lookup`], and removes the entry in the same moment.
pub(super) fn take(map: BorrowedFd<'_>, key: &[u8], value: &mut [u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).read(8, key).write(16, value);
    // SAFETY: the caller's buffers have the map's sizes.
    found(unsafe { attr.call(MAP_LOOKUP_AND_DELETE_ELEM) })
}

/// When a write to a map is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// Never.
    Any,
    /// When there is an entry already.
    IfAbsent,
}

pub(super) fn update(map: BorrowedFd<'_>, key: &[u8], value: &[u8], write: Write) -> io::Result<()> {
    let flags = match write {
        Write::Any => 0,
        Write::IfAbsent => 1,
    };
    let mut attr = Attr::new().fd(0, map).read(8, key).read(16, value).u64(24, flags);
    // SAFETY: the caller's buffers have the map's sizes.
    unsafe { attr.call(MAP_UPDATE_ELEM) }.map(drop)
}

/// Removes an entry. False: there was none.
pub(super) fn delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<bool> {
    let mut attr = Attr::new().fd(0, map).read(8, key);
    // SAFETY: the caller's buffer has the map's size.
    found(unsafe { attr.call(MAP_DELETE_ELEM) })
}

/// The key after `key`, or the first. False: there is none.
pub(super) fn next_key(map: BorrowedFd<'_>, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let attr = Attr::new().fd(0, map).write(16, next);
    let mut attr = match key {
        Some(key) => attr.read(8, key),
        None => attr,
    };
    // SAFETY: the caller's buffers have the map's sizes.
    found(unsafe { attr.call(MAP_GET_NEXT_KEY) })
}

fn found(result: io::Result<i32>) -> io::Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Offsets in the batch part of `union bpf_attr`.
mod batch {
    pub(super) const IN: usize = 0;
    pub(super) const OUT: usize = 8;
    pub(super) const KEYS: usize = 16;
    pub(super) const VALUES: usize = 24;
    pub(super) const COUNT: usize = 32;
    pub(super) const FD: usize = 36;
}

/// Writes `count` entries whose keys and values follow each other in the buffers.
pub(super) fn update_batch(map: BorrowedFd<'_>, keys: &[u8], values: &[u8], count: u32) -> io::Result<()> {
    let mut attr = Attr::new()
        .read(batch::KEYS, keys)
        .read(batch::VALUES, values)
        .u32(batch::COUNT, count)
        .fd(batch::FD, map);
    // SAFETY: the caller's buffers hold `count` keys and values.
    unsafe { attr.call(MAP_UPDATE_BATCH) }.map(drop)
}

/// Removes entries until one is not there. Returns how many went.
pub(super) fn delete_batch(map: BorrowedFd<'_>, keys: &[u8], count: u32) -> io::Result<u32> {
    let mut attr = Attr::new()
        .read(batch::KEYS, keys)
        .u32(batch::COUNT, count)
        .fd(batch::FD, map);
    // SAFETY: the caller's buffer holds `count` keys.
    match unsafe { attr.call(MAP_DELETE_BATCH) } {
        Ok(_) => Ok(count),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(attr.get(batch::COUNT)),
        Err(error) => Err(error),
    }
}

/// Where a walk through a hash map is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor([u8; 8], bool);

impl Cursor {
    pub(super) fn start() -> Self {
        Self([0; 8], false)
    }
}

/// The next entries of a hash map, at most as many as the buffers hold. Returns how many, and whether it was the end.
///
/// # Errors
/// `ENOSPC` when one bucket has more entries than the buffers: try again with larger ones.
pub(super) fn lookup_batch(
    map: BorrowedFd<'_>,
    cursor: &mut Cursor,
    keys: &mut [u8],
    values: &mut [u8],
    room: u32,
) -> io::Result<(u32, bool)> {
    let before = cursor.0;
    let mut attr = Attr::new()
        .write(batch::OUT, &mut cursor.0)
        .write(batch::KEYS, keys)
        .write(batch::VALUES, values)
        .u32(batch::COUNT, room)
        .fd(batch::FD, map);
    if cursor.1 {
        attr = attr.read(batch::IN, &before);
    }
    // SAFETY: the caller's buffers hold `room` keys and values; a hash map's cursor has four bytes.
    let result = unsafe { attr.call(MAP_LOOKUP_BATCH) };
    let count = attr.get(batch::COUNT);
    match result {
        Ok(_) => {
            cursor.1 = true;
            Ok((count, false))
        }
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok((count, true)),
        Err(error) => Err(error),
    }
}

/// Returns when every program that was running in the kernel has ended: what it looked up, nobody uses any more.
pub(super) fn wait_for_readers() -> io::Result<()> {
    const GLOBAL: libc::c_int = 1;
    // SAFETY: no addresses. The kernel implements it as a wait for an RCU grace period.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
