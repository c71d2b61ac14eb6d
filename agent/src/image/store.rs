//! The node's image store: import, list, resolve.
//!
//! Several processes may use one store: a change holds the lock, a reader sees the list before or after it.
//! Never here: networks, mounts. Layers are shared by images and are not removed while anything may use them.
//! Source: OCI image specification 1.1; flock(2).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use api::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    archive::{Archive, ArchiveError, ArchivedImage, ArchivedLayer, digest_hex, digest_text},
    config::{ConfigBlob, ImageConfig},
    layer::{self, LayerError},
    reference::{InvalidReference, Reference, Target},
};
use crate::durable;

/// Digits of a diff id that name its directory: 64 bits, and 127 of them fit into the options of one mount.
const LAYER_NAME_DIGITS: usize = 16;
/// Progress is told after so many bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The store could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A directory could not be made.
    #[error("make {path:?}")]
    MakeDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("read {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is damaged.
    #[error("decode {path:?}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// Not an image reference.
    #[error(transparent)]
    Reference(#[from] InvalidReference),
}

/// An archive was not imported; the store is as before.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name is given, and the archive does not have exactly one image to give it to.
    #[error("the archive has {count} images, and one name is given: import it without a name")]
    OneName {
        /// How many there are.
        count: usize,
    },
    /// The lock.
    #[error("lock the image store")]
    Lock(#[source] io::Error),
    /// The archive.
    #[error("understand {path:?}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// A layer.
    #[error("unpack layer {digest}")]
    Layer {
        /// Its diff id.
        digest: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// A layer's content differs from its digest.
    #[error("layer {entry} should have digest {expected}, but has {actual}")]
    LayerDigest {
        /// The archive's entry.
        entry: String,
        /// What was announced.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// A compression that is not known.
    #[error("layer {0} is neither a plain nor a gzipped tar")]
    LayerCompression(String),
    /// Two layers share the first digits of their digests.
    #[error("layer {wanted} would take the directory of {taken}")]
    LayerCollision {
        /// The new layer.
        wanted: String,
        /// The one that is there.
        taken: String,
    },
    /// The archive has no name, and neither has anybody given one.
    #[error("the archive gives image {id} no name; give one")]
    Unnamed {
        /// The image.
        id: String,
    },
    /// A name that is no reference.
    #[error("name of the image")]
    Name(#[source] InvalidReference),
    /// A file or directory of the store could not be written.
    #[error("write {path:?}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` of the configuration.
    pub id: String,
    /// Full references that mean this image, sorted; may be empty when they were given to a newer one.
    pub names: Vec<String>,
    /// `sha256:…` of the manifest, if the archive had one.
    pub manifest_digest: Option<String>,
    /// Bytes of the regular files of all layers.
    pub size_bytes: u64,
    /// When it was imported last.
    pub imported_at: Timestamp,
    /// Digests of the uncompressed layers, bottom first.
    pub diff_ids: Vec<String>,
    /// Defaults for containers.
    pub config: ImageConfig,
}

impl Image {
    /// `repository@digest` as a container's `imageID` shows it, or the bare id of an image without manifest.
    #[must_use]
    pub fn image_id(&self) -> String {
        let repository = self
            .names
            .first()
            .and_then(|name| name.parse::<Reference>().ok())
            .map(|reference| reference.repository());
        match (&self.manifest_digest, repository) {
            (Some(digest), Some(repository)) => format!("{repository}@{digest}"),
            _ => self.id.clone(),
        }
    }

    /// Directory names of the layers below [`ImageStore::layers_dir`], **top first**, as overlayfs wants them.
    #[must_use]
    pub fn lower_dirs(&self) -> Vec<String> {
        self.diff_ids
            .iter()
            .rev()
            .map(|diff_id| format!("{}/fs", layer_name(diff_id)))
            .collect()
    }
}

/// What an import brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedImage {
    /// `sha256:…` of the configuration.
    pub id: String,
    /// The full references it has now.
    pub names: Vec<String>,
    /// Layers that were not in the store yet.
    pub layers_new: usize,
    /// All its layers.
    pub layers: usize,
    /// Bytes of the regular files of all layers.
    pub size_bytes: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes of the archive's layers that are done.
    pub bytes_done: u64,
    /// Bytes of all its layers.
    pub bytes_total: u64,
}

/// A node's images.
#[derive(Debug, Clone)]
pub struct ImageStore {
    dir: PathBuf,
}

/// The list on disk.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct IndexFile {
    images: BTreeMap<String, Record>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    names: Vec<String>,
    manifest_digest: Option<String>,
    imported_at: Timestamp,
    diff_ids: Vec<String>,
    size_bytes: u64,
}

impl ImageStore {
    /// Opens the store of the agent with this data directory; makes an empty one if there is none.
    ///
    /// # Errors
    /// When the directories cannot be made: rights, or a full disk.
    pub fn open(data_dir: impl AsRef<Path>) -> Result<ImageStore, StoreError> {
        let dir = data_dir.as_ref().join("images");
        for path in [&dir, &dir.join("layers"), &dir.join("blobs/sha256")] {
            durable::make_private_dir(path).map_err(|source| StoreError::MakeDirectory {
                path: path.clone(),
                source,
            })?;
        }
        Ok(ImageStore { dir })
    }

    /// Where the list lies; it is replaced whenever it changes, so watching this directory tells of imports.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the layers lie; see [`Image::lower_dirs`].
    #[must_use]
    pub fn layers_dir(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// All images, by id.
    ///
    /// # Errors
    /// When the list or a configuration cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        self.index()?
            .images
            .into_iter()
            .map(|(id, record)| self.image(id, record))
            .collect()
    }

    /// The image that a container's `image` means, if it is here: a name, `name@sha256:…`, or an image id.
    ///
    /// # Errors
    /// When the text is no reference, or the store cannot be read.
    pub fn resolve(&self, reference: &str) -> Result<Option<Image>, StoreError> {
        let index = self.index()?;
        let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
        if super::reference::is_sha256_hex(hex) {
            let id = format!("sha256:{hex}");
            let record = index.images.get(&id).cloned();
            return record.map(|record| self.image(id, record)).transpose();
        }
        let reference: Reference = reference.parse()?;
        let wanted = reference.to_string();
        let repository = reference.repository();
        let found = index.images.into_iter().find(|(id, record)| match &reference.target {
            Target::Tag(_) => record.names.contains(&wanted),
            Target::Digest(digest) => {
                (record.manifest_digest.as_ref() == Some(digest) || id == digest)
                    && record
                        .names
                        .iter()
                        .filter_map(|name| name.parse::<Reference>().ok())
                        .any(|name| name.repository() == repository)
            }
        });
        found.map(|(id, record)| self.image(id, record)).transpose()
    }

    /// Imports every image of an archive for this machine: an OCI layout or a `docker save` archive, plain or gzipped.
    ///
    /// `name` names the image instead of what the archive says; it needs an archive with one image. Without any name
    /// the file's name becomes one: `web.tar` is `docker.io/library/web:latest`. A name that another image had moves.
    /// When it returns, the images survive a loss of power. Blocks: on the disk, and on another import.
    ///
    /// # Errors
    /// When the archive is damaged, hostile or for another machine, or the disk is full; the store is then as before.
    pub fn import(
        &self,
        archive: &Path,
        name: Option<&str>,
        progress: &mut dyn FnMut(ImportProgress),
    ) -> Result<Vec<ImportedImage>, ImportError> {
        let _lock = self.lock()?;
        let scratch = Scratch::make(self.dir.join("tmp"))?;
        let archive_error = |source| ImportError::Archive {
            path: archive.to_owned(),
            source,
        };
        let opened = Archive::open(archive, &scratch.dir).map_err(archive_error)?;
        let images = opened.images().map_err(archive_error)?;
        let mut meter = Meter {
            done: 0,
            told: 0,
            total: images
                .iter()
                .flat_map(|image| &image.layers)
                .map(|layer| opened.size(&layer.entry))
                .sum(),
            progress,
        };
        if name.is_some() && images.len() != 1 {
            return Err(ImportError::OneName { count: images.len() });
        }
        let mut imported = Vec::new();
        let mut records = Vec::new();
        for image in images {
            let names = names_of(&image, name, archive)?;
            let mut layers_new = 0;
            let mut size_bytes = 0;
            for layer in &image.layers {
                let before = meter.done;
                let (bytes, new) = self.take_layer(&opened, layer, &scratch, &mut meter, &archive_error)?;
                size_bytes += bytes;
                layers_new += usize::from(new);
                meter.advance_to(before + opened.size(&layer.entry));
            }
            let blob = self.blob_path(&image.id).map_err(archive_error)?;
            durable::replace(&blob, &image.config_json, durable::Sync::No)
                .map_err(|source| ImportError::Write { path: blob, source })?;
            imported.push(ImportedImage {
                id: image.id.clone(),
                names: names.clone(),
                layers_new,
                layers: image.layers.len(),
                size_bytes,
            });
            let record = Record {
                names,
                manifest_digest: image.manifest_digest,
                imported_at: Timestamp::now(),
                diff_ids: image.config.rootfs.diff_ids,
                size_bytes,
            };
            records.push((image.id, record));
        }
        self.sync()?;
        self.enter(records)?;
        Ok(imported)
    }

    /// Unpacks a layer unless it is there; answers the bytes of its files and whether it is new.
    fn take_layer(
        &self,
        archive: &Archive,
        layer: &ArchivedLayer,
        scratch: &Scratch,
        meter: &mut Meter<'_>,
        archive_error: &dyn Fn(ArchiveError) -> ImportError,
    ) -> Result<(u64, bool), ImportError> {
        let home = self.layers_dir().join(layer_name(&layer.diff_id));
        match fs::read_to_string(home.join("digest")) {
            Ok(text) => {
                let (digest, bytes) = text.trim().split_once(' ').unwrap_or((text.trim(), "0"));
                if digest != layer.diff_id {
                    return Err(ImportError::LayerCollision {
                        wanted: layer.diff_id.clone(),
                        taken: digest.to_owned(),
                    });
                }
                return Ok((bytes.parse().unwrap_or(0), false));
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(StoreError::Read {
                    path: home.join("digest"),
                    source,
                }
                .into());
            }
        }
        let work = scratch.dir.join(layer_name(&layer.diff_id));
        let write_error = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::Write { path, source }
        };
        let root = work.join("fs");
        fs::create_dir_all(&root).map_err(write_error(&root))?;
        // The root is seen by containers of any user.
        fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(write_error(&root))?;

        let stored = Hashing::new(archive.reader(&layer.entry).map_err(archive_error)?, Some(meter));
        let unpacked = unpack_verified(stored, layer, &root)?;

        let digest = format!("{} {}\n", layer.diff_id, unpacked.bytes);
        fs::write(work.join("digest"), digest).map_err(write_error(&work.join("digest")))?;
        // What a former import left half-done has no digest.
        if home.exists() {
            fs::remove_dir_all(&home).map_err(write_error(&home))?;
        }
        durable::rename_tree(&work, &home).map_err(write_error(&home))?;
        Ok((unpacked.bytes, true))
    }

    fn enter(&self, records: Vec<(String, Record)>) -> Result<(), ImportError> {
        let mut index = self.index()?;
        for (id, mut record) in records {
            for other in index.images.values_mut() {
                other.names.retain(|name| !record.names.contains(name));
            }
            if let Some(former) = index.images.get(&id) {
                record.names.extend(former.names.iter().cloned());
                record.manifest_digest = record.manifest_digest.or_else(|| former.manifest_digest.clone());
            }
            record.names.sort();
            record.names.dedup();
            index.images.insert(id, record);
        }
        let bytes = serde_json::to_vec_pretty(&index).expect("the list has string keys only");
        let path = self.index_path();
        durable::replace(&path, &bytes, durable::Sync::Yes).map_err(|source| ImportError::Write { path, source })
    }

    fn sync(&self) -> Result<(), ImportError> {
        File::open(&self.dir)
            .and_then(|dir| rustix::fs::syncfs(&dir).map_err(io::Error::from))
            .map_err(|source| ImportError::Write {
                path: self.dir.clone(),
                source,
            })
    }

    fn lock(&self) -> Result<File, ImportError> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join("lock"))
            .map_err(ImportError::Lock)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| ImportError::Lock(errno.into()))?;
        Ok(file)
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    fn blob_path(&self, digest: &str) -> Result<PathBuf, ArchiveError> {
        Ok(self.dir.join("blobs/sha256").join(digest_hex(digest)?))
    }

    fn index(&self) -> Result<IndexFile, StoreError> {
        let path = self.index_path();
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| StoreError::Decode { path, source }),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(IndexFile::default()),
            Err(source) => Err(StoreError::Read { path, source }),
        }
    }

    fn image(&self, id: String, record: Record) -> Result<Image, StoreError> {
        let path = self.dir.join("blobs/sha256").join(id.trim_start_matches("sha256:"));
        let bytes = fs::read(&path).map_err(|source| StoreError::Read {
            path: path.clone(),
            source,
        })?;
        let blob: ConfigBlob = serde_json::from_slice(&bytes).map_err(|source| StoreError::Decode { path, source })?;
        Ok(Image {
            id,
            names: record.names,
            manifest_digest: record.manifest_digest,
            size_bytes: record.size_bytes,
            imported_at: record.imported_at,
            diff_ids: record.diff_ids,
            config: blob.config.unwrap_or_default(),
        })
    }
}

fn unpack_verified(
    mut stored: Hashing<'_, '_, impl Read>,
    layer: &ArchivedLayer,
    root: &Path,
) -> Result<layer::Unpacked, ImportError> {
    let layer_error = |source| ImportError::Layer {
        digest: layer.diff_id.clone(),
        source,
    };
    let read_error = |source| layer_error(LayerError::Read(source));
    let mut magic = Vec::with_capacity(4);
    (&mut stored).take(4).read_to_end(&mut magic).map_err(read_error)?;
    let (unpacked, plain_digest) = if magic.starts_with(&[0x1f, 0x8b]) {
        let inflated = flate2::read::MultiGzDecoder::new(io::Cursor::new(magic).chain(&mut stored));
        unpack_plain(inflated, root, &layer_error)?
    } else if magic == [0x28, 0xb5, 0x2f, 0xfd] || magic.starts_with(b"BZh") || magic.starts_with(&[0xfd, b'7']) {
        return Err(ImportError::LayerCompression(layer.entry.clone()));
    } else {
        unpack_plain(io::Cursor::new(magic).chain(&mut stored), root, &layer_error)?
    };
    io::copy(&mut stored, &mut io::sink()).map_err(read_error)?;
    let checks = [
        (Some(&layer.diff_id), plain_digest),
        (layer.digest.as_ref(), stored.digest()),
    ];
    for (expected, actual) in checks {
        if let Some(expected) = expected
            && *expected != actual
        {
            return Err(ImportError::LayerDigest {
                entry: layer.entry.clone(),
                expected: expected.clone(),
                actual,
            });
        }
    }
    Ok(unpacked)
}

fn unpack_plain(
    plain: impl Read,
    root: &Path,
    layer_error: &dyn Fn(LayerError) -> ImportError,
) -> Result<(layer::Unpacked, String), ImportError> {
    let mut plain = Hashing::new(plain, None);
    let unpacked = layer::unpack(&mut plain, root).map_err(layer_error)?;
    // The digest covers what tar leaves unread: the padding after the end marker.
    io::copy(&mut plain, &mut io::sink()).map_err(|source| layer_error(LayerError::Read(source)))?;
    Ok((unpacked, plain.digest()))
}

/// Directory of a layer below `layers/`.
fn layer_name(diff_id: &str) -> &str {
    let hex = diff_id.trim_start_matches("sha256:");
    &hex[..LAYER_NAME_DIGITS.min(hex.len())]
}

fn names_of(image: &ArchivedImage, given: Option<&str>, archive: &Path) -> Result<Vec<String>, ImportError> {
    let stem = || {
        archive
            .file_name()
            .and_then(|name| name.to_str())
            .map(|name| {
                name.trim_end_matches(".gz")
                    .trim_end_matches(".tgz")
                    .trim_end_matches(".tar")
            })
            .filter(|stem| !stem.is_empty())
            .ok_or_else(|| ImportError::Unnamed { id: image.id.clone() })
    };
    let texts: Vec<String> = match given {
        Some(given) => vec![given.to_owned()],
        None if image.names.is_empty() => vec![stem()?.to_lowercase()],
        None => image
            .names
            .iter()
            // An OCI layout may give the tag alone.
            .map(|name| match name.contains([':', '/']) {
                true => Ok(name.clone()),
                false => Ok(format!("{}:{name}", stem()?.to_lowercase())),
            })
            .collect::<Result<_, ImportError>>()?,
    };
    texts
        .iter()
        .map(|text| {
            text.parse::<Reference>()
                .map(|name| name.to_string())
                .map_err(ImportError::Name)
        })
        .collect()
}

/// A directory for work in progress, emptied before and after. Only whoever holds the lock has one.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn make(dir: PathBuf) -> Result<Scratch, ImportError> {
        let write_error = |source| ImportError::Write {
            path: dir.clone(),
            source,
        };
        match fs::remove_dir_all(&dir) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(write_error(err)),
            _ => {}
        }
        durable::make_private_dir(&dir).map_err(write_error)?;
        Ok(Scratch { dir })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next import does it if this one cannot.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Counts the archive's bytes for whoever watches.
struct Meter<'a> {
    done: u64,
    told: u64,
    total: u64,
    progress: &'a mut dyn FnMut(ImportProgress),
}

impl Meter<'_> {
    fn advance_to(&mut self, done: u64) {
        self.done = self.done.max(done);
        if self.done == self.total || self.done - self.told >= PROGRESS_BYTES {
            self.told = self.done;
            (self.progress)(ImportProgress {
                bytes_done: self.done,
                bytes_total: self.total,
            });
        }
    }
}

/// A reader that hashes what passes.
struct Hashing<'a, 'b, R> {
    inner: R,
    sha: Sha256,
    meter: Option<&'a mut Meter<'b>>,
}

impl<'a, 'b, R: Read> Hashing<'a, 'b, R> {
    fn new(inner: R, meter: Option<&'a mut Meter<'b>>) -> Self {
        Hashing {
            inner,
            sha: Sha256::new(),
            meter,
        }
    }

    fn digest(self) -> String {
        digest_text(&self.sha.finalize())
    }
}

impl<R: Read> Read for Hashing<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.sha.update(&buffer[..count]);
        if let Some(meter) = &mut self.meter {
            meter.advance_to(meter.done + count as u64);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
