//! The state machine of the store: a command and the state it meets give changes, or a refusal.
//!
//! Deterministic, so that every member of a replicated store that applies the same commands in the same order holds
//! the same objects under the same revisions. Never here: disks, clocks, the queue of commands.

use std::collections::HashSet;

use super::{COMMAND_BYTES_MAX, Change, Expect, Op, Revision, StoreKey, Stored, Write};

/// The objects as they are before a command.
pub trait Records {
    /// Why they cannot be read.
    type Error;

    /// The current version of one object.
    ///
    /// # Errors
    /// When it cannot be read; the command has then not been applied.
    fn current(&self, key: &StoreKey) -> Result<Option<Stored>, Self::Error>;
}

/// What a command does to the state it met.
#[derive(Debug)]
pub enum Outcome {
    /// All of it. The changes have consecutive revisions, from the one after the state's.
    Applied {
        /// In the order of the writes; none for checks and removals of nothing.
        changes: Vec<Change>,
        /// One per write; see [`super::Store::commit`].
        revisions: Vec<Revision>,
    },
    /// Nothing, since an expectation does not hold.
    Conflict {
        /// The first such object.
        key: StoreKey,
        /// What is there instead.
        current: Option<Stored>,
    },
}

/// Whether a command is well formed, whatever it meets.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn admit(writes: &[Write]) -> Result<(), &'static str> {
    let mut keys = HashSet::with_capacity(writes.len());
    let mut bytes = 0;
    for write in writes {
        let StoreKey {
            collection,
            namespace,
            name,
        } = &write.key;
        if [collection, namespace, name].iter().any(|part| part.contains('\0')) {
            return Err("a key contains a NUL");
        }
        if collection.is_empty() || name.is_empty() {
            return Err("a key without collection or name");
        }
        if !keys.insert(&write.key) {
            return Err("a command names an object twice");
        }
        bytes += collection.len() + namespace.len() + name.len();
        if let Op::Put(value) = &write.op {
            bytes += value.len();
        }
    }
    if bytes > COMMAND_BYTES_MAX {
        return Err("a command is larger than the store takes");
    }
    Ok(())
}

/// Applies an admitted command to the state at `revision`.
///
/// # Errors
/// When `records` fails.
pub fn apply<R: Records>(records: &R, revision: Revision, writes: &[Write]) -> Result<Outcome, R::Error> {
    let mut found = Vec::with_capacity(writes.len());
    for write in writes {
        let current = records.current(&write.key)?;
        if !holds(write.expect, current.as_ref()) {
            return Ok(Outcome::Conflict {
                key: write.key.clone(),
                current,
            });
        }
        found.push(current);
    }

    let mut next = revision;
    let mut changes = Vec::with_capacity(writes.len());
    let mut revisions = Vec::with_capacity(writes.len());
    for (write, before) in writes.iter().zip(found) {
        let after = match (&write.op, &before) {
            (Op::Put(value), before) => {
                next += 1;
                Some(Stored {
                    key: write.key.clone(),
                    value: value.clone(),
                    created: before.as_ref().map_or(next, |before| before.created),
                    modified: next,
                })
            }
            (Op::Delete, Some(_)) => {
                next += 1;
                None
            }
            (Op::Delete, None) | (Op::Check, _) => {
                revisions.push(None);
                continue;
            }
        };
        revisions.push(Some(next));
        changes.push(Change::new(next, write.key.clone(), before, after));
    }
    Ok(Outcome::Applied {
        changes,
        revisions: revisions.into_iter().map(|own| own.unwrap_or(next)).collect(),
    })
}

fn holds(expect: Expect, current: Option<&Stored>) -> bool {
    match (expect, current) {
        (Expect::Anything, _) | (Expect::Absent, None) | (Expect::Present, Some(_)) => true,
        (Expect::At(revision), Some(current)) => current.modified == revision,
        (Expect::Absent, Some(_)) | (Expect::Present | Expect::At(_), None) => false,
    }
}

#[cfg(test)]
mod tests;
