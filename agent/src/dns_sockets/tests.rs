use std::{net::Ipv4Addr, time::Instant};

use super::*;

/// The holder as a process: this test program, told by the environment which path to hold.
const PATH_VARIABLE: &str = "NODE_TEST_HOLDER_PATH";

/// Not a test of its own: it is the holder's process when a test starts it as one.
#[test]
fn holder_process() {
    if let Some(path) = std::env::var_os(PATH_VARIABLE) {
        assert_eq!(hold_main([path]), ExitCode::SUCCESS);
    }
}

fn holder(dir: &Path, path: &Path) -> HolderCommand {
    // A script, because the path is passed as the last argument and the test program takes none.
    let script = dir.join("holder.sh");
    let program = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\n{PATH_VARIABLE}='{}' exec '{}' --exact dns_sockets::tests::holder_process --nocapture\n",
        path.display(),
        program.display()
    );
    fs::write(&script, text).unwrap();
    HolderCommand {
        program: PathBuf::from("/bin/sh"),
        arguments: vec![script.into()],
    }
}

#[tokio::test]
async fn queries_that_arrive_while_the_agent_is_away_wait_for_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    // Longer than a socket's path may be.
    let deep = dir.path().join("x".repeat(120));
    fs::create_dir(&deep).unwrap();
    let path = deep.join("dns.sock");
    let holder = holder(dir.path(), &path);
    let first = obtain(&path, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &holder)
        .await
        .unwrap();
    let address = first.udp.local_addr().unwrap();
    assert_eq!(
        fs::metadata(&path)
            .map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()) & 0o777)
            .unwrap(),
        0o600
    );
    drop(first);

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    client.send(b"query").unwrap();
    let connection = std::net::TcpStream::connect(address).unwrap();

    let second = obtain(&path, address, &holder).await.unwrap();
    let mut buffer = [0; 16];
    let (length, from) = second.udp.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"query");
    second.udp.send_to(b"answer", from).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 6);
    assert_eq!(second.tcp.accept().unwrap().1, connection.local_addr().unwrap());

    drop(second);
    assert!(release(&path));
    assert!(!path.exists());
    assert!(!release(&path));
    // The holder is gone: the port is free again, once processes that other tests are starting have let go of what
    // they inherit for a moment.
    let deadline = Instant::now() + PEER_TIMEOUT;
    while let Err(err) = UdpSocket::bind(address) {
        assert!(Instant::now() < deadline, "{address}: {err}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_stale_socket_file_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dns.sock");
    drop(UnixListener::bind(&path).unwrap());
    let holder = holder(dir.path(), &path);
    let sockets = obtain(&path, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &holder)
        .await
        .unwrap();
    assert!(
        ask_for_sockets(&path, sockets.udp.local_addr().unwrap())
            .unwrap()
            .is_some()
    );
    assert!(release(&path));
}

#[tokio::test]
async fn without_a_holder_the_agent_serves_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dns.sock");
    let holder = HolderCommand {
        program: PathBuf::from("/nonexistent"),
        arguments: Vec::new(),
    };
    let sockets = obtain(&path, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), &holder)
        .await
        .unwrap();
    assert!(sockets.udp.local_addr().is_ok());
    assert!(!release(&path));
}
