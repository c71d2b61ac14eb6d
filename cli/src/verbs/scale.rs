//! `skep scale`.

use anyhow::bail;
use serde_json::{Value, json};

use super::SelectorArguments;
use crate::client::{
    ConnectionArguments,
    discovery::{Discovery, ResourceType},
    object,
    output::{self, Format},
    targets,
};

/// Set the number of replicas.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ScaleArguments {
    /// `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(value_name = "TYPE NAME", required = true)]
    words: Vec<String>,
    #[arg(long)]
    replicas: u32,
    /// Only if there are this many now.
    #[arg(long)]
    current_replicas: Option<u32>,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    selector: SelectorArguments,
    /// Form of the output: name, json or yaml.
    #[arg(short, long)]
    output: Option<Format>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl ScaleArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let mut found: Vec<(&ResourceType, String)> = Vec::new();
        for target in targets::parse(&discovery, &self.words)? {
            match target.name {
                Some(name) => found.push((target.resource, name)),
                None if self.all || !self.selector.is_empty() => {
                    let path = object::collection_path(target.resource, Some(connection.namespace()));
                    let list = connection
                        .get_json(&format!("{path}{}", object::query(&self.selector.query())))
                        .await?;
                    found.extend(
                        object::items(&list["items"])
                            .iter()
                            .map(|item| (target.resource, object::name(item).to_owned())),
                    );
                }
                None => bail!("name what to scale, or use --all or -l"),
            }
        }
        if found.is_empty() {
            bail!("no objects passed to scale");
        }
        for (resource, name) in found {
            let path = format!("{}/scale", object::object_path(resource, connection.namespace(), &name));
            let mut patch = json!({"spec": {"replicas": self.replicas}});
            if let Some(expected) = self.current_replicas {
                let scale = connection.get_json(&path).await?;
                let current = scale["spec"]["replicas"].as_u64().unwrap_or_default();
                if current != u64::from(expected) {
                    bail!("Expected replicas to be {expected}, was {current}");
                }
                // Not if somebody changed it since.
                patch["metadata"] = json!({"resourceVersion": object::resource_version(&scale)});
            }
            let scaled: Value = connection.patch(&path, "application/merge-patch+json", &patch).await?;
            output::report(resource, &scaled, "scaled", self.output)?;
        }
        Ok(())
    }
}
