use api::node_stream::{LogsRequest, NetQuery, Reply, ReplyEnd};

use super::*;

fn logs() -> request::Kind {
    request::Kind::Logs(LogsRequest::default())
}

async fn request_id(agent: &mut Agent) -> u64 {
    match agent.next().await {
        Ok(to_agent::Kind::Request(request)) => request.id,
        other => panic!("not a request: {other:?}"),
    }
}

fn part(request_id: u64, data: &str, is_last: bool) -> from_agent::Kind {
    from_agent::Kind::Reply(Reply {
        request_id,
        data: data.as_bytes().to_vec(),
        end: is_last.then(|| ReplyEnd {
            status: 200,
            message: String::new(),
        }),
    })
}

#[tokio::test]
async fn answers_of_several_requests_come_in_order_each_to_who_asked() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let one = cluster.nodes.request("n1", logs()).await.expect("connected");
    let two = cluster
        .nodes
        .request("n1", request::Kind::Net(NetQuery::default()))
        .await
        .expect("connected");
    let (first, second) = (request_id(&mut agent).await, request_id(&mut agent).await);
    for (id, data, is_last) in [
        (first, "a", false),
        (second, "x", true),
        (first, "b", false),
        (first, "c", true),
    ] {
        agent.say(part(id, data, is_last)).await;
    }
    let data = |parts: Vec<Reply>| {
        let text = parts
            .into_iter()
            .map(|part| String::from_utf8(part.data).expect("text"));
        text.collect::<Vec<_>>()
    };
    assert_eq!(data(one.collect().await), ["a", "b", "c"]);
    assert_eq!(data(two.collect().await), ["x"]);
    agent.expect_quiet().await;
}

#[tokio::test]
async fn an_answer_that_nobody_wants_is_cancelled() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let replies = cluster.nodes.request("n1", logs()).await.expect("connected");
    let id = request_id(&mut agent).await;
    drop(replies);
    match agent.next().await {
        Ok(to_agent::Kind::CancelRequest(cancel)) => assert_eq!(cancel.id, id),
        other => panic!("not a cancellation: {other:?}"),
    }
    agent.say(part(id, "late", false)).await;
    agent.expect_quiet().await;
}

#[tokio::test]
async fn an_answer_whose_node_goes_away_says_so() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let mut replies = cluster.nodes.request("n1", logs()).await.expect("connected");
    let id = request_id(&mut agent).await;
    agent.say(part(id, "a", false)).await;
    assert_eq!(replies.next().await.expect("a part").data, b"a");
    drop(agent);
    let last = replies.next().await.expect("an end");
    assert_eq!(last.end.expect("an end").status, 503);
    assert_eq!(replies.next().await, None);
    let Err(error) = cluster.nodes.request("n1", logs()).await else {
        panic!("reached");
    };
    assert_eq!(error.to_string(), "node \"n1\" is not connected");
}

#[tokio::test]
async fn a_slow_reader_holds_its_node_up_for_a_bounded_time() {
    let stall = Duration::from_millis(200);
    let cluster = Cluster::with(Patience { stall, ..PATIENCE }).await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let mut slow = cluster.nodes.request("n1", logs()).await.expect("connected");
    let id = request_id(&mut agent).await;
    for _ in 0..300 {
        agent.say(part(id, "x", false)).await;
    }
    let cancelled = agent.next().await;
    assert!(
        matches!(cancelled, Ok(to_agent::Kind::CancelRequest(_))),
        "{cancelled:?}"
    );
    let mut parts = 0;
    let end = loop {
        let part = slow.next().await.expect("an end");
        match part.end {
            Some(end) => break end,
            None => parts += 1,
        }
    };
    assert_eq!((parts, end.status), (256, 503));
}
