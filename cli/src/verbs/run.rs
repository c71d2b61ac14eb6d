//! `skep run`.

use anyhow::bail;
use serde_json::{Value, json};

use super::{
    MakeArguments,
    create::{create_one, named},
    parse_labels,
};
use crate::client::ConnectionArguments;

/// Run an image in a pod.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArguments {
    /// Name of the pod.
    name: String,
    #[arg(long)]
    image: String,
    /// A port of the container.
    #[arg(long)]
    port: Option<u16>,
    /// NAME=VALUE. May be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// `KEY=VALUE,…`. Default: run=NAME.
    #[arg(short, long)]
    labels: Option<String>,
    /// `KEY=VALUE`. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    annotations: Vec<String>,
    /// Always, OnFailure or Never.
    #[arg(long, default_value = "Always")]
    restart: String,
    /// Always, IfNotPresent or Never.
    #[arg(long)]
    image_pull_policy: Option<String>,
    /// The words after `--` replace the image's command, not its arguments.
    #[arg(long)]
    command: bool,
    /// Arguments of the container.
    #[arg(last = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl RunArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let object = self.pod()?;
        create_one(object, self.make, &self.connection, "created").await
    }

    fn pod(&self) -> anyhow::Result<Value> {
        let mut container = json!({"name": self.name, "image": self.image});
        if let Some(port) = self.port {
            container["ports"] = json!([{"containerPort": port}]);
        }
        if let Some(policy) = &self.image_pull_policy {
            container["imagePullPolicy"] = policy.clone().into();
        }
        if !self.env.is_empty() {
            container["env"] = self
                .env
                .iter()
                .map(|text| environment(text))
                .collect::<anyhow::Result<Value>>()?;
        }
        if !self.arguments.is_empty() {
            container[if self.command { "command" } else { "args" }] = json!(self.arguments);
        }
        let mut pod = named("v1", "Pod", &self.name);
        pod["metadata"]["labels"] = match &self.labels {
            Some(labels) => parse_labels(labels)?.into(),
            None => json!({"run": self.name}),
        };
        for annotation in &self.annotations {
            for (key, value) in parse_labels(annotation)? {
                pod["metadata"]["annotations"][key] = value;
            }
        }
        pod["spec"] = json!({"containers": [container], "restartPolicy": self.restart});
        Ok(pod)
    }
}

fn environment(text: &str) -> anyhow::Result<Value> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok(json!({"name": name, "value": value})),
        _ => bail!("--env={text}: give NAME=VALUE"),
    }
}
