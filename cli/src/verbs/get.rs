//! `skep get`.

use anyhow::bail;
use futures::StreamExt;
use serde_json::Value;

use super::SelectorArguments;
use crate::client::{
    Connection, ConnectionArguments,
    discovery::{Discovery, ResourceType},
    manifest::{FileArguments, Manifest},
    object,
    output::{self, Format},
    table::{self, Layout, TablePrinter},
    targets::{self, Target},
    watch::{self, WatchEvent},
};

/// Show objects.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct GetArguments {
    /// `TYPE`, `TYPE NAME…` or `TYPE/NAME…`; several types are separated by commas.
    #[arg(value_name = "TYPE [NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArguments,
    /// Form: wide, json, yaml or name.
    #[arg(short, long)]
    output: Option<Format>,
    /// Then show every change.
    #[arg(short, long)]
    watch: bool,
    /// Show only changes from now on.
    #[arg(long)]
    watch_only: bool,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    selector: SelectorArguments,
    /// No headings.
    #[arg(long)]
    no_headers: bool,
    /// All labels as a last column.
    #[arg(long)]
    show_labels: bool,
    /// With json and yaml: show who owns which fields.
    #[arg(long)]
    show_managed_fields: bool,
    /// Succeed if an object is not there.
    #[arg(long)]
    ignore_not_found: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// One thing to show: a collection or an object.
struct Request<'a> {
    resource: &'a ResourceType,
    namespace: Option<String>,
    name: Option<String>,
}

impl GetArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let requests = self.requests(&connection, &discovery)?;
        let follow = self.watch || self.watch_only;
        if follow {
            let [request] = requests.as_slice() else {
                bail!("only one kind of object, or one object, can be watched at a time");
            };
            return self.follow(&connection, request).await;
        }
        match self.output {
            None | Some(Format::Wide) => self.print_tables(&connection, &requests).await,
            Some(format) => self.print_objects(&connection, &requests, format).await,
        }
    }

    fn requests<'a>(&self, connection: &Connection, discovery: &'a Discovery) -> anyhow::Result<Vec<Request<'a>>> {
        let mut requests = Vec::new();
        if !self.files.filename.is_empty() {
            for Manifest { object, .. } in self.files.read()? {
                let resource = discovery.of_object(&object)?;
                let own = object::namespace(&object);
                let namespace = if own.is_empty() { connection.namespace() } else { own }.to_owned();
                requests.push(Request {
                    resource,
                    namespace: Some(namespace),
                    name: Some(object::name(&object).to_owned()),
                });
            }
            return Ok(requests);
        }
        for Target { resource, name } in targets::parse(discovery, &self.words)? {
            if name.is_some() && self.all_namespaces {
                bail!("an object cannot be named together with --all-namespaces");
            }
            if name.is_some() && self.selector.selector.is_some() {
                bail!("a name and a selector cannot be given together");
            }
            let namespace = (!self.all_namespaces).then(|| connection.namespace().to_owned());
            requests.push(Request {
                resource,
                namespace,
                name,
            });
        }
        Ok(requests)
    }

    fn layout(&self, resource: &ResourceType) -> Layout {
        Layout {
            wide: self.output == Some(Format::Wide),
            namespaces: self.all_namespaces && resource.namespaced,
            headings: !self.no_headers,
            labels: self.show_labels,
        }
    }

    async fn fetch(
        &self,
        connection: &Connection,
        request: &Request<'_>,
        accept: &str,
    ) -> anyhow::Result<Option<Value>> {
        let path = match &request.name {
            Some(name) => object::object_path(request.resource, request.namespace.as_deref().unwrap_or_default(), name),
            None => {
                let path = object::collection_path(request.resource, request.namespace.as_deref());
                format!("{path}{}", object::query(&self.selector.query()))
            }
        };
        match connection.get_as(&path, accept).await {
            Err(error) if error.is_not_found() && self.ignore_not_found && request.name.is_some() => Ok(None),
            outcome => Ok(Some(outcome?)),
        }
    }

    async fn print_tables(&self, connection: &Connection, requests: &[Request<'_>]) -> anyhow::Result<()> {
        let kinds = requests.windows(2).any(|pair| pair[0].resource != pair[1].resource);
        let mut printed = false;
        let mut failures = Vec::new();
        let mut previous: Option<(&ResourceType, TablePrinter)> = None;
        for request in requests {
            let table = match self.fetch(connection, request, table::ACCEPT).await {
                Ok(Some(table)) => table,
                Ok(None) => continue,
                // The other objects are shown all the same.
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            if object::items(&table["rows"]).is_empty() {
                continue;
            }
            let is_same = previous
                .as_ref()
                .is_some_and(|(resource, _)| *resource == request.resource);
            if !is_same {
                if printed {
                    outln!();
                }
                let prefix = if kinds {
                    format!("{}/", request.resource.singular_with_group())
                } else {
                    String::new()
                };
                previous = Some((
                    request.resource,
                    TablePrinter::new(self.layout(request.resource), prefix),
                ));
            }
            if let Some((_, printer)) = &mut previous {
                printer.print(&table);
                printed = true;
            }
        }
        if !printed && failures.is_empty() && !self.ignore_not_found {
            say_nothing_found(requests);
        }
        finish(failures)
    }

    async fn print_objects(
        &self,
        connection: &Connection,
        requests: &[Request<'_>],
        format: Format,
    ) -> anyhow::Result<()> {
        let mut objects = Vec::new();
        let mut failures = Vec::new();
        for request in requests {
            match self.fetch(connection, request, "application/json").await {
                Ok(None) => {}
                Ok(Some(mut fetched)) if request.name.is_none() => {
                    let (kind, api_version) = (request.resource.kind.clone(), request.resource.api_version());
                    for mut item in std::mem::take(&mut fetched["items"])
                        .as_array_mut()
                        .into_iter()
                        .flat_map(std::mem::take)
                    {
                        // Elements of a list do not repeat what the list says.
                        item["kind"] = kind.clone().into();
                        item["apiVersion"] = api_version.clone().into();
                        objects.push((request.resource, item));
                    }
                }
                Ok(Some(fetched)) => objects.push((request.resource, fetched)),
                Err(error) => failures.push(error),
            }
        }
        if format == Format::Name {
            for (resource, found) in &objects {
                outln!("{}/{}", resource.singular_with_group(), object::name(found));
            }
        } else {
            let is_single = matches!(requests, [Request { name: Some(_), .. }]);
            let mut values: Vec<Value> = objects.into_iter().map(|(_, value)| self.shown(value)).collect();
            match values.pop() {
                Some(value) if is_single => output::print_document(&value, format)?,
                None if is_single => {}
                last => {
                    values.extend(last);
                    output::print_document(&output::as_list(values), format)?;
                }
            }
        }
        finish(failures)
    }

    async fn follow(&self, connection: &Connection, request: &Request<'_>) -> anyhow::Result<()> {
        let path = object::collection_path(request.resource, request.namespace.as_deref());
        let mut parameters = self.selector.query();
        if let Some(name) = &request.name {
            parameters.retain(|(key, _)| *key != "fieldSelector");
            parameters.push(("fieldSelector", format!("metadata.name={name}")));
            // Says so if it is not there.
            self.fetch(connection, request, "application/json").await?;
        }
        let is_table = matches!(self.output, None | Some(Format::Wide));
        let accept = if is_table { table::ACCEPT } else { "application/json" };
        let mut printer = TablePrinter::new(self.layout(request.resource), String::new());
        let mut list = connection
            .get_as(&format!("{path}{}", object::query(&parameters)), accept)
            .await?;
        let mut revision = object::resource_version(&list).to_owned();
        if !self.watch_only {
            if is_table {
                printer.print(&list);
            } else {
                for item in list["items"].as_array_mut().into_iter().flatten() {
                    item["kind"] = request.resource.kind.clone().into();
                    item["apiVersion"] = request.resource.api_version().into();
                    self.print_one(request.resource, item)?;
                }
            }
        }
        loop {
            let mut events = watch::watch(connection, &path, &parameters, &revision, accept).await?;
            while let Some(event) = events.next().await {
                let WatchEvent { kind, object } = event?;
                if let Some(seen) = revision_of(&object) {
                    revision = seen;
                }
                if kind == "BOOKMARK" {
                    continue;
                }
                if is_table {
                    printer.print(&object);
                } else {
                    self.print_one(request.resource, &object)?;
                }
            }
            // The server ends a watch after a while; it is taken up where it was.
        }
    }

    fn shown(&self, object: Value) -> Value {
        if self.show_managed_fields {
            object
        } else {
            output::without_managers(object)
        }
    }

    fn print_one(&self, resource: &ResourceType, shown: &Value) -> anyhow::Result<()> {
        match self.output {
            Some(Format::Name) => outln!("{}/{}", resource.singular_with_group(), object::name(shown)),
            Some(Format::Yaml) => {
                outln!("---");
                output::print_document(&self.shown(shown.clone()), Format::Yaml)?;
            }
            Some(format) => output::print_document(&self.shown(shown.clone()), format)?,
            None => {}
        }
        Ok(())
    }
}

/// The revision an object or the row of a table carries.
fn revision_of(changed: &Value) -> Option<String> {
    let own = object::resource_version(changed);
    let of_row = object::items(&changed["rows"])
        .last()
        .map(|row| object::resource_version(&row["object"]))
        .unwrap_or_default();
    [own, of_row]
        .into_iter()
        .find(|revision| !revision.is_empty())
        .map(str::to_owned)
}

fn say_nothing_found(requests: &[Request<'_>]) {
    match requests
        .iter()
        .find_map(|request| request.namespace.as_deref().filter(|_| request.resource.namespaced))
    {
        Some(namespace) => eprintln!("No resources found in {namespace} namespace."),
        None => eprintln!("No resources found"),
    }
}

/// All failures, one to a line.
fn finish(failures: Vec<anyhow::Error>) -> anyhow::Result<()> {
    let mut lines = failures.iter().map(|error| format!("{error:#}"));
    match lines.next() {
        None => Ok(()),
        Some(first) => bail!(lines.fold(first, |text, line| format!("{text}\n{line}"))),
    }
}
