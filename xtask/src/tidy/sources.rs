//! Rules about the text of single files.

/// Longest file that still tells one story; tables and tests included.
const LINES_MAX: usize = 800;

const FORBIDDEN_MODULES: &[&str] = &["util", "utils", "common", "helpers", "misc", "manager"];

/// Folders and files whose code is a function of its arguments.
const PURE: &[&str] = &[
    "api/src/",
    "reconcile/src/",
    "dataplane/src/",
    "dns/src/answer",
    "dns/src/index",
    "agent/src/dataplane/desired",
    "agent/src/dataplane/plan",
];

/// What gives impure code away, with its name in messages.
const IMPURE: &[(&str, &str)] = &[
    ("async fn", "asynchronous code"),
    (".await", "asynchronous code"),
    ("tokio::", "a runtime"),
    ("Instant::now", "a clock"),
    ("SystemTime::now", "a clock"),
    ("Timestamp::now", "a clock"),
    ("Zoned::now", "a clock"),
    ("std::fs", "files"),
    ("File::open", "files"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UdpSocket", "sockets"),
    ("std::process", "processes"),
    ("rand::", "randomness"),
    ("thread::spawn", "threads"),
];

/// The only places where `unsafe` may be written.
const UNSAFE_ALLOWED: &[&str] = &[
    "dataplane/",
    "dataplane-ebpf/",
    "agent/src/net",
    "agent/src/dataplane",
    "tests/tests/dataplane_",
];

/// Programs and interfaces of netfilter, which nothing of ours may use. Written apart, so that this file passes.
const NETFILTER: &[&str] = &[
    concat!("\"iptab", "les"),
    concat!("\"ip6tab", "les"),
    concat!("\"nf", "t\""),
    concat!("\"ips", "et\""),
    concat!("NETLINK_NETFIL", "TER"),
    concat!("nft", "nl"),
];

/// Where looking at netfilter is allowed: tests show that it holds no rule, setup installs what they look with.
const NETFILTER_ALLOWED: &[&str] = &[
    "tests/",
    "xtask/src/setup.rs",
    "xtask/src/demo.rs",
    "xtask/src/tidy/sources",
];

/// Breaches in one file, each as `path:line: what`.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    if !path.ends_with(".rs") {
        return Vec::new();
    }
    let mut breaches = Vec::new();
    breaches.extend(name_breach(path).map(|what| format!("{path}:1: {what}")));
    // Unit tests beside their module are about that module.
    let is_test = is_test_file(path);
    if !is_test && !text.starts_with("//!") {
        breaches.push(format!(
            "{path}:1: begins without a `//!` header that says what it owns"
        ));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        breaches.push(format!(
            "{path}:{lines}: longer than {LINES_MAX} lines; look for the second story in it"
        ));
    }
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        breaches.extend(line_breach(path, code, is_test).map(|what| format!("{path}:{}: {what}", number + 1)));
    }
    breaches
}

fn name_breach(path: &str) -> Option<String> {
    if path.ends_with("/mod.rs") {
        return Some("a module lives in foo.rs beside foo/, not in mod.rs".to_owned());
    }
    let stems = path.split('/').map(|part| part.trim_end_matches(".rs"));
    let forbidden = stems.into_iter().find(|stem| FORBIDDEN_MODULES.contains(stem))?;
    Some(format!("`{forbidden}` names no subject"))
}

fn line_breach(path: &str, code: &str, is_test: bool) -> Option<String> {
    let within = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
    if !is_test
        && within(PURE)
        && let Some((_, what)) = IMPURE.iter().find(|(mark, _)| code.contains(mark))
    {
        return Some(format!("{what} in a pure module"));
    }
    if !within(UNSAFE_ALLOWED)
        && ["unsafe {", "unsafe fn", "unsafe impl"]
            .iter()
            .any(|mark| code.contains(mark))
        && !code.contains('"')
    {
        return Some("unsafe code outside dataplane, dataplane-ebpf, agent::net and agent::dataplane".to_owned());
    }
    if !within(NETFILTER_ALLOWED) && NETFILTER.iter().any(|mark| code.contains(mark)) {
        return Some("netfilter is not used, by any part".to_owned());
    }
    None
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/") || path.ends_with("build.rs")
}

#[cfg(test)]
mod tests;
