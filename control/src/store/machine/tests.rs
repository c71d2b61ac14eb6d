use std::{collections::BTreeMap, convert::Infallible};

use bytes::Bytes;

use super::*;

#[derive(Default)]
struct Memory(BTreeMap<StoreKey, Stored>);

impl Records for Memory {
    type Error = Infallible;

    fn current(&self, key: &StoreKey) -> Result<Option<Stored>, Infallible> {
        Ok(self.0.get(key).cloned())
    }
}

fn key(name: &str) -> StoreKey {
    StoreKey::new("pods", "default", name)
}

fn memory() -> Memory {
    let stored = Stored {
        key: key("old"),
        value: Bytes::from_static(b"1"),
        created: 3,
        modified: 7,
    };
    Memory(BTreeMap::from([(stored.key.clone(), stored)]))
}

fn write(name: &str, expect: Expect, op: Op) -> Write {
    Write {
        key: key(name),
        expect,
        op,
    }
}

fn put() -> Op {
    Op::Put(Bytes::from_static(b"2"))
}

#[test]
fn expectations() {
    // (object, expectation, holds)
    let rows = [
        ("old", Expect::Anything, true),
        ("old", Expect::Absent, false),
        ("old", Expect::Present, true),
        ("old", Expect::At(7), true),
        ("old", Expect::At(3), false),
        ("new", Expect::Anything, true),
        ("new", Expect::Absent, true),
        ("new", Expect::Present, false),
        ("new", Expect::At(7), false),
    ];
    for (name, expect, holds) in rows {
        for op in [put(), Op::Delete, Op::Check] {
            let row = format!("{name} {expect:?} {op:?}");
            let Ok(outcome) = apply(&memory(), 10, &[write(name, expect, op)]);
            assert_eq!(matches!(outcome, Outcome::Applied { .. }), holds, "{row}");
        }
    }
}

#[test]
fn each_change_takes_one_revision_and_nothing_else_does() {
    let writes = [
        write("old", Expect::At(7), put()),
        write("new", Expect::Absent, Op::Check),
        write("newer", Expect::Absent, put()),
        write("gone", Expect::Anything, Op::Delete),
    ];
    let Ok(Outcome::Applied { changes, revisions }) = apply(&memory(), 10, &writes) else {
        panic!("refused");
    };
    assert_eq!(revisions, [11, 12, 12, 12]);
    let seen: Vec<_> = changes
        .iter()
        .map(|change| {
            let after = change.after.as_ref().map(|after| (after.created, after.modified));
            (
                change.revision,
                change.before.as_ref().map(|before| before.modified),
                after,
            )
        })
        .collect();
    assert_eq!(seen, [(11, Some(7), Some((3, 11))), (12, None, Some((12, 12)))]);
}

#[test]
fn one_failed_expectation_refuses_the_whole_command() {
    let writes = [
        write("new", Expect::Absent, put()),
        write("old", Expect::At(1), Op::Delete),
    ];
    let Ok(Outcome::Conflict { key: at, current }) = apply(&memory(), 10, &writes) else {
        panic!("applied");
    };
    assert_eq!(at, key("old"));
    assert_eq!(current.map(|current| current.modified), Some(7));
}

#[test]
fn malformed_commands_are_refused() {
    let huge = Op::Put(Bytes::from(vec![0; COMMAND_BYTES_MAX + 1]));
    let rows: [(&[Write], bool); 5] = [
        (&[], true),
        (
            &[write("a", Expect::Anything, put()), write("b", Expect::Anything, put())],
            true,
        ),
        (
            &[write("a", Expect::Anything, put()), write("a", Expect::Anything, put())],
            false,
        ),
        (&[write("a\0b", Expect::Anything, put())], false),
        (&[write("a", Expect::Anything, huge)], false),
    ];
    for (row, (writes, admitted)) in rows.iter().enumerate() {
        assert_eq!(admit(writes).is_ok(), *admitted, "row {row}");
    }
}
