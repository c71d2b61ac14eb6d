//! A cluster for one test, removed when the test ends, however it ends.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{images, not_run, programs, wait_for};

/// How long nodes may take to be ready, and pods to run, on a busy machine.
pub const SOON: Duration = Duration::from_secs(120);

/// Tells apart the sandboxes of one test process.
static COUNTER: AtomicU32 = AtomicU32::new(1);

/// A name that no sandbox has. None if this machine cannot have sandboxes: the test was then recorded as not run, and
/// should return.
#[must_use]
pub fn unused_name() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        not_run("a sandbox needs root");
        return None;
    }
    // Short, so that links carry it whole: "t", the process, and a count.
    Some(format!(
        "t{:x}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    ))
}

/// A running cluster. `SKEP_KEEP=1` in the environment leaves it up, and says where it is.
pub struct Sandbox {
    name: String,
    nodes: u16,
    directory: TempDir,
}

impl Sandbox {
    /// A cluster of so many nodes, with the test images on all of them. None if this machine cannot: the test was
    /// then recorded as not run, and should return.
    #[must_use]
    pub fn create(nodes: u16) -> Option<Self> {
        Self::create_with(nodes, &[])
    }

    /// As [`Sandbox::create`], with more flags for `skep sandbox create`.
    ///
    /// # Panics
    /// When the cluster does not come up.
    #[must_use]
    pub fn create_with(nodes: u16, flags: &[&str]) -> Option<Self> {
        let name = unused_name()?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("skep-{name}-"))
            .tempdir()
            .expect("make a directory");
        let sandbox = Self { name, nodes, directory };
        let nodes = nodes.to_string();
        let mut create = sandbox.command(&["create", "--nodes", &nodes]);
        create.arg("--data-dir").arg(sandbox.data_dir()).args(flags);
        run(create);
        let archives = images::write_all(sandbox.directory.path());
        let mut load = sandbox.command(&["load"]);
        load.args(archives);
        run(load);
        Some(sandbox)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it keeps its data.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A directory for files of the test's own.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Its kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// Name of a node, counted from 1.
    #[must_use]
    pub fn node(&self, number: u16) -> String {
        format!("{}-{number}", self.name)
    }

    /// Names of all nodes.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        (1..=self.nodes).map(|number| self.node(number)).collect()
    }

    /// `skep sandbox VERB --name NAME …`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let (verb, rest) = words.split_first().expect("a verb");
        let mut command = Command::new(programs::skep());
        command.args(["sandbox", verb, "--name", &self.name]).args(rest);
        command
    }

    /// `skep …` for this cluster; returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn skep(&self, words: &[&str]) -> String {
        run(self.skep_command(words))
    }

    /// `skep …` for this cluster, to be run by the test.
    #[must_use]
    pub fn skep_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(programs::skep());
        command.env("KUBECONFIG", self.kubeconfig()).args(words);
        command
    }

    /// `kubectl …` for this cluster; returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn kubectl(&self, words: &[&str]) -> String {
        run(self.kubectl_command(words))
    }

    /// `kubectl …` for this cluster, to be run by the test.
    #[must_use]
    pub fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(programs::kubectl());
        command.env("KUBECONFIG", self.kubeconfig()).args(words);
        command
    }

    /// `kubectl get … -o json`, or None if it is not there.
    ///
    /// # Panics
    /// When kubectl fails for another reason, or prints no JSON.
    #[track_caller]
    pub fn get(&self, words: &[&str]) -> Option<Value> {
        let mut command = self.kubectl_command(&["get", "-o", "json"]);
        command.args(words);
        let output = command.output().expect("start kubectl");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("NotFound"), "{command:?} failed: {said}");
            return None;
        }
        Some(serde_json::from_slice(&output.stdout).expect("kubectl prints JSON"))
    }

    /// `kubectl apply -f -` of one object, or of several as a list.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn apply(&self, object: &Value) {
        let file = self.work_dir().join("apply.json");
        std::fs::write(&file, object.to_string()).expect("write the manifest");
        self.kubectl(&["apply", "-f", &file.to_string_lossy()]);
    }

    /// Runs a program on a node; returns what it printed.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn exec(&self, node: &str, words: &[&str]) -> String {
        run(self.exec_command(node, words))
    }

    /// A program on a node, to be run by the test.
    #[must_use]
    pub fn exec_command(&self, node: &str, words: &[&str]) -> Command {
        let mut command = self.command(&["exec", node, "--"]);
        command.args(words);
        command
    }

    /// Enters the network of a pod, from the outside of its node's control group: the hooks on sockets do not see what
    /// runs there, and every packet takes the path through the pod's link. To be completed with a program.
    ///
    /// # Panics
    /// When there is no such pod, or it is on no node yet.
    #[must_use]
    pub fn enter_pod(&self, pod: &str) -> Command {
        let object = self
            .get(&["pod", pod])
            .unwrap_or_else(|| panic!("there is no pod {pod}"));
        let node = object["spec"]["nodeName"].as_str().expect("the pod is on a node");
        let uid = object["metadata"]["uid"].as_str().expect("a uid");
        let namespace = self.data_dir().join(node).join("netns").join(uid);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", namespace.display())).arg("--");
        command
    }

    /// `skep sandbox status -o json`.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&run(self.command(&["status", "-o", "json"]))).expect("status is JSON")
    }

    /// The running process of a node, or of "server"; None while it does not run.
    #[must_use]
    pub fn pid(&self, target: &str) -> Option<i32> {
        let status = self.status();
        let processes = status["processes"].as_array().expect("processes");
        let is_it = |process: &&Value| match target {
            "server" | "supervisor" => process["role"] == target,
            node => process["node"] == node,
        };
        let pid = processes.iter().find(is_it).expect("a process of the sandbox")["pid"].as_i64()?;
        Some(i32::try_from(pid).expect("pids fit"))
    }

    /// Kills the process of a node, or "server", with SIGKILL, and returns once another one runs in its place.
    ///
    /// # Panics
    /// When it does not run, or is not restarted.
    #[track_caller]
    pub fn kill_and_wait(&self, target: &str) {
        let pid = self.pid(target).unwrap_or_else(|| panic!("{target} does not run"));
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).expect("kill");
        wait_for(&format!("{target} to be restarted"), SOON, || {
            self.pid(target).filter(|new| *new != pid)
        });
    }

    /// Address of a node on the bridge.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn address(&self, node: &str) -> String {
        let status = self.status();
        let processes = status["processes"].as_array().expect("processes");
        let process = processes
            .iter()
            .find(|process| process["node"] == node)
            .expect("a node of the sandbox");
        process["address"].as_str().expect("an address").to_owned()
    }

    /// Waits until all replicas of a deployment are available.
    ///
    /// # Panics
    /// When they are not soon, with what the pods look like.
    #[track_caller]
    pub fn wait_available(&self, deployment: &str) {
        let deadline = std::time::Instant::now() + SOON;
        loop {
            let object = self.get(&["deployment", deployment]).unwrap_or_default();
            let wanted = &object["spec"]["replicas"];
            let status = &object["status"];
            if !wanted.is_null()
                && status["availableReplicas"] == *wanted
                && status["updatedReplicas"] == *wanted
                && status["replicas"] == *wanted
                && status["observedGeneration"] == object["metadata"]["generation"]
            {
                return;
            }
            if std::time::Instant::now() > deadline {
                panic!(
                    "{deployment} is not available: {status}\n{}\n{}",
                    self.kubectl(&["get", "pods", "-A", "-o", "wide"]),
                    self.kubectl(&["get", "events", "-A"])
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a pod is in a phase, and returns it.
    ///
    /// # Panics
    /// When it is not soon, or fails although another phase was expected.
    #[track_caller]
    pub fn wait_phase(&self, pod: &str, phase: &str) -> Value {
        wait_for(&format!("pod {pod} to be {phase}"), SOON, || {
            let object = self.get(&["pod", pod])?;
            let seen = object["status"]["phase"].as_str().unwrap_or_default();
            if seen == "Failed" && phase != "Failed" {
                panic!(
                    "pod {pod} failed: {}\nits log:\n{}",
                    object["status"],
                    self.kubectl(&["logs", pod])
                );
            }
            (seen == phase).then_some(object)
        })
    }

    /// The last lines of every process's log.
    #[must_use]
    pub fn logs(&self) -> String {
        const LINES: usize = 40;
        let mut text = String::new();
        for entry in std::fs::read_dir(self.data_dir().join("logs"))
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            let content = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = content.lines().collect();
            let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
            text.push_str(&format!("\n== {}\n{last}\n", entry.path().display()));
        }
        text
    }

    /// Deletes the cluster now.
    ///
    /// # Panics
    /// When something of it cannot be removed.
    #[track_caller]
    pub fn delete(&self) {
        run(self.command(&["delete", "--ignore-not-found"]));
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the sandbox {} when the test failed:{}", self.name, self.logs());
        }
        if std::env::var_os("SKEP_KEEP").is_some() {
            self.directory.disable_cleanup(true);
            eprintln!(
                "the sandbox {} is kept; KUBECONFIG={}",
                self.name,
                self.kubeconfig().display()
            );
            return;
        }
        let output = self.command(&["delete", "--ignore-not-found"]).output();
        if let Ok(output) = output.as_ref().map(|output| output.clone())
            && !output.status.success()
        {
            eprintln!(
                "the sandbox {} could not be removed: {}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

/// Runs a command and returns what it printed.
///
/// # Panics
/// When it fails, with what it said.
#[track_caller]
pub fn run(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command
        .output()
        .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let (stdout, stderr) = (
        String::from_utf8_lossy(&stdout).into_owned(),
        String::from_utf8_lossy(&stderr),
    );
    assert!(status.success(), "{command:?} ended with {status}\n{stdout}{stderr}");
    stdout
}
