use std::time::Duration;

use super::*;

/// What must not come would have come by then.
const QUIET: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_its_sender_up_after_one_window() {
    let (up, mut said) = mpsc::channel(64);
    let (exchange, counterpart) = exchange(7, up);
    let sender = tokio::spawn(async move {
        let bytes = vec![1; PART_BYTES_MAX * (WINDOW_PARTS as usize + 3)];
        exchange.outlet.data(Channel::Stderr, &bytes).await
    });
    let next = async |said: &mut mpsc::Receiver<FromAgent>| match said.recv().await.expect("a message").kind {
        Some(from_agent::Kind::Reply(reply)) => (reply.request_id, reply.channel(), reply.data.len()),
        other => panic!("not a reply: {other:?}"),
    };
    for _ in 0..WINDOW_PARTS {
        assert_eq!(next(&mut said).await, (7, Channel::Stderr, PART_BYTES_MAX));
    }
    assert!(
        tokio::time::timeout(QUIET, said.recv()).await.is_err(),
        "more than a window"
    );
    // More credit than was ever used gives no more than a window.
    counterpart.credit(u32::MAX);
    for _ in 0..3 {
        assert_eq!(next(&mut said).await, (7, Channel::Stderr, PART_BYTES_MAX));
    }
    assert_eq!(sender.await.expect("no panic"), Ok(()));
}

#[tokio::test]
async fn what_comes_down_is_taken_in_order_and_credited_by_halves_of_a_window() {
    let (up, mut said) = mpsc::channel(64);
    let (mut exchange, counterpart) = exchange(7, up);
    for number in 0..CREDIT_PARTS {
        let part = request_data::Kind::Data(vec![u8::try_from(number).expect("small")]);
        assert_eq!(counterpart.take(part), Ok(()));
    }
    assert_eq!(counterpart.take(request_data::Kind::End(true)), Ok(()));
    for number in 0..CREDIT_PARTS {
        let part = Down::Data(vec![u8::try_from(number).expect("small")]);
        assert_eq!(exchange.inlet.next().await, Some(part));
    }
    assert!(said.try_recv().is_err(), "credit before the last part was dealt with");
    assert_eq!(exchange.inlet.next().await, Some(Down::End));
    let credit = Credit {
        request_id: 7,
        parts: CREDIT_PARTS,
    };
    let kind = said.recv().await.expect("a message").kind;
    assert_eq!(kind, Some(from_agent::Kind::RequestCredit(credit)));
}

#[tokio::test]
async fn more_than_may_wait_is_refused_except_sizes() {
    let (up, _said) = mpsc::channel(64);
    let (_exchange, counterpart) = exchange(7, up);
    let data = || request_data::Kind::Data(vec![0]);
    for _ in 0..WAITING_MAX {
        assert_eq!(counterpart.take(data()), Ok(()));
    }
    assert_eq!(
        counterpart.take(request_data::Kind::Size(TerminalSize::default())),
        Ok(())
    );
    assert_eq!(counterpart.take(data()), Err(Overrun));
}
