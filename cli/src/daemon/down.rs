//! `skep down`: removes from this host what `skep up` made there, whatever state it is in.
//!
//! Every step is repeatable and looks at what is there, so a removal that was interrupted is completed by the next, and
//! it does not matter how `skep up` ended. Never here: sandboxes, and other nodes of this host.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use rustix::process::Signal;

use super::{
    DATA_DIR,
    agent_arguments::NodeArguments,
    up::{self, Identity, STOP_GRACE},
};
use crate::{
    removal::{self, Removal, mounts},
    supervise::record::Record,
    terminal::Progress,
    whole_file::read_json,
};

/// Two processes, one after the other, each with its time to end in an orderly way; and some to look around.
const END_WITHIN: Duration = STOP_GRACE.saturating_mul(2).saturating_add(Duration::from_secs(5));

/// Stop what `skep up` runs, and remove what it made on this host: pods, links, mounts, control groups, programs.
///
/// The data (objects, certificates, images) stays for the next `skep up`, unless --purge is given. On a node of a larger
/// cluster, removes what `skep agent` made, once it has ended.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DownArguments {
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Name of the node. Default: the one `skep up` has noted in DIR, or this machine's name.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Remove the data, too.
    #[arg(long)]
    purge: bool,
}

impl DownArguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::require_root("removing links, mounts and control groups")?;
        let data_dir = std::path::absolute(&self.data_dir).context("resolve --data-dir")?;
        // The control groups and programs of a node are found by names that a cluster with another data directory may
        // have, too: what is here must be the node's.
        if !data_dir.join(up::IDENTITY).exists() && !data_dir.join(up::AGENT).exists() && !is_agents(&data_dir) {
            eprintln!(
                "{} holds nothing of a cluster of this host: nothing to remove (--data-dir says where it is)",
                data_dir.display()
            );
            return Ok(ExitCode::SUCCESS);
        }
        let progress = Progress::start("Removing the cluster of this host");
        progress.step("ending the processes");
        end_processes(&data_dir)?;
        progress.step("removing pods, links, mounts, control groups and programs");
        let mut removal = Removal::default();
        let node = self.node(&data_dir)?;
        match agent::claim::other_owner(&node.data_dir) {
            // Names of control groups, links and programs are the same for all that could run here, but one at a time.
            Some(other) => eprintln!(
                "The network, pods and programs of this host are those of the agent in {}, and stay",
                other.display()
            ),
            None => removal.attempt("clean up the node", agent::cleanup(&node).map(drop).map_err(Into::into)),
        }
        removal.attempt(
            "undo mounts",
            mounts::unmount_below(&data_dir.join(up::AGENT)).map_err(Into::into),
        );
        // What is left is found by the data; without it nobody could try again.
        if self.purge && removal.is_complete() {
            removal.attempt("remove the data", purge(&data_dir));
        }
        removal.finish("the cluster of this host")?;
        progress.finish(&if self.purge {
            "The cluster of this host is gone, and its data".to_owned()
        } else {
            format!(
                "The cluster of this host is gone; its data stays in {} for the next `skep up` (--purge removes it)",
                data_dir.display()
            )
        });
        Ok(ExitCode::SUCCESS)
    }

    /// The node as the agent of `skep up` knows it.
    fn node(&self, data_dir: &Path) -> anyhow::Result<agent::AgentConfig> {
        let noted = read_json::<Identity>(&data_dir.join(up::IDENTITY))?.map(|identity| identity.node_name);
        let node_name = self.node_name.clone().or(noted);
        let arguments = match is_agents(data_dir) {
            true => NodeArguments::in_directory(data_dir.to_owned(), node_name),
            false => NodeArguments::of_up(data_dir, node_name),
        };
        arguments.config(String::new(), None)
    }
}

/// Whether it is the data directory of a `skep agent`, not that of a `skep up`.
fn is_agents(data_dir: &Path) -> bool {
    data_dir.join(agent::LOCK).exists()
}

/// Asks `skep up` to end, and kills what does not. Returns when no process of it is left.
fn end_processes(data_dir: &Path) -> anyhow::Result<()> {
    // A damaged record names nobody; an agent that runs all the same is found by its lock.
    let Ok(Some(record)) = read_json::<Record>(&data_dir.join(up::RECORD)) else {
        return Ok(());
    };
    if let Some(supervisor) = record.supervisor {
        supervisor.signal(Signal::TERM).context("end `skep up`")?;
    }
    if !record.ends_within(END_WITHIN) {
        record.kill().context("end the processes of `skep up`")?;
    }
    Ok(())
}

/// Removes what `skep up` keeps in its data directory, and nothing else that may be there.
fn purge(data_dir: &Path) -> anyhow::Result<()> {
    let mut files = [up::RECORD, up::LOCK, up::IDENTITY]
        .map(|file| data_dir.join(file))
        .to_vec();
    let kubeconfig = data_dir.join(up::KUBECONFIG);
    if up::is_our_link(&kubeconfig) {
        files.push(kubeconfig);
    }
    removal::remove_files(
        &[up::AGENT, up::SERVER].map(|directory| data_dir.join(directory)),
        &files,
    )?;
    // Sandboxes may be in it, and files of somebody's own.
    let _ = fs::remove_dir(data_dir);
    Ok(())
}
