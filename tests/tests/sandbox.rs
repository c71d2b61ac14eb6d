//! Sandboxes: what they leave behind, what they survive, and that they do not meet.

use std::process::Stdio;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Sandbox,
    sandbox::{SOON, unused_name},
    wait_for,
    workloads::web,
};
use xtask::inventory::Inventory;

#[track_caller]
fn nothing_since(before: &Inventory) {
    let left = before.left_behind();
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
}

#[test]
fn a_deleted_sandbox_leaves_nothing() {
    let before = Inventory::take();
    let Some(sandbox) = Sandbox::create(2) else { return };
    web(&sandbox, 4);
    assert!(
        !Inventory::take().since(&before).is_empty(),
        "a running sandbox shows in the inventory"
    );
    sandbox.delete();
    nothing_since(&before);
    assert!(
        !sandbox.data_dir().exists(),
        "the data directory was made by the sandbox, and goes with it"
    );
    // A second deletion finds nothing to do.
    sandbox.delete();
}

#[test]
fn a_sandbox_that_crashed_leaves_nothing_either() {
    let before = Inventory::take();
    let Some(sandbox) = Sandbox::create(2) else { return };
    web(&sandbox, 2);
    for target in ["supervisor", "server", &sandbox.node(1), &sandbox.node(2)] {
        let pid = sandbox.pid(target).expect("it runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
    }
    sandbox.delete();
    nothing_since(&before);
}

#[test]
fn processes_are_restarted_and_stay_stopped_when_asked() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let node = sandbox.node(1);
    for target in ["server", &node] {
        sandbox.kill_and_wait(target);
    }
    tests::sandbox::run(sandbox.command(&["stop", &node]));
    assert_eq!(sandbox.pid(&node), None);

    // The supervisor's death changes nothing; its successor knows who was stopped.
    let server = sandbox.pid("server").expect("the server runs");
    let supervisor = sandbox.pid("supervisor").expect("the supervisor runs");
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("kill");
    wait_for("the next supervisor", SOON, || {
        sandbox.pid("supervisor").filter(|pid| *pid != supervisor)
    });
    assert_eq!(sandbox.pid("server"), Some(server));
    tests::sandbox::run(sandbox.command(&["start", "server"]));
    assert_eq!(
        sandbox.pid("server"),
        Some(server),
        "a process that runs is taken over, not restarted"
    );
    assert_eq!(sandbox.pid(&node), None, "what was stopped stays stopped");
    sandbox.kill_and_wait("server");

    tests::sandbox::run(sandbox.command(&["start"]));
    assert!(sandbox.pid(&node).is_some());
}

#[test]
fn exec_is_the_program_itself() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let node = sandbox.node(1);
    let output = sandbox
        .exec_command(&node, &["sh", "-c", "cat; echo err >&2; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            use std::io::Write;
            child.stdin.take().expect("a pipe").write_all(b"through")?;
            child.wait_with_output()
        })
        .expect("run");
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n");
    let groups = sandbox.exec(&node, &["cat", "/proc/self/cgroup"]);
    assert!(
        groups
            .lines()
            .all(|line| line.ends_with(&format!(":/skep-sandbox/{node}/host"))),
        "{groups}"
    );
    let addresses = sandbox.exec(&node, &["ip", "-brief", "address"]);
    assert!(addresses.contains(&sandbox.address(&node)), "{addresses}");

    let output = sandbox.exec_command("no-such-node", &["true"]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(&node), "{said}");
}

#[test]
fn two_sandboxes_live_side_by_side() {
    let Some(one) = Sandbox::create(1) else { return };
    let Some(two) = Sandbox::create(1) else { return };
    assert_ne!(one.address(&one.node(1)), two.address(&two.node(1)));
    web(&one, 1);
    assert_eq!(
        two.get(&["deployment", "web"]),
        None,
        "objects of one are not in the other"
    );

    let output = one.command(&["create"]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("exists already"), "{said}");

    two.delete();
    assert_eq!(
        one.get(&["deployment", "web"]).expect("still there")["status"]["availableReplicas"],
        1
    );
}

#[test]
fn a_failed_creation_says_why_and_leaves_nothing() {
    let before = Inventory::take();
    let Some(name) = unused_name() else { return };
    let mut create = std::process::Command::new(tests::programs::skep());
    create.args([
        "sandbox",
        "create",
        "--nodes",
        "2",
        "--name",
        &name,
        "--data-dir",
        "/proc/skep-test",
    ]);
    let output = create.output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("/proc/skep-test"), "{said}");
    nothing_since(&before);
}

#[test]
fn what_is_not_the_sandboxs_own_is_left_alone() {
    let Some(name) = unused_name() else { return };
    let home = tempfile::tempdir().expect("a directory");
    let data_dir = home.path().join("data");
    let refused = |in_the_way: &str| {
        let mut create = std::process::Command::new(tests::programs::skep());
        create.args(["sandbox", "create", "--nodes", "1", "--name", &name]);
        let output = create.arg("--data-dir").arg(&data_dir).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(in_the_way), "{said}");
    };
    let ip = |arguments: &[&str]| {
        let status = std::process::Command::new("ip")
            .args(arguments)
            .status()
            .expect("run ip");
        assert!(status.success(), "ip {arguments:?}");
    };

    let namespace = format!("{name}-1");
    ip(&["netns", "add", &namespace]);
    refused(&namespace);
    assert!(std::path::Path::new("/run/netns").join(&namespace).exists());
    ip(&["netns", "delete", &namespace]);

    let own = data_dir.join("logs").join("mine.txt");
    std::fs::create_dir_all(data_dir.join("logs")).expect("make");
    std::fs::write(&own, "mine").expect("write");
    refused("logs");
    assert_eq!(std::fs::read_to_string(&own).expect("it is still there"), "mine");
}

#[test]
fn a_damaged_entry_hides_no_other_sandbox_and_is_deleted_by_its_data() {
    let before = Inventory::take();
    let Some(one) = Sandbox::create(1) else { return };
    let Some(two) = Sandbox::create(1) else { return };
    let entry = std::path::Path::new("/run/skep/sandboxes").join(format!("{}.json", one.name()));
    std::fs::write(&entry, "{").expect("damage the entry");
    let skep = |words: &[&str]| {
        let mut command = std::process::Command::new(tests::programs::skep());
        let output = command.arg("sandbox").args(words).output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            said,
        )
    };
    let file = entry.to_str().expect("it is ASCII");
    let (success, listed, said) = skep(&["list"]);
    assert!(
        success && listed.contains(two.name()) && said.contains(file),
        "{listed}{said}"
    );
    for verb in ["status", "create", "delete"] {
        let (success, _, said) = skep(&[verb, "--name", one.name()]);
        assert!(
            !success && said.contains(file) && said.contains("--data-dir DIR"),
            "{verb}: {said}"
        );
    }
    let data_dir = one.data_dir();
    let data_dir = data_dir.to_str().expect("it is ASCII");
    let (success, _, said) = skep(&["delete", "--name", one.name(), "--data-dir", data_dir]);
    assert!(success, "{said}");
    assert!(!entry.exists());
    two.delete();
    nothing_since(&before);
}

#[test]
fn a_server_that_ends_at_once_is_not_called_started() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let store = sandbox.data_dir().join("server/store.redb");
    let aside = store.with_extension("aside");
    tests::sandbox::run(sandbox.command(&["stop", "server"]));
    std::fs::rename(&store, &aside).expect("move the store away");
    std::fs::create_dir(&store).expect("put something else there");
    let output = sandbox.command(&["start", "server"]).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("store.redb"), "{said}");
    std::fs::remove_dir(&store).expect("remove it");
    std::fs::rename(&aside, &store).expect("put it back");
    tests::sandbox::run(sandbox.command(&["start", "server"]));
    assert!(sandbox.pid("server").is_some());
}

#[test]
fn an_interrupted_creation_says_what_there_is() {
    let before = Inventory::take();
    let Some(name) = unused_name() else { return };
    let home = tempfile::tempdir().expect("a directory");
    let data_dir = home.path().join("data");
    let mut create = std::process::Command::new(tests::programs::skep());
    create.args(["sandbox", "create", "--nodes", "1", "--name", &name]);
    create.arg("--data-dir").arg(&data_dir).stderr(Stdio::piped());
    let create = create.spawn().expect("run");
    let entry = std::path::Path::new("/run/skep/sandboxes").join(format!("{name}.json"));
    wait_for("the name to be claimed", SOON, || entry.exists().then_some(()));
    kill(
        Pid::from_raw(i32::try_from(create.id()).expect("pids fit")),
        Signal::SIGINT,
    )
    .expect("interrupt");
    let output = create.wait_with_output().expect("wait");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("skep sandbox delete --name {name}")), "{said}");
    let mut delete = std::process::Command::new(tests::programs::skep());
    delete.args(["sandbox", "delete", "--name", &name]);
    tests::sandbox::run(delete);
    nothing_since(&before);
}
