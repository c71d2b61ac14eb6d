use std::{collections::BTreeSet, path::Path, time::Duration};

use super::*;

fn config(directory: &Path, age: Duration) -> SealConfig {
    SealConfig {
        key_file: directory.join("keys.json"),
        collections: BTreeSet::from(["secrets".to_owned()]),
        key_age_max: age,
    }
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SECRET: &[u8] = b"secrets\0default\0password";
const POD: &[u8] = b"pods\0default\0web";

fn read(seal: &Seal, key: &'static [u8], modified: u64, stored: &[u8]) -> Result<Bytes, String> {
    seal.read(|| Cow::Borrowed(key), modified, stored)
        .map_err(|failure| failure.to_string())
}

#[test]
fn chosen_values_are_sealed_and_others_stay_as_they_are() {
    let directory = tempfile::tempdir().expect("a directory");
    let seal = Seal::open(&config(directory.path(), YEAR)).expect("open");
    for value in [b"{\"data\":\"hush\"}".as_slice(), b"", &[0], &[1, 2, 3], &[0, 1]] {
        for (key, is_sealed) in [(SECRET, true), (POD, false)] {
            let kept = seal.close(key, 7, value).expect("close");
            assert_eq!(
                kept.first() == Some(&SEALED) && kept.len() > value.len(),
                is_sealed,
                "{value:?}"
            );
            assert_eq!(read(&seal, key, 7, &kept).expect("read"), value);
            assert!(!seal.is_stale(key, &kept), "{value:?}");
            if !value.is_empty() && is_sealed {
                assert!(!kept.windows(value.len().max(4)).any(|part| part == value));
            }
        }
    }
    assert_ne!(
        seal.close(SECRET, 7, b"same").expect("close"),
        seal.close(SECRET, 7, b"same").expect("close"),
        "each has a nonce of its own"
    );
}

#[test]
fn a_sealed_value_opens_only_whole_and_where_it_belongs() {
    let directory = tempfile::tempdir().expect("a directory");
    let seal = Seal::open(&config(directory.path(), YEAR)).expect("open");
    let kept = seal.close(SECRET, 7, b"hush").expect("close").into_owned();
    let changed = |at: usize| {
        let mut bytes = kept.clone();
        bytes[at] ^= 1;
        bytes
    };
    let rows: [(&'static [u8], u64, Vec<u8>, &str); 6] = [
        (b"secrets\0default\0other", 7, kept.clone(), "changed or moved"),
        (SECRET, 8, kept.clone(), "changed or moved"),
        (SECRET, 7, changed(kept.len() - 1), "changed or moved"),
        (SECRET, 7, changed(HEADER_BYTES), "changed or moved"),
        (SECRET, 7, changed(1), "which is not there"),
        (SECRET, 7, kept[..HEADER_BYTES - 1].to_vec(), "cut off"),
    ];
    for (key, modified, bytes, expected) in rows {
        let error = read(&seal, key, modified, &bytes).expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
    for length in 0..kept.len() {
        assert!(
            read(&seal, SECRET, 7, &kept[..length]).is_err() || length == 0,
            "{length} bytes"
        );
    }
}

#[test]
fn an_old_key_is_replaced_and_forgotten_once_no_value_needs_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Seal::open(&config(directory.path(), YEAR)).expect("open");
    assert!(first.is_unsettled(), "nobody knows yet whether there are plain values");
    first.settle().expect("settle");
    assert!(!first.is_unsettled() && !first.rotate_if_due().expect("rotate"));
    let old = first.close(SECRET, 7, b"hush").expect("close").into_owned();

    let seal = Seal::open(&config(directory.path(), Duration::ZERO)).expect("open");
    assert!(seal.rotate_if_due().expect("rotate") && seal.is_unsettled());
    assert!(seal.is_stale(SECRET, &old));
    assert_eq!(read(&seal, SECRET, 7, &old).expect("read"), b"hush".as_slice());
    let new = seal.close(SECRET, 7, b"hush").expect("close").into_owned();
    assert!(!seal.is_stale(SECRET, &new));

    seal.settle().expect("settle");
    let seal = Seal::open(&config(directory.path(), YEAR)).expect("open");
    assert_eq!(read(&seal, SECRET, 7, &new).expect("read"), b"hush".as_slice());
    assert!(read(&seal, SECRET, 7, &old).is_err());
}

#[test]
fn a_choice_that_is_taken_back_half_way_is_carried_through_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let chosen = config(directory.path(), YEAR);
    Seal::open(&chosen).expect("open").settle().expect("settle");
    let other = SealConfig {
        collections: BTreeSet::new(),
        ..chosen.clone()
    };
    let interrupted = Seal::open(&other).expect("open");
    assert!(interrupted.is_unsettled());
    let plain = interrupted.close(SECRET, 8, b"hush").expect("close").into_owned();

    let seal = Seal::open(&chosen).expect("open");
    assert!(seal.is_unsettled(), "some values are plain");
    assert!(seal.is_stale(SECRET, &plain));
}

#[test]
fn a_damaged_key_file_is_refused_and_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(directory.path(), YEAR);
    for text in [
        "",
        "{}",
        "{\"keys\":[],\"settled\":[]}",
        "{\"keys\":[{\"id\":1,\"created\":\"2026-01-01T00:00:00Z\",\"secret\":\"c2hvcnQ=\"}],\"settled\":[]}",
    ] {
        std::fs::write(&config.key_file, text).expect("write");
        let error = Seal::open(&config).map(|_| ()).expect_err(text).to_string();
        assert!(
            error.contains("damaged") && error.contains("keys.json"),
            "{text}: {error}"
        );
        assert_eq!(std::fs::read_to_string(&config.key_file).expect("read"), text);
    }
}
