//! The DNS server's sockets, kept open by a process of their own while the agent is away.
//!
//! A query that arrives while the agent restarts waits in the socket and is answered by the next agent; nobody sees a
//! closed port. The holder ([`hold_main`], a hidden subcommand) does nothing but hold: it never reads the sockets. The
//! agent asks it for them over a unix socket that only its own user can open.
//! Source: unix(7), SCM_RIGHTS; udp(7).

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{
            fs::OpenOptionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use nix::{
    sys::{
        socket::{Backlog, getsockopt, listen, setsockopt, sockopt},
        stat::{Mode, umask},
    },
    unistd::{getuid, setsid},
};
use tracing::{info, warn};

use crate::net::{descriptors, netns};

/// The hidden subcommand of the binary that runs [`hold_main`]; its only argument is the socket's path.
pub const SUBCOMMAND: &str = "socket-holder";
/// Queries that wait while nobody reads: some thousands, for a restart of a second or two.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// TCP connections that wait while nobody accepts.
const BACKLOG: i32 = 1024;
/// The peer is on this machine and answers at once, or it is not ours.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);
const ASK_SOCKETS: u8 = b'g';
const ASK_QUIT: u8 = b'q';

/// The server's sockets, bound, not blocking.
#[derive(Debug)]
pub struct DnsSockets {
    /// For queries of one datagram.
    pub udp: UdpSocket,
    /// For connections.
    pub tcp: TcpListener,
}

/// The sockets could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    /// Another program has the port, or the address is on no link.
    #[error("listen on {address} for DNS")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sockets' options cannot be set.
    #[error("prepare the DNS sockets")]
    Prepare(#[source] io::Error),
    /// The namespace cannot be told.
    #[error(transparent)]
    Namespace(#[from] netns::NetnsError),
}

/// The holder could not be started. The agent serves all the same, and its next start makes new sockets.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// No process.
    #[error("start {program}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not take the sockets.
    #[error("hand the DNS sockets to the holder")]
    HandOver(#[source] io::Error),
}

/// How the holder is started: a program and the arguments before the socket's path.
#[derive(Debug, Clone)]
pub struct HolderCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the path follows.
    pub arguments: Vec<OsString>,
}

impl HolderCommand {
    /// This program's own hidden subcommand.
    #[must_use]
    pub fn this_program() -> HolderCommand {
        HolderCommand {
            // Also when the file has been replaced by a newer version meanwhile.
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![SUBCOMMAND.into()],
        }
    }
}

/// The sockets on `address`: those that a holder keeps for this namespace, or new ones, which a new holder then keeps.
///
/// # Errors
/// When there are no sockets. A holder that cannot be started is only logged.
pub async fn obtain(path: &Path, address: SocketAddr, holder: &HolderCommand) -> Result<DnsSockets, SocketsError> {
    match ask_for_sockets(path, address) {
        Ok(Some(sockets)) => {
            info!(%address, "took over the DNS sockets");
            return Ok(sockets);
        }
        Ok(None) => quit(path),
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
        Err(err) => warn!(
            error = &err as &dyn std::error::Error,
            "the holder of the DNS sockets does not answer"
        ),
    }
    let sockets = bind(address)?;
    if let Err(err) = start_holder(path, &sockets, holder).await {
        warn!(
            error = &err as &dyn std::error::Error,
            "DNS queries will be refused while the agent restarts"
        );
    }
    Ok(sockets)
}

/// Ends the holder, if there is one. True if there was.
pub fn release(path: &Path) -> bool {
    let there = connect(path).is_ok();
    quit(path);
    there
}

fn bind(address: SocketAddr) -> Result<DnsSockets, SocketsError> {
    let bind_error = |source| SocketsError::Bind { address, source };
    let udp = UdpSocket::bind(address).map_err(bind_error)?;
    // Port 0 in tests: both on the same one.
    let address = udp.local_addr().map_err(bind_error)?;
    let tcp = TcpListener::bind(address).map_err(bind_error)?;
    let prepare = || -> io::Result<()> {
        if setsockopt(&udp, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            // Without CAP_NET_ADMIN: what the system allows.
            setsockopt(&udp, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES)?;
        }
        listen(&tcp, Backlog::new(BACKLOG)?)?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)
    };
    prepare().map_err(SocketsError::Prepare)?;
    Ok(DnsSockets { udp, tcp })
}

/// None: there is a holder, and what it holds is of no use here.
fn ask_for_sockets(path: &Path, address: SocketAddr) -> io::Result<Option<DnsSockets>> {
    let stream = connect(path)?;
    descriptors::send(&stream, &[ASK_SOCKETS], &[])?;
    let mut namespace = [0; 8];
    let (length, held) = descriptors::receive(&stream, &mut namespace)?;
    let here = netns::current_inode().map_err(io::Error::other)?;
    if length != namespace.len() || u64::from_le_bytes(namespace) != here {
        return Ok(None);
    }
    let [udp, tcp] = match <[OwnedFd; 2]>::try_from(held) {
        Ok(both) => both,
        Err(_) => return Ok(None),
    };
    let sockets = DnsSockets {
        udp: UdpSocket::from(udp),
        tcp: TcpListener::from(tcp),
    };
    let bound = sockets.udp.local_addr()?;
    let same = bound == sockets.tcp.local_addr()?
        && bound.ip() == address.ip()
        && (address.port() == 0 || bound.port() == address.port());
    Ok(same.then_some(sockets))
}

fn quit(path: &Path) {
    if let Ok(stream) = connect(path)
        && descriptors::send(&stream, &[ASK_QUIT], &[]).is_ok()
    {
        // It closes the stream when it is gone.
        _ = descriptors::receive(&stream, &mut [0; 1]);
    }
    _ = fs::remove_file(path);
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let (_dir, short) = short_path(path)?;
    let stream = UnixStream::connect(short)?;
    stream.set_read_timeout(Some(PEER_TIMEOUT))?;
    stream.set_write_timeout(Some(PEER_TIMEOUT))?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    if peer.uid() != getuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the holder of the DNS sockets runs as another user",
        ));
    }
    Ok(stream)
}

/// A socket's path may have 107 bytes; this one is short however deep the directory is, while the file is open.
fn short_path(path: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
    Ok((dir, short))
}

async fn start_holder(path: &Path, sockets: &DnsSockets, holder: &HolderCommand) -> Result<(), HolderError> {
    let (ours, theirs) = UnixStream::pair().map_err(HolderError::HandOver)?;
    // The runtime reaps it should it die before the agent.
    tokio::process::Command::new(&holder.program)
        .args(&holder.arguments)
        .arg(path)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| HolderError::Start {
            program: holder.program.clone(),
            source,
        })?;
    let held = [sockets.udp.as_fd(), sockets.tcp.as_fd()];
    descriptors::send(&ours, &[ASK_SOCKETS], &held).map_err(HolderError::HandOver)?;
    ours.set_read_timeout(Some(PEER_TIMEOUT))
        .map_err(HolderError::HandOver)?;
    // It answers once it listens.
    let (answer, _) = tokio::task::spawn_blocking(move || descriptors::receive(&ours, &mut [0; 1]))
        .await
        .map_err(|err| HolderError::HandOver(io::Error::other(err)))?
        .map_err(HolderError::HandOver)?;
    debug_assert_eq!(answer, 1);
    Ok(())
}

/// The holder: takes the sockets from its standard input, listens on the path that is its only argument, and gives the
/// sockets to whoever asks, until told to quit. Call it before any runtime exists.
#[must_use]
pub fn hold_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter();
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return ExitCode::from(2);
    };
    match hold(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Nobody reads it but whoever runs the subcommand by hand.
            _ = writeln!(io::stderr(), "{SUBCOMMAND}: {err}");
            ExitCode::FAILURE
        }
    }
}

fn hold(path: &Path) -> io::Result<()> {
    // Out of the agent's session: what ends that (a terminal, a service manager's signal to the group) is not for us.
    // It fails for a process that leads a group already, which is as good.
    _ = setsid();
    let parent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (_, held) = descriptors::receive(&parent, &mut [0; 1])?;
    let held: [OwnedFd; 2] = held.try_into().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "two sockets are expected on standard input",
        )
    })?;
    let namespace = netns::current_inode().map_err(io::Error::other)?.to_le_bytes();
    let listener = {
        let (_dir, short) = short_path(path)?;
        match fs::remove_file(&short) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
            _ => {}
        }
        umask(Mode::from_bits_truncate(0o177));
        UnixListener::bind(short)?
    };
    std::env::set_current_dir("/")?;
    descriptors::send(&parent, &[ASK_SOCKETS], &[])?;
    drop(parent);
    for stream in listener.incoming() {
        let stream = match stream {
            Ok(stream) => stream,
            // Out of descriptors or memory for a moment: the peer tries again.
            Err(_) => continue,
        };
        if serve(&stream, &held, namespace).is_ok_and(|next| next == Next::Quit) {
            // In this order: whoever asked takes the end of the stream to mean that the port is free.
            drop(held);
            drop(stream);
            return Ok(());
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Serve,
    Quit,
}

fn serve(stream: &UnixStream, held: &[OwnedFd; 2], namespace: [u8; 8]) -> io::Result<Next> {
    stream.set_read_timeout(Some(PEER_TIMEOUT))?;
    stream.set_write_timeout(Some(PEER_TIMEOUT))?;
    let mut question = [0; 1];
    descriptors::receive(stream, &mut question)?;
    match question[0] {
        ASK_SOCKETS => {
            descriptors::send(stream, &namespace, &[held[0].as_fd(), held[1].as_fd()])?;
            Ok(Next::Serve)
        }
        ASK_QUIT => Ok(Next::Quit),
        _ => Ok(Next::Serve),
    }
}

#[cfg(test)]
mod tests;
