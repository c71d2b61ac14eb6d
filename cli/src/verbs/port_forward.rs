//! `skep port-forward`.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use crate::client::{ConnectionArguments, object, pod_choice, tunnel::PodPorts};

/// Forward local ports to a pod.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PortForwardArguments {
    /// `POD`, or `TYPE/NAME` of what has pods.
    #[arg(value_name = "POD | TYPE/NAME")]
    target: String,
    /// `PORT`, `LOCAL:REMOTE`, or `:REMOTE` for any free local port; of a service, REMOTE may be a port's name.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<String>,
    /// Addresses to listen on; `localhost` is both loopback addresses.
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    /// How long to wait for there to be a pod: 5s, 2m, 3h.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = humantime::parse_duration)]
    pod_running_timeout: Duration,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// A local port, 0 for any, and what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pair {
    local: u16,
    remote: u16,
}

impl PortForwardArguments {
    /// Serves until it is ended, or the pod is lost.
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let addresses = addresses(&self.address)?;
        let connection = self.connection.connect().await?;
        let choice = pod_choice::attachable(&connection, &self.target, self.pod_running_timeout).await?;
        let pod = choice.pod()?;
        let pairs = self
            .ports
            .iter()
            .map(|text| pair(text, &choice.owner, pod))
            .collect::<anyhow::Result<Vec<Pair>>>()?;
        let phase = object::text(&pod["status"]["phase"]);
        if phase != "Running" {
            bail!("unable to forward port because pod is not running. Current status={phase}");
        }
        let ports = PodPorts {
            connection: connection.clone(),
            namespace: connection.namespace().to_owned(),
            pod: object::name(pod).to_owned(),
        };
        ports.check().await?;
        /// Failures that wait to be told; the first one ends us.
        const FAILURES_WAITING_MAX: usize = 1;
        let (failed, mut failures) = mpsc::channel(FAILURES_WAITING_MAX);
        let mut is_listening = false;
        for pair in &pairs {
            is_listening |= listen(&addresses, *pair, &ports, &failed).await?;
        }
        if !is_listening {
            let wanted: Vec<String> = pairs
                .iter()
                .map(|pair| format!("{{{} {}}}", pair.local, pair.remote))
                .collect();
            bail!("unable to listen on any of the requested ports: [{}]", wanted.join(" "));
        }
        // As kubectl does: who forwards to a pod that is gone is to begin anew.
        match failures.recv().await {
            Some(()) | None => bail!("lost connection to pod"),
        }
    }
}

/// Listens on all addresses; false if none can be had. What is free on one address only is refused with a reason.
async fn listen(
    addresses: &[Address],
    pair: Pair,
    ports: &PodPorts,
    failed: &mpsc::Sender<()>,
) -> anyhow::Result<bool> {
    let mut refused = Vec::new();
    let mut local = pair.local;
    let mut is_listening = false;
    for address in addresses {
        let listener = match TcpListener::bind((address.ip, local)).await {
            Ok(listener) => listener,
            Err(error) => {
                if !address.is_optional {
                    bail!("unable to listen on port {local}: listen on {}: {error}", address.ip);
                }
                refused.push(format!("{}: {error}", address.ip));
                continue;
            }
        };
        is_listening = true;
        // The same port on the next address, if any free one was asked for.
        local = listener.local_addr().context("ask for the port listened on")?.port();
        let shown = std::net::SocketAddr::new(address.ip, local);
        outln!("Forwarding from {shown} -> {}", pair.remote);
        let (ports, failed) = (ports.clone(), failed.clone());
        let pair = Pair { local, ..pair };
        tokio::spawn(async move { serve(listener, pair, ports, failed).await });
    }
    if !is_listening {
        eprintln!("Unable to listen on port {local}: {}", refused.join(", "));
    }
    Ok(is_listening)
}

async fn serve(listener: TcpListener, pair: Pair, ports: PodPorts, failed: mpsc::Sender<()>) {
    loop {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                eprintln!("error accepting connection on port {}: {error}", pair.local);
                // Descriptors are short: others have to end first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        outln!("Handling connection for {}", pair.local);
        let (ports, failed) = (ports.clone(), failed.clone());
        tokio::spawn(async move {
            if let Err(error) = ports.carry(client, pair.remote).await {
                eprintln!(
                    "an error occurred forwarding {} -> {}: {error}",
                    pair.local, pair.remote
                );
                // One that waits already says the same.
                _ = failed.try_send(());
            }
        });
    }
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address {
    ip: IpAddr,
    /// One of several that `localhost` stands for: another of them will do.
    is_optional: bool,
}

fn addresses(texts: &[String]) -> anyhow::Result<Vec<Address>> {
    let mut addresses: Vec<Address> = Vec::new();
    for text in texts {
        let found: Vec<Address> = match text.as_str() {
            "localhost" => [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])]
                .map(|ip| Address { ip, is_optional: true })
                .to_vec(),
            text => {
                let ip = text.parse();
                let ip = ip.with_context(|| format!("{text} is not a valid IP"))?;
                vec![Address { ip, is_optional: false }]
            }
        };
        for address in found {
            if !addresses.iter().any(|known| known.ip == address.ip) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

/// What `text` means for the ports of a pod; of a service, remote ports are the service's.
fn pair(text: &str, owner: &Value, pod: &Value) -> anyhow::Result<Pair> {
    let (local, remote) = match text.split_once(':') {
        None => (None, text),
        Some(("", remote)) => (Some(0), remote),
        Some((local, remote)) => {
            let number = local.parse::<u16>();
            let number = number.with_context(|| format!("error parsing local port '{local}'"))?;
            (Some(number), remote)
        }
    };
    let (of_owner, of_pod) = if owner["kind"] == "Service" {
        service_port(remote, owner, pod)?
    } else {
        let number = pod_port(remote, pod)?;
        (number, number)
    };
    Ok(Pair {
        local: local.unwrap_or(of_owner),
        remote: of_pod,
    })
}

/// A service's port, and that of the pod which it leads to.
fn service_port(remote: &str, service: &Value, pod: &Value) -> anyhow::Result<(u16, u16)> {
    let port = object::items(&service["spec"]["ports"])
        .iter()
        .find(|port| port["name"] == remote || object::text(&port["port"]) == remote);
    let name = object::name(service);
    let port = port.with_context(|| format!("Service {name} does not have a service port {remote}"))?;
    let number = number(&object::text(&port["port"]))?;
    if service["spec"]["clusterIP"] == "None" {
        return Ok((
            number,
            pod_port(&object::text(&port["targetPort"]), pod).unwrap_or(number),
        ));
    }
    match object::text(&port["targetPort"]).as_str() {
        "" | "0" => Ok((number, number)),
        target => Ok((number, pod_port(target, pod)?)),
    }
}

/// A port of a pod by number, or by a name that one of its containers gives it.
fn pod_port(text: &str, pod: &Value) -> anyhow::Result<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return number(text);
    }
    let named = object::items(&pod["spec"]["containers"])
        .iter()
        .flat_map(|container| object::items(&container["ports"]))
        .find(|port| port["name"] == text);
    let named = named.with_context(|| {
        let name = object::name(pod);
        format!("Pod '{name}' does not have a named port '{text}'")
    })?;
    number(&object::text(&named["containerPort"]))
}

fn number(text: &str) -> anyhow::Result<u16> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        Ok(_) | Err(_) => bail!("error parsing remote port '{text}': remote port must be > 0 and fit 16 bits"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_are_understood() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [
            {"ports": [{"name": "http", "containerPort": 8080}]}]}});
        let service = json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "10.0.0.1", "ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"port": 81, "targetPort": 9000}, {"port": 82}]}});
        for (owner, text, expected) in [
            (&pod, "8080", Some((8080, 8080))),
            (&pod, "80:8080", Some((80, 8080))),
            (&pod, ":8080", Some((0, 8080))),
            (&pod, "http", Some((8080, 8080))),
            (&pod, "1:http", Some((1, 8080))),
            (&pod, "0", None),
            (&pod, "x:80", None),
            (&pod, "65536", None),
            (&pod, "nothing", None),
            (&service, "80", Some((80, 8080))),
            (&service, "9:web", Some((9, 8080))),
            (&service, "81", Some((81, 9000))),
            (&service, "82", Some((82, 82))),
            (&service, "8080", None),
        ] {
            let found = pair(text, owner, &pod).ok().map(|pair| (pair.local, pair.remote));
            assert_eq!(found, expected, "{} {text}", owner["kind"]);
        }
    }
}
