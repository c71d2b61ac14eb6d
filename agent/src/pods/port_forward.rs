//! One connection to a port of a pod, as the pod itself would make it: on its loopback interface, or to its address.
//!
//! Source: `kubectl port-forward`; CRI `PortForward`.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream as StdTcpStream},
    path::PathBuf,
    time::Duration,
};

use api::node_stream::{Channel, PART_BYTES_MAX, PortForwardRequest, ReplyEnd};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use super::{FoundPod, sandbox::blocking};
use crate::{
    causes::chain,
    exchange::{Down, Exchange, Inlet, Outlet},
    net::netns,
};

/// The loopback interface answers at once; this is for one whose queue of connections is full.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A client that has been told of the pod's end ends its own side, or is cut off.
const CLIENT_END_MAX: Duration = Duration::from_secs(1);
/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
const _: () = assert!(READ_BYTES <= PART_BYTES_MAX, "what is read is one part");

const OK: u32 = 200;
const BAD_REQUEST: u32 = 400;
const INTERNAL_ERROR: u32 = 500;

/// Connects, and moves bytes both ways: until the pod has ended its side, and the client its own or is given time to.
pub(crate) async fn serve(pod: &FoundPod, request: &PortForwardRequest, exchange: Exchange) -> ReplyEnd {
    let Some(port) = u16::try_from(request.port).ok().filter(|port| *port > 0) else {
        return refusal(BAD_REQUEST, format!("{} is not a port", request.port));
    };
    let Some(sandbox) = pod.home.sandbox() else {
        return refusal(INTERNAL_ERROR, "the pod's sandbox is not running".to_owned());
    };
    let at = if request.at_pod_ip {
        sandbox.ips
    } else {
        vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
    };
    let connected = blocking(move || connect(sandbox.netns, at, port)).await;
    let stream = match connected.and_then(|stream| TcpStream::from_std(stream).map_err(|err| err.to_string())) {
        Ok(stream) => stream,
        Err(message) => return refusal(INTERNAL_ERROR, message),
    };
    let Exchange { outlet, inlet } = exchange;
    if outlet.begin().await.is_err() {
        return success();
    }
    let (reader, writer) = stream.into_split();
    let mut up = std::pin::pin!(read(reader, &outlet));
    let mut down = std::pin::pin!(write(inlet, writer));
    let read = tokio::select! {
        read = &mut up => {
            // An error means that the client takes its time, which is over.
            let _ = timeout(CLIENT_END_MAX, down).await;
            read
        }
        () = &mut down => up.await,
    };
    match read {
        Ok(()) => success(),
        Err(err) => refusal(INTERNAL_ERROR, err.to_string()),
    }
}

/// Passes on what the pod sends, to its end. Who does not want it any more has ended it.
async fn read(mut reader: OwnedReadHalf, outlet: &Outlet) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        let wanted = match count {
            0 => outlet.channel_end(Channel::Main).await,
            count => outlet.data(Channel::Main, &buffer[..count]).await,
        };
        if count == 0 || wanted.is_err() {
            return Ok(());
        }
    }
}

/// Passes on what the client sends, to its end or as long as the pod takes it.
async fn write(mut inlet: Inlet, mut writer: OwnedWriteHalf) {
    while let Some(Down::Data(data)) = inlet.next().await {
        if writer.write_all(&data).await.is_err() {
            break;
        }
    }
    // The pod may be gone.
    let _ = writer.shutdown().await;
}

/// Connects to the first address that answers, from where the pod's own processes would. Blocks.
fn connect(netns: Option<PathBuf>, at: Vec<IpAddr>, port: u16) -> Result<StdTcpStream, String> {
    let dial = move || {
        let mut failures = Vec::new();
        for ip in at {
            let address = SocketAddr::new(ip, port);
            match dial(&address) {
                Ok(stream) => return Ok(stream),
                Err(err) => failures.push(dial_error(&address, &err)),
            }
        }
        Err(format!(
            "failed to connect to port {port} inside the pod: {}",
            failures.join(", ")
        ))
    };
    match netns {
        // A socket stays in the namespace it was made in.
        Some(path) => netns::inside(&path, dial).map_err(|err| chain(&err))?,
        None => dial(),
    }
}

fn dial(address: &SocketAddr) -> io::Result<StdTcpStream> {
    let stream = StdTcpStream::connect_timeout(address, CONNECT_MAX)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Clients look for the words after the last colon.
fn dial_error(address: &SocketAddr, err: &io::Error) -> String {
    let what = match err.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => err.to_string(),
    };
    format!("dial tcp {address}: connect: {what}")
}

fn success() -> ReplyEnd {
    ReplyEnd {
        status: OK,
        ..ReplyEnd::default()
    }
}

fn refusal(status: u32, message: String) -> ReplyEnd {
    ReplyEnd {
        status,
        message,
        exit_code: None,
    }
}
