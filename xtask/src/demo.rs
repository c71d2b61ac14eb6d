//! `cargo xtask demo`: the main job, from nothing to a cluster that serves, shown step by step.
//!
//! Every step says what was seen, and fails if it is not what it should be. Whatever was made is removed at the end,
//! also after a failure or when it is interrupted, unless `--keep` is given.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{cargo, image, inventory::Inventory, setup, shell};

mod manifests;

/// How to run the demo.
#[derive(Args)]
pub struct DemoArguments {
    /// Leave the cluster up at the end.
    #[arg(long)]
    keep: bool,
    /// Name of the sandbox.
    #[arg(long, default_value = "demo")]
    name: String,
}

/// How long one step may wait for what it should see.
const STEP_WITHIN: Duration = Duration::from_secs(120);
/// How often a step looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Requests of the client that counts replicas.
const REQUESTS: usize = 90;
/// Replicas of the web application.
const REPLICAS: usize = 3;

/// Runs the demo.
///
/// # Errors
/// When a step does not see what it should; the message says what it saw.
pub fn run(arguments: &DemoArguments) -> Result<()> {
    let start = Instant::now();
    let mut demo = Demo {
        step: 0,
        name: arguments.name.clone(),
        skep: PathBuf::new(),
        kubectl: PathBuf::new(),
        interrupted: Arc::default(),
    };
    demo.say("install what is missing");
    setup::run()?;
    demo.kubectl = setup::kubectl::ensure()?.kubectl;
    demo.say("build Skep");
    demo.skep = cargo::build_skep(cargo::Profile::Dev)?;
    println!("   {}", demo.skep.display());

    if shell::succeeds(&mut demo.sandbox(&["status"])) {
        bail!(
            "there is a sandbox {name} already, which is not ours to remove: `{skep} sandbox delete --name {name}` does, \
             or give the demo another --name",
            name = demo.name,
            skep = demo.skep.display()
        );
    }

    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&demo.interrupted)).context("listen for signals")?;
    }
    let before = Inventory::take();
    let outcome = demo.show();
    match &outcome {
        Err(_) if demo.is_interrupted() => eprintln!("\nInterrupted."),
        Err(error) => demo.explain(error),
        Ok(()) => {}
    }
    if arguments.keep {
        println!(
            "\nThe cluster stays up. Remove it with:  {} sandbox delete --name {}",
            demo.skep.display(),
            demo.name
        );
    } else {
        demo.say("remove everything");
        let delete = shell::run(&mut demo.sandbox(&["delete", "--ignore-not-found"]));
        std::fs::remove_dir_all(demo.work_dir()).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        outcome?;
        delete?;
        demo.show_nothing_is_left(&before)?;
        println!(
            "\nThe demo passed in {} s. Run it with --keep to look around.",
            start.elapsed().as_secs()
        );
        return Ok(());
    }
    outcome
}

struct Demo {
    step: usize,
    name: String,
    skep: PathBuf,
    kubectl: PathBuf,
    /// Set by the signals that ask us to end.
    interrupted: Arc<AtomicBool>,
}

impl Demo {
    fn say(&mut self, what: &str) {
        self.step += 1;
        println!("\n{}. {what}", self.step);
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Begins a step of what is shown, unless we are asked to end.
    fn begin(&mut self, what: &str) -> Result<()> {
        self.go_on()?;
        self.say(what);
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.is_interrupted() {
            bail!("interrupted");
        }
        Ok(())
    }

    fn show(&mut self) -> Result<()> {
        self.create()?;
        self.deploy()?;
        let address = self.service_address()?;
        self.count_replicas("client-address", &format!("http://{address}/"), "the service's address")?;
        self.count_replicas("client-name", "http://web/", "the service's name")?;
        self.call_node_ports()?;
        self.kill_an_agent()?;
        self.show_no_rules()?;
        self.show_where_to_look();
        Ok(())
    }

    fn create(&mut self) -> Result<()> {
        self.begin("make a cluster of three nodes on this machine")?;
        shell::run(&mut self.sandbox(&["create", "--nodes", "3"])).context("make the sandbox")?;
        shell::run(self.kubectl().args(["get", "nodes", "-o", "wide"]))?;

        self.begin("build two images from this machine's busybox and give them to the nodes")?;
        let work = self.work_dir();
        std::fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
        let archives = [work.join("web.tar"), work.join("busybox.tar")];
        image::web(manifests::WEB_IMAGE)?.write(&archives[0])?;
        image::busybox(manifests::CLIENT_IMAGE)?.write(&archives[1])?;
        shell::run(self.sandbox(&["load"]).args(&archives))
    }

    fn deploy(&mut self) -> Result<()> {
        self.begin("deploy a web application of three replicas, with a service")?;
        self.apply(&manifests::web(REPLICAS))?;
        let ready = self.wait_for("all replicas to be available", || {
            let deployment = self.object(&["deployment", "web"])?;
            Ok((deployment["status"]["availableReplicas"] == REPLICAS).then_some(deployment))
        })?;
        println!(
            "   {} of {REPLICAS} replicas are available:",
            ready["status"]["availableReplicas"]
        );
        shell::run(self.kubectl().args(["get", "pods", "-o", "wide", "-l", "app=web"]))?;
        shell::run(self.kubectl().args(["get", "service", "web"]))?;
        let pods = self.object(&["pods", "-l", "app=web"])?;
        let nodes: std::collections::BTreeSet<&str> = items(&pods)
            .iter()
            .filter_map(|pod| pod["spec"]["nodeName"].as_str())
            .collect();
        if nodes.len() != REPLICAS {
            bail!(
                "the replicas are on {} nodes, not on {REPLICAS}: {nodes:?}",
                nodes.len()
            );
        }
        Ok(())
    }

    fn service_address(&self) -> Result<String> {
        let service = self.object(&["service", "web"])?;
        service["spec"]["clusterIP"]
            .as_str()
            .map(str::to_owned)
            .context("the service has no address")
    }

    fn count_replicas(&mut self, pod: &str, url: &str, what: &str) -> Result<()> {
        self.begin(&format!("send {REQUESTS} requests to {what} ({url}) from a pod"))?;
        self.apply(&manifests::counting_client(pod, url, REQUESTS))?;
        self.wait_for("the client to be done", || {
            let object = self.object(&["pod", pod])?;
            match object["status"]["phase"].as_str() {
                Some("Succeeded") => Ok(Some(())),
                Some("Failed") => bail!("requests failed; the client said:\n{}", self.logs(pod)?),
                _ => Ok(None),
            }
        })?;
        let mut answers: BTreeMap<String, usize> = BTreeMap::new();
        for line in self.logs(pod)?.lines() {
            *answers.entry(line.to_owned()).or_default() += 1;
        }
        for (replica, count) in &answers {
            println!("   {count:>4} answered by {replica}");
        }
        let expected = REQUESTS / REPLICAS;
        if answers.len() != REPLICAS || answers.values().any(|count| count.abs_diff(expected) > 1) {
            bail!("each of the {REPLICAS} replicas should have answered {expected} requests (±1)");
        }
        Ok(())
    }

    fn call_node_ports(&mut self) -> Result<()> {
        self.begin("call the service through its port on every node")?;
        let service = self.object(&["service", "web"])?;
        let port = service["spec"]["ports"][0]["nodePort"]
            .as_u64()
            .context("the service has no port on the nodes")?;
        let port = u16::try_from(port).context("a port has 16 bits")?;
        for (node, address) in self.agents()?.into_iter().map(|agent| (agent.node, agent.address)) {
            let target = SocketAddr::new(
                address.parse().with_context(|| format!("read the address {address}"))?,
                port,
            );
            let answer = http_get(target).with_context(|| format!("call {node} at {target}"))?;
            println!("   {node} at {target}: answered by {}", answer.trim());
        }
        Ok(())
    }

    fn kill_an_agent(&mut self) -> Result<()> {
        self.begin("kill an agent with SIGKILL while requests flow")?;
        self.apply(&manifests::flowing_client())?;
        let flowing = |atleast: usize| {
            self.wait_for("requests to flow", || {
                let log = self.logs("client-flow").unwrap_or_default();
                Ok((log.lines().count() >= atleast).then(|| log.lines().count()))
            })
        };
        let before = flowing(50)?;
        let pod = self.object(&["pod", "client-flow"])?;
        let node = pod["spec"]["nodeName"]
            .as_str()
            .context("the client is on no node")?
            .to_owned();
        let agent = self
            .agents()?
            .into_iter()
            .find(|agent| agent.node == node)
            .context("find the client's agent")?;
        let pid = agent.pid.context("the agent does not run")?;
        shell::run(shell::as_root("kill")?.args(["-KILL", &pid.to_string()]))?;
        println!("   killed the agent of {node} (pid {pid}) after {before} requests");
        let restarted = self.wait_for("the agent to be restarted", || {
            let agent = self.agents()?.into_iter().find(|agent| agent.node == node);
            Ok(agent.and_then(|agent| agent.pid).filter(|new| *new != pid))
        })?;
        println!("   it is back with pid {restarted}");
        let after = flowing(before + 200)?;
        let log = self.logs("client-flow")?;
        let failed: Vec<&str> = log.lines().filter(|line| !line.starts_with("ok ")).collect();
        println!("   {after} requests, {} failed", failed.len());
        if !failed.is_empty() {
            bail!("requests failed:\n{}", failed.join("\n"));
        }
        Ok(())
    }

    fn show_no_rules(&mut self) -> Result<()> {
        self.begin("look for packet filter rules on the nodes")?;
        for agent in self.agents()? {
            for tool in [["iptables-save"].as_slice(), &["nft", "list", "ruleset"]] {
                let rules = shell::output(self.sandbox(&["exec"]).arg(&agent.node).arg("--").args(tool))?;
                let rules: Vec<&str> = rules.lines().filter(|line| !line.starts_with('#')).collect();
                if !rules.is_empty() {
                    bail!(
                        "{} has rules according to {}:\n{}",
                        agent.node,
                        tool[0],
                        rules.join("\n")
                    );
                }
            }
        }
        println!("   there are none: all of this went through eBPF");
        shell::run(
            self.skep()
                .args(["net", "services", "--node", &format!("{}-1", self.name)]),
        )
    }

    fn show_where_to_look(&self) {
        println!("\nWhere to look next (with --keep the cluster stays up):");
        println!("   export KUBECONFIG={}", self.kubeconfig().display());
        for command in [
            format!("{} get all -o wide", self.kubectl.display()),
            format!("{} net services", self.skep.display()),
            format!("{} net conntrack", self.skep.display()),
            format!("{} describe service web", self.skep.display()),
            format!("{} sandbox status --name {}", self.skep.display(), self.name),
        ] {
            println!("   {command}");
        }
    }

    /// What may help to understand a failure, while the cluster is still there.
    fn explain(&self, error: &anyhow::Error) {
        eprintln!("\nThe demo failed: {error:#}");
        eprintln!("\nThe cluster at that moment:");
        for mut command in [
            self.sandbox(&["status", "-o", "wide"]),
            self.skep_with(&["get", "nodes,pods", "-A", "-o", "wide"]),
            self.skep_with(&["get", "events", "-A"]),
        ] {
            // It is told on the terminal; that it fails, too, adds nothing.
            let _ = command.status();
        }
        for name in [
            "server".to_owned(),
            format!("{}-1", self.name),
            format!("{}-2", self.name),
            format!("{}-3", self.name),
        ] {
            let path = PathBuf::from(format!("/var/lib/skep/sandboxes/{}/logs/{name}.log", self.name));
            let log = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("WARN") || line.contains("ERROR"))
                .collect();
            let last = &lines[lines.len().saturating_sub(10)..];
            if !last.is_empty() {
                eprintln!("\n{}:\n{}", path.display(), last.join("\n"));
            }
        }
        eprintln!("\nRun `cargo xtask demo --keep` to look into it yourself.");
    }

    fn show_nothing_is_left(&self, before: &Inventory) -> Result<()> {
        let left = before.left_behind();
        if !left.is_empty() {
            bail!("this is left:\n  {}", left.join("\n  "));
        }
        println!(
            "   no process, network namespace, link, mount, control group or pin is here that was not here before"
        );
        Ok(())
    }

    /// Looks until there is something to see. An error of `look` ends it.
    fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + STEP_WITHIN;
        loop {
            self.go_on()?;
            if let Some(seen) = look()? {
                return Ok(seen);
            }
            if Instant::now() > deadline {
                bail!("waited {} s in vain for {what}", STEP_WITHIN.as_secs());
            }
            thread::sleep(LOOK_INTERVAL);
        }
    }

    fn agents(&self) -> Result<Vec<Agent>> {
        let status = shell::output(&mut self.sandbox(&["status", "-o", "json"]))?;
        let status: Value = serde_json::from_str(&status).context("read the sandbox's status")?;
        let processes = status["processes"]
            .as_array()
            .context("the sandbox's status lists processes")?;
        Ok(processes
            .iter()
            .filter(|process| process["role"] == "agent")
            .map(|process| Agent {
                node: process["node"].as_str().unwrap_or_default().to_owned(),
                address: process["address"].as_str().unwrap_or_default().to_owned(),
                pid: process["pid"].as_u64(),
            })
            .collect())
    }

    fn apply(&self, manifest: &Value) -> Result<()> {
        let file = self.work_dir().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).with_context(|| format!("write {}", file.display()))?;
        shell::run(self.skep().args(["apply", "-f"]).arg(&file))
    }

    fn object(&self, words: &[&str]) -> Result<Value> {
        let text = shell::output(self.kubectl().arg("get").args(words).args(["-o", "json"]))?;
        serde_json::from_str(&text).with_context(|| format!("read what kubectl printed about {}", words.join(" ")))
    }

    fn logs(&self, pod: &str) -> Result<String> {
        shell::output(self.skep().args(["logs", pod]))
    }

    fn work_dir(&self) -> PathBuf {
        cargo::target_dir().join(format!("demo-{}", self.name))
    }

    fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(format!("/var/lib/skep/sandboxes/{}/kubeconfig", self.name))
    }

    fn sandbox(&self, words: &[&str]) -> Command {
        let mut command = shell::as_root(&self.skep).unwrap_or_else(|_| Command::new(&self.skep));
        let (verb, rest) = words.split_first().unwrap_or((&"status", &[]));
        command.args(["sandbox", verb, "--name", &self.name]).args(rest);
        command
    }

    fn skep(&self) -> Command {
        let mut command = shell::as_root(&self.skep).unwrap_or_else(|_| Command::new(&self.skep));
        command.env("KUBECONFIG", self.kubeconfig());
        command
    }

    fn skep_with(&self, words: &[&str]) -> Command {
        let mut command = self.skep();
        command.args(words);
        command
    }

    fn kubectl(&self) -> Command {
        let mut command = shell::as_root(&self.kubectl).unwrap_or_else(|_| Command::new(&self.kubectl));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }
}

struct Agent {
    node: String,
    address: String,
    pid: Option<u64>,
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The body of the answer to a GET of "/".
fn http_get(target: SocketAddr) -> Result<String> {
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&target, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    if !head.lines().next().is_some_and(|line| line.contains(" 200 ")) {
        bail!("the answer was {head}");
    }
    Ok(body.to_owned())
}
