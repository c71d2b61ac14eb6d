//! An image archive as a set of named blobs, and the images it says it contains.
//!
//! Reads an OCI layout or a `docker save` archive, plain or gzipped, in whatever order its entries come.
//! Never here: writing anything outside the one temporary file that a gzipped archive is inflated to.
//! Source: OCI image-layout.md, `docker save`.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Take},
    path::{Component, Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::config::{ConfigBlob, Descriptor, DockerManifest, Index, Manifest};
use crate::causes::chain;

/// Largest JSON document taken from an archive: what registries accept for a manifest.
const JSON_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Most entries of an archive: a few per layer and image, so far beyond any real one.
const ENTRIES_MAX: usize = 65_536;
/// Deepest nesting of image indexes.
const INDEX_DEPTH_MAX: usize = 4;
/// Most of what is shown of the tar reader's complaint, which quotes header fields of up to 155 bytes.
const LEGIBLE_CHARS_MAX: usize = 160;
/// Most layers of one image: overlayfs' options must fit into one page.
pub(super) const LAYERS_MAX: usize = 127;

const NAME_ANNOTATIONS: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// An archive could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive could not be read.
    #[error("read the archive")]
    Read(#[source] io::Error),
    /// It ends before its entries do.
    #[error("the archive is cut off: {name:?} should end at byte {end}, but the archive has {size} bytes")]
    CutOff {
        /// The entry.
        name: String,
        /// Where it should end.
        end: u64,
        /// Where the archive ends.
        size: u64,
    },
    /// Neither kind of archive.
    #[error("the archive has neither index.json (OCI layout) nor manifest.json (docker save)")]
    NotAnImage,
    /// Too many entries.
    #[error("the archive has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// Something that is named is not there.
    #[error("the archive names {0:?} but does not contain it")]
    Missing(String),
    /// A document is larger than any real one.
    #[error("{name} has {size} bytes; at most {JSON_BYTES_MAX} are taken")]
    TooLarge {
        /// The document.
        name: String,
        /// Its size.
        size: u64,
    },
    /// A document is no JSON of its kind.
    #[error("decode {name}")]
    Json {
        /// The document.
        name: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Content does not have its digest.
    #[error("{name} should have digest {expected}, but has {actual}")]
    Digest {
        /// The blob.
        name: String,
        /// What was announced.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A digest of another algorithm, or none at all.
    #[error("{0:?} is not a sha256 digest")]
    UnknownDigest(String),
    /// No image for this machine.
    #[error("no image for linux/{architecture} in the archive; it has {available}")]
    Platform {
        /// This machine.
        architecture: &'static str,
        /// What there is.
        available: String,
    },
    /// More layers than can be mounted, or a number that differs from the configuration's.
    #[error("the image has {layers} layers and {diff_ids} diff ids (at most {LAYERS_MAX}, and equal)")]
    Layers {
        /// Layers of the manifest.
        layers: usize,
        /// Diff ids of the configuration.
        diff_ids: usize,
    },
}

/// One image of an archive.
#[derive(Debug, Clone)]
pub(super) struct ArchivedImage {
    /// Names as the archive has them, not yet normalised; a bare tag is possible.
    pub(super) names: Vec<String>,
    /// Digest of the manifest, where the archive has one.
    pub(super) manifest_digest: Option<String>,
    /// `sha256:…` of the configuration: the image's id.
    pub(super) id: String,
    /// The configuration's bytes.
    pub(super) config_json: Vec<u8>,
    /// The same, decoded.
    pub(super) config: ConfigBlob,
    /// Bottom first, parallel to the diff ids.
    pub(super) layers: Vec<ArchivedLayer>,
}

/// Where a layer lies in the archive.
#[derive(Debug, Clone)]
pub(super) struct ArchivedLayer {
    /// Entry of the archive.
    pub(super) entry: String,
    /// `sha256:…` of the bytes as they are in the archive, where it is announced.
    pub(super) digest: Option<String>,
    /// `sha256:…` of the layer without compression.
    pub(super) diff_id: String,
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    size: u64,
}

/// An opened archive.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    entries: HashMap<String, Extent>,
}

impl Archive {
    /// Opens an archive; one that is gzipped is inflated into `scratch` first.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Archive, ArchiveError> {
        let mut file = File::open(path).map_err(ArchiveError::Read)?;
        if starts_with_gzip(&mut file).map_err(ArchiveError::Read)? {
            file = inflate(file, scratch).map_err(ArchiveError::Read)?;
        }
        let entries = scan(&file)?;
        Ok(Archive { file, entries })
    }

    /// The images the archive contains for this machine.
    pub(super) fn images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        if self.entries.contains_key("index.json") && self.entries.contains_key("oci-layout") {
            return self.oci_images();
        }
        if self.entries.contains_key("manifest.json") {
            return self.docker_images();
        }
        Err(ArchiveError::NotAnImage)
    }

    /// The bytes of an entry.
    pub(super) fn reader(&self, entry: &str) -> Result<Take<File>, ArchiveError> {
        let extent = self.extent(entry)?;
        let mut file = self.file.try_clone().map_err(ArchiveError::Read)?;
        // One reader at a time: the clone shares its offset with `self.file`.
        file.seek(SeekFrom::Start(extent.offset)).map_err(ArchiveError::Read)?;
        Ok(file.take(extent.size))
    }

    /// Size of an entry in bytes.
    pub(super) fn size(&self, entry: &str) -> u64 {
        self.entries.get(entry).map_or(0, |extent| extent.size)
    }

    fn extent(&self, entry: &str) -> Result<Extent, ArchiveError> {
        self.entries
            .get(entry)
            .copied()
            .ok_or_else(|| ArchiveError::Missing(entry.to_owned()))
    }

    fn document(&self, entry: &str) -> Result<Vec<u8>, ArchiveError> {
        let extent = self.extent(entry)?;
        if extent.size > JSON_BYTES_MAX {
            return Err(ArchiveError::TooLarge {
                name: entry.to_owned(),
                size: extent.size,
            });
        }
        let mut bytes = Vec::new();
        self.reader(entry)?
            .read_to_end(&mut bytes)
            .map_err(ArchiveError::Read)?;
        Ok(bytes)
    }

    /// A document named by its digest, verified.
    fn blob(&self, digest: &str) -> Result<Vec<u8>, ArchiveError> {
        let entry = blob_entry(digest)?;
        let bytes = self.document(&entry)?;
        verify(&entry, digest, &bytes)?;
        Ok(bytes)
    }

    fn oci_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let index: Index = decode("index.json", &self.document("index.json")?)?;
        let mut found = Vec::new();
        let mut elsewhere = Vec::new();
        for descriptor in &index.manifests {
            let names: Vec<String> = NAME_ANNOTATIONS
                .iter()
                .find_map(|annotation| descriptor.annotations.get(*annotation))
                .cloned()
                .into_iter()
                .collect();
            self.collect(descriptor, &names, 0, &mut found, &mut elsewhere)?;
        }
        some(found, &elsewhere)
    }

    fn collect(
        &self,
        descriptor: &Descriptor,
        names: &[String],
        depth: usize,
        found: &mut Vec<ArchivedImage>,
        elsewhere: &mut Vec<String>,
    ) -> Result<(), ArchiveError> {
        if let Some(platform) = &descriptor.platform
            && (platform.os != "linux" || platform.architecture != oci_architecture())
        {
            elsewhere.push(format!("{}/{}", platform.os, platform.architecture));
            return Ok(());
        }
        let bytes = self.blob(&descriptor.digest)?;
        if descriptor.media_type.ends_with("index.v1+json") || descriptor.media_type.ends_with("manifest.list.v2+json")
        {
            let index: Index = decode(&descriptor.digest, &bytes)?;
            if depth < INDEX_DEPTH_MAX {
                for inner in &index.manifests {
                    // An index of many platforms may be exported with only some of them.
                    if self.entries.contains_key(&blob_entry(&inner.digest)?) {
                        self.collect(inner, names, depth + 1, found, elsewhere)?;
                    }
                }
            }
            return Ok(());
        }
        let manifest: Manifest = decode(&descriptor.digest, &bytes)?;
        let config_json = self.blob(&manifest.config.digest)?;
        let config: ConfigBlob = decode(&manifest.config.digest, &config_json)?;
        if let Some(platform) = config.elsewhere() {
            elsewhere.push(platform);
            return Ok(());
        }
        check_layers(manifest.layers.len(), &config)?;
        let layers = manifest
            .layers
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(layer, diff_id)| self.layer(blob_entry(&layer.digest)?, Some(layer.digest.clone()), diff_id))
            .collect::<Result<_, ArchiveError>>()?;
        found.push(ArchivedImage {
            names: names.to_vec(),
            manifest_digest: Some(descriptor.digest.clone()),
            id: manifest.config.digest,
            config_json,
            config,
            layers,
        });
        Ok(())
    }

    /// A layer that is in the archive: also one that the store has already, or a damaged archive would do once.
    fn layer(&self, entry: String, digest: Option<String>, diff_id: &str) -> Result<ArchivedLayer, ArchiveError> {
        self.extent(&entry)?;
        Ok(ArchivedLayer {
            entry,
            digest,
            diff_id: diff_id.to_owned(),
        })
    }

    fn docker_images(&self) -> Result<Vec<ArchivedImage>, ArchiveError> {
        let manifests: Vec<DockerManifest> = decode("manifest.json", &self.document("manifest.json")?)?;
        if manifests.is_empty() {
            return Err(ArchiveError::NotAnImage);
        }
        let mut found = Vec::new();
        let mut elsewhere = Vec::new();
        for manifest in manifests {
            let config_json = self.document(&manifest.config)?;
            let id = sha256(&config_json);
            let announced = manifest.config.trim_end_matches(".json").rsplit('/').next();
            if let Some(hex) = announced.filter(|hex| super::reference::is_sha256_hex(hex)) {
                verify(&manifest.config, &format!("sha256:{hex}"), &config_json)?;
            }
            let config: ConfigBlob = decode(&manifest.config, &config_json)?;
            if let Some(platform) = config.elsewhere() {
                elsewhere.push(platform);
                continue;
            }
            check_layers(manifest.layers.len(), &config)?;
            let layers = manifest
                .layers
                .into_iter()
                .zip(&config.rootfs.diff_ids)
                .map(|(entry, diff_id)| self.layer(entry, None, diff_id))
                .collect::<Result<_, ArchiveError>>()?;
            found.push(ArchivedImage {
                names: manifest.repo_tags,
                manifest_digest: None,
                id,
                config_json,
                config,
                layers,
            });
        }
        some(found, &elsewhere)
    }
}

/// The images for this machine, or that there is none.
fn some(found: Vec<ArchivedImage>, elsewhere: &[String]) -> Result<Vec<ArchivedImage>, ArchiveError> {
    if found.is_empty() {
        return Err(ArchiveError::Platform {
            architecture: oci_architecture(),
            available: if elsewhere.is_empty() {
                "no manifest".to_owned()
            } else {
                elsewhere.join(", ")
            },
        });
    }
    Ok(found)
}

impl ConfigBlob {
    /// The platform the image is for, if it says so and that is not this machine's.
    fn elsewhere(&self) -> Option<String> {
        let is_here = self.os.is_empty() || (self.os == "linux" && self.architecture == oci_architecture());
        (!is_here).then(|| format!("{}/{}", self.os, self.architecture))
    }
}

/// `sha256:` and the digits of the bytes' digest.
pub(super) fn sha256(bytes: &[u8]) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// `sha256:` and the digits.
pub(super) fn digest_text(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(7 + digest.len() * 2);
    text.push_str("sha256:");
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The 64 digits of a `sha256:` digest.
pub(super) fn digest_hex(digest: &str) -> Result<&str, ArchiveError> {
    digest
        .strip_prefix("sha256:")
        .filter(|hex| super::reference::is_sha256_hex(hex))
        .ok_or_else(|| ArchiveError::UnknownDigest(digest.to_owned()))
}

fn blob_entry(digest: &str) -> Result<String, ArchiveError> {
    Ok(format!("blobs/sha256/{}", digest_hex(digest)?))
}

fn verify(name: &str, expected: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
    let actual = sha256(bytes);
    if actual == expected {
        return Ok(());
    }
    Err(ArchiveError::Digest {
        name: name.to_owned(),
        expected: expected.to_owned(),
        actual,
    })
}

fn decode<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ArchiveError> {
    serde_json::from_slice(bytes).map_err(|source| ArchiveError::Json {
        name: name.to_owned(),
        source,
    })
}

fn check_layers(layers: usize, config: &ConfigBlob) -> Result<(), ArchiveError> {
    let diff_ids = config.rootfs.diff_ids.len();
    if layers != diff_ids || layers == 0 || layers > LAYERS_MAX {
        return Err(ArchiveError::Layers { layers, diff_ids });
    }
    config
        .rootfs
        .diff_ids
        .iter()
        .try_for_each(|diff_id| digest_hex(diff_id).map(|_| ()))
}

/// This machine in the words of OCI (Go's GOARCH).
fn oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn starts_with_gzip(file: &mut File) -> io::Result<bool> {
    let mut magic = [0_u8; 2];
    let gzip = match file.read_exact(&mut magic) {
        Ok(()) => magic == [0x1f, 0x8b],
        Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(err) => return Err(err),
    };
    file.rewind()?;
    Ok(gzip)
}

fn inflate(file: File, scratch: &Path) -> io::Result<File> {
    let path = scratch.join("archive.tar");
    let mut plain = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    io::copy(&mut flate2::read::MultiGzDecoder::new(file), &mut plain)?;
    plain.rewind()?;
    Ok(plain)
}

/// Where each regular file of the archive lies; links inside it are followed once.
fn scan(file: &File) -> Result<HashMap<String, Extent>, ArchiveError> {
    let mut entries = HashMap::new();
    let mut links: Vec<(String, String)> = Vec::new();
    let unreadable = |err| ArchiveError::Read(legible(err));
    let archive_size = file.metadata().map_err(ArchiveError::Read)?.len();
    let mut archive = tar::Archive::new(file.try_clone().map_err(ArchiveError::Read)?);
    for entry in archive.entries_with_seek().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entries.len() + links.len() >= ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        let path = entry.path().map_err(unreadable)?;
        let Some(name) = plain_name(&path) else { continue };
        // The next entry is sought, not read up to: a seek past the end succeeds.
        let end = entry.raw_file_position().saturating_add(entry.size());
        if end > archive_size {
            return Err(ArchiveError::CutOff {
                name,
                end,
                size: archive_size,
            });
        }
        let kind = entry.header().entry_type();
        if kind.is_file() {
            let extent = Extent {
                offset: entry.raw_file_position(),
                size: entry.size(),
            };
            entries.insert(name, extent);
        } else if (kind.is_symlink() || kind.is_hard_link())
            && let Some(to) = entry.link_name().map_err(unreadable)?
        {
            // `docker save` of old links a layer that it has written before.
            let base = if kind.is_symlink() {
                path.parent().map(Path::to_path_buf)
            } else {
                None
            };
            if let Some(to) = plain_name(&base.unwrap_or_default().join(to)) {
                links.push((name, to));
            }
        }
    }
    for (name, to) in links {
        if let Some(extent) = entries.get(&to).copied() {
            entries.insert(name, extent);
        }
    }
    Ok(entries)
}

/// The tar reader's error in one line that a terminal can show: it quotes the bytes of headers as they are.
pub(super) fn legible(err: io::Error) -> io::Error {
    if err.raw_os_error().is_some() {
        return err;
    }
    let shown: String = chain(&err)
        .chars()
        .flat_map(char::escape_debug)
        .take(LEGIBLE_CHARS_MAX)
        .collect();
    io::Error::new(err.kind(), shown)
}

/// `./a/../b` as `b`; nothing for a name outside the archive.
fn plain_name(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => plain.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::Prefix(_) => return None,
        }
    }
    plain
        .into_os_string()
        .into_string()
        .ok()
        .filter(|name| !name.is_empty())
}
