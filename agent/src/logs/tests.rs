use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

use super::{Wanted, read, rotated};

const ALL: Wanted = Wanted {
    tail_lines: None,
    since: None,
    limit_bytes: None,
    timestamps: false,
    follow: false,
};

fn line(second: u32, tag: &str, text: &str) -> String {
    format!("2026-01-01T00:00:{second:02}.000000000Z stdout {tag} {text}\n")
}

async fn text_of(path: &Path, wanted: &Wanted) -> String {
    let text = Mutex::new(String::new());
    let send = |chunk: Vec<u8>| {
        text.lock().push_str(&String::from_utf8(chunk).unwrap());
        async { true }
    };
    read(path, path.parent().unwrap(), wanted, send, || true).await.unwrap();
    text.into_inner()
}

#[tokio::test]
async fn what_is_wanted_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    fs::write(rotated(&path, 2), line(1, "F", "a") + &line(2, "F", "b")).unwrap();
    fs::write(rotated(&path, 1), line(3, "P", "long ") + &line(3, "F", "line")).unwrap();
    fs::write(
        &path,
        line(4, "F", "") + &line(5, "F", "e") + "not yet written to its en",
    )
    .unwrap();
    let since = Some("2026-01-01T00:00:03Z".parse().unwrap());
    for (wanted, text) in [
        (ALL, "a\nb\nlong line\n\ne\n"),
        (
            Wanted {
                tail_lines: Some(1),
                ..ALL
            },
            "",
        ),
        (
            Wanted {
                tail_lines: Some(3),
                ..ALL
            },
            "\ne\n",
        ),
        (
            Wanted {
                tail_lines: Some(4),
                ..ALL
            },
            "long line\n\ne\n",
        ),
        (
            Wanted {
                tail_lines: Some(5),
                ..ALL
            },
            "b\nlong line\n\ne\n",
        ),
        (
            Wanted {
                tail_lines: Some(99),
                ..ALL
            },
            "a\nb\nlong line\n\ne\n",
        ),
        (
            Wanted {
                tail_lines: Some(0),
                ..ALL
            },
            "",
        ),
        (Wanted { since, ..ALL }, "long line\n\ne\n"),
        (
            Wanted {
                limit_bytes: Some(5),
                ..ALL
            },
            "a\nb\nl",
        ),
        (
            Wanted {
                since,
                timestamps: true,
                limit_bytes: Some(41),
                ..ALL
            },
            "2026-01-01T00:00:03.000000000Z long line\n",
        ),
    ] {
        assert_eq!(text_of(&path, &wanted).await, text, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_tail_of_a_large_log_is_found_from_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let mut file = File::create(&path).unwrap();
    for number in 0..20_000 {
        file.write_all(line(0, "F", &number.to_string()).as_bytes()).unwrap();
    }
    let text = text_of(
        &path,
        &Wanted {
            tail_lines: Some(5_000),
            ..ALL
        },
    )
    .await;
    assert_eq!((text.lines().count(), text.lines().next()), (5_000, Some("15000")));
    assert_eq!(text_of(&path, &ALL).await.lines().count(), 20_000);
}

#[tokio::test]
async fn a_followed_log_is_sent_as_it_grows_and_across_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    fs::write(&path, line(0, "F", "0")).unwrap();
    let seen = Arc::new(Mutex::new(String::new()));
    let ended = Arc::new(AtomicBool::new(false));
    let reader = {
        let (path, seen, ended) = (path.clone(), Arc::clone(&seen), Arc::clone(&ended));
        tokio::spawn(async move {
            let send = move |chunk: Vec<u8>| {
                seen.lock().push_str(&String::from_utf8(chunk).unwrap());
                async { true }
            };
            let wanted = Wanted { follow: true, ..ALL };
            read(&path, path.parent().unwrap(), &wanted, send, || {
                ended.load(Ordering::SeqCst)
            })
            .await
            .unwrap();
        })
    };
    let wait_for = |text: &'static str| {
        let seen = Arc::clone(&seen);
        async move {
            while *seen.lock() != text {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
    };
    let append = |text: &str| {
        File::options()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    };
    wait_for("0\n").await;
    append(&line(1, "F", "1"));
    wait_for("0\n1\n").await;
    append(&line(2, "F", "2"));
    fs::rename(&path, rotated(&path, 1)).unwrap();
    append(&line(3, "F", "3"));
    wait_for("0\n1\n2\n3\n").await;
    // Twice before anybody looks again.
    fs::rename(rotated(&path, 1), rotated(&path, 3)).unwrap();
    append(&line(4, "F", "4"));
    fs::rename(&path, rotated(&path, 2)).unwrap();
    append(&line(5, "F", "5"));
    fs::rename(&path, rotated(&path, 1)).unwrap();
    append(&line(6, "F", "6"));
    wait_for("0\n1\n2\n3\n4\n5\n6\n").await;
    ended.store(true, Ordering::SeqCst);
    fs::write(dir.path().join("state.new"), "").unwrap();
    fs::rename(dir.path().join("state.new"), dir.path().join("state.json")).unwrap();
    reader.await.unwrap();
}
