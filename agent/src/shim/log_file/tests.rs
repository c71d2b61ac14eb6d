use std::fs;

use api::Timestamp;

use super::{LINE_BYTES_MAX, Lines, LogFile, Stream, rotated};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn streams_become_lines_with_time_and_tag() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let mut log = LogFile::open(&path, 1 << 20, 3).unwrap();
    let mut out = Lines::new(Stream::Stdout);
    let mut err = Lines::new(Stream::Stderr);
    out.take(b"one\ntw", at(0), &mut log);
    err.take(b"oops\n\n", at(1), &mut log);
    out.take(b"o\nthree", at(2), &mut log);
    out.end(at(3), &mut log);
    err.end(at(3), &mut log);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "1970-01-01T00:00:00.000000000Z stdout F one",
            "1970-01-01T00:00:01.000000000Z stderr F oops",
            "1970-01-01T00:00:01.000000000Z stderr F ",
            "1970-01-01T00:00:02.000000000Z stdout F two",
            "1970-01-01T00:00:03.000000000Z stdout F three",
        ]
    );
}

#[test]
fn long_lines_are_written_in_parts() {
    // length of the line, lengths and tags of the parts
    for (length, parts) in [
        (LINE_BYTES_MAX, vec![(LINE_BYTES_MAX, 'F')]),
        (LINE_BYTES_MAX + 1, vec![(LINE_BYTES_MAX, 'P'), (1, 'F')]),
        (2 * LINE_BYTES_MAX, vec![(LINE_BYTES_MAX, 'P'), (LINE_BYTES_MAX, 'F')]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut log = LogFile::open(&path, 1 << 20, 3).unwrap();
        let mut out = Lines::new(Stream::Stdout);
        let mut line = vec![b'x'; length];
        line.push(b'\n');
        out.take(&line, at(0), &mut log);
        out.end(at(0), &mut log);
        let text = fs::read_to_string(&path).unwrap();
        let seen: Vec<(usize, char)> = text
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.splitn(4, ' ').collect();
                (words[3].len(), words[2].chars().next().unwrap())
            })
            .collect();
        assert_eq!(seen, parts, "{length}");
    }
}

#[test]
fn a_log_is_rotated_and_old_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0.log");
    let mut log = LogFile::open(&path, 100, 3).unwrap();
    let mut out = Lines::new(Stream::Stdout);
    for number in 0..8 {
        // 50 bytes each with the prefix: two fit.
        out.take(format!("{number:09}\n").as_bytes(), at(0), &mut log);
    }
    let firsts: Vec<String> = [path.clone(), rotated(&path, 1), rotated(&path, 2)]
        .iter()
        .map(|path| {
            fs::read_to_string(path)
                .unwrap()
                .lines()
                .map(|line| line[40..].to_owned() + " ")
                .collect()
        })
        .collect();
    assert_eq!(
        firsts,
        ["000000006 000000007 ", "000000004 000000005 ", "000000002 000000003 "]
    );
    assert!(!rotated(&path, 3).exists());
    assert_eq!(log.lost(), 0);
}
