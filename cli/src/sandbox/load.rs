//! `skep sandbox load`: gives images to every node of a sandbox.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::{NameArgument, registry};
use crate::terminal::Progress;

/// Give images to all nodes.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArguments {
    #[command(flatten)]
    name: NameArgument,
    /// Only to this node. May be repeated.
    #[arg(long)]
    node: Vec<String>,
    /// Archives of images: OCI layouts, or what `docker save` writes.
    #[arg(value_name = "IMAGE.tar", required = true)]
    archives: Vec<PathBuf>,
}

impl LoadArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        super::require_root()?;
        let sandbox = registry::find(&self.name.name)?;
        for node in &self.node {
            super::supervisor::place_of(&sandbox, node)?;
        }
        let numbers: Vec<u16> = sandbox
            .node_numbers()
            .filter(|number| self.node.is_empty() || self.node.contains(&sandbox.name.node(*number)))
            .collect();
        for archive in &self.archives {
            let progress = Progress::start(&format!("Loading {}", archive.display()));
            let mut images = Vec::new();
            for number in &numbers {
                let node = sandbox.name.node(*number);
                progress.step(&node);
                images = crate::image::import(&sandbox.node_dir(*number), archive, None, &progress)
                    .with_context(|| format!("load on {node}"))?;
            }
            for image in &images {
                let names = image.names.join(", ");
                progress.finish(&format!("{names} is on {} of {} nodes", numbers.len(), sandbox.nodes));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
