//! `skep sandbox create`: makes the wires, starts the processes, waits for the nodes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use kube::config::Kubeconfig;

use super::{
    NameArgument, control_socket, delete, interruption,
    name::SandboxName,
    registry::{self, Sandbox},
    supervisor, underlay,
};
use crate::{
    client::{Connection, ConnectionArguments},
    daemon::{API_PORT, server_arguments::parse_grace},
    supervise::record::Phase,
    terminal::Progress,
    whole_file,
};

/// Most nodes of a sandbox: their addresses are 11 to 210 of a /24, and more would not fit a machine anyway.
const NODES_MAX: u16 = 200;
/// Where a sandbox's data goes unless --data-dir says otherwise.
const DATA_DIR: &str = "/var/lib/skep/sandboxes";
/// How often the cluster is looked at while it comes up.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// A process that was restarted this often does not come up by itself: its log is shown.
const RESTARTS_TELLING: u32 = 3;

/// Make a cluster and wait until its nodes are ready.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    name: NameArgument,
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=i64::from(NODES_MAX)))]
    nodes: u16,
    /// Where everything is kept; the kubeconfig is DIR/kubeconfig. Default: /var/lib/skep/sandboxes/NAME.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The server's port, on the bridge's address.
    #[arg(long, default_value_t = API_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// How long a node may be silent before it is marked as not ready; at least 1s.
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = parse_grace)]
    node_grace_period: Duration,
    /// How long pods stay on a node that is not ready, unless they say otherwise.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    not_ready_toleration: Duration,
    /// How long the nodes may take to become ready.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

impl CreateArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let _operation = registry::lock_operation(&self.name.name)?;
        interruption::explain(self.name.name.clone())?;
        let progress = Progress::start(&format!("Creating the sandbox {}", self.name.name));
        let sandbox = self.claim()?;
        if let Err(error) = self.build(&sandbox, &progress) {
            // Nothing runs yet, so there is nothing to look at: leave no half of a sandbox.
            if let Err(leftover) = delete::remove_everything(&sandbox, &Progress::silent()) {
                eprintln!(
                    "could not undo all of it: {leftover:#}; `skep sandbox delete --name {}` tries again",
                    sandbox.name
                );
            }
            return Err(error);
        }
        self.wait(&sandbox, &progress).with_context(|| {
            format!(
                "the sandbox {name} does not come up; its logs are in {logs}; `skep sandbox delete --name {name}` removes it",
                name = sandbox.name,
                logs = sandbox.log_dir().display()
            )
        })?;
        let nodes = if sandbox.nodes == 1 {
            "1 node".to_owned()
        } else {
            format!("{} nodes", sandbox.nodes)
        };
        progress.finish(&format!(
            "The sandbox {} is ready: {nodes}, server {}",
            sandbox.name,
            sandbox.server_url()
        ));
        eprintln!("Use it with:  export KUBECONFIG={}", sandbox.kubeconfig().display());
        outln!("{}", sandbox.kubeconfig().display());
        Ok(ExitCode::SUCCESS)
    }

    /// Reserves the name and a range of addresses.
    fn claim(&self) -> anyhow::Result<Sandbox> {
        let name = self.name.name.clone();
        let data_dir = self
            .data_dir
            .clone()
            .unwrap_or_else(|| Path::new(DATA_DIR).join(name.as_str()));
        let data_dir = std::path::absolute(&data_dir).with_context(|| format!("resolve {}", data_dir.display()))?;
        if let Some(other) = registry::find_in(&data_dir)? {
            return Err(occupied(&data_dir, &other.name));
        }
        let held = registry::lock()?;
        registry::check_free(&held, &name)?;
        // The range of a damaged entry is known from its bridge's routes.
        let others = registry::all()?.sandboxes;
        if let Some(other) = others
            .iter()
            .find(|other| other.data_dir == data_dir && other.name != name)
        {
            return Err(occupied(&data_dir, &other.name));
        }
        let taken: Vec<_> = others.iter().map(|other| other.subnet).collect();
        let subnet = super::runtime()?.block_on(underlay::choose_range(name.digest(), &taken))?;
        let sandbox = Sandbox {
            name,
            nodes: self.nodes,
            made_data_dir: !data_dir.exists(),
            data_dir,
            subnet,
            api_port: self.port,
            skep: own_program()?,
            node_grace_period_ms: whole_milliseconds(self.node_grace_period),
            not_ready_toleration_ms: whole_milliseconds(self.not_ready_toleration),
            created: Timestamp::now(),
        };
        // Before the sandbox is known: whatever carries its names later is its own, and deletion removes it.
        check_files(&sandbox)?;
        super::runtime()?.block_on(underlay::check_free(&sandbox))?;
        registry::add(&held, &sandbox)?;
        Ok(sandbox)
    }

    /// Makes what the processes need, and starts them.
    fn build(&self, sandbox: &Sandbox, progress: &Progress) -> anyhow::Result<()> {
        for directory in [sandbox.data_dir.clone(), sandbox.log_dir(), sandbox.server_dir()] {
            fs::create_dir_all(&directory).with_context(|| format!("create {}", directory.display()))?;
        }
        registry::write_copy(sandbox)?;
        let runtime = super::runtime()?;
        progress.step("laying the wires");
        runtime.block_on(underlay::create_bridge(sandbox))?;
        for number in sandbox.node_numbers() {
            runtime.block_on(underlay::create_node(sandbox, number))?;
            fs::create_dir_all(sandbox.node_dir(number))
                .with_context(|| format!("create {}", sandbox.node_dir(number).display()))?;
        }
        progress.step("starting the processes");
        supervisor::ensure(sandbox)
    }

    fn wait(&self, sandbox: &Sandbox, progress: &Progress) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.timeout;
        progress.step("waiting for the server");
        let written = sandbox.server_dir().join("kubeconfig");
        while !written.exists() {
            look_again(sandbox, deadline, "the server has not written its kubeconfig")?;
        }
        publish_kubeconfig(sandbox, &written)?;
        super::runtime()?.block_on(async {
            let connection = ConnectionArguments::for_kubeconfig(&sandbox.kubeconfig())
                .connect()
                .await?;
            loop {
                let ready = ready_nodes(&connection).await;
                let summary = match &ready {
                    Ok(ready) => format!("{ready} of {} nodes are ready", sandbox.nodes),
                    Err(error) => format!("the server does not answer yet: {error:#}"),
                };
                if ready.is_ok_and(|ready| ready >= usize::from(sandbox.nodes)) {
                    return Ok(());
                }
                progress.step(&summary);
                look_again(sandbox, deadline, &summary)?;
            }
        })
    }
}

/// Waits a moment, or fails when there is no time left or a process keeps dying.
fn look_again(sandbox: &Sandbox, deadline: Instant, situation: &str) -> anyhow::Result<()> {
    let state = control_socket::status(sandbox)?.checked();
    if let Some(failing) = state
        .processes
        .iter()
        .find(|entry| entry.restarts >= RESTARTS_TELLING && entry.phase != Phase::Running)
    {
        bail!(
            "{} keeps ending; its log ends with\n{}",
            failing.unit,
            supervisor::log_tail(sandbox, &failing.unit)
        );
    }
    if Instant::now() > deadline {
        bail!("timed out: {situation}{}", hint_about_bridge_filtering());
    }
    std::thread::sleep(LOOK_INTERVAL);
    Ok(())
}

async fn ready_nodes(connection: &Connection) -> anyhow::Result<usize> {
    let nodes = connection.get_json("/api/v1/nodes").await?;
    let items = nodes["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_ready = |node: &&serde_json::Value| {
        let conditions = node["status"]["conditions"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
    };
    Ok(items.iter().filter(is_ready).count())
}

/// The server's kubeconfig, with this sandbox's name on everything, so that several can be merged.
fn publish_kubeconfig(sandbox: &Sandbox, written: &Path) -> anyhow::Result<()> {
    let mut config = Kubeconfig::read_from(written).with_context(|| format!("read {}", written.display()))?;
    let name = sandbox.name.to_string();
    for cluster in &mut config.clusters {
        cluster.name.clone_from(&name);
    }
    for user in &mut config.auth_infos {
        user.name.clone_from(&name);
    }
    for context in &mut config.contexts {
        context.name.clone_from(&name);
        if let Some(context) = &mut context.context {
            context.cluster.clone_from(&name);
            context.user = Some(name.clone());
        }
    }
    config.current_context = Some(name);
    let text = serde_yaml_ng::to_string(&config).context("write the kubeconfig as YAML")?;
    let path = sandbox.kubeconfig();
    whole_file::write(&path, text.as_bytes(), 0o600).with_context(|| format!("write {}", path.display()))
}

/// Nothing is where the sandbox will have its files.
fn check_files(sandbox: &Sandbox) -> anyhow::Result<()> {
    let (directories, files) = delete::own_files(sandbox);
    match directories
        .iter()
        .chain(&files)
        .find(|path| path.symlink_metadata().is_ok())
    {
        None => Ok(()),
        Some(path) => bail!(
            "{} exists already and is not this sandbox's: move it away, or choose another --data-dir",
            path.display()
        ),
    }
}

fn occupied(data_dir: &Path, name: &SandboxName) -> anyhow::Error {
    anyhow::anyhow!(
        "{} holds the sandbox {name}: delete it with `skep sandbox delete --name {name} --data-dir {}`, or choose another --data-dir",
        data_dir.display(),
        data_dir.display()
    )
}

/// The program we are. A process that was rebuilt under us is found under its name without the kernel's mark.
fn own_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find the skep binary")?;
    let text = program.to_string_lossy();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(path) => PathBuf::from(path),
        None => program,
    })
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Some tools make bridged packets pass through the host's packet filter, whose rules then decide for our nodes.
fn hint_about_bridge_filtering() -> &'static str {
    let setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if fs::read_to_string(setting).is_ok_and(|value| value.trim() == "1") {
        "; this machine's packet filter sees packets between nodes (/proc/sys/net/bridge/bridge-nf-call-iptables is 1) \
         and may be dropping them"
    } else {
        ""
    }
}
