//! `skep image`: the images of this node.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use agent::image::{ImageStore, ImportedImage};
use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use crate::{
    client::output::{self, Format},
    daemon::DATA_DIR,
    terminal::{self, Progress, TextTable},
};

/// The images of this node.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ImageCommand {
    /// Take images from archives: OCI layouts, or what `docker save` writes.
    Import(ImportArguments),
    /// List the images.
    #[command(visible_alias = "ls")]
    List(ListArguments),
}

#[derive(Debug, Clone, clap::Args)]
struct NodeDirectory {
    /// Data directory of the node's agent.
    #[arg(long, value_name = "DIR", default_value_os_t = Path::new(DATA_DIR).join("agent"))]
    data_dir: PathBuf,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ImportArguments {
    #[arg(value_name = "IMAGE.tar", required = true)]
    archives: Vec<PathBuf>,
    /// Name of the image instead of the one in the archive; for an archive with one image.
    #[arg(long = "as", value_name = "REFERENCE")]
    reference: Option<String>,
    #[command(flatten)]
    node: NodeDirectory,
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArguments {
    /// Form: wide, json or yaml.
    #[arg(short, long)]
    output: Option<Format>,
    #[command(flatten)]
    node: NodeDirectory,
}

impl ImageCommand {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Import(arguments) => arguments.run(),
            Self::List(arguments) => arguments.run(),
        }
    }
}

impl ImportArguments {
    fn run(&self) -> anyhow::Result<ExitCode> {
        // Before an agent's first start its directory is empty or not there.
        let data_dir = &self.node.data_dir;
        if !has_images(data_dir) && std::fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(no_images(data_dir));
        }
        for archive in &self.archives {
            let progress = Progress::start(&format!("Importing {}", archive.display()));
            let imported = import(&self.node.data_dir, archive, self.reference.as_deref(), &progress)?;
            progress.finish(&imported.iter().map(sentence).collect::<Vec<_>>().join("\n"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn has_images(data_dir: &Path) -> bool {
    data_dir.join("images").exists()
}

fn no_images(data_dir: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} holds no images; is it the data directory of an agent (--data-dir)? That of `skep up` is in its directory \
         `agent`",
        data_dir.display()
    )
}

/// Gives an archive's images to the node with this data directory, whether its agent runs or not.
pub(crate) fn import(
    data_dir: &Path,
    archive: &Path,
    reference: Option<&str>,
    progress: &Progress,
) -> anyhow::Result<Vec<ImportedImage>> {
    let store = ImageStore::open(data_dir)?;
    let imported = store.import(archive, reference, &mut |done| {
        if done.bytes_total > 0 {
            progress.quick_step(&format!("{} of {}", size(done.bytes_done), size(done.bytes_total)));
        }
    });
    imported.with_context(|| format!("import {}", archive.display()))
}

/// What an import brought, for people.
pub(crate) fn sentence(image: &ImportedImage) -> String {
    format!(
        "{} ({}, {} of {} layers new)",
        image.names.join(", "),
        size(image.size_bytes),
        image.layers_new,
        image.layers
    )
}

impl ListArguments {
    fn run(&self) -> anyhow::Result<ExitCode> {
        if !has_images(&self.node.data_dir) {
            return Err(no_images(&self.node.data_dir));
        }
        let images = ImageStore::open(&self.node.data_dir)?.list()?;
        if let Some(format @ (Format::Json | Format::Yaml)) = self.output {
            let document = images.iter().map(|image| {
                json!({
                    "id": image.id,
                    "names": image.names,
                    "digest": image.manifest_digest,
                    "sizeBytes": image.size_bytes,
                    "imported": image.imported_at,
                    "layers": image.diff_ids,
                })
            });
            output::print_document(&document.collect(), format)?;
            return Ok(ExitCode::SUCCESS);
        }
        let wide = self.output == Some(Format::Wide);
        let mut table = TextTable::new(&["IMAGE", "ID", "SIZE", "LAYERS", "IMPORTED"]);
        let now = jiff::Timestamp::now();
        for image in &images {
            const ID_SHOWN: usize = 19; // "sha256:" and twelve digits.
            let id = if wide {
                image.id.as_str()
            } else {
                image.id.get(..ID_SHOWN).unwrap_or(&image.id)
            };
            let names = if image.names.is_empty() {
                vec!["<none>".to_owned()]
            } else {
                image.names.clone()
            };
            for name in names {
                let imported = terminal::age(image.imported_at, now);
                table.row(vec![
                    name,
                    id.to_owned(),
                    size(image.size_bytes),
                    image.diff_ids.len().to_string(),
                    imported,
                ]);
            }
        }
        out!("{table}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Bytes in the largest unit that leaves a whole number in front.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_readable() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_572_864, "1.5 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
