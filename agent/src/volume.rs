//! A pod's volumes on the node: made before its containers, kept up to date, removed after them.
//!
//! Kinds: emptyDir (disk, memory), hostPath, configMap, secret, downwardAPI, projected. Secrets lie in memory only.
//! Never here: mounting into a container (the runtime does, from [`binds`]); attaching disks.
//! Source: Kubernetes documentation, "Volumes", "Projected Volumes".

mod content;
mod host_path;
mod published;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use api::{
    k8s_openapi::api::core::v1::{Container, EmptyDirVolumeSource, Pod, Volume, VolumeMount},
    quantity::Quantity,
};
use nix::mount::{MntFlags, MsFlags};
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags};

use crate::{
    durable,
    pods::{
        env::expand,
        fields::{FieldError, PodFacts},
        objects::Objects,
        tokens::TokenError,
    },
    runtime::spec::{Access, Bind, Propagation},
};

/// A volume could not be made or mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("configmap \"{0}\" not found")]
    ConfigMap(String),
    #[error("secret \"{0}\" not found")]
    Secret(String),
    #[error("{kind} \"{name}\" has no key \"{key}\"")]
    Key {
        kind: &'static str,
        name: String,
        key: String,
    },
    #[error("the token of the pod's service account has not come")]
    NoToken,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Field(#[from] FieldError),
    #[error("path {0:?} leads out of the volume")]
    Escapes(String),
    #[error("hostPath type check failed: {path} is not a {wanted}")]
    HostPathType { path: String, wanted: &'static str },
    #[error(
        "this node does not do volumes of this kind yet: it has emptyDir, hostPath, configMap, secret, downwardAPI and projected"
    )]
    Unsupported,
    #[error("no volume of this name")]
    Unknown,
    #[error("{step} {path:?}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VolumeError {
    move |source| VolumeError::Io {
        step,
        path: path.to_owned(),
        source,
    }
}

/// What volumes are made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) facts: &'a PodFacts,
    pub(crate) objects: &'a Objects,
    /// The directory for this pod's volumes.
    pub(crate) dir: &'a Path,
}

/// Makes every volume of the pod, or brings it up to date. Idempotent.
///
/// # Errors
/// The volume's name, and why.
pub(crate) fn prepare(sources: &Sources<'_>) -> Result<(), (String, VolumeError)> {
    for volume in volumes(sources.pod) {
        prepare_one(sources, volume).map_err(|err| (volume.name.clone(), err))?;
    }
    Ok(())
}

/// Writes the volumes that follow objects anew where these have changed. The first failure does not stop the others.
pub(crate) fn refresh(sources: &Sources<'_>) -> Vec<(String, VolumeError)> {
    let followed = volumes(sources.pod).iter().filter(|volume| follows_objects(volume));
    followed
        .filter_map(|volume| Some((volume.name.clone(), publish(sources, volume).err()?)))
        .collect()
}

/// Whether an object of the pod's namespace shows in one of its volumes.
pub(crate) fn follows_objects(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.projected.is_some()
        || volume.downward_api.is_some()
}

/// Removes the pod's volumes and what is in them. Idempotent; host paths stay.
pub(crate) fn release(dir: &Path) -> Result<(), VolumeError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(err) => return Err(io_error("read", dir)(err)),
    };
    for entry in entries {
        let path = entry.map_err(io_error("read", dir))?.path();
        unmount(&path).map_err(io_error("unmount", &path))?;
    }
    fs::remove_dir_all(dir).map_err(io_error("remove", dir))
}

/// Unmounts whatever is mounted at this path; nothing is fine.
pub(crate) fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match nix::mount::umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Mounts a tmpfs unless there is one.
pub(crate) fn mount_tmpfs(path: &Path, options: &str) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    durable::make_private_dir(path)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    if fs::metadata(path)?.dev() != fs::metadata(parent)?.dev() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(nix::mount::mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        flags,
        Some(options),
    )?)
}

fn volumes(pod: &Pod) -> &[Volume] {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default()
}

/// Where a volume lies. Names are DNS labels, so they are plain file names.
fn home(dir: &Path, volume: &str) -> PathBuf {
    dir.join(volume)
}

fn prepare_one(sources: &Sources<'_>, volume: &Volume) -> Result<(), VolumeError> {
    let home = home(sources.dir, &volume.name);
    if let Some(source) = &volume.empty_dir {
        return empty_dir(&home, source, fs_group(sources.pod));
    }
    if let Some(source) = &volume.host_path {
        return host_path::check(source);
    }
    if !follows_objects(volume) {
        return Err(VolumeError::Unsupported);
    }
    if volume.secret.is_some() || volume.projected.is_some() {
        mount_tmpfs(&home, "mode=0755").map_err(io_error("mount memory at", &home))?;
    }
    publish(sources, volume)
}

fn publish(sources: &Sources<'_>, volume: &Volume) -> Result<(), VolumeError> {
    let files = content::files(sources, volume)?;
    let home = home(sources.dir, &volume.name);
    published::publish(&home, &files, fs_group(sources.pod)).map_err(io_error("write", &home))
}

fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod.spec.as_ref()?.security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

fn empty_dir(home: &Path, source: &EmptyDirVolumeSource, group: Option<u32>) -> Result<(), VolumeError> {
    if source.medium.as_deref() == Some("Memory") {
        let limit: Option<Quantity> = source.size_limit.as_ref().and_then(|limit| limit.0.parse().ok());
        let options = match limit.filter(|limit| !limit.is_zero()) {
            Some(limit) => format!("mode=0777,size={}", limit.value()),
            None => "mode=0777".to_owned(),
        };
        mount_tmpfs(home, &options).map_err(io_error("mount memory at", home))?;
    } else {
        durable::make_private_dir(home).map_err(io_error("make", home))?;
    }
    let mut mode = 0o777;
    if let Some(group) = group {
        std::os::unix::fs::chown(home, None, Some(group)).map_err(io_error("give away", home))?;
        // Files made in it belong to the group.
        mode |= 0o2000;
    }
    fs::set_permissions(home, fs::Permissions::from_mode(mode)).map_err(io_error("set the mode of", home))
}

/// The mounts of a container, a target below another after it.
///
/// # Errors
/// The volume's name, and why.
pub(crate) fn binds(
    sources: &Sources<'_>,
    container: &Container,
    env: &[(String, String)],
) -> Result<Vec<Bind>, (String, VolumeError)> {
    let mut binds = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| bind(sources, mount, env).map_err(|err| (mount.name.clone(), err)))
        .collect::<Result<Vec<_>, _>>()?;
    binds.sort_by(|a, b| Path::new(&a.target).cmp(Path::new(&b.target)));
    Ok(binds)
}

fn bind(sources: &Sources<'_>, mount: &VolumeMount, env: &[(String, String)]) -> Result<Bind, VolumeError> {
    let volume = volumes(sources.pod)
        .iter()
        .find(|volume| volume.name == mount.name)
        .ok_or(VolumeError::Unknown)?;
    let mut source = match &volume.host_path {
        Some(host_path) => PathBuf::from(&host_path.path),
        None => home(sources.dir, &volume.name),
    };
    let sub_path = match (&mount.sub_path_expr, &mount.sub_path) {
        (Some(expression), _) if !expression.is_empty() => {
            let lookup = |name: &str| {
                env.iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, value)| value.clone())
            };
            expand(expression, lookup)
        }
        (_, Some(path)) => path.clone(),
        _ => String::new(),
    };
    if !sub_path.is_empty() {
        source = within(&source, &sub_path)?;
    }
    // What follows objects is never the container's to change.
    let read_only = mount.read_only == Some(true) || follows_objects(volume);
    Ok(Bind {
        source,
        target: mount.mount_path.clone(),
        access: if read_only { Access::ReadOnly } else { Access::ReadWrite },
        propagation: match mount.mount_propagation.as_deref() {
            Some("Bidirectional") => Propagation::Bidirectional,
            Some("HostToContainer") => Propagation::HostToContainer,
            _ => Propagation::Private,
        },
    })
}

/// A path inside a volume, whatever links its contents have laid; a missing directory is made.
fn within(volume: &Path, sub_path: &str) -> Result<PathBuf, VolumeError> {
    use std::os::fd::AsRawFd as _;
    let escapes = || VolumeError::Escapes(sub_path.to_owned());
    if Path::new(sub_path).is_absolute() || sub_path.split('/').any(|part| part == "..") {
        return Err(escapes());
    }
    let target = volume.join(sub_path);
    let error = |errno: rustix::io::Errno| match errno {
        rustix::io::Errno::XDEV | rustix::io::Errno::LOOP => VolumeError::Escapes(sub_path.to_owned()),
        other => io_error("open", &target)(other.into()),
    };
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(error)?;
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        rustix::fs::openat2(
            &root,
            path,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        )
    };
    let found = match open(Path::new(sub_path)) {
        Err(rustix::io::Errno::NOENT) => {
            let mut path = PathBuf::from(".");
            for part in Path::new(sub_path).components() {
                let above = rustix::fs::openat2(
                    &root,
                    &path,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    Mode::empty(),
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
                )
                .map_err(error)?;
                match rustix::fs::mkdirat(&above, part.as_os_str(), Mode::from_raw_mode(0o750)) {
                    Err(errno) if errno != rustix::io::Errno::EXIST => return Err(error(errno)),
                    _ => {}
                }
                path.push(part);
            }
            open(Path::new(sub_path)).map_err(error)?
        }
        other => other.map_err(error)?,
    };
    // The real path behind the links, as the kernel resolved them within the volume.
    let link = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    fs::read_link(&link).map_err(io_error("resolve", &target))
}

/// Gives a file's group, if there is one to give.
fn give_group(file: &fs::File, group: Option<u32>) -> io::Result<()> {
    match group {
        Some(group) => Ok(rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
