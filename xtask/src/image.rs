//! Images for tests and the demo, as OCI archives made of files of this machine.
//!
//! Never a download: the content is Debian's busybox-static, or a program with the libraries it is linked against.
//! Source: OCI image format specification 1.1 (image layout, one manifest, one uncompressed layer).

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::shell;

/// Which image to write.
#[derive(Args)]
pub struct ImageArguments {
    /// `busybox`: a shell and its tools. `web`: busybox answering HTTP on port 8080 with the pod's name.
    #[arg(value_parser = ["busybox", "web"])]
    kind: String,
    /// The image's reference, as pods name it. Default: skep.test/KIND:1
    #[arg(long)]
    reference: Option<String>,
    /// The archive to write.
    #[arg(long)]
    out: PathBuf,
}

/// `cargo xtask image`.
///
/// # Errors
/// When busybox-static is missing or the archive cannot be written.
pub fn run(arguments: &ImageArguments) -> Result<()> {
    let reference = arguments
        .reference
        .clone()
        .unwrap_or_else(|| format!("skep.test/{}:1", arguments.kind));
    let image = match arguments.kind.as_str() {
        "web" => web(&reference)?,
        _ => busybox(&reference)?,
    };
    image.write(&arguments.out)?;
    println!("{reference} written to {}", arguments.out.display());
    Ok(())
}

/// An image being put together: one layer, one platform.
#[derive(Debug, Clone)]
pub struct Image {
    reference: String,
    files: BTreeMap<String, Entry>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    environment: Vec<String>,
}

#[derive(Debug, Clone)]
enum Entry {
    Directory { mode: u32 },
    File { content: Vec<u8>, mode: u32 },
    Link { target: String },
}

/// A shell with busybox' tools; its command is `sh`.
///
/// # Errors
/// When Debian's busybox-static is not installed.
pub fn busybox(reference: &str) -> Result<Image> {
    let program = ["/bin/busybox", "/usr/bin/busybox"]
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
        .context("find /bin/busybox; install Debian's busybox-static (`cargo xtask setup` does)")?;
    let content = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let applets = shell::output(Command::new(program).arg("--list"))?;
    let mut image = Image::new(reference)
        .file("bin/busybox", content, 0o755)
        .directory("tmp", 0o1777)
        .directory("root", 0o700)
        .file(
            "etc/passwd",
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
            0o644,
        )
        .file("etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644);
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        image = image.link(&format!("bin/{applet}"), "/bin/busybox");
    }
    Ok(image.environment("PATH=/bin").command(&["/bin/sh"]))
}

/// A web server on port 8080 whose every answer is the pod's name and a line break.
///
/// # Errors
/// As [`busybox`].
pub fn web(reference: &str) -> Result<Image> {
    let answer = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nhostname\n";
    Ok(busybox(reference)?
        // What busybox' httpd runs for a request to "/" when there is no index.html.
        .file("www/cgi-bin/index.cgi", answer, 0o755)
        .command(&["/bin/httpd", "-f", "-p", "8080", "-h", "/www"]))
}

/// A program of this machine with the libraries it is linked against.
///
/// # Errors
/// When the program or one of its libraries cannot be read.
pub fn program(reference: &str, program: &Path) -> Result<Image> {
    let content = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .context("a program has a name")?;
    let mut image = Image::new(reference)
        .file(&format!("bin/{name}"), content, 0o755)
        .directory("tmp", 0o1777)
        .entrypoint(&[&format!("/bin/{name}")]);
    for library in libraries_of(program)? {
        let content = std::fs::read(&library).with_context(|| format!("read {}", library.display()))?;
        image = image.file(library.to_string_lossy().trim_start_matches('/'), content, 0o755);
    }
    Ok(image)
}

/// Paths of the shared libraries and of the dynamic loader, as ldd prints them. Empty for a static program.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("start ldd")?;
    if !output.status.success() {
        return Ok(Vec::new());
    }
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listing
        .lines()
        .filter_map(|line| {
            let path = line.split("=>").last()?.split_whitespace().next()?;
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect())
}

impl Image {
    /// An image without content.
    #[must_use]
    pub fn new(reference: &str) -> Self {
        Self {
            reference: reference.to_owned(),
            files: BTreeMap::new(),
            entrypoint: Vec::new(),
            command: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The name pods use.
    #[must_use]
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// Adds a file; the path is relative to the image's root.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.insert(
            path.to_owned(),
            Entry::File {
                content: content.into(),
                mode,
            },
        );
        self
    }

    /// Adds an empty directory.
    #[must_use]
    pub fn directory(mut self, path: &str, mode: u32) -> Self {
        self.files.insert(path.to_owned(), Entry::Directory { mode });
        self
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.files.insert(
            path.to_owned(),
            Entry::Link {
                target: target.to_owned(),
            },
        );
        self
    }

    /// Sets the entrypoint.
    #[must_use]
    pub fn entrypoint(mut self, arguments: &[&str]) -> Self {
        self.entrypoint = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// Sets the command.
    #[must_use]
    pub fn command(mut self, arguments: &[&str]) -> Self {
        self.command = arguments.iter().map(ToString::to_string).collect();
        self
    }

    /// Adds `NAME=value`.
    #[must_use]
    pub fn environment(mut self, assignment: &str) -> Self {
        self.environment.push(assignment.to_owned());
        self
    }

    /// Writes the archive. The same image gives the same bytes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let archive = self.archive()?;
        std::fs::write(path, archive).with_context(|| format!("write {}", path.display()))
    }

    fn archive(&self) -> Result<Vec<u8>> {
        let layer = self.layer().context("build the image's layer")?;
        let layer_digest = digest(&layer);
        let config = serde_json::to_vec(&json!({
            "architecture": match std::env::consts::ARCH {
                "x86_64" => "amd64",
                "aarch64" => "arm64",
                other => bail!("no OCI name is known for the architecture {other}"),
            },
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "Cmd": self.command, "Env": self.environment, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [layer_digest]},
            "history": [{"created_by": "cargo xtask image"}],
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }))?;
        let mut manifest_descriptor = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        let tag = self.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
        manifest_descriptor["annotations"] =
            json!({"io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": tag});
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [manifest_descriptor],
        }))?;

        let mut archive = tar::Builder::new(Vec::new());
        append(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", &index)?;
        for blob in [&manifest, &config, &layer] {
            append(
                &mut archive,
                &format!("blobs/sha256/{}", hex(&Sha256::digest(blob))),
                blob,
            )?;
        }
        archive.into_inner().context("close the archive")
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let mut layer = tar::Builder::new(Vec::new());
        for directory in self.directories() {
            let mode = match self.files.get(&directory) {
                Some(Entry::Directory { mode }) => *mode,
                _ => 0o755,
            };
            let mut header = header(tar::EntryType::Directory, mode, 0);
            layer.append_data(&mut header, format!("{directory}/"), std::io::empty())?;
        }
        for (path, entry) in &self.files {
            match entry {
                Entry::Directory { .. } => {}
                Entry::File { content, mode } => {
                    let mut header = header(tar::EntryType::Regular, *mode, content.len() as u64);
                    layer.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Link { target } => {
                    let mut header = header(tar::EntryType::Symlink, 0o777, 0);
                    layer.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(layer.into_inner()?)
    }

    /// All directories, parents before children.
    fn directories(&self) -> Vec<String> {
        let mut directories = std::collections::BTreeSet::new();
        for (path, entry) in &self.files {
            if matches!(entry, Entry::Directory { .. }) {
                directories.insert(path.clone());
            }
            let mut rest = path.as_str();
            while let Some((parent, _)) = rest.rsplit_once('/') {
                directories.insert(parent.to_owned());
                rest = parent;
            }
        }
        directories.into_iter().collect()
    }
}

/// Small letters, two per byte.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(content)))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8]) -> Result<()> {
    let mut header = header(tar::EntryType::Regular, 0o644, content.len() as u64);
    archive
        .append_data(&mut header, path, content)
        .with_context(|| format!("add {path} to the archive"))
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header
}

#[cfg(test)]
mod tests;
