use std::pin::Pin;

use futures::FutureExt as _;
use serde_json::json;

use super::*;
use crate::{
    authorization::ResourceRequest,
    store::{Expect, Op, StoreConfig, StoreKey, Write},
};

const NOISY_REQUESTS: usize = 400;

fn caller(user: &str) -> Caller {
    Caller {
        user: user.to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..Caller::default()
    }
}

fn listing() -> Request {
    Request::Resource(ResourceRequest {
        verb: "list".to_owned(),
        resource: "pods".to_owned(),
        namespace: "a".to_owned(),
        ..ResourceRequest::default()
    })
}

async fn put(store: &Store, collection: &str, object: Option<&Value>, name: &str) {
    let write = Write {
        key: StoreKey::new(collection, "", name),
        expect: Expect::Anything,
        op: object.map_or(Op::Delete, |object| Op::Put(object.to_string().into())),
    };
    store.commit(vec![write]).await.unwrap();
}

/// With the schemas and levels of every cluster.
async fn flow(seats: usize) -> (Flow, Store, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::new(dir.path().join("store.redb"))).unwrap();
    for (collection, objects) in [
        (LEVELS, crate::server::priority_levels()),
        (SCHEMAS, crate::server::flow_schemas()),
    ] {
        for object in objects {
            let name = object["metadata"]["name"].as_str().unwrap();
            put(&store, collection, Some(&object), name).await;
        }
    }
    (Flow::new(store.clone(), seats, FlowMeter::new()), store, dir)
}

#[tokio::test]
async fn a_noisy_client_does_not_starve_another() {
    // 20 of 245 shares: two seats.
    let (flow, _store, _dir) = flow(24).await;
    let (noisy, quiet, request) = (caller("noisy"), caller("quiet"), listing());
    let mut waiting: Vec<_> = (0..NOISY_REQUESTS)
        .map(|_| Box::pin(flow.admit(&noisy, &request)))
        .collect();
    // Each is asked once: two run, some wait, the others are refused.
    let mut seats = Vec::new();
    let mut refused = 0;
    for seat in answered(&mut waiting) {
        match seat {
            Ok(seat) => seats.push(seat),
            Err(Refusal::QueueFull) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((seats.len(), refused), (2, NOISY_REQUESTS - 2 - 6 * 50));
    let mut own = vec![Box::pin(flow.admit(&quiet, &request))];
    assert!(answered(&mut own).is_empty(), "it waits for its turn");
    // Three hundred wait before it, in six queues: it is served within two rounds of the queues.
    for turn in 0.. {
        assert!(turn < 14, "not served within two rounds");
        drop(seats.pop());
        if !answered(&mut own).is_empty() {
            break;
        }
        seats.extend(answered(&mut waiting).into_iter().flatten());
    }
}

/// Takes those out that are decided.
fn answered<F>(waiting: &mut Vec<Pin<Box<F>>>) -> Vec<Result<Seat, Refusal>>
where
    F: Future<Output = Result<Admission, ReadError>>,
{
    let mut answers = Vec::new();
    waiting.retain_mut(
        |future| match tokio::task::unconstrained(future.as_mut()).now_or_never() {
            Some(admission) => {
                answers.push(admission.unwrap().seat);
                false
            }
            None => true,
        },
    );
    answers
}

#[tokio::test]
async fn masters_are_not_limited() {
    let (flow, _store, _dir) = flow(1).await;
    let mut seats = Vec::new();
    for _ in 0..100 {
        let admission = flow.admit(&Caller::system("root"), &listing()).await.unwrap();
        seats.push(admission.seat.unwrap());
    }
}

#[tokio::test]
async fn a_level_without_queues_refuses_and_follows_its_object() {
    let (flow, store, _dir) = flow(600).await;
    let mut schemas = crate::server::flow_schemas();
    let schema = schemas
        .iter_mut()
        .find(|schema| schema["metadata"]["name"] == "global-default");
    let schema = schema.unwrap();
    schema["spec"]["priorityLevelConfiguration"]["name"] = json!("small");
    put(&store, SCHEMAS, Some(schema), "global-default").await;
    let level = |shares: u64| {
        json!({
            "metadata": { "name": "small", "uid": "u" },
            "spec": {
                "type": "Limited",
                "limited": { "nominalConcurrencyShares": shares, "limitResponse": { "type": "Reject" } },
            },
        })
    };
    put(&store, LEVELS, Some(&level(1)), "small").await;
    let (ann, request) = (caller("ann"), listing());
    // 600 seats, 1 of 246 shares.
    let mut seats = Vec::new();
    for expected in [Ok(()), Ok(()), Ok(()), Err(Refusal::NoSeat)] {
        let admission = flow.admit(&ann, &request).await.unwrap();
        assert_eq!(admission.level_uid, "u");
        assert_eq!(admission.seat.as_ref().map(drop).map_err(|refusal| *refusal), expected);
        seats.extend(admission.seat.ok());
    }
    put(&store, LEVELS, Some(&level(2)), "small").await;
    let admission = flow.admit(&ann, &request).await.unwrap();
    assert!(admission.seat.is_ok(), "five seats now");
    drop(seats);
    put(&store, LEVELS, None, "small").await;
    let admission = flow.admit(&ann, &request).await.unwrap();
    assert_ne!(admission.level_uid, "u");
}

#[tokio::test]
async fn who_goes_away_while_waiting_leaves_nothing_behind() {
    // One seat.
    let (flow, _store, _dir) = flow(1).await;
    let (ann, request) = (caller("ann"), listing());
    let first = flow.admit(&ann, &request).await.unwrap().seat.unwrap();
    let gone = flow.admit(&ann, &request).now_or_never();
    assert!(gone.is_none());
    drop(first);
    let next = flow.admit(&ann, &request).now_or_never();
    assert!(next.is_some_and(|admission| admission.unwrap().seat.is_ok()));
}
