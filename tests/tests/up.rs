//! `skep up` and `skep down`: a cluster of one node on a host, what it leaves when it ends, and that nothing is left.
//!
//! The host is the thread of the test: a network namespace with one address and a route, and a mount namespace with a
//! bpf file system of its own. What the thread starts is there, too.

#![allow(clippy::print_stderr, reason = "a test program")]

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;
use tests::{
    clients::Client,
    images, not_run, programs,
    sandbox::SOON,
    sandbox::run,
    wait_for,
    workloads::{Counts, load_command, web_deployment, web_service_manifest},
};
use xtask::inventory::Inventory;

const ADDRESS: &str = "198.18.0.2";

/// Moves this thread to a host of its own. None if that cannot be here.
fn new_host() -> Option<()> {
    if !nix::unistd::geteuid().is_root() {
        not_run("a host of its own needs root");
        return None;
    }
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("new namespaces");
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("keep mounts to ourselves");
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).expect("mount a bpf file system");
    for words in [
        "link set lo up",
        "link add uplink type veth peer name wire",
        "link set wire up",
        "link set uplink up",
        "address add 198.18.0.2/24 dev uplink",
        "route add default via 198.18.0.1",
    ] {
        let mut ip = Command::new("ip");
        ip.args(words.split(' '));
        run(ip);
    }
    Some(())
}

/// A data directory, and whoever runs there.
struct Cluster {
    directory: tempfile::TempDir,
    node: String,
    up: Option<Child>,
}

impl Cluster {
    fn new() -> Self {
        Self {
            directory: tempfile::Builder::new()
                .prefix("skep-up-")
                .tempdir()
                .expect("make a directory"),
            node: format!("u{:x}", std::process::id()),
            up: None,
        }
    }

    fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn command(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(programs::skep());
        command.arg(verb).arg("--data-dir").arg(self.data_dir()).args(words);
        command
    }

    fn kubectl(&self, words: &[&str], input: &str) -> tests::clients::Said {
        Client::Kubectl.run(&self.data_dir().join("kubeconfig"), words, input)
    }

    /// Starts `skep up` and waits until its node is ready.
    #[track_caller]
    fn up(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .expect("open the log");
        let mut up = self.command("up", &["--node-name", &self.node]);
        // A group of its own, as a shell gives to each job.
        up.process_group(0);
        up.stdout(log.try_clone().expect("share the log")).stderr(log);
        self.up = Some(up.spawn().expect("start skep up"));
        wait_for("the node to be ready", SOON, || {
            let said = self.kubectl(
                &["wait", "node", &self.node, "--for=condition=Ready", "--timeout=1s"],
                "",
            );
            said.success.then_some(())
        });
    }

    #[track_caller]
    fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        let mut up = self.up.take().expect("skep up was started");
        kill(Pid::from_raw(i32::try_from(up.id()).expect("pids fit")), signal).expect("it runs");
        up.wait().expect("wait")
    }

    /// What a terminal does on Ctrl-C: every process of the job gets the signal.
    #[track_caller]
    fn interrupt_job(&mut self) -> std::process::ExitStatus {
        let mut up = self.up.take().expect("skep up was started");
        killpg(Pid::from_raw(i32::try_from(up.id()).expect("pids fit")), Signal::SIGINT).expect("it runs");
        up.wait().expect("wait")
    }

    #[track_caller]
    fn apply(&self, object: &Value) {
        let _ = self
            .kubectl(&["apply", "-f", "-"], &object.to_string())
            .succeeded("apply");
    }

    #[track_caller]
    fn wait_available(&self) {
        let words = ["rollout", "status", "deployment/web", "--timeout=120s"];
        let _ = self.kubectl(&words, "").succeeded("wait for the deployment");
    }

    /// Requests from a shell of the host; how many were answered well.
    #[track_caller]
    fn answered(&self, address: &str, port: u16) -> u64 {
        const REQUESTS: u64 = 10;
        let target = format!("{address}:{port}");
        let mut client = load_command(Command::new("env"), &["new", &target, &REQUESTS.to_string()]);
        let Output { stdout, .. } = client.output().expect("run the client");
        let counts = Counts::last_of(&String::from_utf8_lossy(&stdout)).expect("counts");
        assert_eq!(counts.requests, REQUESTS);
        counts.requests - counts.failed
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("skep up when the test failed:\n{}", self.log());
        }
        if let Some(mut up) = self.up.take() {
            let _ = up.kill();
            let _ = up.wait();
        }
        if self.data_dir().exists() {
            let _ = self.command("down", &["--purge", "--node-name", &self.node]).status();
        }
    }
}

#[track_caller]
fn nothing_since(before: &Inventory) {
    let left = before.left_behind();
    assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
}

fn exists(path: &Path, name: &str) -> bool {
    path.join(name).exists()
}

#[test]
fn a_cluster_on_the_host_serves_its_shells_and_leaves_nothing() {
    let Some(()) = new_host() else { return };
    let before = Inventory::take();
    let mut cluster = Cluster::new();
    let other = cluster.directory.path().join("other");
    let elsewhere = |verb: &str, words: &[&str]| {
        let mut command = Command::new(programs::skep());
        let output = command.arg(verb).arg("--data-dir").arg(&other).args(words).output();
        let output = output.expect("run");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").to_string();
    let (success, said) = elsewhere("up", &["--listen", &taken]);
    assert!(!success && said.contains(&format!("listen on {taken}")), "{said}");
    assert!(!other.exists(), "who is refused makes nothing");
    cluster.up();
    for archive in images::write_all(cluster.directory.path()) {
        let mut import = Command::new(programs::skep());
        import.args(["image", "import", "--data-dir"]);
        run({
            import.arg(cluster.data_dir().join("agent")).arg(archive);
            import
        });
    }
    cluster.apply(&web_deployment(2));
    cluster.apply(&web_service_manifest());
    cluster.wait_available();
    let service = ["get", "service", "web", "-o", "json"];
    let service: Value = serde_json::from_str(&cluster.kubectl(&service, "").succeeded("get")).expect("JSON");
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("ports have 16 bits");
    let address = service["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    assert_eq!(cluster.answered(ADDRESS, port), 10, "the node's address");
    assert_eq!(cluster.answered(&address, 80), 10, "the service's address");
    assert_eq!(
        cluster.answered("127.0.0.1", port),
        0,
        "documented: not on the loopback"
    );
    assert!(!Inventory::take().since(&before).is_empty(), "a running cluster shows");

    // A second one has no business there.
    let second = cluster.command("up", &[]).output().expect("run");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("another `skep up` runs"),
        "{said}"
    );

    let (success, said) = elsewhere("up", &["--listen", "127.0.0.1:17444"]);
    assert!(!success && said.contains("node of another cluster"), "{said}");
    assert!(!other.exists(), "who is refused makes nothing");
    // A node of the same name that never came into being takes nothing of this one along.
    std::fs::create_dir_all(other.join("agent")).expect("make");
    let (success, said) = elsewhere("down", &["--purge", "--node-name", &cluster.node]);
    assert!(success && said.contains("and stay"), "{said}");
    assert_eq!(cluster.answered(&address, 80), 10, "nothing was removed");

    // Pods outlive an orderly end.
    assert!(cluster.interrupt_job().success());
    assert!(!cluster.log().contains("died"), "{}", cluster.log());
    assert_eq!(
        cluster.answered(ADDRESS, port),
        10,
        "while nothing of skep runs but pods"
    );
    run(cluster.command("down", &[]));
    nothing_since(&before);
    assert!(exists(&cluster.data_dir(), "server/store.redb"), "the data stays");

    // The data makes the same cluster again; `down` ends a running one.
    cluster.up();
    cluster.wait_available();
    wait_for("the pods to serve again", SOON, || {
        (cluster.answered(ADDRESS, port) == 10).then_some(())
    });
    run(cluster.command("down", &[]));
    assert!(
        cluster
            .up
            .take()
            .expect("it was started")
            .wait()
            .expect("wait")
            .success()
    );
    nothing_since(&before);

    // After a crash, and with the data; what is not ours stays.
    cluster.up();
    cluster.wait_available();
    cluster.end(Signal::SIGKILL);
    std::fs::write(cluster.data_dir().join("notes"), "mine").expect("write a file");
    run(cluster.command("down", &["--purge"]));
    nothing_since(&before);
    let left: Vec<_> = std::fs::read_dir(cluster.data_dir())
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["notes"]);
    // Nothing to do is no failure, and the directory goes with the last of what was ours.
    run(cluster.command("down", &["--purge"]));
    std::fs::remove_file(cluster.data_dir().join("notes")).expect("remove");
    std::fs::create_dir(cluster.data_dir().join("agent")).expect("make a directory");
    run(cluster.command("down", &["--purge"]));
    assert!(!cluster.data_dir().exists());
    run(cluster.command("down", &["--purge"]));
}
