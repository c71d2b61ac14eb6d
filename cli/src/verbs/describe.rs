//! `skep describe`: an object in detail, with its events.

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::Value;

use super::SelectorArguments;
use crate::{
    client::{
        Connection, ConnectionArguments,
        discovery::{Discovery, ResourceType},
        manifest::{FileArguments, Manifest},
        object, targets,
    },
    terminal::{self, TextTable},
};

mod controllers;
mod node;
mod pages;
mod pod;
mod service;

use pages::Page;

/// Show one object or several in detail, with their events.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DescribeArguments {
    /// `TYPE`, `TYPE NAME…` or `TYPE/NAME…`.
    #[arg(value_name = "TYPE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArguments,
    #[command(flatten)]
    selector: SelectorArguments,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl DescribeArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let mut failures = Vec::new();
        let found = self.find(&connection, &discovery, &mut failures).await?;
        if found.is_empty() && failures.is_empty() {
            eprintln!("No resources found in {} namespace.", connection.namespace());
        }
        for (index, (resource, described)) in found.iter().enumerate() {
            if index > 0 {
                outln!("\n");
            }
            out!("{}", describe(&connection, resource, described).await?);
        }
        if failures.is_empty() {
            Ok(())
        } else {
            bail!(failures.join("\n"))
        }
    }

    /// What is not there is a failure; the other objects are described all the same.
    async fn find<'a>(
        &self,
        connection: &Connection,
        discovery: &'a Discovery,
        failures: &mut Vec<String>,
    ) -> anyhow::Result<Vec<(&'a ResourceType, Value)>> {
        let mut found = Vec::new();
        let mut named = Vec::new();
        if !self.files.filename.is_empty() {
            for Manifest { object: given, source } in self.files.read()? {
                let resource = discovery.of_object(&given).with_context(|| source.clone())?;
                let own = object::namespace(&given);
                let namespace = if own.is_empty() { connection.namespace() } else { own };
                named.push((resource, object::object_path(resource, namespace, object::name(&given))));
            }
        } else {
            for target in targets::parse(discovery, &self.words)? {
                let resource = target.resource;
                if let Some(name) = target.name {
                    named.push((resource, object::object_path(resource, connection.namespace(), &name)));
                    continue;
                }
                let namespace = (!self.all_namespaces).then(|| connection.namespace());
                let path = object::collection_path(resource, namespace);
                let list = connection
                    .get_json(&format!("{path}{}", object::query(&self.selector.query())))
                    .await?;
                found.extend(
                    object::items(&list["items"])
                        .iter()
                        .map(|item| (resource, item.clone())),
                );
            }
        }
        for (resource, path) in named {
            match connection.get_json(&path).await {
                Ok(described) => found.push((resource, described)),
                Err(error) if error.is_not_found() => failures.push(error.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

async fn describe(connection: &Connection, resource: &ResourceType, described: &Value) -> anyhow::Result<Page> {
    let now = Timestamp::now();
    let mut page = Page::new();
    page.heading(described);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod::describe(&mut page, described),
        ("", "Node") => {
            let selector = format!("spec.nodeName={}", object::name(described));
            let query = object::query(&[("fieldSelector", selector)]);
            let pods = connection.get_json(&format!("/api/v1/pods{query}")).await?;
            node::describe(&mut page, described, object::items(&pods["items"]), now);
        }
        ("", "Service") => {
            let path = format!(
                "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
                object::namespace(described)
            );
            let query = object::query(&[(
                "labelSelector",
                format!("kubernetes.io/service-name={}", object::name(described)),
            )]);
            let slices = connection.get_json(&format!("{path}{query}")).await?;
            service::describe(&mut page, described, object::items(&slices["items"]));
        }
        ("apps", "Deployment") => {
            let sets = owned(connection, "/apis/apps/v1", "replicasets", described).await?;
            controllers::describe_deployment(&mut page, described, &sets);
        }
        ("apps", "ReplicaSet") => {
            let pods = owned(connection, "/api/v1", "pods", described).await?;
            controllers::describe_replica_set(&mut page, described, &pods);
        }
        ("", "Secret") => {
            page.field(0, "Type", &object::text(&described["type"]));
            page.sizes("Data", &described["data"]);
        }
        ("", "ConfigMap") => {
            page.texts("Data", &described["data"]);
            page.sizes("BinaryData", &described["binaryData"]);
        }
        _ => page.rest(described),
    }
    page.events(&events_of(connection, described).await?, now);
    Ok(page)
}

/// Objects whose controller is this one.
async fn owned(connection: &Connection, root: &str, plural: &str, owner: &Value) -> anyhow::Result<Vec<Value>> {
    let selector = object::pairs(&owner["spec"]["selector"]["matchLabels"]).join(",");
    let query = object::query(&[("labelSelector", selector)]);
    let list = connection
        .get_json(&format!(
            "{root}/namespaces/{}/{plural}{query}",
            object::namespace(owner)
        ))
        .await?;
    let is_owned = |item: &&Value| {
        object::items(&item["metadata"]["ownerReferences"])
            .iter()
            .any(|reference| reference["uid"] == owner["metadata"]["uid"])
    };
    Ok(object::items(&list["items"]).iter().filter(is_owned).cloned().collect())
}

async fn events_of(connection: &Connection, described: &Value) -> anyhow::Result<Vec<Value>> {
    let uid = object::uid(described);
    let mut selector = format!("involvedObject.name={}", object::name(described));
    if !uid.is_empty() {
        selector.push_str(&format!(",involvedObject.uid={uid}"));
    }
    let query = object::query(&[("fieldSelector", selector)]);
    // Events about what has no namespace are kept in "default".
    let namespace = match object::namespace(described) {
        "" => "default",
        namespace => namespace,
    };
    let list = connection
        .get_json(&format!("/api/v1/namespaces/{namespace}/events{query}"))
        .await?;
    let mut events = object::items(&list["items"]).to_vec();
    events.sort_by_key(pages::time_of_event);
    Ok(events)
}

/// How long ago a time in an object is; "<unknown>" if it is none.
fn ago(time: &Value, now: Timestamp) -> String {
    let parsed = time.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    parsed.map_or_else(|| "<unknown>".to_owned(), |time| terminal::age(time, now))
}

/// A table, moved in by blanks.
fn indented(table: &TextTable, blanks: usize) -> String {
    let margin = " ".repeat(blanks);
    table
        .to_string()
        .lines()
        .map(|line| format!("{margin}{}\n", line.trim_end()))
        .collect()
}
