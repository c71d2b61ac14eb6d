use api::node_stream::{Credit, ExecRequest, LogsRequest, NetQuery, Reply, ReplyEnd, WINDOW_PARTS, request_data};

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
            ..ReplyEnd::default()
        }),
        ..Reply::default()
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
async fn a_slow_reader_holds_nobody_up_and_credit_comes_as_it_reads() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let mut slow = cluster.nodes.request("n1", logs()).await.expect("connected");
    let slow_id = request_id(&mut agent).await;
    for _ in 0..WINDOW_PARTS {
        agent.say(part(slow_id, "x", false)).await;
    }
    let mut quick = cluster.nodes.request("n1", logs()).await.expect("connected");
    let quick_id = request_id(&mut agent).await;
    agent.say(part(quick_id, "y", true)).await;
    assert_eq!(quick.next().await.expect("a part").data, b"y");
    agent.expect_quiet().await;
    for _ in 0..WINDOW_PARTS {
        assert_eq!(slow.next().await.expect("a part").data, b"x");
    }
    let half = Credit {
        request_id: slow_id,
        parts: WINDOW_PARTS / 2,
    };
    match agent.next().await {
        Ok(to_agent::Kind::ReplyCredit(credit)) => assert_eq!(credit, half),
        other => panic!("not credit: {other:?}"),
    }
}

#[tokio::test]
async fn an_agent_that_sends_more_than_it_may_has_its_request_cancelled() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let slow = cluster.nodes.request("n1", logs()).await.expect("connected");
    let id = request_id(&mut agent).await;
    for _ in 0..WINDOW_PARTS * 2 {
        agent.say(part(id, "x", false)).await;
    }
    let cancelled = agent.next().await;
    assert!(
        matches!(cancelled, Ok(to_agent::Kind::CancelRequest(_))),
        "{cancelled:?}"
    );
    let parts: Vec<Reply> = slow.collect().await;
    let end = parts.last().and_then(|part| part.end.clone()).expect("an end");
    assert_eq!(end.status, 503);
}

#[tokio::test]
async fn what_goes_down_waits_after_one_window_until_the_agent_gives_credit() {
    let cluster = Cluster::new().await;
    let mut agent = cluster.agent("n1", "10.42.1.0/24").await;
    let exec = request::Kind::Exec(ExecRequest::default());
    let (feed, replies) = cluster.nodes.converse("n1", exec).await.expect("connected");
    let id = request_id(&mut agent).await;
    let sending = tokio::spawn(async move {
        for _ in 0..=WINDOW_PARTS {
            feed.data(b"x").await?;
        }
        feed.end().await
    });
    let next = async |agent: &mut Agent| match agent.next().await {
        Ok(to_agent::Kind::RequestData(data)) => data.kind.expect("a kind"),
        other => panic!("not data: {other:?}"),
    };
    for _ in 0..WINDOW_PARTS {
        assert_eq!(next(&mut agent).await, request_data::Kind::Data(b"x".to_vec()));
    }
    agent.expect_quiet().await;
    let credit = Credit {
        request_id: id,
        parts: 1,
    };
    agent.say(from_agent::Kind::RequestCredit(credit)).await;
    assert_eq!(next(&mut agent).await, request_data::Kind::Data(b"x".to_vec()));
    assert_eq!(next(&mut agent).await, request_data::Kind::End(true));
    assert_eq!(sending.await.expect("no panic"), Ok(()));
    drop(replies);
}
