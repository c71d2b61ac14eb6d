//! Addresses of the node's range and the pods that hold them.
//!
//! Assignments are pure; [`Ledger`] writes them down before they are used, so that a killed agent never gives an
//! address twice. Never here: links and routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::durable;

/// Who holds which address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignments {
    range: Ipv4Net,
    /// Where the search for a free address starts. Moves on, so that an address rests before it is used again:
    /// peers may still hold connections to its last owner.
    next: Ipv4Addr,
    by_uid: BTreeMap<String, Ipv4Addr>,
}

impl Assignments {
    /// Nothing assigned.
    #[must_use]
    pub fn new(range: Ipv4Net) -> Assignments {
        Assignments {
            range,
            next: range.network(),
            by_uid: BTreeMap::new(),
        }
    }

    /// The range that addresses are taken from.
    #[must_use]
    pub fn range(&self) -> Ipv4Net {
        self.range
    }

    /// Takes addresses from another range from now on; those given stay with their pods.
    pub fn move_to(&mut self, range: Ipv4Net) {
        if self.range != range {
            self.range = range;
            self.next = range.network();
        }
    }

    /// The pod's address: the one it holds, or the next free one. None when the range is full.
    pub fn assign(&mut self, uid: &str) -> Option<Ipv4Addr> {
        if let Some(ip) = self.by_uid.get(uid) {
            return Some(*ip);
        }
        // Neither the network's own address nor the broadcast address.
        let first = u64::from(u32::from(self.range.network())) + 1;
        let end = u64::from(u32::from(self.range.broadcast()));
        if first >= end {
            return None;
        }
        let taken: BTreeSet<Ipv4Addr> = self.by_uid.values().copied().collect();
        let start = u64::from(u32::from(self.next)).clamp(first, end);
        let free = (start..end)
            .chain(first..start)
            .filter_map(|number| u32::try_from(number).ok().map(Ipv4Addr::from))
            .find(|ip| !taken.contains(ip))?;
        self.next = Ipv4Addr::from(u32::from(free).saturating_add(1));
        self.by_uid.insert(uid.to_owned(), free);
        Some(free)
    }

    /// Frees the pod's address. The address it held, if any.
    pub fn release(&mut self, uid: &str) -> Option<Ipv4Addr> {
        self.by_uid.remove(uid)
    }

    /// The address the pod holds.
    #[must_use]
    pub fn of(&self, uid: &str) -> Option<Ipv4Addr> {
        self.by_uid.get(uid).copied()
    }

    /// Every pod that holds an address, with it.
    pub fn iter(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.by_uid.iter().map(|(uid, ip)| (uid.as_str(), IpAddr::V4(*ip)))
    }
}

/// [`Assignments`] on disk.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    assignments: Assignments,
}

impl Ledger {
    /// Reads the assignments, or starts with none.
    ///
    /// A file that cannot be understood means that the machine lost power while it was written (a rename is atomic
    /// otherwise); no namespace of before lives, so it starts with none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(path: &Path, range: Ipv4Net) -> Result<Ledger, io::Error> {
        let mut assignments = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|err| {
                tracing::warn!(path = %path.display(), error = %err, "address assignments are damaged, starting with none");
                Assignments::new(range)
            }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Assignments::new(range),
            Err(err) => return Err(err),
        };
        assignments.move_to(range);
        Ok(Ledger {
            path: path.to_owned(),
            assignments,
        })
    }

    /// As [`Assignments::assign`], written down.
    ///
    /// # Errors
    /// When it could not be written; the assignment is then not made.
    pub fn assign(&mut self, uid: &str) -> Result<Option<Ipv4Addr>, io::Error> {
        if let Some(ip) = self.assignments.of(uid) {
            return Ok(Some(ip));
        }
        let mut changed = self.assignments.clone();
        let ip = changed.assign(uid);
        if ip.is_some() {
            self.write(changed)?;
        }
        Ok(ip)
    }

    /// As [`Assignments::release`], written down.
    ///
    /// # Errors
    /// When it could not be written; the pod then still holds the address.
    pub fn release(&mut self, uid: &str) -> Result<(), io::Error> {
        let mut changed = self.assignments.clone();
        match changed.release(uid) {
            Some(_) => self.write(changed),
            None => Ok(()),
        }
    }

    /// What is assigned.
    #[must_use]
    pub fn assignments(&self) -> &Assignments {
        &self.assignments
    }

    fn write(&mut self, changed: Assignments) -> Result<(), io::Error> {
        let bytes = serde_json::to_vec(&changed).map_err(io::Error::other)?;
        durable::replace(&self.path, &bytes, durable::Sync::No)?;
        self.assignments = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
