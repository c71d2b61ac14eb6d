//! `skep apply`: makes objects what the files say, and leaves alone what others set.
//!
//! Merges three ways on this side: what was applied last (kept in an annotation, which kubectl shares), what is to be
//! applied, and what there is. The outcome is sent as a merge patch that holds only if the object has not changed
//! meanwhile; if it has, all is done again.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{DryRun, MakeArguments, create::place};
use crate::client::{
    Connection, ConnectionArguments,
    discovery::{Discovery, ResourceType},
    manifest::{FileArguments, Manifest},
    object, output,
};

mod merge;

/// Where what was applied last is kept.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How often an object may change under our hands before we give up.
const ATTEMPTS_MAX: usize = 5;

/// Create objects from files, or change them to what the files say.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ApplyArguments {
    #[command(flatten)]
    files: FileArguments,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl ApplyArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        if self.files.filename.is_empty() {
            bail!("must specify -f: a file, a directory, or - for standard input");
        }
        let objects = self.files.read()?;
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let mut failures = Vec::new();
        for manifest in objects {
            if let Err(error) = self.apply(&connection, &discovery, manifest).await {
                failures.push(format!("{error:#}"));
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            bail!(failures.join("\n"))
        }
    }

    async fn apply(&self, connection: &Connection, discovery: &Discovery, given: Manifest) -> anyhow::Result<()> {
        let Manifest {
            object: mut wanted,
            source,
        } = given;
        let resource = discovery.of_object(&wanted).with_context(|| source.clone())?;
        if object::name(&wanted).is_empty() {
            bail!(
                "{source}: a {} without metadata.name cannot be applied; `skep create` makes it under a generated name",
                resource.kind
            );
        }
        place(connection, resource, &mut wanted)?;
        remember(&mut wanted)?;
        let (changed, done) = match self.make.dry_run {
            DryRun::Client => (wanted, "configured"),
            DryRun::None | DryRun::Server => self.create_or_change(connection, resource, &wanted, &source).await?,
        };
        output::report(
            resource,
            &changed,
            &format!("{done}{}", self.make.dry_run.remark()),
            self.make.output,
        )
    }

    async fn create_or_change(
        &self,
        connection: &Connection,
        resource: &ResourceType,
        wanted: &Value,
        source: &str,
    ) -> anyhow::Result<(Value, &'static str)> {
        let mut parameters = vec![("fieldManager", "skep-apply".to_owned()), self.make.validate.query()];
        parameters.extend(self.make.dry_run.query());
        let query = object::query(&parameters);
        let path = object::object_path(resource, object::namespace(wanted), object::name(wanted));
        let demanded = object::resource_version(wanted).to_owned();
        for _ in 0..ATTEMPTS_MAX {
            let live = match connection.get_json(&path).await {
                Ok(live) => live,
                Err(error) if error.is_not_found() => {
                    let collection = object::collection_path(resource, Some(object::namespace(wanted)));
                    let created = connection
                        .post(&format!("{collection}{query}"), wanted)
                        .await
                        .map_err(|error| error.while_doing("creating", Some(source)))?;
                    return Ok((created, "created"));
                }
                Err(error) => return Err(error.while_doing("retrieving", Some(source)).into()),
            };
            let mut patch = patch(&live, wanted)?;
            if merge::is_empty(&patch) {
                return Ok((live, "unchanged"));
            }
            let revision = object::resource_version(&live).to_owned();
            // Who applies a version that was read is told if it has changed since; else the newest one is changed.
            let expected = if demanded.is_empty() { &revision } else { &demanded };
            patch["metadata"]["resourceVersion"] = expected.clone().into();
            match connection
                .patch(&format!("{path}{query}"), "application/merge-patch+json", &patch)
                .await
            {
                // What differed were values that the server writes in its own way.
                Ok(changed) if object::resource_version(&changed) == revision => return Ok((changed, "unchanged")),
                Ok(changed) => return Ok((changed, "configured")),
                Err(error) if error.is_conflict() && demanded.is_empty() => {}
                Err(error) => return Err(error.while_doing("patching", Some(source)).into()),
            }
        }
        bail!(
            "{} changed {ATTEMPTS_MAX} times while it was being applied; try again",
            object::name(wanted)
        )
    }
}

/// Writes what is applied into the object's annotation.
fn remember(wanted: &mut Value) -> anyhow::Result<()> {
    if let Some(annotations) = wanted["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    } else {
        // kubectl writes an empty map, too: so both tools agree that nothing changed.
        wanted["metadata"]["annotations"] = json!({});
    }
    let mut text = serde_json::to_string(wanted).context("write what is applied")?;
    text.push('\n');
    wanted["metadata"]["annotations"][LAST_APPLIED] = text.into();
    Ok(())
}

/// The merge patch that makes of what there is what is wanted.
fn patch(live: &Value, wanted: &Value) -> anyhow::Result<Value> {
    let original = match live["metadata"]["annotations"][LAST_APPLIED].as_str() {
        None => {
            eprintln!(
                "Warning: {} was not made by apply; what others set in it stays",
                object::name(live)
            );
            Value::Null
        }
        Some(text) => serde_json::from_str(text).context("read the annotation with what was applied last")?,
    };
    let merged = merge::three_way(&original, wanted, live);
    Ok(merge::difference(live, &merged))
}
