//! The keys that values are encrypted with, and the collections that are chosen, in a file beside the database.
//!
//! The newest key stands first and encrypts; older ones are kept until no value needs them. A key is durable before it
//! is used. Whoever loses the file loses the values.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::Timestamp;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use crate::durable::{WriteFileError, write_file};

/// Random, so that a key file made anew is not mistaken for the one that was lost.
pub(super) type KeyId = u32;

/// Of AES-256.
const SECRET_BYTES: usize = 32;
/// Readable by its owner only.
const FILE_MODE: u32 = 0o600;

/// Which values are encrypted, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealConfig {
    /// Where the keys are kept; made with a first key if it does not exist.
    pub key_file: PathBuf,
    /// Collections whose values are encrypted; see [`super::super::StoreKey::collection`].
    pub collections: BTreeSet<String>,
    /// The age at which the newest key is replaced by another, and all values are encrypted anew.
    pub key_age_max: Duration,
}

/// The keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file is there and cannot be read.
    #[error("read the encryption keys {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("the encryption keys {path} are damaged; restore the file from a backup, values cannot be read without it")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: serde_json::Error,
    },
    /// A key has another length, or there is none.
    #[error("the encryption keys {0} are damaged; restore the file from a backup, values cannot be read without it")]
    NoKey(PathBuf),
    /// The file could not be written.
    #[error("keep the encryption keys")]
    Write(#[from] WriteFileError),
    /// The system gives no random numbers.
    #[error("make an encryption key: the system gives no random numbers")]
    Random,
}

/// One key.
#[derive(Clone)]
pub(super) struct KeyRecord {
    pub(super) id: KeyId,
    pub(super) secret: [u8; SECRET_BYTES],
    created: Timestamp,
}

/// The keys, newest first and at least one, and what is chosen.
#[derive(Clone)]
pub(super) struct Keyring {
    config: SealConfig,
    keys: Vec<KeyRecord>,
    /// The collections that are encrypted in the file, and no others; none while nobody knows.
    settled: Option<BTreeSet<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileForm {
    keys: Vec<FileKey>,
    settled: Option<BTreeSet<String>>,
}

#[derive(Serialize, Deserialize)]
struct FileKey {
    id: KeyId,
    created: Timestamp,
    secret: String,
}

impl Keyring {
    pub(super) fn open(config: &SealConfig) -> Result<Keyring, KeyFileError> {
        let path = &config.key_file;
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut keyring = Keyring {
                    config: config.clone(),
                    keys: Vec::new(),
                    settled: None,
                };
                keyring.add_key()?;
                return Ok(keyring);
            }
            Err(source) => {
                return Err(KeyFileError::Read {
                    path: path.clone(),
                    source,
                });
            }
        };
        let (keys, settled) = parse(path, &bytes)?;
        let mut keyring = Keyring {
            config: config.clone(),
            keys,
            settled,
        };
        if keyring.settled.as_ref().is_some_and(|of| *of != config.collections) {
            // Before the first value is written: if the choice is taken back half way, the file must not be believed.
            keyring.settled = None;
            keyring.write()?;
        }
        Ok(keyring)
    }

    pub(super) fn keys(&self) -> &[KeyRecord] {
        &self.keys
    }

    pub(super) fn is_chosen(&self, collection: &[u8]) -> bool {
        self.config
            .collections
            .iter()
            .any(|chosen| chosen.as_bytes() == collection)
    }

    /// Whether values may be in another form than the one they would get now.
    pub(super) fn is_unsettled(&self) -> bool {
        self.keys.len() > 1 || self.settled.is_none()
    }

    /// Whether the newest key has reached its age. A clock that goes backwards makes no key old.
    pub(super) fn is_due(&self) -> bool {
        let age = self
            .keys
            .first()
            .map(|newest| Timestamp::now().duration_since(newest.created));
        age.is_none_or(|age| Duration::try_from(age).is_ok_and(|age| age >= self.config.key_age_max))
    }

    /// Adds a key in front.
    pub(super) fn add_key(&mut self) -> Result<(), KeyFileError> {
        let random = SystemRandom::new();
        let mut id = [0; size_of::<KeyId>()];
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut id).map_err(|_| KeyFileError::Random)?;
        random.fill(&mut secret).map_err(|_| KeyFileError::Random)?;
        self.keys.insert(
            0,
            KeyRecord {
                id: KeyId::from_be_bytes(id),
                secret,
                created: Timestamp::now(),
            },
        );
        self.write()
    }

    /// All values are in the form they would get now: only the newest key is needed.
    pub(super) fn settle(&mut self) -> Result<(), KeyFileError> {
        self.keys.truncate(1);
        self.settled = Some(self.config.collections.clone());
        self.write()
    }

    fn write(&self) -> Result<(), KeyFileError> {
        let form = FileForm {
            keys: self
                .keys
                .iter()
                .map(|key| FileKey {
                    id: key.id,
                    created: key.created,
                    secret: STANDARD.encode(key.secret),
                })
                .collect(),
            settled: self.settled.clone(),
        };
        let text = serde_json::to_vec_pretty(&form).expect("strings and numbers encode");
        Ok(write_file(&self.config.key_file, &text, FILE_MODE)?)
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<KeyRecord>, Option<BTreeSet<String>>), KeyFileError> {
    let form: FileForm = serde_json::from_slice(bytes).map_err(|source| KeyFileError::Malformed {
        path: path.to_owned(),
        source,
    })?;
    let no_key = || KeyFileError::NoKey(path.to_owned());
    let key = |key: FileKey| {
        let secret = STANDARD.decode(&key.secret).map_err(|_| no_key())?;
        Ok(KeyRecord {
            id: key.id,
            secret: secret.try_into().map_err(|_| no_key())?,
            created: key.created,
        })
    };
    let keys: Vec<KeyRecord> = form.keys.into_iter().map(key).collect::<Result<_, KeyFileError>>()?;
    if keys.is_empty() {
        return Err(no_key());
    }
    Ok((keys, form.settled))
}
