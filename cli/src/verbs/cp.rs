//! `skep cp`: files to and from a container, by the `tar` that it has.
//!
//! What comes out of a container is hostile: nothing is written outside the destination, and no link is made.

use std::{
    fs::File,
    io::{Read, Write},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::client::{
    Connection, ConnectionArguments, object, pod_choice,
    remote_command::{self, End, PARTS_WAITING_MAX, Request, Streams},
};

/// Bytes of an archive that are sent at once.
const PART_BYTES: usize = 32 << 10;

/// Copy files to and from a container.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CpArguments {
    /// `PATH`, `POD:PATH` or `NAMESPACE/POD:PATH`.
    #[arg(value_name = "FROM")]
    from: String,
    /// `PATH`, `POD:PATH` or `NAMESPACE/POD:PATH`.
    #[arg(value_name = "TO")]
    to: String,
    /// The container. Default: the pod's first.
    #[arg(short, long)]
    container: Option<String>,
    /// Leave owners and rights of the files to the container.
    #[arg(long)]
    no_preserve: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Local(PathBuf),
    Pod {
        namespace: Option<String>,
        pod: String,
        path: String,
    },
}

impl Side {
    fn parse(text: &str) -> anyhow::Result<Side> {
        let Some((place, path)) = text.split_once(':') else {
            return Ok(Side::Local(text.into()));
        };
        // A name with slashes before the colon is a file's, unless it is NAMESPACE/POD.
        let (namespace, pod) = match place.split('/').collect::<Vec<_>>().as_slice() {
            [pod] if !pod.is_empty() => (None, (*pod).to_owned()),
            [namespace, pod] if !namespace.is_empty() && !pod.is_empty() && !namespace.starts_with('.') => {
                (Some((*namespace).to_owned()), (*pod).to_owned())
            }
            _ if text.starts_with(['.', '/']) => return Ok(Side::Local(text.into())),
            _ => bail!("filespec must match the canonical format: [[namespace/]pod:]file/path"),
        };
        if path.is_empty() {
            bail!("filepath can not be empty");
        }
        Ok(Side::Pod {
            namespace,
            pod,
            path: path.to_owned(),
        })
    }
}

/// A container whose files are copied.
struct Place<'a> {
    connection: &'a Connection,
    namespace: String,
    pod: String,
    container: String,
}

impl CpArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (from, to) = (Side::parse(&self.from)?, Side::parse(&self.to)?);
        match (&from, &to) {
            (Side::Local(local), Side::Pod { namespace, pod, path }) => {
                if std::fs::symlink_metadata(local).is_err() {
                    bail!("{} doesn't exist in local filesystem", local.display());
                }
                let connection = self.connection.connect().await?;
                let place = self.place(&connection, namespace.as_deref(), pod).await?;
                place.put(local, path, self.no_preserve).await
            }
            (Side::Pod { namespace, pod, path }, Side::Local(local)) => {
                let connection = self.connection.connect().await?;
                let place = self.place(&connection, namespace.as_deref(), pod).await?;
                place.fetch(path, local).await
            }
            (Side::Local(_), Side::Local(_)) | (Side::Pod { .. }, Side::Pod { .. }) => {
                bail!("one of src or dest must be a local file specification")
            }
        }
    }

    async fn place<'a>(
        &self,
        connection: &'a Connection,
        namespace: Option<&str>,
        pod: &str,
    ) -> anyhow::Result<Place<'a>> {
        let namespace = namespace.unwrap_or_else(|| connection.namespace());
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}",
            object::encoded(namespace),
            object::encoded(pod)
        );
        let found = connection.get_json(&path).await?;
        Ok(Place {
            connection,
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            container: pod_choice::container(&found, self.container.as_deref(), false)?,
        })
    }
}

impl Place<'_> {
    fn request<'a>(&'a self, command: &'a [String]) -> Request<'a> {
        Request {
            namespace: &self.namespace,
            pod: &self.pod,
            container: &self.container,
            command: Some(command),
            tty: false,
        }
    }

    async fn put(&self, local: &Path, path: &str, no_preserve: bool) -> anyhow::Result<()> {
        let test = words(&["test", "-d", path]);
        let is_directory = remote_command::ask(self.connection, &self.request(&test)).await?.0 == 0;
        let (directory, name) = destination(local, path, is_directory)?;
        let mut unpack = vec!["tar"];
        if no_preserve {
            unpack.extend(["--no-same-permissions", "--no-same-owner"]);
        }
        unpack.extend(["-xmf", "-", "-C", directory.as_str()]);
        let unpack = words(&unpack);
        let (sender, stdin) = mpsc::channel(PARTS_WAITING_MAX);
        let (said, mut parts) = mpsc::channel::<Bytes>(PARTS_WAITING_MAX);
        let streams = Streams {
            stdin: Some(stdin),
            stdout: Some(said.clone()),
            stderr: Some(said),
            sizes: None,
        };
        let local = local.to_owned();
        let packing = std::thread::spawn(move || pack(&local, &name, Parts::new(sender)));
        let tell = async {
            while let Some(part) = parts.recv().await {
                eprint!("{}", crate::legible(&String::from_utf8_lossy(&part)));
            }
        };
        let request = self.request(&unpack);
        let (end, ()) = futures::join!(remote_command::run(self.connection, &request, streams), tell);
        succeeded(end?)?;
        packing.join().expect("packing does not panic")
    }

    async fn fetch(&self, path: &str, local: &Path) -> anyhow::Result<()> {
        let pack = words(&["tar", "cf", "-", path]);
        let (stdout, parts) = mpsc::channel(PARTS_WAITING_MAX);
        let (said, mut told) = mpsc::channel::<Bytes>(PARTS_WAITING_MAX);
        let streams = Streams {
            stdin: None,
            stdout: Some(stdout),
            stderr: Some(said),
            sizes: None,
        };
        let root = archived(path);
        let target = if local.is_dir() {
            local.join(Path::new(&root).file_name().unwrap_or_default())
        } else {
            local.to_owned()
        };
        let unpacking = std::thread::spawn(move || unpack(Parts::reader(parts), &root, &target));
        let tell = async {
            while let Some(part) = told.recv().await {
                eprint!("{}", crate::legible(&String::from_utf8_lossy(&part)));
            }
        };
        let request = self.request(&pack);
        let (end, ()) = futures::join!(remote_command::run(self.connection, &request, streams), tell);
        let unpacked = unpacking.join().expect("unpacking does not panic");
        match end? {
            // Why we stopped reading is in what unpacking says.
            End::NotRead => unpacked,
            end => succeeded(end).and(unpacked),
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn succeeded(end: End) -> anyhow::Result<()> {
    match end {
        End::Code(0) => Ok(()),
        End::Code(code) => bail!("command terminated with exit code {code}"),
        End::Failed(message) => bail!("{message}"),
        End::NotRead => bail!("the archive was not read to its end"),
    }
}

/// The directory in the container to unpack in, and the name that the archive's root has.
fn destination(local: &Path, path: &str, is_directory: bool) -> anyhow::Result<(String, String)> {
    let trimmed = path.trim_end_matches('/');
    if is_directory || trimmed.is_empty() {
        let local = std::path::absolute(local).context("find the file's name")?;
        let name = local.file_name().context("the file to copy has no name")?;
        let directory = if trimmed.is_empty() { "/" } else { trimmed };
        return Ok((directory.to_owned(), name.to_string_lossy().into_owned()));
    }
    Ok(match trimmed.rsplit_once('/') {
        None => (".".to_owned(), trimmed.to_owned()),
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((directory, name)) => (directory.to_owned(), name.to_owned()),
    })
}

/// Packs a file, or a directory with all in it.
fn pack(local: &Path, name: &str, out: Parts) -> anyhow::Result<()> {
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(PART_BYTES, out));
    archive.follow_symlinks(false);
    let metadata = std::fs::metadata(local).with_context(|| format!("look at {}", local.display()))?;
    let packed = if metadata.is_dir() {
        archive.append_dir_all(name, local)
    } else {
        File::open(local).and_then(|mut file| archive.append_file(name, &mut file))
    };
    packed.with_context(|| format!("pack {}", local.display()))?;
    let mut out = archive.into_inner().context("end the archive")?;
    out.flush().context("send the archive")
}

/// The name that `tar` gives what it packs.
fn archived(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.join("/")
}

/// Where an entry goes, below the target; None if it belongs elsewhere. Pure.
fn placed(entry: &Path, root: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in entry.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    clean.strip_prefix(root).ok().map(Path::to_owned)
}

fn unpack(input: impl Read, root: &str, target: &Path) -> anyhow::Result<()> {
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().context("read the archive")? {
        let mut entry = entry.context("read the archive")?;
        let path = entry.path().context("read a name in the archive")?.into_owned();
        let shown = crate::legible(&path.to_string_lossy());
        let Some(below) = placed(&path, root) else {
            eprintln!("warning: path {shown:?} is outside target destination, skipping");
            continue;
        };
        let place = if below.as_os_str().is_empty() {
            target.to_owned()
        } else {
            target.join(&below)
        };
        let kind = entry.header().entry_type();
        // Without links of ours there are none below the target but those that were there.
        if leads_out(target, &below) {
            eprintln!("warning: path {shown:?} is outside target destination, skipping");
            continue;
        }
        let write = || format!("write {}", place.display());
        if kind.is_dir() {
            std::fs::create_dir_all(&place).with_context(write)?;
        } else if kind.is_file() {
            if let Some(parent) = place.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                std::fs::create_dir_all(parent).with_context(write)?;
            }
            let mut file = File::create(&place).with_context(write)?;
            std::io::copy(&mut entry, &mut file).with_context(write)?;
        } else if kind.is_symlink() || kind.is_hard_link() {
            let to = entry.link_name().ok().flatten().unwrap_or_default();
            let to = crate::legible(&to.to_string_lossy());
            eprintln!("warning: skipping symlink: {shown:?} -> {to:?}");
        } else {
            eprintln!("warning: skipping {shown:?}: it is neither a file nor a directory");
        }
    }
    Ok(())
}

/// Whether a link that lies below the target is on the way.
fn leads_out(target: &Path, below: &Path) -> bool {
    let mut place = target.to_owned();
    below.components().any(|component| {
        place.push(component);
        place.is_symlink()
    })
}

/// An archive in parts, as the streams of a command have it.
struct Parts(mpsc::Sender<Bytes>);

impl Parts {
    fn new(sender: mpsc::Sender<Bytes>) -> Parts {
        Parts(sender)
    }

    fn reader(parts: mpsc::Receiver<Bytes>) -> PartReader {
        PartReader {
            parts,
            current: Bytes::new(),
        }
    }
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let part = &bytes[..bytes.len().min(PART_BYTES)];
        let sent = self.0.blocking_send(Bytes::copy_from_slice(part));
        sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct PartReader {
    parts: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.current = part,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_understood() {
        let pod = |namespace: Option<&str>, pod: &str, path: &str| {
            Some(Side::Pod {
                namespace: namespace.map(str::to_owned),
                pod: pod.to_owned(),
                path: path.to_owned(),
            })
        };
        for (text, expected) in [
            ("/tmp/a", Some(Side::Local("/tmp/a".into()))),
            ("a", Some(Side::Local("a".into()))),
            ("./a:b", Some(Side::Local("./a:b".into()))),
            ("p:/tmp", pod(None, "p", "/tmp")),
            ("n/p:a", pod(Some("n"), "p", "a")),
            ("p:a:b", pod(None, "p", "a:b")),
            ("a/b/c:d", None),
            (":a", None),
            ("p:", None),
        ] {
            assert_eq!(Side::parse(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn destinations() {
        for (path, is_directory, expected) in [
            ("/tmp", true, ("/tmp", "x")),
            ("/tmp/", true, ("/tmp", "x")),
            ("/", true, ("/", "x")),
            ("/tmp/y", false, ("/tmp", "y")),
            ("/y", false, ("/", "y")),
            ("y", false, (".", "y")),
        ] {
            let found = destination(Path::new("/a/x"), path, is_directory).expect("it has a name");
            assert_eq!((found.0.as_str(), found.1.as_str()), expected, "{path}");
        }
    }

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            let bytes = header.as_mut_bytes();
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            if kind.is_file() {
                header.set_size(content.len() as u64);
                header.set_cksum();
                builder.append(&header, content.as_bytes()).expect("append");
            } else {
                if kind.is_symlink() {
                    header.set_link_name(content).expect("a short name");
                }
                header.set_size(0);
                header.set_cksum();
                builder.append(&header, std::io::empty()).expect("append");
            }
        }
        builder.into_inner().expect("end")
    }

    #[test]
    fn nothing_is_written_outside_the_target() {
        use tar::EntryType;
        let around = tempfile::tempdir().expect("make a directory");
        let target = around.path().join("target");
        std::fs::create_dir(&target).expect("make a directory");
        std::os::unix::fs::symlink(around.path(), target.join("link")).expect("link");
        let bytes = archive(&[
            ("d/", EntryType::Directory, ""),
            ("d/good", EntryType::Regular, "good"),
            ("d/../../evil1", EntryType::Regular, "evil"),
            ("/evil2", EntryType::Regular, "evil"),
            ("elsewhere/evil3", EntryType::Regular, "evil"),
            ("d/out", EntryType::Symlink, ".."),
            ("d/out/evil4", EntryType::Regular, "evil"),
            ("d/link/evil5", EntryType::Regular, "evil"),
        ]);
        unpack(bytes.as_slice(), "d", &target).expect("the rest is fine");
        let names = |path: &Path| {
            let mut names: Vec<String> = std::fs::read_dir(path)
                .expect("list")
                .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(around.path()), ["target"]);
        assert_eq!(names(&target), ["good", "link", "out"]);
        assert!(!target.join("out").is_symlink());
    }
}
