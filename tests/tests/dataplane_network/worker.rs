//! A process in a namespace (and a cgroup) that serves and asks on behalf of a test.
//!
//! This very test binary, started again: cgroups are about processes. Commands and answers are lines on its standard
//! input, which is a socket. A server answers each line with `<its name> <the client it sees>`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::{
        socket::{
            AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, bind, setsockopt, socket,
            sockopt::{ReuseAddr, SendTimeout},
        },
        time::{TimeVal, TimeValLike},
    },
};

/// Set in a worker process.
const MARK: &str = "SKEP_TEST_DATAPLANE_WORKER";
/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Worker {
    child: Child,
    lines: BufReader<UnixStream>,
}

impl Worker {
    pub(crate) fn start(namespace: &str, cgroup: Option<&Path>) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let namespace = fs::File::open(Path::new("/run/netns").join(namespace)).unwrap();
        let procs = cgroup.map(|cgroup| {
            fs::OpenOptions::new()
                .write(true)
                .open(cgroup.join("cgroup.procs"))
                .unwrap()
        });
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "worker_process", "--nocapture"])
            .env(MARK, "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null());
        // SAFETY: between fork and exec only system calls are made.
        unsafe {
            command.pre_exec(move || {
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
                if let Some(procs) = &procs {
                    nix::unistd::write(procs, b"0")?;
                }
                Ok(())
            });
        }
        Self {
            child: command.spawn().unwrap(),
            lines: BufReader::new(ours),
        }
    }

    /// Carries out one command. `Err` is what the worker's system call said.
    pub(crate) fn try_run(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.lines.get_mut(), "{command}").unwrap();
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        match line.trim_end().split_once(' ') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            Some(("error", error)) => Err(error.to_owned()),
            _ => panic!("the worker answered {line:?} to {command:?}"),
        }
    }

    pub(crate) fn run(&mut self, command: &str) -> String {
        self.try_run(command)
            .unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Names of who answered `count` new connections, with how often.
    pub(crate) fn tally(&mut self, how: &str, address: &str, count: u32) -> BTreeMap<String, u32> {
        let mut tally = BTreeMap::new();
        for _ in 0..count {
            let answer = self.run(&format!("{how} {address}"));
            let name = answer.split(' ').next().unwrap().to_owned();
            *tally.entry(name).or_default() += 1;
        }
        tally
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Its input ends with ours; the wait is for its exit.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The worker's side. Returns at once in a process that is none.
pub(crate) fn serve_commands() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    let stdin = io::stdin();
    let control = UnixStream::from(stdin.as_fd().try_clone_to_owned().unwrap());
    let mut answers = control.try_clone().unwrap();
    let mut held = HashMap::new();
    for line in BufReader::new(control).lines() {
        let Ok(line) = line else { return };
        let words: Vec<_> = line.split(' ').collect();
        let answer = match carry_out(&words, &mut held) {
            Ok(text) => format!("ok {text}"),
            Err(error) => format!("error {:?} {error}", error.kind()),
        };
        if writeln!(answers, "{answer}").is_err() {
            return;
        }
    }
}

fn carry_out(words: &[&str], held: &mut HashMap<String, BufReader<TcpStream>>) -> io::Result<String> {
    match words {
        ["serve-tcp", address, name] => serve_tcp(TcpListener::bind(address)?, (*name).to_owned()),
        ["serve-udp", address, name] => serve_udp(UdpSocket::bind(address)?, (*name).to_owned()),
        ["tcp", address] => {
            let mut stream = connect(address)?;
            let peer = stream.get_ref().peer_addr()?;
            Ok(format!("{} {peer}", exchange(&mut stream)?))
        }
        ["tcp-mapped", address] => {
            // An IPv6 socket that talks IPv4.
            let SocketAddr::V4(v4) = address.parse().map_err(io::Error::other)? else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let mapped = SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()));
            let mut stream = connect(&mapped.to_string())?;
            let peer = stream.get_ref().peer_addr()?;
            Ok(format!("{} {peer}", exchange(&mut stream)?))
        }
        // Connected: the kernel takes datagrams of the peer only.
        ["udp", address] => {
            let socket = datagrams("0.0.0.0:0")?;
            socket.connect(address)?;
            socket.send(b"x")?;
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer)?;
            Ok(format!(
                "{} {}",
                String::from_utf8_lossy(&buffer[..length]),
                socket.peer_addr()?
            ))
        }
        // Unconnected: what recvfrom says is the source.
        ["udp-to", address] => {
            let socket = datagrams("0.0.0.0:0")?;
            let mut texts = Vec::new();
            for _ in 0..3 {
                socket.send_to(b"x", address)?;
                let mut buffer = [0; 256];
                let (length, from) = socket.recv_from(&mut buffer)?;
                texts.push(format!("{} {from}", String::from_utf8_lossy(&buffer[..length])));
            }
            texts.dedup();
            if texts.len() == 1 {
                Ok(texts.remove(0))
            } else {
                Err(io::Error::other(format!("{texts:?}")))
            }
        }
        ["udp-from", source, address] => {
            let socket = datagrams(source)?;
            socket.set_read_timeout(Some(Duration::from_millis(300)))?;
            socket.send_to(b"x", address)?;
            let mut buffer = [0; 256];
            let (length, from) = socket.recv_from(&mut buffer)?;
            Ok(format!("{} {from}", String::from_utf8_lossy(&buffer[..length])))
        }
        // A datagram larger than any packet: fragments.
        ["udp-large", address, length] => {
            let socket = datagrams("0.0.0.0:0")?;
            socket.connect(address)?;
            socket.send(&vec![b'y'; length.parse().map_err(io::Error::other)?])?;
            let mut buffer = [0; 256];
            let length = socket.recv(&mut buffer)?;
            Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
        }
        ["hold", id, address] => {
            let mut stream = connect(address)?;
            let text = exchange(&mut stream)?;
            held.insert((*id).to_owned(), stream);
            Ok(text)
        }
        ["hold-from", id, port, address] => {
            let mut stream = connect_from(port.parse().map_err(io::Error::other)?, address)?;
            let text = exchange(&mut stream)?;
            held.insert((*id).to_owned(), stream);
            Ok(text)
        }
        ["drop", id] => Ok(format!("{:?}", held.remove(*id).map(|_| "closed"))),
        ["say", id] => exchange(held.get_mut(*id).ok_or(io::ErrorKind::NotFound)?),
        ["bulk", address, megabytes] => bulk(address, megabytes.parse().map_err(io::Error::other)?),
        _ => Err(io::Error::other(format!("unknown command {words:?}"))),
    }
}

fn connect(address: &str) -> io::Result<BufReader<TcpStream>> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// From a source port that another connection may have, or have had.
fn connect_from(port: u16, address: &str) -> io::Result<BufReader<TcpStream>> {
    let address: SocketAddrV4 = address.parse().map_err(io::Error::other)?;
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Tcp,
    )?;
    setsockopt(&socket, ReuseAddr, &true)?;
    let patience = TimeVal::seconds(PATIENCE.as_secs().try_into().map_err(io::Error::other)?);
    setsockopt(&socket, SendTimeout, &patience)?;
    bind(socket.as_raw_fd(), &SockaddrIn::new(0, 0, 0, 0, port))?;
    nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

fn exchange(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    stream.get_mut().write_all(b"hello\n")?;
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn datagrams(address: &str) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn serve_tcp(listener: TcpListener, name: String) -> io::Result<String> {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let name = name.clone();
            thread::spawn(move || -> io::Result<()> {
                let peer = stream.peer_addr()?;
                let mut lines = BufReader::new(stream);
                let mut line = String::new();
                while lines.read_line(&mut line)? > 0 {
                    let length = line.len();
                    writeln!(lines.get_mut(), "{name} {peer} {length}")?;
                    line.clear();
                }
                Ok(())
            });
        }
    });
    Ok("serving".to_owned())
}

fn serve_udp(socket: UdpSocket, name: String) -> io::Result<String> {
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = vec![0; 65_536];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer)?;
            socket.send_to(format!("{name} {peer} {length}").as_bytes(), peer)?;
        }
    });
    Ok("serving".to_owned())
}

/// One long line there, a short one back: segmentation offload and large packets.
fn bulk(address: &str, megabytes: usize) -> io::Result<String> {
    let mut stream = connect(address)?;
    let block = vec![b'z'; 1 << 20];
    for _ in 0..megabytes {
        stream.get_mut().write_all(&block)?;
    }
    stream.get_mut().write_all(b"\n")?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
