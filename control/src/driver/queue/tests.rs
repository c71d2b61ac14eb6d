use api::Kind;

use super::*;

fn task(name: &str) -> Task {
    Task {
        planner: 0,
        key: ObjectKey::new(Kind::ReplicaSet, "default", name),
    }
}

const DONE: End = End::Done { requeue_after: None };

fn ms(at: u64) -> Duration {
    Duration::from_millis(at)
}

#[test]
fn a_task_runs_once_at_a_time_and_again_for_what_changed_meanwhile() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for _ in 0..3 {
        queue.want(task("a"), now);
    }
    assert_eq!(queue.next(), Some(task("a")));
    assert_eq!(queue.next(), None);
    queue.want(task("a"), now);
    queue.want(task("a"), now);
    assert_eq!(queue.next(), None, "it is running");
    queue.end(task("a"), DONE, 0, now);
    assert_eq!(queue.next(), Some(task("a")));
    queue.end(task("a"), DONE, 0, now);
    assert_eq!(queue.next(), None);
    assert!(queue.tasks.is_empty(), "nothing is kept of it");
}

#[test]
fn a_task_waits_until_the_world_holds_its_own_last_write() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.seen(10, now);
    queue.want(task("a"), now);
    queue.next();
    queue.want(task("a"), now);
    queue.end(task("a"), DONE, 15, now);
    // (revision seen, ready)
    for (revision, ready) in [(11, false), (14, false), (15, true)] {
        queue.want(task("a"), now);
        queue.seen(revision, now);
        assert_eq!(queue.next().is_some(), ready, "at {revision}");
    }
    queue.end(task("a"), DONE, 20, now);
    queue.seen(19, now);
    queue.want(task("a"), now);
    assert_eq!(queue.next(), None, "remembered although it was idle");
    queue.seen(20, now);
    assert_eq!(queue.next(), Some(task("a")));
    queue.end(task("a"), DONE, 21, now);
    queue.seen(21, now);
    assert!(queue.tasks.is_empty() && queue.unseen.is_empty());
}

#[test]
fn failures_come_back_with_growing_delay_and_changes_after_a_pause() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    let mut now = start;
    queue.want(task("a"), now);
    for delay in [
        100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000,
    ] {
        assert_eq!(queue.next(), Some(task("a")), "before {delay}");
        queue.end(task("a"), End::Failed, 0, now);
        assert_eq!(queue.next_timer(), Some(now + ms(delay)));
        queue.expire(now + ms(delay - 1));
        assert_eq!(queue.next(), None);
        now += ms(delay);
        queue.expire(now);
    }
    queue.next();
    queue.end(task("a"), End::Failed, 0, now);
    queue.want(task("a"), now);
    assert_eq!(queue.next(), None);
    assert_eq!(
        queue.next_timer(),
        Some(now + ms(1000)),
        "a change cuts a long delay short"
    );
    now += ms(1000);
    queue.expire(now);
    assert_eq!(queue.next(), Some(task("a")));
    queue.end(task("a"), DONE, 0, now);
    assert_eq!(queue.next_timer(), None);
    assert!(queue.tasks.is_empty());
}

#[test]
fn stale_plans_are_planned_again_at_once_but_not_for_ever() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.want(task("a"), now);
    for revision in 1..=3 {
        assert_eq!(queue.next(), Some(task("a")));
        queue.end(task("a"), End::Stale, revision, now);
        assert_eq!(queue.next(), None, "the world lacks what it was stale about");
        queue.seen(revision, now);
    }
    assert_eq!(queue.next(), Some(task("a")));
    queue.end(task("a"), End::Stale, 3, now);
    assert_eq!(queue.next(), None);
    assert_eq!(queue.next_timer(), Some(now + ms(100)));
}

#[test]
fn a_requeue_is_one_timer_that_the_next_plan_replaces() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    let requeue = |after| End::Done {
        requeue_after: Some(ms(after)),
    };
    queue.want(task("a"), now);
    queue.next();
    queue.end(task("a"), requeue(5000), 0, now);
    assert_eq!(queue.next_timer(), Some(now + ms(5000)));
    queue.want(task("a"), now);
    assert_eq!(queue.next(), Some(task("a")), "a change does not wait for the timer");
    queue.end(task("a"), requeue(9000), 0, now);
    queue.expire(now + ms(5000));
    assert_eq!(queue.next(), None, "the first timer is void");
    queue.expire(now + ms(9000));
    assert_eq!(queue.next(), Some(task("a")));
    queue.end(task("a"), DONE, 0, now);
    assert_eq!(queue.next_timer(), None);
}
