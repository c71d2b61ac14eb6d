//! Why the dataplane could not be opened, changed, read or removed.

use std::{io, path::PathBuf};

use super::{object::LoadError, plan::FullError, table::TableError};

/// The dataplane cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory for pins cannot be prepared.
    #[error("prepare the directory for pins {path}")]
    Pins {
        /// The directory.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// Maps or programs cannot be loaded or adopted.
    #[error("load the dataplane")]
    Load(#[from] LoadError),
    /// A map cannot be read or written.
    #[error("take over the maps")]
    Table(#[from] TableError),
    /// A program cannot be attached.
    #[error("attach {link}")]
    Attach {
        /// Name of the link's pin.
        link: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The cgroup for the socket programs cannot be opened.
    #[error("open the cgroup {path}")]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// The thread that removes idle flows cannot start.
    #[error("start the removal of idle flows")]
    Collector(#[source] io::Error),
}

/// The maps could not be brought to an image. They hold a consistent state between the old one and the new one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The image does not fit; nothing was changed.
    #[error("the image does not fit")]
    Full(#[from] FullError),
    /// A map cannot be read or written.
    #[error("apply the image")]
    Table(#[from] TableError),
    /// The kernel does not tell when readers of an old generation are done.
    #[error("wait for the programs that run")]
    Wait(#[source] io::Error),
}

/// A pod's veth could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
pub enum PodError {
    /// A UID is 1 to 36 letters, digits and hyphens: it is part of a pin's name.
    #[error("the pod's uid {uid:?} cannot name a pin")]
    Uid {
        /// The UID.
        uid: String,
    },
    /// A link cannot be made or removed.
    #[error("change {link}")]
    Link {
        /// Name of the link's pin.
        link: String,
        /// The refusal.
        #[source]
        source: io::Error,
    },
    /// A program is missing.
    #[error("find the pod's programs")]
    Program(#[from] LoadError),
    /// The map of pods cannot be read or written.
    #[error("change the pods' map")]
    Table(#[from] TableError),
}

/// The maps could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// A map cannot be read.
    #[error("read the maps")]
    Table(#[from] TableError),
    /// The number of processors is not known.
    #[error("read the number of processors")]
    Processors(#[source] io::Error),
}

/// The pins could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("remove the pins in {path}")]
pub struct RemoveError {
    /// The directory.
    pub path: PathBuf,
    /// The refusal.
    #[source]
    pub source: io::Error,
}
