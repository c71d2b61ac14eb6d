use serde_json::json;

use super::*;

const NOW: i64 = 1_000_000;
const WAIT: Duration = Duration::from_millis(500);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn pod() -> Pod {
    let source = |token: serde_json::Value| json!({ "serviceAccountToken": token });
    let pod = json!({
        "metadata": { "namespace": "ns", "name": "p", "uid": "u" },
        "spec": { "containers": [], "volumes": [
            { "name": "a", "emptyDir": {} },
            { "name": "b", "projected": { "sources": [
                source(json!({ "path": "t", "expirationSeconds": 1000 })),
                { "configMap": { "name": "x" } },
                source(json!({ "path": "v", "expirationSeconds": 1000 })),
            ] } },
            { "name": "c", "projected": { "sources": [source(json!({ "path": "t", "audience": "vault" }))] } },
        ] },
    });
    serde_json::from_value(pod).unwrap()
}

fn said(audience: &str, seconds: i64, token: &str) -> Token {
    Token {
        pod_uid: "u".to_owned(),
        audience: audience.to_owned(),
        expiration_seconds: seconds,
        token: token.to_owned(),
        error: "no".to_owned(),
    }
}

#[test]
fn each_token_of_a_pod_is_wanted_once() {
    let wanted: Vec<(String, i64)> = wanted(&pod())
        .into_iter()
        .map(|key| (key.audience, key.seconds))
        .collect();
    assert_eq!(wanted, [(String::new(), 1000), ("vault".to_owned(), 3600)]);
}

#[test]
fn a_token_is_asked_for_anew_at_four_fifths_of_its_life_and_once_a_day() {
    for (seconds, after) in [(1000, 800), (3607, 2885), (7 * 24 * 3600, 24 * 3600), (0, 0)] {
        let (_, answer) = answer(said("", seconds, "t"), at(NOW));
        let expected = Answer::Is {
            text: "t".to_owned(),
            refresh_at: at(NOW + after),
        };
        assert_eq!(answer, expected, "{seconds}");
    }
}

#[test]
fn the_next_refresh_is_that_of_the_first_token() {
    let objects = Objects::default();
    let take = |said: Token| {
        let (key, answer) = answer(said, at(NOW));
        objects.put_token(key, answer);
    };
    let next = || next_refresh(&objects, &pod(), at(NOW)).unwrap();
    assert_eq!(next(), at(NOW), "nothing is there");
    take(said("vault", 3600, "t"));
    assert_eq!(next(), at(NOW), "one is missing");
    take(said("", 1000, "t"));
    assert_eq!(next(), at(NOW + 800));
    take(said("", 1000, ""));
    assert_eq!(next(), at(NOW), "one is refused");
    assert_eq!(next_refresh(&objects, &Pod::default(), at(NOW)), None);
}

#[tokio::test]
async fn tokens_are_asked_for_until_they_come() {
    let objects = Objects::default();
    let (out, mut asked) = mpsc::channel::<FromAgent>(16);
    let server = objects.clone();
    let answering = tokio::spawn(async move {
        let mut count = 0;
        while let Some(message) = asked.recv().await {
            let Some(from_agent::Kind::TokenWanted(wanted)) = message.kind else {
                continue;
            };
            count += 1;
            // The first two go with their connection.
            if count > 2 {
                let (key, answer) = answer(said(&wanted.audience, wanted.expiration_seconds, "t"), Timestamp::now());
                server.put_token(key, answer);
            }
        }
    });
    assert_eq!(obtain_within(&objects, &pod(), &out, WAIT, WAIT / 10).await, Ok(()));
    drop(out);
    answering.await.unwrap();
}

#[tokio::test]
async fn a_refusal_and_silence_are_told() {
    let objects = Objects::default();
    let (out, mut asked) = mpsc::channel::<FromAgent>(64);
    assert_eq!(
        obtain_within(&objects, &pod(), &out, WAIT, WAIT / 10).await,
        Err(TokenError::NoAnswer)
    );
    let server = objects.clone();
    let refusing = tokio::spawn(async move {
        while let Some(message) = asked.recv().await {
            if let Some(from_agent::Kind::TokenWanted(wanted)) = message.kind {
                let (key, answer) = answer(said(&wanted.audience, wanted.expiration_seconds, ""), Timestamp::now());
                server.put_token(key, answer);
            }
        }
    });
    let refused = Err(TokenError::Refused("no".to_owned()));
    assert_eq!(obtain_within(&objects, &pod(), &out, WAIT, WAIT / 10).await, refused);
    drop(out);
    refusing.await.unwrap();
}
