//! Tests of how attempts end.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn exited(code: i32, oom: bool) -> State {
    State::Exited {
        started_at: at(10),
        finished_at: at(20),
        code,
        signal: None,
        oom,
    }
}

fn running() -> State {
    State::Running {
        pid: 7,
        started_at: at(10),
    }
}

fn failed(message: &str) -> State {
    State::Failed {
        at: at(20),
        message: message.to_owned(),
    }
}

#[test]
fn a_recorded_end_says_why() {
    let table = [
        (exited(0, false), Some(("Completed", 0, true))),
        (exited(3, false), Some(("Error", 3, true))),
        (exited(137, true), Some(("OOMKilled", 137, true))),
        // A child was killed for want of memory, and the first process took it well.
        (exited(0, true), Some(("OOMKilled", 0, true))),
        (failed("no such program"), Some(("StartError", 128, false))),
        (running(), None),
    ];
    for (state, expected) in table {
        let end = recorded(&state);
        let found = end
            .as_ref()
            .map(|exit| (exit.reason.as_str(), exit.code, exit.started_at.is_some()));
        assert_eq!(found, expected, "{state:?}");
        assert!(end.is_none_or(|exit| exit.finished_at == at(20)), "{state:?}");
    }
}

#[test]
fn a_lost_attempt_ends_now_unless_its_end_is_known() {
    // What the shim wrote, what it complained about, and the end: reason, code, second, message.
    let unseen = "The container could not be located when the pod was terminated";
    let early = "the container's shim was killed before it had started it";
    let table = [
        (Some(running()), "", ("ContainerStatusUnknown", 137, 99, unseen)),
        (Some(running()), "late", ("ContainerStatusUnknown", 137, 99, unseen)),
        (None, "", ("StartError", 128, 99, early)),
        (None, "no such device", ("StartError", 128, 99, "no such device")),
        (Some(exited(0, false)), "late", ("Completed", 0, 20, "")),
        (
            Some(failed("no runtime")),
            "late",
            ("StartError", 128, 20, "no runtime"),
        ),
    ];
    for (state, complaints, expected) in table {
        let what = format!("{state:?} {complaints:?}");
        let (left, exit) = lost(state, complaints.to_owned(), at(99));
        let found = (
            exit.reason.as_str(),
            exit.code,
            exit.finished_at.as_second(),
            exit.message.as_str(),
        );
        assert_eq!(found, expected, "{what}");
        // An agent that reads later what is written down now sees the same end, but for who saw it.
        let read = recorded(&left).unwrap_or_else(|| panic!("{what}: {left:?} is no end"));
        assert_eq!(
            (read.code, read.started_at, read.finished_at),
            (exit.code, exit.started_at, exit.finished_at),
            "{what}"
        );
    }
}

#[test]
fn the_end_of_a_log_stands_in_without_its_marks() {
    let line = |text: &str| format!("2026-01-01T00:00:00Z stdout F {text}");
    let many: Vec<String> = (0..100).map(|n| line(&n.to_string())).collect();
    let last_80: Vec<String> = (20..100).map(|n: u32| n.to_string()).collect();
    let wide = "\u{e4}".repeat(2_000);
    let table = [
        ("nothing", String::new(), String::new()),
        ("spaces stay", line("a b  c"), "a b  c".to_owned()),
        (
            "an empty line",
            format!("{}\n{}", line("a"), line("")),
            "a\n".to_owned(),
        ),
        (
            "a line cut short",
            format!("{}\n2026 stdout", line("a")),
            "a".to_owned(),
        ),
        ("many lines", many.join("\n"), last_80.join("\n")),
        ("a long line", line(&"x".repeat(5_000)), "x".repeat(2_048)),
        // One byte more than fits in halves: the cut is between two letters.
        (
            "wide letters",
            line(&format!("{wide}y")),
            format!("{}y", "\u{e4}".repeat(1_023)),
        ),
    ];
    for (what, log, expected) in table {
        assert_eq!(last_words(&log), expected, "{what}");
    }
}
