//! Who a container runs as: names of the image's own passwd and group files become numbers.
//!
//! Reads the files out of the image's layers, before the root filesystem is mounted.
//! Source: OCI image configuration (`User`), passwd(5), group(5); Kubernetes' `securityContext`.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// Largest passwd or group file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Numbers of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Sorted, without `gid`.
    pub(crate) groups: Vec<u32>,
}

/// What a pod asks for, over what the image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted<'a> {
    /// The image's `User`.
    pub(crate) image: &'a str,
    /// `runAsUser`
    pub(crate) uid: Option<u32>,
    /// `runAsGroup`
    pub(crate) gid: Option<u32>,
    /// `supplementalGroups` and `fsGroup`
    pub(crate) groups: &'a [u32],
}

/// The user cannot be resolved.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UserError {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    User(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    Group(String),
}

/// The image's account files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

impl Accounts {
    /// Reads them from unpacked layers, top first.
    pub(crate) fn read<'a>(layers: impl Iterator<Item = &'a Path> + Clone) -> Accounts {
        Accounts {
            passwd: read_from_layers(layers.clone(), "etc/passwd").unwrap_or_default(),
            group: read_from_layers(layers, "etc/group").unwrap_or_default(),
        }
    }

    /// The numbers of whoever is wanted.
    pub(crate) fn resolve(&self, wanted: Wanted<'_>) -> Result<User, UserError> {
        let (image_user, image_group) = match wanted.image.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (wanted.image, None),
        };
        let (uid, name, own_gid) = match wanted.uid {
            Some(uid) => self.by_uid(uid),
            None if image_user.is_empty() => self.by_uid(0),
            None => match image_user.parse::<u32>() {
                Ok(uid) => self.by_uid(uid),
                Err(_) => self
                    .by_name(image_user)
                    .ok_or_else(|| UserError::User(image_user.to_owned()))?,
            },
        };
        let gid = match (wanted.gid, image_group) {
            (Some(gid), _) => gid,
            // The image's group belongs to the image's user.
            (None, Some(group)) if wanted.uid.is_none() => match group.parse::<u32>() {
                Ok(gid) => gid,
                Err(_) => self
                    .groups()
                    .find(|(name, _, _)| *name == group)
                    .map(|(_, gid, _)| gid)
                    .ok_or_else(|| UserError::Group(group.to_owned()))?,
            },
            (None, _) => own_gid.unwrap_or(0),
        };
        let member_of = self.groups().filter(|(_, _, members)| {
            name.as_ref()
                .is_some_and(|name| members.split(',').any(|member| member == name))
        });
        let mut groups: Vec<u32> = member_of
            .map(|(_, gid, _)| gid)
            .chain(wanted.groups.iter().copied())
            .filter(|group| *group != gid)
            .collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(User { uid, gid, groups })
    }

    fn by_uid(&self, uid: u32) -> (u32, Option<String>, Option<u32>) {
        let known = self.users().find(|(_, known, _)| *known == uid);
        match known {
            Some((name, _, gid)) => (uid, Some(name.to_owned()), Some(gid)),
            None => (uid, None, None),
        }
    }

    fn by_name(&self, name: &str) -> Option<(u32, Option<String>, Option<u32>)> {
        let (known, uid, gid) = self.users().find(|(known, _, _)| *known == name)?;
        Some((uid, Some(known.to_owned()), Some(gid)))
    }

    /// Name, uid, gid.
    fn users(&self) -> impl Iterator<Item = (&str, u32, u32)> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((name, uid, fields.next()?.parse().ok()?))
        })
    }

    /// Name, gid, members.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid = fields.nth(1)?.parse().ok()?;
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }
}

/// The topmost layer that says something about the file decides; links stay inside their layer.
fn read_from_layers<'a>(layers: impl Iterator<Item = &'a Path>, path: &str) -> Option<String> {
    layers
        .map(|layer| read_inside(layer, path))
        .find_map(|found| match found {
            Ok(text) => Some(Some(text)),
            Err(err) if err.kind() == io::ErrorKind::NotFound => None,
            // A whiteout, or nothing that can be read: the file is not there.
            Err(_) => Some(None),
        })
        .flatten()
}

fn read_inside(layer: &Path, path: &str) -> io::Result<String> {
    let root = rustix::fs::open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Accounts, User, UserError, Wanted};

    #[test]
    fn users_are_resolved_as_the_image_and_the_pod_say() {
        let accounts = Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/:/bin/sh\n".to_owned(),
            group: "root:x:0:\nweb:x:34:\nlogs:x:50:web,root\n".to_owned(),
        };
        let ok = |uid, gid, groups: &[u32]| {
            Ok(User {
                uid,
                gid,
                groups: groups.to_vec(),
            })
        };
        // image, runAsUser, runAsGroup, supplemental, result
        for (image, uid, gid, groups, expected) in [
            ("", None, None, vec![], ok(0, 0, &[50])),
            ("web", None, None, vec![], ok(33, 34, &[50])),
            ("33", None, None, vec![], ok(33, 34, &[50])),
            ("web:logs", None, None, vec![], ok(33, 50, &[])),
            ("1000", None, None, vec![], ok(1000, 0, &[])),
            ("1000:1001", None, None, vec![7, 5, 7], ok(1000, 1001, &[5, 7])),
            ("web:logs", Some(0), None, vec![], ok(0, 0, &[50])),
            ("web", Some(1000), Some(1001), vec![34], ok(1000, 1001, &[34])),
            ("web", None, Some(9), vec![], ok(33, 9, &[50])),
            ("nobody", None, None, vec![], Err(UserError::User("nobody".to_owned()))),
            ("nobody", Some(5), None, vec![], ok(5, 0, &[])),
            ("web:none", None, None, vec![], Err(UserError::Group("none".to_owned()))),
        ] {
            let wanted = Wanted {
                image,
                uid,
                gid,
                groups: &groups,
            };
            assert_eq!(accounts.resolve(wanted), expected, "{wanted:?}");
        }
    }
}
