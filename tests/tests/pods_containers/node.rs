//! A process with a node's pod workers, what it says, and a check that nothing stays.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use agent::image::ImageStore;
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};

/// The image that [`Node::new`] imports.
pub(crate) const IMAGE: &str = "pods.test/busybox:1";
/// Long enough for a loaded machine, short enough to fail.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What the workers have said.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) statuses: BTreeMap<String, Value>,
    pub(crate) events: Vec<(String, String)>,
    pub(crate) gone: BTreeSet<String>,
    pub(crate) logs: BTreeMap<u64, Log>,
}

/// A log as far as it has come.
#[derive(Default, Clone, Debug)]
pub(crate) struct Log {
    pub(crate) text: String,
    /// Status and message.
    pub(crate) end: Option<(u64, String)>,
}

impl Said {
    /// The status of a container.
    pub(crate) fn container(&self, uid: &str, name: &str) -> Value {
        let status = self.statuses.get(uid).cloned().unwrap_or_default();
        ["containerStatuses", "initContainerStatuses"]
            .iter()
            .filter_map(|list| status[list].as_array())
            .flatten()
            .find(|status| status["name"] == name)
            .cloned()
            .unwrap_or_default()
    }

    /// `running`, the reason of `waiting`, or the reason of `terminated` with the exit code.
    pub(crate) fn state(&self, uid: &str, name: &str) -> String {
        describe(&self.container(uid, name)["state"])
    }

    pub(crate) fn last_state(&self, uid: &str, name: &str) -> String {
        describe(&self.container(uid, name)["lastState"])
    }

    pub(crate) fn phase(&self, uid: &str) -> String {
        self.statuses
            .get(uid)
            .map(|status| text(&status["phase"]))
            .unwrap_or_default()
    }

    pub(crate) fn condition(&self, uid: &str, kind: &str) -> String {
        let status = self.statuses.get(uid).cloned().unwrap_or_default();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        found.map(|condition| text(&condition["status"])).unwrap_or_default()
    }

    pub(crate) fn has_event(&self, uid: &str, part: &str) -> bool {
        self.events
            .iter()
            .any(|(about, text)| about == uid && text.contains(part))
    }
}

fn describe(state: &Value) -> String {
    if let Some(waiting) = state.get("waiting") {
        return text(&waiting["reason"]);
    }
    if let Some(terminated) = state.get("terminated") {
        return format!("{} {}", text(&terminated["reason"]), terminated["exitCode"]);
    }
    if state.get("running").is_some() {
        "running".to_owned()
    } else {
        String::new()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

type Shared = Arc<(Mutex<Said>, Condvar)>;

pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    cgroup_root: String,
    process: Option<(Child, ChildStdin)>,
    said: Shared,
    requests: u64,
}

impl Node {
    /// A node with the busybox image, running.
    pub(crate) fn new(name: &str) -> Node {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::Builder::new().prefix("pods-test-").tempdir().unwrap();
        let mut node = Node {
            cgroup_root: format!("skep/pods-test-{name}-{}-{number}", std::process::id()),
            dir,
            process: None,
            said: Shared::default(),
            requests: 0,
        };
        node.import(IMAGE);
        node.start();
        node.send(json!({"begin": true}));
        node.send(json!({"end": true}));
        node
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Imports busybox under a name, as `skep image import` does.
    pub(crate) fn import(&self, name: &str) {
        let archive = self.dir.path().join("image.tar");
        xtask::image::busybox(name).unwrap().write(&archive).unwrap();
        let store = ImageStore::open(self.data_dir()).unwrap();
        store.import(&archive, None, &mut |_| {}).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("node.log"))
            .unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_test-pods"))
            .arg("node")
            .arg(self.data_dir())
            .arg(&self.cgroup_root)
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        let said = Arc::clone(&self.said);
        *said.0.lock() = Said::default();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                let value: Value = serde_json::from_str(&line).unwrap();
                take(&mut said.0.lock(), &value);
                said.1.notify_all();
            }
        });
        self.process = Some((child, stdin));
    }

    /// SIGKILL, and gone.
    pub(crate) fn kill(&mut self) {
        if let Some((mut child, _)) = self.process.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn send(&mut self, input: Value) {
        let (_, stdin) = self.process.as_mut().unwrap();
        writeln!(stdin, "{input}").unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a pod in the namespace `ns`; its name is its uid.
    pub(crate) fn pod(&mut self, uid: &str, spec: Value) -> Value {
        let pod = json!({
            "metadata": {"name": uid, "namespace": "ns", "uid": uid, "generation": 1},
            "spec": spec,
        });
        self.send(json!({"pod": pod}));
        pod
    }

    /// Asks for a pod's deletion, with its address withdrawn already.
    pub(crate) fn delete(&mut self, pod: &Value, grace_s: i64) {
        let mut pod = pod.clone();
        pod["metadata"]["deletionTimestamp"] = json!(jiff::Timestamp::now().to_string());
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace_s);
        let uid = pod["metadata"]["uid"].clone();
        self.send(json!({"pod": pod}));
        self.send(json!({"stop_allowed": {"uid": uid}}));
    }

    /// Deletes a pod and waits until it is gone.
    pub(crate) fn delete_now(&mut self, pod: &Value) {
        self.delete(pod, 0);
        let uid = text(&pod["metadata"]["uid"]);
        self.wait(&format!("{uid} gone"), |said| said.gone.contains(&uid).then_some(()));
    }

    #[track_caller]
    pub(crate) fn wait<T>(&self, what: &str, look: impl Fn(&Said) -> Option<T>) -> T {
        let until = Instant::now() + WAIT_MAX;
        let mut said = self.said.0.lock();
        loop {
            if let Some(found) = look(&said) {
                return found;
            }
            if self.said.1.wait_until(&mut said, until).timed_out() {
                let log = fs::read_to_string(self.dir.path().join("node.log")).unwrap_or_default();
                panic!(
                    "waited {WAIT_MAX:?} in vain for {what}\nstatuses: {:#?}\nevents: {:#?}\nlog:\n{log}",
                    said.statuses, said.events
                );
            }
        }
    }

    #[track_caller]
    pub(crate) fn wait_state(&self, uid: &str, container: &str, state: &str) {
        self.wait(&format!("{uid}/{container} to be {state}"), |said| {
            (said.state(uid, container) == state).then_some(())
        });
    }

    pub(crate) fn look<T>(&self, look: impl Fn(&Said) -> T) -> T {
        look(&self.said.0.lock())
    }

    /// Asks for a log; see [`Said::logs`].
    pub(crate) fn ask_log(&mut self, pod: &str, mut request: Value) -> u64 {
        self.requests += 1;
        request["id"] = json!(self.requests);
        request["pod"] = json!(pod);
        self.send(json!({"logs": request}));
        self.requests
    }

    /// A whole log, at the end of the answer.
    #[track_caller]
    pub(crate) fn log(&mut self, pod: &str, request: Value) -> Log {
        let id = self.ask_log(pod, request);
        self.wait("the log", |said| {
            said.logs.get(&id).filter(|log| log.end.is_some()).cloned()
        })
    }

    /// Processes in a container, by its v2 cgroup or one of v1.
    pub(crate) fn processes(&self, uid: &str, container: &str) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for root in hierarchies() {
            let path = root
                .join(&self.cgroup_root)
                .join("pods")
                .join(uid)
                .join(container)
                .join("cgroup.procs");
            let text = fs::read_to_string(path).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        found
    }

    /// A file of a container's cgroup, in whatever hierarchy has it.
    pub(crate) fn cgroup_file(&self, cgroup: &str, file: &str) -> Option<String> {
        hierarchies()
            .iter()
            .map(|root| root.join(&self.cgroup_root).join("pods").join(cgroup).join(file))
            .find_map(|path| fs::read_to_string(path).ok())
            .map(|text| text.trim().to_owned())
    }

    /// Pids of the shims of this node.
    pub(crate) fn shims(&self) -> Vec<i32> {
        let marker = self.data_dir().display().to_string();
        processes_with(&marker)
            .into_iter()
            .filter(|(_, words)| words.contains("shim\0"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The shim of one pod's container.
    pub(crate) fn shim_of(&self, uid: &str, container: &str) -> Option<i32> {
        let marker = self
            .data_dir()
            .join("pods")
            .join(uid)
            .join("containers")
            .join(container);
        let marker = marker.display().to_string();
        processes_with(&marker).first().map(|(pid, _)| *pid)
    }

    /// What is left of pods: cgroups, mounts, processes, files.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        for root in hierarchies() {
            let dir = root.join(&self.cgroup_root).join("pods");
            left.extend(names_in(&dir).map(|name| format!("cgroup {}", dir.join(name).display())));
        }
        let data_dir = self.data_dir().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let targets = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        left.extend(
            targets
                .filter(|target| target.starts_with(&data_dir))
                .map(|target| format!("mount {target}")),
        );
        left.extend(self.shims().into_iter().map(|pid| format!("shim {pid}")));
        for dir in ["pods", "runtime", "netns"] {
            let dir = self.data_dir().join(dir);
            left.extend(names_in(&dir).map(|name| format!("file {}", dir.join(name).display())));
        }
        left
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        let config = agent::AgentConfig {
            server: String::new(),
            token: None,
            node_name: "test-node".to_owned(),
            data_dir: self.data_dir(),
            node_ip: None,
            cgroup_root: self.cgroup_root.clone(),
            socket_cgroup: None,
            bpffs: self.dir.path().join("no-bpffs"),
            labels: BTreeMap::new(),
        };
        if let Err(err) = agent::cleanup::cleanup(&config)
            && !std::thread::panicking()
        {
            panic!("clean up: {err:?}");
        }
    }
}

fn take(said: &mut Said, value: &Value) {
    if let Some(status) = value.get("status") {
        said.statuses.insert(text(&status["uid"]), status["status"].clone());
    } else if let Some(event) = value.get("event") {
        said.events.push((text(&event["uid"]), text(&event["text"])));
    } else if let Some(gone) = value.get("gone") {
        said.gone.insert(text(gone));
    } else if let Some(log) = value.get("log") {
        let entry = said.logs.entry(log["id"].as_u64().unwrap()).or_default();
        entry.text.push_str(log["text"].as_str().unwrap());
        if let Some(end) = log.get("end").filter(|end| !end.is_null()) {
            entry.end = Some((end["status"].as_u64().unwrap(), text(&end["message"])));
        }
    }
}

fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let mut roots: Vec<PathBuf> = names_in(root).map(|name| root.join(name)).collect();
    roots.push(root.to_owned());
    roots
}

fn names_in(dir: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().is_dir() || !entry.path().starts_with("/sys"))
        .filter_map(|entry| entry.file_name().into_string().ok())
}

fn processes_with(marker: &str) -> Vec<(i32, String)> {
    names_in(Path::new("/proc"))
        .filter_map(|name| name.parse::<i32>().ok())
        .filter_map(|pid| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).into_owned();
            (words.contains(marker) && words.contains("shim\0")).then_some((pid, words))
        })
        .collect()
}

/// Whether a process exists and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}
