//! `skep scale`.

use anyhow::bail;
use serde_json::{Value, json};

use super::SelectorArguments;
use crate::client::{
    Connection, ConnectionArguments,
    discovery::{Discovery, ResourceType},
    object,
    output::{self, Format},
    targets,
};

const MERGE_PATCH: &str = "application/merge-patch+json";
/// How often an object may change under our hands before we give up.
const ATTEMPTS_MAX: usize = 5;

/// Set the number of replicas.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ScaleArguments {
    /// `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(value_name = "TYPE NAME", required = true)]
    words: Vec<String>,
    /// How many, between 0 and 2147483647.
    #[arg(long, value_parser = super::parse_replicas)]
    replicas: u32,
    /// Only if there are this many now.
    #[arg(long, value_parser = super::parse_replicas)]
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
            let scaled = self.set(&connection, &path).await?;
            output::report(resource, &scaled, "scaled", self.output)?;
        }
        Ok(())
    }

    /// Sets the number. What `--current-replicas` says is checked again when the object changes meanwhile.
    async fn set(&self, connection: &Connection, path: &str) -> anyhow::Result<Value> {
        let mut patch = json!({"spec": {"replicas": self.replicas}});
        let Some(expected) = self.current_replicas else {
            return Ok(connection.patch(path, MERGE_PATCH, &patch).await?);
        };
        for _ in 0..ATTEMPTS_MAX {
            let scale = connection.get_json(path).await?;
            let current = scale["spec"]["replicas"].as_u64().unwrap_or_default();
            if current != u64::from(expected) {
                bail!("Expected replicas to be {expected}, was {current}");
            }
            patch["metadata"] = json!({"resourceVersion": object::resource_version(&scale)});
            match connection.patch(path, MERGE_PATCH, &patch).await {
                Err(error) if error.is_conflict() => {}
                outcome => return Ok(outcome?),
            }
        }
        bail!("it changed {ATTEMPTS_MAX} times while it was being scaled; try again")
    }
}
