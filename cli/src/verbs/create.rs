//! `skep create`: from files, or common objects from flags.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use clap::Subcommand;
use serde_json::{Map, Value, json};

use super::MakeArguments;
use crate::client::{
    Connection, ConnectionArguments,
    discovery::{Discovery, ResourceType},
    manifest::{FileArguments, Manifest},
    object, output,
};

/// Create objects from files, or a common one from flags.
#[derive(Debug, Clone, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct CreateArguments {
    #[command(subcommand)]
    kind: Option<Kind>,
    #[command(flatten)]
    files: FileArguments,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, Subcommand)]
enum Kind {
    /// A deployment of one or more images.
    #[command(visible_alias = "deploy")]
    Deployment(DeploymentArguments),
    /// A config map from values and files.
    #[command(visible_alias = "cm")]
    Configmap(DataArguments),
    /// A secret.
    #[command(subcommand)]
    Secret(SecretKind),
    /// A namespace.
    #[command(visible_alias = "ns")]
    Namespace(NameOnlyArguments),
    /// A service account.
    #[command(visible_alias = "sa")]
    Serviceaccount(NameOnlyArguments),
    /// A service.
    #[command(subcommand, visible_alias = "svc")]
    Service(ServiceKind),
}

#[derive(Debug, Clone, Subcommand)]
enum SecretKind {
    /// Of any values and files.
    Generic(DataArguments),
}

#[derive(Debug, Clone, Subcommand)]
enum ServiceKind {
    /// With an address inside the cluster.
    Clusterip(ServiceArguments),
    /// With a port on every node, too.
    Nodeport(ServiceArguments),
    /// A name for a name outside.
    Externalname(ExternalNameArguments),
}

#[derive(Debug, Clone, clap::Args)]
struct NameOnlyArguments {
    name: String,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, clap::Args)]
struct DeploymentArguments {
    name: String,
    /// An image. May be repeated: one container each.
    #[arg(long, required = true)]
    image: Vec<String>,
    /// Number of pods.
    #[arg(short, long, default_value_t = 1, value_parser = super::parse_replicas)]
    replicas: u32,
    /// A port of the (first) container.
    #[arg(long)]
    port: Option<u16>,
    /// What to run instead of the image's command.
    #[arg(last = true)]
    command: Vec<String>,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, clap::Args)]
struct DataArguments {
    name: String,
    /// KEY=VALUE. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// FILE, KEY=FILE, or a directory whose files are taken. May be repeated.
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
    /// A file of KEY=VALUE lines. May be repeated.
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<String>,
    /// Type of a secret.
    #[arg(long = "type", value_name = "TYPE")]
    secret_type: Option<String>,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, clap::Args)]
struct ServiceArguments {
    name: String,
    /// PORT or PORT:TARGET-PORT. May be repeated.
    #[arg(long, value_name = "PORT[:TARGET]", required_unless_present = "clusterip")]
    tcp: Vec<String>,
    /// The address; `None` for a headless service.
    #[arg(long)]
    clusterip: Option<String>,
    /// The port on the nodes.
    #[arg(long)]
    node_port: Option<u16>,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

#[derive(Debug, Clone, clap::Args)]
struct ExternalNameArguments {
    name: String,
    /// The name outside.
    #[arg(long)]
    external_name: String,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl CreateArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (object, make, connection) = match self.kind {
            None => return create_files(&self.files, self.make, &self.connection).await,
            Some(Kind::Deployment(arguments)) => (deployment(&arguments), arguments.make, arguments.connection),
            Some(Kind::Configmap(arguments)) => (config_map(&arguments)?, arguments.make, arguments.connection),
            Some(Kind::Secret(SecretKind::Generic(arguments))) => {
                (secret(&arguments)?, arguments.make, arguments.connection)
            }
            Some(Kind::Namespace(arguments)) => (
                named("v1", "Namespace", &arguments.name),
                arguments.make,
                arguments.connection,
            ),
            Some(Kind::Serviceaccount(arguments)) => (
                named("v1", "ServiceAccount", &arguments.name),
                arguments.make,
                arguments.connection,
            ),
            Some(Kind::Service(ServiceKind::Clusterip(arguments))) => {
                (service("ClusterIP", &arguments)?, arguments.make, arguments.connection)
            }
            Some(Kind::Service(ServiceKind::Nodeport(arguments))) => {
                (service("NodePort", &arguments)?, arguments.make, arguments.connection)
            }
            Some(Kind::Service(ServiceKind::Externalname(arguments))) => {
                let mut object = named("v1", "Service", &arguments.name);
                object["metadata"]["labels"] = json!({"app": arguments.name});
                object["spec"] = json!({"type": "ExternalName", "externalName": arguments.external_name, "selector": {"app": arguments.name}});
                (object, arguments.make, arguments.connection)
            }
        };
        create_one(object, make, &connection, "created").await
    }
}

/// Creates one object that was made of flags.
pub(super) async fn create_one(
    object: Value,
    make: MakeArguments,
    connection: &ConnectionArguments,
    done: &str,
) -> anyhow::Result<()> {
    let connection = connection.connect().await?;
    let discovery = Discovery::load(&connection).await?;
    let resource = discovery.of_object(&object)?;
    let created = create(&connection, resource, object, None, make).await?;
    output::report(
        resource,
        &created,
        &format!("{done}{}", make.dry_run.remark()),
        make.output,
    )
}

async fn create_files(
    files: &FileArguments,
    make: MakeArguments,
    connection: &ConnectionArguments,
) -> anyhow::Result<()> {
    if files.filename.is_empty() {
        bail!("say what to create: -f FILE, or a kind as in `skep create deployment NAME --image=IMAGE`");
    }
    let objects = files.read()?;
    let connection = connection.connect().await?;
    let discovery = Discovery::load(&connection).await?;
    let mut failures = Vec::new();
    for Manifest { object, source } in objects {
        let outcome = async {
            let resource = discovery.of_object(&object).with_context(|| source.clone())?;
            let created = create(&connection, resource, object, Some(&source), make).await?;
            output::report(
                resource,
                &created,
                &format!("created{}", make.dry_run.remark()),
                make.output,
            )
        };
        if let Err(error) = outcome.await {
            failures.push(format!("{error:#}"));
        }
    }
    if failures.is_empty() {
        Ok(())
    } else {
        bail!(failures.join("\n"))
    }
}

/// Sends an object (of the file `source`), in the connection's namespace if it names none. Returns what the server made of it.
async fn create(
    connection: &Connection,
    resource: &ResourceType,
    mut object: Value,
    source: Option<&str>,
    make: MakeArguments,
) -> anyhow::Result<Value> {
    place(connection, resource, &mut object)?;
    if make.dry_run == super::DryRun::Client {
        return Ok(object);
    }
    let mut parameters = vec![("fieldManager", "skep-create".to_owned()), make.validate.query()];
    parameters.extend(make.dry_run.query());
    let path = object::collection_path(resource, Some(object::namespace(&object)));
    Ok(connection
        .post(&format!("{path}{}", object::query(&parameters)), &object)
        .await
        .map_err(|error| error.while_doing("creating", source))?)
}

/// Gives an object the connection's namespace, or checks that the user did not ask for another one.
pub(super) fn place(connection: &Connection, resource: &ResourceType, object: &mut Value) -> anyhow::Result<()> {
    if !resource.namespaced {
        return Ok(());
    }
    let own = object::namespace(object);
    if own.is_empty() {
        object["metadata"]["namespace"] = connection.namespace().into();
    } else if connection.namespace_was_asked_for() && own != connection.namespace() {
        bail!(
            "the namespace from the provided object {own:?} does not match the namespace {:?}. You must pass \
             '--namespace={own}' to perform this operation.",
            connection.namespace()
        );
    }
    Ok(())
}

pub(super) fn named(api_version: &str, kind: &str, name: &str) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}})
}

fn deployment(arguments: &DeploymentArguments) -> Value {
    let labels = json!({"app": arguments.name});
    let mut containers: Vec<Value> = arguments
        .image
        .iter()
        .map(|image| json!({"name": container_name(image), "image": image}))
        .collect();
    if let Some(first) = containers.first_mut() {
        if let Some(port) = arguments.port {
            first["ports"] = json!([{"containerPort": port}]);
        }
        if !arguments.command.is_empty() {
            first["command"] = json!(arguments.command);
        }
    }
    let mut object = named("apps/v1", "Deployment", &arguments.name);
    object["metadata"]["labels"] = labels.clone();
    object["spec"] = json!({
        "replicas": arguments.replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    });
    object
}

/// "registry/team/web-app:1@sha256:…" gives "web-app", as a valid container name.
fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let bare = last.split(['@', ':']).next().unwrap_or(last);
    bare.to_lowercase().replace(['_', '.'], "-")
}

fn config_map(arguments: &DataArguments) -> anyhow::Result<Value> {
    if arguments.secret_type.is_some() {
        bail!("a config map has no --type");
    }
    let mut object = named("v1", "ConfigMap", &arguments.name);
    for (key, content) in data(arguments)? {
        match String::from_utf8(content) {
            Ok(text) => object["data"][key] = text.into(),
            Err(error) => object["binaryData"][key] = BASE64.encode(error.into_bytes()).into(),
        }
    }
    Ok(object)
}

fn secret(arguments: &DataArguments) -> anyhow::Result<Value> {
    let mut object = named("v1", "Secret", &arguments.name);
    object["type"] = arguments.secret_type.as_deref().unwrap_or("Opaque").into();
    let encoded = |(key, content): (String, Vec<u8>)| (key, Value::from(BASE64.encode(content)));
    let data: Map<String, Value> = data(arguments)?.into_iter().map(encoded).collect();
    if !data.is_empty() {
        object["data"] = data.into();
    }
    Ok(object)
}

fn data(arguments: &DataArguments) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut data = BTreeMap::new();
    let mut add = |key: &str, content: Vec<u8>| match data.insert(key.to_owned(), content) {
        None => Ok(()),
        Some(_) => bail!("the key {key:?} is given twice"),
    };
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    for literal in &arguments.from_literal {
        let (key, value) = literal
            .split_once('=')
            .with_context(|| format!("--from-literal={literal}: give KEY=VALUE"))?;
        add(key, value.as_bytes().to_vec())?;
    }
    for source in &arguments.from_file {
        let (key, path) = match source.split_once('=') {
            Some((key, path)) => (Some(key), Path::new(path)),
            None => (None, Path::new(source)),
        };
        if path.is_dir() && key.is_none() {
            let entries = fs::read_dir(path).with_context(|| format!("list {}", path.display()))?;
            for entry in entries {
                let path = entry.with_context(|| format!("list {}", path.display()))?.path();
                if path.is_file() {
                    add(&file_name(&path)?, read(&path)?)?;
                }
            }
            continue;
        }
        let key = match key {
            Some(key) => key.to_owned(),
            None => file_name(path)?,
        };
        add(&key, read(path)?)?;
    }
    for file in &arguments.from_env_file {
        let text = fs::read_to_string(file).with_context(|| format!("read {file}"))?;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let (key, value) = line
                .split_once('=')
                .with_context(|| format!("{file}: {line:?} is not KEY=VALUE"))?;
            add(key, value.as_bytes().to_vec())?;
        }
    }
    Ok(data)
}

fn file_name(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .with_context(|| format!("{} has no name to use as a key; give KEY=FILE", path.display()))
}

fn service(kind: &str, arguments: &ServiceArguments) -> anyhow::Result<Value> {
    let mut object = named("v1", "Service", &arguments.name);
    object["metadata"]["labels"] = json!({"app": arguments.name});
    let mut ports = Vec::new();
    for text in &arguments.tcp {
        let (port, target) = text.split_once(':').unwrap_or((text, text));
        let number: u16 = port
            .parse()
            .with_context(|| format!("--tcp={text}: {port:?} is not a port"))?;
        let mut entry = json!({"name": text.replace(':', "-"), "port": number, "protocol": "TCP", "targetPort": port_value(target)});
        if let Some(node_port) = arguments.node_port {
            entry["nodePort"] = node_port.into();
        }
        ports.push(entry);
    }
    object["spec"] = json!({"type": kind, "selector": {"app": arguments.name}});
    if !ports.is_empty() {
        object["spec"]["ports"] = ports.into();
    }
    if let Some(address) = &arguments.clusterip {
        object["spec"]["clusterIP"] = address.clone().into();
    }
    Ok(object)
}

/// A port by number or by name.
pub(super) fn port_value(text: &str) -> Value {
    text.parse::<u16>().map_or_else(|_| Value::from(text), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_names_come_from_images() {
        for (image, expected) in [
            ("nginx", "nginx"),
            ("nginx:1.25", "nginx"),
            ("registry.example:5000/team/web_app:2", "web-app"),
            ("web@sha256:abc", "web"),
        ] {
            assert_eq!(container_name(image), expected, "{image}");
        }
    }
}
