//! The web server that tests run in pods: answers with the pod's name, over HTTP with connections kept open, and over
//! UDP. Ends at once on SIGTERM.
//!
//! `test-web [PORT]`. `GET /` answers the name; `GET /client` the name and the address the request came from.

#![allow(clippy::print_stderr, reason = "a program of its own")]

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream, UdpSocket},
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port: u16 = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(8080);
    let name = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let socket = UdpSocket::bind(("0.0.0.0", port)).await?;
    // The first process of a container gets no signal that it does not handle.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut packet = [0; 2048];
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, client)) = accepted {
                    let name = name.clone();
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, &name, client.ip().to_string()).await {
                            eprintln!("{client}: {error}");
                        }
                    });
                }
            }
            received = socket.recv_from(&mut packet) => {
                if let Ok((_, client)) = received {
                    // A client that is gone is no concern of ours.
                    let _ = socket.send_to(format!("{name}\n").as_bytes(), client).await;
                }
            }
            _ = terminate.recv() => return Ok(()),
        }
    }
}

async fn serve(mut stream: TcpStream, name: &str, client: String) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut request = String::new();
        if reader.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut close = request.trim_end().ends_with("HTTP/1.0");
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).await? == 0 || header.trim().is_empty() {
                break;
            }
            close |= header.to_lowercase().starts_with("connection: close");
        }
        let body = if request.starts_with("GET /client") {
            format!("{name} {client}\n")
        } else {
            format!("{name}\n")
        };
        let connection = if close { "close" } else { "keep-alive" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
            body.len()
        );
        writer.write_all(format!("{head}{body}").as_bytes()).await?;
        if close {
            return Ok(());
        }
    }
}
