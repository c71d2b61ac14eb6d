//! `skep sandbox delete`: removes everything that carries the sandbox's name, whatever state it is in.
//!
//! Every step is repeatable and looks at what the kernel has rather than at what was recorded, so a deletion that was
//! interrupted is completed by the next. Touches nothing of another sandbox.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::{
    NameArgument, cgroups, netns,
    registry::{self, RegistryError, Sandbox},
    supervisor, underlay,
};
use crate::{
    daemon::DATA_DIR,
    removal::{self, Removal, mounts},
    terminal::Progress,
    whole_file,
};

/// Remove a sandbox and everything it made.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    name: NameArgument,
    /// Its data directory: only needed when this machine no longer knows the sandbox, as after a reboot.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Succeed if there is no such sandbox.
    #[arg(long)]
    ignore_not_found: bool,
}

impl DeleteArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let _operation = registry::lock_operation(&self.name.name)?;
        let sandbox = match registry::find(&self.name.name) {
            Ok(sandbox) => sandbox,
            Err(error @ (RegistryError::Unknown { .. } | RegistryError::Damaged { .. })) => {
                let is_unknown = matches!(error, RegistryError::Unknown { .. });
                match self.find_in_data_dir()? {
                    Some(sandbox) => sandbox,
                    None if is_unknown && self.ignore_not_found => return Ok(ExitCode::SUCCESS),
                    None => return Err(error.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let progress = Progress::start(&format!("Deleting the sandbox {}", sandbox.name));
        remove_everything(&sandbox, &progress)?;
        progress.finish(&format!("The sandbox {} is gone", sandbox.name));
        Ok(ExitCode::SUCCESS)
    }

    fn find_in_data_dir(&self) -> anyhow::Result<Option<Sandbox>> {
        let Some(data_dir) = &self.data_dir else {
            return Ok(None);
        };
        let data_dir = std::path::absolute(data_dir).with_context(|| format!("resolve {}", data_dir.display()))?;
        Ok(registry::find_in(&data_dir)?.filter(|sandbox| sandbox.name == self.name.name))
    }
}

/// Removes processes, nodes, wires, control groups and files, in this order. Goes on after a failure, and frees the
/// name only if there was none.
pub(super) fn remove_everything(sandbox: &Sandbox, progress: &Progress) -> anyhow::Result<()> {
    let mut removal = Removal::default();
    progress.step("ending the processes");
    removal.attempt("end the recorded processes", kill_recorded(sandbox));
    removal.attempt(
        "end the server",
        cgroups::kill(&sandbox.name.server_cgroup()).map_err(Into::into),
    );
    for number in sandbox.node_numbers() {
        let host = format!("{}/{}", sandbox.name.node_cgroup(number), cgroups::HOST);
        removal.attempt("end the agent", cgroups::kill(&host).map_err(Into::into));
    }
    for number in sandbox.node_numbers() {
        let node = sandbox.name.node(number);
        progress.step(&format!("cleaning up {node}"));
        removal.attempt(&format!("clean up {node}"), clean_node(sandbox, number));
        removal.attempt(
            &format!("end the processes of {node}"),
            cgroups::kill(&sandbox.name.node_cgroup(number)).map_err(Into::into),
        );
    }
    progress.step("removing wires, control groups and files");
    removal.attempt(
        "undo mounts",
        mounts::unmount_below(&sandbox.data_dir).map_err(Into::into),
    );
    let wires = super::runtime().and_then(|runtime| runtime.block_on(underlay::remove(sandbox)).map_err(Into::into));
    removal.attempt("remove wires", wires);
    for group in sandbox
        .node_numbers()
        .map(|number| sandbox.name.node_cgroup(number))
        .chain([sandbox.name.server_cgroup()])
    {
        removal.attempt("remove control groups", cgroups::remove(&group).map_err(Into::into));
    }
    removal.attempt("remove files", remove_files(sandbox));
    removal.finish(&format!("the sandbox {}", sandbox.name))?;
    registry::remove(sandbox)?;
    if sandbox.made_data_dir {
        // Somebody may keep files of their own in it.
        let _ = fs::remove_dir(&sandbox.data_dir);
    }
    // The directories of all sandboxes go with the last one.
    for shared in sandbox
        .data_dir
        .ancestors()
        .skip(1)
        .take_while(|directory| directory.starts_with(DATA_DIR))
    {
        let _ = fs::remove_dir(shared);
    }
    Ok(())
}

fn kill_recorded(sandbox: &Sandbox) -> anyhow::Result<()> {
    // A damaged record is no obstacle: the control groups know the processes too.
    let Ok(record) = sandbox.processes() else {
        return Ok(());
    };
    Ok(record.kill()?)
}

/// Has the agent's own code remove what an agent makes: pods, their mounts and namespaces, pins.
fn clean_node(sandbox: &Sandbox, number: u16) -> anyhow::Result<()> {
    let config = agent::AgentConfig {
        server: sandbox.server_url(),
        token: None,
        node_name: sandbox.name.node(number),
        data_dir: sandbox.node_dir(number),
        node_ip: Some(sandbox.node_address(number).into()),
        cgroup_root: sandbox.name.node_cgroup(number),
        socket_cgroup: None,
        bpffs: sandbox.bpf_dir(number),
        labels: std::collections::BTreeMap::new(),
    };
    if !config.data_dir.exists() {
        return Ok(());
    }
    let namespace = netns::path(&config.node_name);
    if namespace.exists() {
        netns::within(&namespace, move || agent::cleanup(&config).map(drop))??;
    } else {
        agent::cleanup(&config)?;
    }
    Ok(())
}

/// Removes what a sandbox keeps in its data directory, and nothing else that may be there.
fn remove_files(sandbox: &Sandbox) -> anyhow::Result<()> {
    let (directories, mut files) = own_files(sandbox);
    let copy = sandbox.data_dir.join(registry::COPY);
    let staged: Vec<PathBuf> = files
        .iter()
        .chain([&copy])
        .flat_map(|file| whole_file::staged(file))
        .collect();
    files.extend(staged);
    removal::remove_files(&directories, &files)
}

/// The directories and files that a sandbox has in its data directory.
pub(super) fn own_files(sandbox: &Sandbox) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut directories: Vec<PathBuf> = sandbox.node_numbers().map(|number| sandbox.node_dir(number)).collect();
    directories.extend([sandbox.server_dir(), sandbox.log_dir()]);
    let files = [registry::RECORD, supervisor::LOCK, "kubeconfig"].map(|file| sandbox.data_dir.join(file));
    (directories, files.into())
}
