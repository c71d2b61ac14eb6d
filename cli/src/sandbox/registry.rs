//! The sandboxes of this machine: one file each under /run/skep/sandboxes, so that they are found without knowing
//! their data directory, and are gone after a reboot as their namespaces are.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
};

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::SandboxName;
use crate::{
    supervise::record::Record,
    whole_file::{FileError, read_json, write_json},
};

const DIRECTORY: &str = "/run/skep/sandboxes";
/// Name of the supervisor's record in the data directory.
pub(crate) const RECORD: &str = "state.json";
/// Name of the copy of the entry in the data directory.
pub(crate) const COPY: &str = "sandbox.json";

/// What a sandbox was made as. Never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sandbox {
    pub(crate) name: SandboxName,
    pub(crate) nodes: u16,
    pub(crate) data_dir: PathBuf,
    /// False if the directory was there before, and stays.
    pub(crate) made_data_dir: bool,
    /// Range of the bridge.
    pub(crate) subnet: Ipv4Net,
    pub(crate) api_port: u16,
    /// The program that its processes run.
    pub(crate) skep: PathBuf,
    pub(crate) node_grace_period_ms: u64,
    pub(crate) not_ready_toleration_ms: u64,
    pub(crate) created: Timestamp,
}

/// The registry could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error(
        "there is no sandbox {name}; `skep sandbox list` shows those that exist, `skep sandbox create --name {name}` makes it"
    )]
    Unknown { name: SandboxName },
    #[error("the sandbox {name} exists already (its data is in {}); delete it with `skep sandbox delete --name {name}`, or give this one another --name", data_dir.display())]
    Exists { name: SandboxName, data_dir: PathBuf },
    #[error(
        "what this machine knows of the sandbox {name} cannot be used; `skep sandbox delete --name {name} --data-dir DIR` removes the sandbox by what its data directory says, and copying DIR/{COPY} over the damaged file mends it"
    )]
    Damaged {
        name: SandboxName,
        #[source]
        source: FileError,
    },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("access {}", path.display())]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Sandbox {
    /// The bridge's address, where the server listens.
    pub(crate) fn server_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The address of a node, counted from 1.
    pub(crate) fn node_address(&self, number: u16) -> Ipv4Addr {
        self.address(10 + u32::from(number))
    }

    fn address(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.subnet.network()) + host)
    }

    pub(crate) fn server_url(&self) -> String {
        format!("https://{}:{}", self.server_address(), self.api_port)
    }

    pub(crate) fn server_dir(&self) -> PathBuf {
        self.data_dir.join("server")
    }

    pub(crate) fn node_dir(&self, number: u16) -> PathBuf {
        self.data_dir.join(self.name.node(number))
    }

    pub(crate) fn bpf_dir(&self, number: u16) -> PathBuf {
        self.node_dir(number).join("bpf")
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.data_dir.join("logs")
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    pub(crate) fn node_numbers(&self) -> impl Iterator<Item = u16> + use<> {
        1..=self.nodes
    }

    /// The number of a node, given its name.
    pub(crate) fn number_of(&self, node: &str) -> Option<u16> {
        self.node_numbers().find(|number| self.name.node(*number) == node)
    }

    /// What was last recorded of its processes: the server's first, then the agents' in order.
    pub(crate) fn processes(&self) -> Result<Record, FileError> {
        let units = || std::iter::once("server".to_owned()).chain(self.node_numbers().map(|n| self.name.node(n)));
        Ok(read_json(&self.record())?.unwrap_or_else(|| Record::new(units())))
    }

    /// Where that is recorded.
    pub(crate) fn record(&self) -> PathBuf {
        self.data_dir.join(RECORD)
    }

    /// The socket its supervisor listens on. Not in the data directory, whose path may be too long for a socket.
    pub(crate) fn control_socket(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("{}.sock", self.name))
    }
}

/// Held while names and ranges are handed out, so that two creations do not choose the same.
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

/// Waits for the registry's lock.
pub(crate) fn lock() -> Result<Lock, RegistryError> {
    let path = Path::new(DIRECTORY).join(".lock");
    let open = || {
        fs::create_dir_all(DIRECTORY)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map(Lock).map_err(|source| RegistryError::Io {
        path: path.clone(),
        source,
    })
}

/// Held while a sandbox is made or removed: one such work at a time for each name.
pub(crate) struct Operation(#[expect(dead_code, reason = "closing it lets others work")] File);

/// Waits until nobody makes or removes the sandbox, and says so if that takes a while.
pub(crate) fn lock_operation(name: &SandboxName) -> Result<Operation, RegistryError> {
    let path = Path::new(DIRECTORY).join(".operations.lock");
    let open = || {
        fs::create_dir_all(DIRECTORY)?;
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        // One byte of one file for each name; names that share a byte wait for each other, which does no harm.
        let byte = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: name.digest().into(),
            l_len: 1,
            l_pid: 0,
        };
        match nix::fcntl::fcntl(file.as_raw_fd(), nix::fcntl::FcntlArg::F_OFD_SETLK(&byte)) {
            Err(nix::Error::EAGAIN | nix::Error::EACCES) => {
                eprintln!("waiting for another command that makes or removes this sandbox");
                nix::fcntl::fcntl(file.as_raw_fd(), nix::fcntl::FcntlArg::F_OFD_SETLKW(&byte))?;
            }
            outcome => {
                outcome?;
            }
        }
        Ok(file)
    };
    open().map(Operation).map_err(|source| RegistryError::Io {
        path: path.clone(),
        source,
    })
}

/// What this machine knows of its sandboxes.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// By name.
    pub(crate) sandboxes: Vec<Sandbox>,
    /// One for each entry that cannot be read, which hides none of the others.
    pub(crate) damaged: Vec<FileError>,
}

/// All sandboxes.
pub(crate) fn all() -> Result<Listing, RegistryError> {
    all_in(Path::new(DIRECTORY))
}

fn all_in(directory: &Path) -> Result<Listing, RegistryError> {
    let failed = |source| RegistryError::Io {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
        Err(source) => return Err(failed(source)),
    };
    let mut listing = Listing::default();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            match read_json(&path) {
                Ok(Some(sandbox)) => listing.sandboxes.push(sandbox),
                // Deleted between being listed and being read.
                Ok(None) => {}
                Err(error) => listing.damaged.push(error),
            }
        }
    }
    listing.sandboxes.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(listing)
}

/// The sandbox of this name.
pub(crate) fn find(name: &SandboxName) -> Result<Sandbox, RegistryError> {
    read_entry(name)?.ok_or_else(|| RegistryError::Unknown { name: name.clone() })
}

fn read_entry(name: &SandboxName) -> Result<Option<Sandbox>, RegistryError> {
    read_json(&entry_path(name)).map_err(|source| RegistryError::Damaged {
        name: name.clone(),
        source,
    })
}

/// The sandbox whose data directory this is: what is left to go by after a reboot.
pub(crate) fn find_in(data_dir: &Path) -> Result<Option<Sandbox>, RegistryError> {
    Ok(read_json(&data_dir.join(COPY))?)
}

/// Fails if the name is claimed.
pub(crate) fn check_free(_held: &Lock, name: &SandboxName) -> Result<(), RegistryError> {
    match read_entry(name)? {
        None => Ok(()),
        Some(other) => Err(RegistryError::Exists {
            name: other.name,
            data_dir: other.data_dir,
        }),
    }
}

/// Claims the name, which must be free.
pub(crate) fn add(held: &Lock, sandbox: &Sandbox) -> Result<(), RegistryError> {
    check_free(held, &sandbox.name)?;
    Ok(write_json(&entry_path(&sandbox.name), sandbox)?)
}

/// Puts a copy beside the data.
pub(crate) fn write_copy(sandbox: &Sandbox) -> Result<(), RegistryError> {
    Ok(write_json(&sandbox.data_dir.join(COPY), sandbox)?)
}

/// Frees the name. The last step of a deletion.
pub(crate) fn remove(sandbox: &Sandbox) -> Result<(), RegistryError> {
    for path in [
        sandbox.control_socket(),
        sandbox.data_dir.join(COPY),
        entry_path(&sandbox.name),
    ] {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(RegistryError::Io { path, source }),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn entry_path(name: &SandboxName) -> PathBuf {
    Path::new(DIRECTORY).join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_entry_hides_no_other() {
        let directory = tempfile::tempdir().expect("make a directory");
        let sandbox = |name: &str| Sandbox {
            name: name.parse().expect("valid"),
            nodes: 1,
            data_dir: "/data".into(),
            made_data_dir: true,
            subnet: "198.18.0.0/24".parse().expect("valid"),
            api_port: 6443,
            skep: "/bin/skep".into(),
            node_grace_period_ms: 1000,
            not_ready_toleration_ms: 1000,
            created: Timestamp::UNIX_EPOCH,
        };
        for name in ["b", "a"] {
            write_json(&directory.path().join(format!("{name}.json")), &sandbox(name)).expect("write");
        }
        fs::write(directory.path().join("broken.json"), "{").expect("write");
        fs::write(directory.path().join(".lock"), "").expect("write");
        let listing = all_in(directory.path()).expect("read");
        assert_eq!(listing.sandboxes, [sandbox("a"), sandbox("b")]);
        let [damaged] = listing.damaged.as_slice() else {
            panic!("{:?}", listing.damaged)
        };
        assert!(damaged.to_string().contains("broken.json is damaged"), "{damaged}");
    }

    #[test]
    fn a_damaged_entry_names_the_remedy() {
        let source = serde_json::from_str::<Sandbox>("{").expect_err("it is no sandbox");
        let name: SandboxName = "trb".parse().expect("valid");
        let path = entry_path(&name);
        let error = RegistryError::Damaged {
            name,
            source: FileError::Broken { path, source },
        };
        let said = format!("{:#}", anyhow::Error::from(error));
        for part in [
            "delete --name trb --data-dir DIR",
            "/run/skep/sandboxes/trb.json is damaged",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}
