use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const NOW: &str = "2026-03-10T00:00:00Z";

#[test]
fn a_full_log_gets_the_name_of_the_moment() {
    let rows = [
        ("/var/log/audit.log", "/var/log/audit-2026-03-10T00-00-00.000.log"),
        ("audit", "audit-2026-03-10T00-00-00.000"),
    ];
    for (log, expected) in rows {
        assert_eq!(backup(Path::new(log), at(NOW)), Path::new(expected), "{log}");
    }
}

#[test]
fn a_log_is_put_aside_before_it_is_too_big_but_never_empty() {
    let limits = Limits {
        size_bytes_max: 100,
        backups_max: 0,
        age_days_max: 0,
    };
    for (written, more, expected) in [(0, 10, false), (0, 200, false), (90, 10, false), (90, 11, true)] {
        assert_eq!(is_due(&limits, written, more), expected, "{written} + {more}");
    }
}

#[test]
fn only_so_many_and_so_old_ones_are_kept() {
    let names: Vec<String> = [
        "audit.log",
        "audit-2026-03-09T00-00-00.000.log",
        "audit-2026-03-08T12-30-15.123.log",
        "audit-2026-03-01T00-00-00.000.log",
        "audit-2026-02-01T00-00-00.000.log",
        "audit-old.log",
        "audit-2026-13-01T00-00-00.000.log",
        "other-2026-02-01T00-00-00.000.log",
    ]
    .map(str::to_owned)
    .to_vec();
    let rows: [(usize, u32, &[&str]); 5] = [
        (0, 0, &[]),
        (2, 0, &["03-01", "02-01"]),
        (0, 10, &["02-01"]),
        (1, 10, &["03-08", "03-01", "02-01"]),
        (9, 1, &["03-08", "03-01", "02-01"]),
    ];
    for (backups_max, age_days_max, expected) in rows {
        let limits = Limits {
            size_bytes_max: 0,
            backups_max,
            age_days_max,
        };
        let gone = superfluous(Path::new("/var/log/audit.log"), &names, &limits, at(NOW));
        let days: Vec<&str> = gone.iter().map(|name| &name[11..16]).collect();
        assert_eq!(days, expected, "{backups_max} {age_days_max}");
    }
}
