//! `skep delete`.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use serde_json::{Value, json};

use super::SelectorArguments;
use crate::client::{
    Connection, ConnectionArguments,
    discovery::{Discovery, ResourceType},
    manifest::{FileArguments, Manifest},
    object, targets, watch,
};

/// Delete objects.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DeleteArguments {
    /// `TYPE NAME…` or `TYPE/NAME…`; `TYPE` with -l or --all.
    #[arg(value_name = "TYPE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArguments,
    /// All objects of the type.
    #[arg(long)]
    all: bool,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    selector: SelectorArguments,
    /// Succeed if an object is not there.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false")]
    ignore_not_found: bool,
    /// Seconds that pods have to end.
    #[arg(long, value_name = "SECONDS")]
    grace_period: Option<u32>,
    /// Pods at once, as `--grace-period=1`.
    #[arg(long)]
    now: bool,
    /// With --grace-period=0: remove pods without waiting for their node.
    #[arg(long)]
    force: bool,
    /// Wait until the objects are gone.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// What becomes of what the objects own: background, foreground or orphan.
    #[arg(long, default_value = "background")]
    cascade: Cascade,
    /// `name` prints only TYPE/NAME.
    #[arg(short, long)]
    output: Option<crate::client::output::Format>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Cascade {
    Background,
    Foreground,
    Orphan,
}

struct Doomed<'a> {
    resource: &'a ResourceType,
    namespace: String,
    name: String,
    /// The file that names it.
    source: Option<String>,
}

impl DeleteArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let doomed = self.find(&connection, &discovery).await?;
        if doomed.is_empty() && self.files.filename.is_empty() {
            outln!("No resources found");
            return Ok(());
        }
        let options = self.options()?;
        let mut failures = Vec::new();
        let mut going = Vec::new();
        for target in doomed {
            let path = object::object_path(target.resource, &target.namespace, &target.name);
            match connection.delete(&path, &options).await {
                Ok(answer) => {
                    self.say(&target);
                    going.push((target, uid_in(&answer)));
                }
                Err(error) if error.is_not_found() && self.ignore_not_found => {}
                Err(error) => {
                    let error = error.while_doing("deleting", target.source.as_deref());
                    failures.push(error.to_string());
                }
            }
        }
        if self.wait {
            let waiting = async {
                for (target, uid) in &going {
                    wait_until_gone(&connection, target, uid).await?;
                }
                anyhow::Ok(())
            };
            match self.timeout {
                None => waiting.await?,
                Some(timeout) => match tokio::time::timeout(timeout, waiting).await {
                    Ok(outcome) => outcome?,
                    Err(_) => bail!(
                        "timed out waiting for the objects to be gone; they still have finalizers, or pods that end"
                    ),
                },
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            bail!(failures.join("\n"))
        }
    }

    async fn find<'a>(&self, connection: &Connection, discovery: &'a Discovery) -> anyhow::Result<Vec<Doomed<'a>>> {
        let mut doomed = Vec::new();
        if !self.files.filename.is_empty() {
            for Manifest { object: given, source } in self.files.read()? {
                let own = object::namespace(&given);
                doomed.push(Doomed {
                    resource: discovery.of_object(&given).with_context(|| source.clone())?,
                    namespace: if own.is_empty() { connection.namespace() } else { own }.to_owned(),
                    name: object::name(&given).to_owned(),
                    source: Some(source),
                });
            }
            return Ok(doomed);
        }
        for target in targets::parse(discovery, &self.words)? {
            let resource = target.resource;
            if let Some(name) = target.name {
                if self.all {
                    bail!("a name and --all cannot be given together");
                }
                doomed.push(Doomed {
                    resource,
                    namespace: connection.namespace().to_owned(),
                    name,
                    source: None,
                });
                continue;
            }
            if !self.all && self.selector.is_empty() {
                bail!("resource(s) were provided, but no name was specified: name the objects, or use -l or --all");
            }
            let namespace = (!self.all_namespaces).then(|| connection.namespace());
            let path = object::collection_path(resource, namespace);
            let list = connection
                .get_json(&format!("{path}{}", object::query(&self.selector.query())))
                .await?;
            doomed.extend(object::items(&list["items"]).iter().map(|item| Doomed {
                resource,
                namespace: object::namespace(item).to_owned(),
                name: object::name(item).to_owned(),
                source: None,
            }));
        }
        Ok(doomed)
    }

    fn options(&self) -> anyhow::Result<Value> {
        let grace = match (self.grace_period, self.now, self.force) {
            (Some(_), true, _) => bail!("--now and --grace-period cannot be given together"),
            (Some(0), _, false) => Some(1),
            (Some(seconds), _, _) => Some(seconds),
            (None, true, _) => Some(1),
            (None, false, true) => Some(0),
            (None, false, false) => None,
        };
        let policy = match self.cascade {
            Cascade::Background => "Background",
            Cascade::Foreground => "Foreground",
            Cascade::Orphan => "Orphan",
        };
        let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
        if let Some(seconds) = grace {
            options["gracePeriodSeconds"] = seconds.into();
        }
        Ok(options)
    }

    fn say(&self, target: &Doomed<'_>) {
        let kind = target.resource.singular_with_group();
        if self.output == Some(crate::client::output::Format::Name) {
            outln!("{kind}/{}", target.name);
            return;
        }
        let forced = if self.force { "force " } else { "" };
        let place = if target.resource.namespaced {
            format!(" from {} namespace", target.namespace)
        } else {
            String::new()
        };
        outln!("{kind} {:?} {forced}deleted{place}", target.name);
    }
}

/// The uid in the answer to a deletion: of the object, or in the details of a Status.
fn uid_in(answer: &Value) -> String {
    let own = object::uid(answer);
    if own.is_empty() {
        object::text(&answer["details"]["uid"])
    } else {
        own.to_owned()
    }
}

/// Returns once the object is gone, or another one has its name.
async fn wait_until_gone(connection: &Connection, target: &Doomed<'_>, uid: &str) -> anyhow::Result<()> {
    let path = object::collection_path(target.resource, Some(&target.namespace));
    let parameters = [("fieldSelector", format!("metadata.name={}", target.name))];
    loop {
        let list = connection
            .get_json(&format!("{path}{}", object::query(&parameters)))
            .await?;
        let is_there = object::items(&list["items"])
            .iter()
            .any(|item| uid.is_empty() || object::uid(item) == uid);
        if !is_there {
            return Ok(());
        }
        let revision = object::resource_version(&list).to_owned();
        let mut events = watch::watch(connection, &path, &parameters, &revision, "application/json").await?;
        while let Some(event) = events.next().await {
            if event?.kind == "DELETED" {
                return Ok(());
            }
        }
    }
}
