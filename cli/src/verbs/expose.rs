//! `skep expose`: a service for what selects pods already.

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::{
    MakeArguments,
    create::{create_one, named, port_value},
    parse_labels,
};
use crate::client::{ConnectionArguments, discovery::Discovery, object, targets};

/// Make a service for a pod, deployment, replica set or service.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ExposeArguments {
    /// `TYPE NAME` or `TYPE/NAME`.
    #[arg(value_name = "TYPE NAME", required = true)]
    words: Vec<String>,
    /// Port of the service. Default: those of the containers.
    #[arg(long)]
    port: Option<u16>,
    /// Number or name of the containers' port. Default: the service's port.
    #[arg(long)]
    target_port: Option<String>,
    #[arg(long)]
    protocol: Option<String>,
    /// Name of the service. Default: that of the exposed object.
    #[arg(long)]
    name: Option<String>,
    /// ClusterIP, NodePort or LoadBalancer.
    #[arg(long = "type", default_value = "ClusterIP")]
    service_type: String,
    /// The address; `None` for a headless service.
    #[arg(long)]
    cluster_ip: Option<String>,
    /// `KEY=VALUE,…`: instead of the object's own selector.
    #[arg(long)]
    selector: Option<String>,
    /// `KEY=VALUE,…` for the service.
    #[arg(short, long)]
    labels: Option<String>,
    #[command(flatten)]
    make: MakeArguments,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl ExposeArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let discovery = Discovery::load(&connection).await?;
        let (resource, name) = targets::parse_one(&discovery, &self.words)?;
        let exposed = connection
            .get_json(&object::object_path(resource, connection.namespace(), &name))
            .await?;
        let service = self.service(&exposed, &name)?;
        create_one(service, self.make, &self.connection, "exposed").await
    }

    fn service(&self, exposed: &Value, name: &str) -> anyhow::Result<Value> {
        let selector = match &self.selector {
            Some(text) => parse_labels(text)?,
            None => selector_of(exposed)?,
        };
        let mut service = named("v1", "Service", self.name.as_deref().unwrap_or(name));
        service["metadata"]["labels"] = match &self.labels {
            Some(labels) => parse_labels(labels)?.into(),
            None => exposed["metadata"]["labels"].clone(),
        };
        service["spec"] = json!({"selector": selector, "ports": self.ports(exposed)?, "type": self.service_type});
        if let Some(address) = &self.cluster_ip {
            service["spec"]["clusterIP"] = address.clone().into();
        }
        Ok(service)
    }

    fn ports(&self, exposed: &Value) -> anyhow::Result<Vec<Value>> {
        let protocol = self.protocol.as_deref();
        if let Some(port) = self.port {
            let target = self.target_port.as_deref().map_or(Value::from(port), port_value);
            return Ok(vec![
                json!({"port": port, "targetPort": target, "protocol": protocol.unwrap_or("TCP")}),
            ]);
        }
        let found = ports_of(exposed);
        if found.is_empty() {
            bail!("couldn't find port via --port flag or introspection: give --port");
        }
        let several = found.len() > 1;
        let described = found.into_iter().enumerate().map(|(index, (port, own_protocol))| {
            let target = self.target_port.as_deref().map_or(Value::from(port), port_value);
            let mut entry = json!({"port": port, "targetPort": target, "protocol": protocol.unwrap_or(&own_protocol)});
            if several {
                entry["name"] = format!("port-{}", index + 1).into();
            }
            entry
        });
        Ok(described.collect())
    }
}

/// What the object selects its pods by; a pod's own labels.
fn selector_of(exposed: &Value) -> anyhow::Result<Map<String, Value>> {
    let kind = exposed["kind"].as_str().unwrap_or_default();
    let found = match kind {
        "Pod" => &exposed["metadata"]["labels"],
        "Service" | "ReplicationController" => &exposed["spec"]["selector"],
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            if !object::items(&exposed["spec"]["selector"]["matchExpressions"]).is_empty() {
                bail!("the selector of this {kind} has expressions, which a service cannot have: give --selector");
            }
            &exposed["spec"]["selector"]["matchLabels"]
        }
        _ => bail!("cannot expose a {kind}"),
    };
    found
        .as_object()
        .filter(|labels| !labels.is_empty())
        .cloned()
        .with_context(|| format!("this {kind} has no labels to select pods by: give --selector"))
}

/// Ports of the containers, or of a service.
fn ports_of(exposed: &Value) -> Vec<(u16, String)> {
    let spec = &exposed["spec"];
    let pod = if spec["template"].is_object() {
        &spec["template"]["spec"]
    } else {
        spec
    };
    let of_containers = object::items(&pod["containers"])
        .iter()
        .flat_map(|container| object::items(&container["ports"]));
    of_containers
        .chain(object::items(&spec["ports"]))
        .filter_map(|port| {
            let number = port["containerPort"].as_u64().or_else(|| port["port"].as_u64())?;
            Some((
                u16::try_from(number).ok()?,
                port["protocol"].as_str().unwrap_or("TCP").to_owned(),
            ))
        })
        .collect()
}
