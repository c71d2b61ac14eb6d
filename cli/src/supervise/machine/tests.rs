//! Every row of the machine.

use super::*;

const NOW: u64 = 100_000;
const GRACE: u64 = 5_000;
const P: ProcessId = ProcessId { pid: 7, start_time: 70 };
const Q: ProcessId = ProcessId { pid: 8, start_time: 80 };

fn running(since_ms: u64, failures: u32) -> State {
    State::Running {
        process: P,
        since_ms,
        failures,
    }
}

fn stopping(next: Next) -> State {
    State::Stopping {
        process: P,
        kill_at_ms: NOW + GRACE,
        next,
    }
}

#[test]
fn every_transition() {
    let starting = State::Starting { failures: 2 };
    let waiting = State::Waiting {
        until_ms: NOW,
        failures: 2,
    };
    let spawn = State::Starting { failures: 0 };
    let after = |failures| State::Waiting {
        until_ms: NOW + backoff_ms(failures),
        failures: failures + 1,
    };
    let rows = [
        (State::Stopped, Event::StartAsked, spawn, Action::Spawn),
        (State::Stopped, Event::StopAsked, State::Stopped, Action::None),
        (State::Stopped, Event::Spawned(P), State::Stopped, Action::None),
        (State::Stopped, Event::SpawnFailed, State::Stopped, Action::None),
        (State::Stopped, Event::Exited, State::Stopped, Action::None),
        (State::Stopped, Event::TimerElapsed, State::Stopped, Action::None),
        (starting, Event::StartAsked, starting, Action::None),
        (starting, Event::StopAsked, State::Stopped, Action::None),
        (starting, Event::Spawned(P), running(NOW, 2), Action::None),
        (starting, Event::SpawnFailed, after(2), Action::None),
        (starting, Event::Exited, starting, Action::None),
        (starting, Event::TimerElapsed, starting, Action::None),
        (running(NOW, 2), Event::StartAsked, running(NOW, 2), Action::None),
        (
            running(NOW, 2),
            Event::StopAsked,
            stopping(Next::Stay),
            Action::Terminate(P),
        ),
        (running(NOW, 2), Event::Spawned(Q), running(NOW, 2), Action::None),
        (running(NOW, 2), Event::SpawnFailed, running(NOW, 2), Action::None),
        (running(NOW - 10, 2), Event::Exited, after(2), Action::None),
        (running(NOW - STABLE_AFTER_MS, 9), Event::Exited, after(0), Action::None),
        (running(NOW, 2), Event::TimerElapsed, running(NOW, 2), Action::None),
        (waiting, Event::StartAsked, starting, Action::Spawn),
        (waiting, Event::StopAsked, State::Stopped, Action::None),
        (waiting, Event::Spawned(P), waiting, Action::None),
        (waiting, Event::SpawnFailed, waiting, Action::None),
        (waiting, Event::Exited, waiting, Action::None),
        (waiting, Event::TimerElapsed, starting, Action::Spawn),
        (
            stopping(Next::Stay),
            Event::StartAsked,
            stopping(Next::Start),
            Action::None,
        ),
        (
            stopping(Next::Start),
            Event::StopAsked,
            stopping(Next::Stay),
            Action::None,
        ),
        (
            stopping(Next::Stay),
            Event::Spawned(Q),
            stopping(Next::Stay),
            Action::None,
        ),
        (
            stopping(Next::Stay),
            Event::SpawnFailed,
            stopping(Next::Stay),
            Action::None,
        ),
        (stopping(Next::Stay), Event::Exited, State::Stopped, Action::None),
        (stopping(Next::Start), Event::Exited, spawn, Action::Spawn),
        (
            stopping(Next::Stay),
            Event::TimerElapsed,
            stopping(Next::Stay),
            Action::Kill(P),
        ),
    ];
    for (state, event, expected, action) in rows {
        assert_eq!(
            step(state, event, NOW, GRACE),
            (expected, action),
            "{state:?} + {event:?}"
        );
    }
}

#[test]
fn delays_double_up_to_the_longest() {
    let delays: Vec<u64> = (0..8).map(backoff_ms).collect();
    assert_eq!(delays, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    assert_eq!(backoff_ms(u32::MAX), BACKOFF_MAX_MS);
}
