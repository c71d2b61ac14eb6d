use api::node_stream::Reply;
use futures::StreamExt;

use super::*;

fn status(uid: &str, json: &str) -> FromAgent {
    message(from_agent::Kind::PodStatus(PodStatus {
        uid: uid.to_owned(),
        status_json: json.as_bytes().to_vec(),
        ..PodStatus::default()
    }))
}

fn gone(uid: &str) -> FromAgent {
    message(from_agent::Kind::PodGone(PodGone {
        uid: uid.to_owned(),
        ..PodGone::default()
    }))
}

fn event(reason: &str) -> FromAgent {
    message(from_agent::Kind::Event(EventRecord {
        reason: reason.to_owned(),
        ..EventRecord::default()
    }))
}

fn name(message: &FromAgent) -> String {
    match message.kind.as_ref().unwrap() {
        from_agent::Kind::Heartbeat(_) => "heartbeat".to_owned(),
        from_agent::Kind::Programmed(programmed) => format!("programmed {}", programmed.revision),
        from_agent::Kind::NodeStatus(_) => "node".to_owned(),
        from_agent::Kind::PodStatus(status) => {
            format!("status {} {}", status.uid, String::from_utf8_lossy(&status.status_json))
        }
        from_agent::Kind::PodGone(gone) => format!("gone {}", gone.uid),
        from_agent::Kind::Event(event) => format!("event {}", event.reason),
        from_agent::Kind::Reply(reply) => format!("reply {}", reply.request_id),
        from_agent::Kind::TokenWanted(wanted) => format!("token {}", wanted.pod_uid),
        from_agent::Kind::RequestCredit(credit) => format!("credit {}", credit.request_id),
        from_agent::Kind::Hello(_) => "hello".to_owned(),
    }
}

async fn said(stream: &mut (impl Stream<Item = FromAgent> + Unpin), count: usize) -> Vec<String> {
    let messages: Vec<_> = stream.take(count).collect().await;
    messages.iter().map(name).collect()
}

#[tokio::test]
async fn states_are_said_in_their_last_form_and_again_on_the_next_connection() {
    let outbox = Arc::new(Outbox::default());
    outbox.post(status("a", "1"));
    outbox.post(status("a", "2"));
    outbox.post(status("b", "1"));
    outbox.post(gone("b"));
    outbox.post(event("Started"));
    outbox.node_status(NodeStatus::default());
    outbox.programmed(7);

    let mut first = Box::pin(outbox.clone().connect());
    assert_eq!(
        said(&mut first, 6).await,
        [
            "heartbeat",
            "node",
            "status a 2",
            "status b 1",
            "gone b",
            "event Started"
        ],
        "the revision was another connection's"
    );
    outbox.programmed(9);
    outbox.post(status("a", "3"));
    assert_eq!(said(&mut first, 2).await, ["programmed 9", "status a 3"]);

    let mut second = Box::pin(outbox.clone().connect());
    assert_eq!(
        said(&mut second, 5).await,
        ["heartbeat", "node", "status a 3", "status b 1", "gone b"]
    );
    assert!(first.next().await.is_none(), "the first connection is fed no more");

    outbox.forget_pod("b");
    let mut third = Box::pin(outbox.clone().connect());
    assert_eq!(said(&mut third, 3).await, ["heartbeat", "node", "status a 3"]);
    outbox.retain_pods(&BTreeSet::new());
    let mut fourth = Box::pin(outbox.connect());
    assert_eq!(said(&mut fourth, 2).await, ["heartbeat", "node"]);
}

#[tokio::test]
async fn a_message_posted_while_the_connection_waits_wakes_it() {
    let outbox = Arc::new(Outbox::default());
    let mut stream = Box::pin(outbox.clone().connect());
    assert_eq!(said(&mut stream, 1).await, ["heartbeat"]);
    let waiting = tokio::spawn(async move { said(&mut stream, 2).await });
    tokio::task::yield_now().await;
    outbox.post(event("Pulled"));
    outbox
        .answers()
        .unwrap()
        .send(message(from_agent::Kind::Reply(Reply {
            request_id: 4,
            ..Reply::default()
        })))
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), ["event Pulled", "reply 4"]);
}

#[tokio::test]
async fn events_are_bounded_and_the_newest_stay() {
    let outbox = Arc::new(Outbox::default());
    for number in 0..=EVENTS_WAITING_MAX {
        outbox.post(event(&number.to_string()));
    }
    let mut stream = Box::pin(outbox.connect());
    assert_eq!(said(&mut stream, 2).await, ["heartbeat", "event 1"]);
    assert_eq!(
        said(&mut stream, EVENTS_WAITING_MAX - 1).await.last().unwrap(),
        &format!("event {EVENTS_WAITING_MAX}")
    );
}

#[tokio::test]
async fn a_token_is_asked_for_once_however_often_it_is_wanted_meanwhile() {
    let outbox = Arc::new(Outbox::default());
    for uid in ["a", "b", "a"] {
        outbox.post(message(from_agent::Kind::TokenWanted(TokenWanted {
            pod_uid: uid.to_owned(),
            ..TokenWanted::default()
        })));
    }
    outbox.post(event("Pulled"));
    let mut stream = Box::pin(outbox.clone().connect());
    assert_eq!(
        said(&mut stream, 4).await,
        ["heartbeat", "token a", "token b", "event Pulled"]
    );
    let mut next = Box::pin(outbox.connect());
    assert_eq!(said(&mut next, 1).await, ["heartbeat"], "whoever waits asks again");
}
