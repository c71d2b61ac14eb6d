use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use api::{
    net_state::NetState,
    node_stream::{Endpoint, Service, change, service},
};
use hickory_proto::{
    op::{Message, MessageType, Query},
    rr::{RData, rdata::A},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket as TokioUdp},
    time::timeout,
};

use super::*;
use crate::index::Zone;

const ENDPOINTS: u8 = 100;

fn state() -> NetState {
    let mut state = NetState::default();
    let service = |number: u32, name: &str| Service {
        r#ref: number,
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        ..Service::default()
    };
    let web = Service {
        cluster_ips: vec![vec![10, 43, 1, 7]],
        ..service(1, "web")
    };
    let many = Service {
        headless: true,
        ..service(2, "many")
    };
    let alias = |number, name: &str, target: &str| Service {
        r#type: service::Type::ExternalName.into(),
        external_name: target.to_owned(),
        ..service(number, name)
    };
    let services = [
        web,
        many,
        alias(3, "inside", "web.shop.svc.cluster.local"),
        alias(4, "outside", "www.example.com"),
        alias(5, "ring", "gnir.shop.svc.cluster.local"),
        alias(6, "gnir", "ring.shop.svc.cluster.local"),
    ];
    state.services.extend(services.map(|service| (service.r#ref, service)));
    let endpoints = (1..=ENDPOINTS).map(|last| {
        let ip = vec![10, 42, 0, last];
        let endpoint = Endpoint {
            ip: ip.clone(),
            ready: true,
            ..Endpoint::default()
        };
        (ip, endpoint)
    });
    state.endpoints.insert(2, endpoints.collect());
    state
}

fn records() -> Records {
    let zone = Zone::new("cluster.local", "10.43.0.10".parse().unwrap(), Vec::new()).unwrap();
    Records::new(Index::from_state(zone, &state()))
}

struct Fixture {
    address: SocketAddr,
    records: Records,
    dir: TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server on loopback whose upstream, if any, is asked on loopback at this port.
fn start(upstream_port: Option<u16>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).unwrap();
    udp.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    let resolv_conf = dir.path().join("resolv.conf");
    if upstream_port.is_some() {
        fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    }
    let records = records();
    let config = ServerConfig {
        udp,
        tcp,
        resolv_conf,
        upstream_port: upstream_port.map_or(DNS_PORT, |port| if port == 0 { address.port() } else { port }),
        own_addresses: vec![],
    };
    let server = DnsServer::start(config, records.clone()).unwrap();
    let task = tokio::spawn(async move { _ = server.run().await });
    Fixture {
        address,
        records,
        dir,
        task,
    }
}

/// Answers A questions for www.example.com with 192.0.2.80, and says that no other name is there.
async fn start_upstream() -> u16 {
    let socket = TokioUdp::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let query = question.queries[0].clone();
            let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            if query.name().to_ascii().eq_ignore_ascii_case("www.example.com.") {
                let data = RData::A(A(Ipv4Addr::new(192, 0, 2, 80)));
                answer.add_answer(Record::from_rdata(query.name().clone(), 60, data));
            } else {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            answer.add_query(query);
            socket.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
        }
    });
    port
}

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

async fn ask_message(server: &Fixture, question: &Message) -> Message {
    let socket = TokioUdp::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(server.address).await.unwrap();
    socket.send(&question.to_vec().unwrap()).await.unwrap();
    let mut buffer = [0; 65_535];
    let length = timeout(Duration::from_secs(10), socket.recv(&mut buffer))
        .await
        .unwrap()
        .unwrap();
    let answer = Message::from_vec(&buffer[..length]).unwrap();
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

async fn ask(server: &Fixture, name: &str, record_type: RecordType) -> Message {
    ask_message(server, &question(name, record_type)).await
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[tokio::test]
async fn names_of_the_cluster_over_udp() {
    let server = start(None);
    let answer = ask(&server, "web.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(data(&answer), ["10.43.1.7"]);
    assert!(answer.metadata.authoritative && answer.metadata.recursion_available);

    let missing = ask(&server, "nobody.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(missing.authorities.len(), 1);
    let no_data = ask(&server, "web.shop.svc.cluster.local.", RecordType::AAAA).await;
    assert_eq!(no_data.metadata.response_code, ResponseCode::NoError);
    assert!(no_data.answers.is_empty());
    assert_eq!(no_data.authorities.len(), 1);

    let alias = ask(&server, "inside.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(data(&alias), ["web.shop.svc.cluster.local.", "10.43.1.7"]);
    let ring = ask(&server, "ring.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(ring.metadata.response_code, ResponseCode::ServFail);
}

#[tokio::test]
async fn a_change_shows_in_the_next_answer() {
    let server = start(None);
    server.records.apply(&[Change {
        kind: Some(change::Kind::ServiceRemoved(1)),
    }]);
    let answer = ask(&server, "web.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_cut_and_whole_over_tcp() {
    let server = start(None);
    let name = "many.shop.svc.cluster.local.";
    let cut = ask(&server, name, RecordType::A).await;
    assert!(cut.metadata.truncation);
    assert!(cut.to_vec().unwrap().len() <= 512);

    let mut large = question(name, RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(65_000);
    large.set_edns(edns);
    let cut = ask_message(&server, &large).await;
    assert!(cut.metadata.truncation);
    assert!(cut.to_vec().unwrap().len() <= usize::from(UDP_ANSWER_BYTES_MAX));

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let bytes = question(name, RecordType::A).to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    let answer = Message::from_vec(&answer).unwrap();
    assert!(!answer.metadata.truncation);
    assert_eq!(answer.answers.len(), usize::from(ENDPOINTS));
}

#[tokio::test]
async fn other_names_are_asked_upstream() {
    let server = start(Some(start_upstream().await));
    let answer = ask(&server, "www.example.com.", RecordType::A).await;
    assert_eq!(data(&answer), ["192.0.2.80"]);
    assert!(!answer.metadata.authoritative);
    let missing = ask(&server, "missing.example.com.", RecordType::A).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    let alias = ask(&server, "outside.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(data(&alias), ["www.example.com.", "192.0.2.80"]);
}

#[tokio::test]
async fn without_a_server_the_client_is_told_at_once_and_a_changed_file_is_seen() {
    let server = start(Some(start_upstream().await));
    let resolv_conf = server.dir.path().join("resolv.conf");
    fs::remove_file(&resolv_conf).unwrap();
    let began = Instant::now();
    let answer = ask(&server, "www.example.com.", RecordType::A).await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    assert!(began.elapsed() < Duration::from_secs(1));

    fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while data(&ask(&server, "www.example.com.", RecordType::A).await).is_empty() {
        assert!(Instant::now() < deadline, "the changed file is not seen");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_upstream_that_asks_back_is_asked_no_more() {
    // Port 0: the server's own.
    let server = start(Some(0));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let began = Instant::now();
        let answer = ask(&server, "www.example.com.", RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
        if began.elapsed() < Duration::from_millis(100) {
            break;
        }
        assert!(Instant::now() < deadline, "the loop is not found");
    }
    let local = ask(&server, "web.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(data(&local), ["10.43.1.7"]);
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let server = start(None);
    let mut update = question("web.shop.svc.cluster.local.", RecordType::A);
    update.metadata.op_code = OpCode::Status;
    assert_eq!(
        ask_message(&server, &update).await.metadata.response_code,
        ResponseCode::NotImp
    );
    let transfer = ask(&server, "cluster.local.", RecordType::AXFR).await;
    assert_eq!(transfer.metadata.response_code, ResponseCode::Refused);
    let mut versioned = question("web.shop.svc.cluster.local.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    versioned.set_edns(edns);
    let answer = ask_message(&server, &versioned).await;
    // The same number as BADSIG, which is how it is read back.
    assert_eq!(
        u16::from(answer.metadata.response_code),
        u16::from(ResponseCode::BADVERS)
    );
}
