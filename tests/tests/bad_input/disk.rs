//! A server whose disk is full: writes are refused clearly, reads go on, and nothing that was acknowledged is lost.

use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::Value;
use tests::{
    clients::{BOTH, Client, Said},
    not_run, programs, wait_for,
};

const SOON: Duration = Duration::from_secs(30);
const DISK: &str = "size=16m";
/// What the ballast leaves: some objects, not many.
const ROOM_BYTES: u64 = 1 << 20;
const VALUE_BYTES: usize = 60_000;
/// More than fit in the room.
const OBJECTS_MAX: usize = 60;
/// What happened, and what an operator can do.
const REFUSAL: &str = "no space left on the store's disk: free some or make the disk larger, then try again";

/// A small disk, gone when the test ends.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn mount() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        mount(
            Some("tmpfs"),
            directory.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some(DISK),
        )
        .expect("mount a disk");
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills all but `left` bytes.
    fn fill_but(&self, left: u64) {
        let free = nix::sys::statvfs::statvfs(self.path()).expect("read the disk's state");
        let bytes = (free.blocks_available() * free.fragment_size()).saturating_sub(left);
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("make the ballast");
        let block = vec![0; 4096];
        for _ in 0..bytes / 4096 {
            if file.write_all(&block).is_err() {
                return;
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is still open goes with the process that has it.
        if let Err(error) = umount2(self.path(), MntFlags::MNT_DETACH) {
            eprintln!("the test's disk could not be unmounted: {error}");
        }
    }
}

/// A server alone, killed when the test ends.
struct Server {
    child: Child,
    data_dir: PathBuf,
    listen: String,
}

impl Server {
    fn start(data_dir: &Path, listen: &str, log_file: &Path) -> Self {
        let log = || {
            File::options()
                .create(true)
                .append(true)
                .open(log_file)
                .expect("open the log")
        };
        let child = Command::new(programs::skep())
            .args(["server", "--listen", listen, "--data-dir"])
            .arg(data_dir)
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("start the server");
        let mut server = Self {
            child,
            data_dir: data_dir.to_owned(),
            listen: listen.to_owned(),
        };
        wait_for("the server to answer", SOON, || {
            let ended = server.child.try_wait().expect("look at the server");
            assert!(
                ended.is_none(),
                "the server has ended: {}",
                fs::read_to_string(log_file).unwrap_or_default()
            );
            (server.kubeconfig().exists() && server.run(Client::Skep, &["get", "namespaces"]).success).then_some(())
        });
        server
    }

    fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    fn run(&self, client: Client, words: &[&str]) -> Said {
        client.run(&self.kubeconfig(), words, "")
    }

    /// SIGKILL, and another one in its place.
    fn kill_and_restart(mut self, log: &Path) -> Self {
        self.stop();
        Self::start(&self.data_dir.clone(), &self.listen.clone(), log)
    }

    fn stop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn write(&self, client: Client, name: &str, value_file: &Path) -> Said {
        let file = format!("--from-file=v={}", value_file.display());
        self.run(client, &["create", "configmap", name, &file])
    }

    /// Every client sees all that was acknowledged, whole, and nothing of what was refused.
    fn holds(&self, acknowledged: &[String], when: &str) {
        for client in BOTH {
            let text = self.run(client, &["get", "configmaps", "-o", "json"]).succeeded(when);
            let list: Value = serde_json::from_str(&text).expect("JSON");
            let mut names: Vec<&str> = Vec::new();
            for item in list["items"].as_array().expect("items") {
                let name = item["metadata"]["name"].as_str().expect("a name");
                if name != "kube-root-ca.crt" {
                    assert_eq!(
                        item["data"]["v"].as_str().map(str::len),
                        Some(VALUE_BYTES),
                        "{when}: {name}"
                    );
                    names.push(name);
                }
            }
            let mut expected: Vec<&str> = acknowledged.iter().map(String::as_str).collect();
            expected.sort_unstable();
            assert_eq!(names, expected, "{when}, as {} sees it", client.name());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Fills the disk, looks, kills, looks, makes room, looks, kills, looks.
pub(crate) fn fills_up() {
    if !nix::unistd::geteuid().is_root() {
        not_run("it mounts a small disk, which needs root");
        return;
    }
    let work = tempfile::tempdir().expect("make a directory");
    let (log, value) = (work.path().join("log"), work.path().join("value"));
    fs::write(&value, "x".repeat(VALUE_BYTES)).expect("write the value");
    let disk = Disk::mount();
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port")
        .port();
    let server = Server::start(&disk.path().join("server"), &format!("127.0.0.1:{port}"), &log);

    disk.fill_but(ROOM_BYTES);
    let mut acknowledged = Vec::new();
    let mut refused_by = Vec::new();
    for number in 0..OBJECTS_MAX {
        let client = BOTH[number % BOTH.len()];
        let name = format!("object-{number}");
        let said = server.write(client, &name, &value);
        if said.success {
            acknowledged.push(name);
            continue;
        }
        assert!(
            said.err.contains(REFUSAL) && said.out.is_empty(),
            "{}: {said:?}",
            client.name()
        );
        refused_by.push(client);
        if BOTH.iter().all(|client| refused_by.contains(client)) {
            break;
        }
    }
    assert!(
        !acknowledged.is_empty() && refused_by.len() >= BOTH.len(),
        "{acknowledged:?} {refused_by:?}"
    );
    disk.fill_but(0);
    server.holds(&acknowledged, "with a full disk");

    let status = server.run(
        Client::Kubectl,
        &[
            "create",
            "configmap",
            "refused",
            &format!("--from-file=v={}", value.display()),
            "-v=8",
        ],
    );
    let shown = status.err.replace("\\\"", "\"");
    for part in [
        "\"kind\":\"Status\"",
        "\"status\":\"Failure\"",
        "\"reason\":\"InternalError\"",
        "\"code\":500",
    ] {
        assert!(shown.contains(part), "not a Status with {part}: {shown}");
    }
    for path in ["/readyz", "/livez"] {
        let said = server.run(Client::Kubectl, &["get", "--raw", path]);
        assert_eq!(said.out, "ok", "{path}: what only reads goes on: {said:?}");
    }
    // A deletion is a write, too: it is done, or refused in the same words.
    for client in BOTH {
        let Some(name) = acknowledged.last().cloned() else {
            break;
        };
        let said = server.run(client, &["delete", "configmap", &name]);
        if said.success {
            acknowledged.pop();
        } else {
            assert!(said.err.contains(REFUSAL), "{}: {said:?}", client.name());
        }
    }
    server.holds(&acknowledged, "after deletions with a full disk");

    let server = server.kill_and_restart(&log);
    server.holds(&acknowledged, "after SIGKILL with a full disk");

    fs::remove_file(disk.ballast()).expect("make room");
    for client in BOTH {
        let name = format!("with-room-{}", client.name());
        let _ = server.write(client, &name, &value).succeeded("a write with room");
        acknowledged.push(name);
        let gone = acknowledged.remove(0);
        let _ = server
            .run(client, &["delete", "configmap", &gone])
            .succeeded("a deletion with room");
    }
    server.holds(&acknowledged, "with room again");
    let server = server.kill_and_restart(&log);
    server.holds(&acknowledged, "after SIGKILL with room");
    let log = fs::read_to_string(&log).expect("read the log");
    assert!(!log.contains("panicked"), "{log}");
}
