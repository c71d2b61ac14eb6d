//! Files that break a rule, and files that only look like it.

use super::check;

#[test]
fn breaches_are_found_with_their_line() {
    let netfilter = format!("//! Owns x.\nfn f() {{ run({}) }}\n", concat!("\"iptab", "les-save\""));
    for (path, text, expected) in [
        ("api/src/name.rs", "//! Owns x.\n", None),
        (
            "api/src/name.rs",
            "use std::fmt;\n",
            Some("api/src/name.rs:1: begins without"),
        ),
        ("agent/src/pods/mod.rs", "//! Owns x.\n", Some("not in mod.rs")),
        ("agent/src/util.rs", "//! Owns x.\n", Some("`util` names no subject")),
        (
            "reconcile/src/a.rs",
            "//! Owns x.\nlet now = Timestamp::now();\n",
            Some("reconcile/src/a.rs:2: a clock"),
        ),
        ("reconcile/src/a.rs", "//! Owns x.\n// not Timestamp::now()\n", None),
        (
            "reconcile/src/a/tests.rs",
            "//! Owns x.\nlet now = Timestamp::now();\n",
            None,
        ),
        ("control/src/a.rs", "//! Owns x.\nlet now = Timestamp::now();\n", None),
        (
            "cli/src/a.rs",
            "//! Owns x.\nlet x = unsafe { f() };\n",
            Some("unsafe code outside"),
        ),
        ("agent/src/net/a.rs", "//! Owns x.\nlet x = unsafe { f() };\n", None),
        ("agent/src/net/a.rs", netfilter.as_str(), Some("netfilter is not used")),
    ] {
        let breaches = check(path, text);
        match expected {
            None => assert!(breaches.is_empty(), "{path}: {breaches:?}"),
            Some(part) => assert!(
                breaches.iter().any(|breach| breach.contains(part)),
                "{path}: {breaches:?}"
            ),
        }
    }
}

#[test]
fn a_file_that_is_too_long_is_named() {
    let text = format!("//! Owns x.\n{}", "//\n".repeat(800));
    assert!(check("cli/src/a.rs", &text)[0].contains("longer than 800 lines"));
}
