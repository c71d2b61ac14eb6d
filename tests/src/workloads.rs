//! What tests deploy: web servers that answer with their name, and clients that count the answers.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    process::{Child, Command},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{Sandbox, images, programs, sandbox::SOON, wait_for};

/// Port of the web servers' containers.
const WEB_PORT: u16 = 8080;

/// What a client has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were sent.
    pub requests: u64,
    /// Those that got no good answer.
    pub failed: u64,
    /// Connections that had to be made anew.
    pub reconnects: u64,
    /// The longest time to an answer, in milliseconds.
    pub longest_ms: u64,
    /// Answers of each server, by its name.
    pub by_name: BTreeMap<String, u64>,
    /// The first failures.
    pub errors: Vec<String>,
}

impl Counts {
    /// Reads the last line that a client has printed; None before its first.
    #[must_use]
    pub fn last_of(printed: &str) -> Option<Self> {
        let line: Value = printed.lines().rev().find_map(|line| serde_json::from_str(line).ok())?;
        let number = |field: &str| line[field].as_u64();
        Some(Self {
            requests: number("requests")?,
            failed: number("failed")?,
            reconnects: number("reconnects")?,
            longest_ms: number("longest_ms")?,
            by_name: line["by_name"]
                .as_object()?
                .iter()
                .filter_map(|(name, count)| Some((name.clone(), count.as_u64()?)))
                .collect(),
            errors: line["errors"]
                .as_array()?
                .iter()
                .map(|error| error.as_str().unwrap_or_default().to_owned())
                .collect(),
        })
    }

    /// Checks that nothing failed and that so many servers have answered equally often, give or take one.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_shared_by(&self, servers: u64) {
        assert_eq!((self.failed, &self.errors), (0, &Vec::new()), "{self:?}");
        let each = self.requests / servers;
        let is_fair = self.by_name.values().all(|count| count.abs_diff(each) <= 1);
        assert!(self.by_name.len() as u64 == servers && is_fair, "{self:?}");
    }
}

/// A container that runs [`images::WEB`].
#[must_use]
pub fn web_container() -> Value {
    json!({"name": "web", "image": images::WEB, "imagePullPolicy": "IfNotPresent", "ports": [{"name": "http", "containerPort": WEB_PORT}]})
}

/// Makes the deployment `web` and waits until all its replicas are available.
///
/// # Panics
/// When they are not soon.
#[track_caller]
pub fn web(sandbox: &Sandbox, replicas: u32) {
    sandbox.apply(&web_deployment(replicas));
    sandbox.wait_available("web");
}

/// The deployment `web`.
#[must_use]
pub fn web_deployment(replicas: u32) -> Value {
    let labels = json!({"app": "web"});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [web_container()]}},
        },
    })
}

/// The service `web` in front of the deployment, on every node's port too. No port is chosen.
#[must_use]
pub fn web_service_manifest() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {
            "type": "NodePort",
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    })
}

/// Makes the service `web` in front of the deployment, on every node's port too, and returns its address and that port.
///
/// # Panics
/// When the service gets no address or port.
#[track_caller]
pub fn web_service(sandbox: &Sandbox) -> (String, u16) {
    sandbox.apply(&web_service_manifest());
    let service = sandbox.get(&["service", "web"]).expect("the service was made");
    let address = service["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    let port = service["spec"]["ports"][0]["nodePort"]
        .as_u64()
        .expect("a port on the nodes");
    (address, u16::try_from(port).expect("ports have 16 bits"))
}

/// Names of the pods of the deployment `web` that are not being deleted, in order.
#[must_use]
pub fn web_pods(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.get(&["pods", "-l", "app=web"]).expect("a list");
    let pods = list["items"].as_array().expect("items").iter();
    pods.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .cloned()
        .collect()
}

/// Starts a pod that runs the load generator, on a node if one is named. It ends with its work, and is not restarted.
pub fn load_pod(sandbox: &Sandbox, name: &str, node: Option<&str>, words: &[&str]) {
    sandbox.apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "nodeName": node,
            "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "load", "image": images::LOAD, "imagePullPolicy": "IfNotPresent", "args": words}],
        },
    }));
}

/// What a pod of [`load_pod`] has counted by its end.
///
/// # Panics
/// When it does not end soon.
#[track_caller]
#[must_use]
pub fn counted_by(sandbox: &Sandbox, pod: &str) -> Counts {
    sandbox.wait_phase(pod, "Succeeded");
    Counts::last_of(&sandbox.kubectl(&["logs", pod])).expect("the client counts")
}

/// What a pod of [`load_pod`] has counted so far, once that is more than so many requests.
///
/// # Panics
/// When it does not get there.
#[track_caller]
#[must_use]
pub fn counted_so_far(sandbox: &Sandbox, pod: &str, more_than: u64) -> Counts {
    wait_for(&format!("more than {more_than} requests of {pod}"), SOON, || {
        let output = sandbox.kubectl_command(&["logs", "--tail=1", pod]).output().ok()?;
        let counts = Counts::last_of(&String::from_utf8_lossy(&output.stdout))?;
        (counts.requests > more_than).then_some(counts)
    })
}

/// A load generator that runs beside the test.
pub struct Client {
    process: Child,
    printed: PathBuf,
}

impl Client {
    /// Starts what [`load_command`] makes, with a log in the sandbox's working directory.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(sandbox: &Sandbox, name: &str, mut command: Command) -> Self {
        let printed = sandbox.work_dir().join(format!("{name}.log"));
        let file = File::create(&printed).expect("create the client's log");
        let process = command.stdout(file).spawn().expect("start the client");
        Self { process, printed }
    }

    /// Ends it, and returns what it has counted.
    ///
    /// # Panics
    /// When it has ended by itself, or has counted nothing.
    #[must_use]
    pub fn finish(mut self) -> Counts {
        let pid = i32::try_from(self.process.id()).expect("pids fit");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("the client still runs");
        assert!(self.process.wait().expect("wait").success());
        let printed = std::fs::read_to_string(&self.printed).expect("read the client's log");
        Counts::last_of(&printed).expect("counts")
    }
}

/// The load generator as a process of the test, to be run where the command before it says (or on this host).
#[must_use]
pub fn load_command(mut within: Command, words: &[&str]) -> Command {
    within.arg(programs::test_load()).args(words);
    within
}
