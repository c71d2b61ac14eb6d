//! Asking a container: probes and hooks by command, HTTP request or TCP connection.
//!
//! One question, one answer, within a time. Never here: counting answers (`reconcile::pod::probe`), when to ask.
//! Source: Kubernetes documentation, "Configure Liveness, Readiness and Startup Probes", "Container Lifecycle Hooks".

mod http;

use std::{net::IpAddr, path::PathBuf, process::Stdio, time::Duration};

use api::k8s_openapi::{
    api::core::v1::{Container, ExecAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, process::Command, time::timeout};

use super::launch::TERM_DEFAULT;
use crate::{runtime::bundle::Bundle, shim};

/// Most output of a command that is kept for a message; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 10 * 1024;
/// A hook without a deadline of its own is given up after this time: the longest grace anybody sets.
pub(crate) const HOOK_MAX: Duration = Duration::from_secs(3600);
/// The shim kills the command when the time is up; if it does not, it is killed itself after this much more.
const SHIM_GRACE: Duration = Duration::from_secs(5);

/// A question to a container.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    Exec(ExecAction),
    Http(HTTPGetAction),
    Tcp(TCPSocketAction),
    Sleep(Duration),
}

impl Check {
    /// What a probe asks; nothing if it asks something that this node does not do (see [`unsupported`]).
    pub(crate) fn of_probe(probe: &Probe) -> Option<Check> {
        let exec = probe.exec.clone().map(Check::Exec);
        exec.or_else(|| probe.http_get.clone().map(Check::Http))
            .or_else(|| probe.tcp_socket.clone().map(Check::Tcp))
    }

    /// What a hook does.
    pub(crate) fn of_hook(hook: &LifecycleHandler) -> Option<Check> {
        let exec = hook.exec.clone().map(Check::Exec);
        exec.or_else(|| hook.http_get.clone().map(Check::Http))
            .or_else(|| hook.tcp_socket.clone().map(Check::Tcp))
            .or_else(|| {
                let seconds = u64::try_from(hook.sleep.as_ref()?.seconds).unwrap_or(0);
                Some(Check::Sleep(Duration::from_secs(seconds)))
            })
    }
}

/// What a container asks of its probes that this node does not do.
pub(crate) fn unsupported(container: &Container) -> Option<&'static str> {
    let probes = [
        &container.startup_probe,
        &container.readiness_probe,
        &container.liveness_probe,
    ];
    probes
        .into_iter()
        .flatten()
        .any(|probe| probe.grpc.is_some())
        .then_some("this node does not do gRPC probes yet; use exec, httpGet or tcpSocket")
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) container: Container,
    pub(crate) bundle: Bundle,
    pub(crate) shim_program: PathBuf,
}

/// Asks; a failure comes with what to tell people.
pub(crate) async fn ask(check: &Check, target: &Target, within: Duration) -> Result<(), String> {
    match check {
        Check::Exec(action) => exec(action, target, within).await,
        Check::Http(action) => {
            let answer = async {
                let host = match action.host.as_deref() {
                    Some(host) if !host.is_empty() => host.to_owned(),
                    _ => address(target)?.to_string(),
                };
                let port = port(&action.port, &target.container)?;
                http::get(action, &host, port).await
            };
            within_time(answer, within).await
        }
        Check::Tcp(action) => {
            let answer = async {
                let host = match action.host.as_deref() {
                    Some(host) if !host.is_empty() => host.to_owned(),
                    _ => address(target)?.to_string(),
                };
                let port = port(&action.port, &target.container)?;
                TcpStream::connect((host.as_str(), port))
                    .await
                    .map(|_| ())
                    .map_err(|err| format!("dial tcp {host}:{port}: {err}"))
            };
            within_time(answer, within).await
        }
        Check::Sleep(duration) => {
            tokio::time::sleep((*duration).min(within)).await;
            Ok(())
        }
    }
}

async fn within_time(answer: impl Future<Output = Result<(), String>>, within: Duration) -> Result<(), String> {
    timeout(within, answer)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs_f32())))
}

fn address(target: &Target) -> Result<IpAddr, String> {
    target.ip.ok_or_else(|| "the pod has no address".to_owned())
}

fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_ref() == Some(name))
            .map(|port| port.container_port)
            .or_else(|| name.parse().ok())
            .ok_or_else(|| format!("couldn't find port {name:?} of container {}", container.name))?,
    };
    u16::try_from(number).map_err(|_| format!("{number} is not a port"))
}

/// Runs a command in the container, by way of a shim of its own.
async fn exec(action: &ExecAction, target: &Target, within: Duration) -> Result<(), String> {
    let command = action.command.clone().unwrap_or_default();
    let process =
        process_file(&target.bundle, &command, false).map_err(|err| format!("describe the command: {err}"))?;
    let spawned = Command::new(&target.shim_program)
        .arg0("skep-shim")
        .arg("shim")
        .arg("exec")
        .arg(target.bundle.dir())
        .arg(&process.path)
        .arg(within.as_millis().to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|err| format!("start {:?}: {err}", target.shim_program))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        let (out, err, status) = tokio::join!(read_some(stdout), read_some(stderr), child.wait());
        (out, err, status)
    };
    let Ok((out, err, status)) = timeout(within + SHIM_GRACE, run).await else {
        return Err(format!("command {command:?} hangs"));
    };
    let status = status.map_err(|err| format!("wait for the command: {err}"))?;
    let output = format!("{out}{err}");
    match status.code() {
        Some(0) => Ok(()),
        Some(shim::TIMED_OUT) if output.is_empty() => {
            Err(format!("command {command:?} timed out after {} s", within.as_secs()))
        }
        _ => Err(output.trim_end().to_owned()),
    }
}

/// The process to run, as a file for the runtime; goes with the value.
pub(super) struct ProcessFile {
    pub(super) path: PathBuf,
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The container's own process with other words, and a terminal of its own or none.
pub(super) fn process_file(bundle: &Bundle, command: &[String], terminal: bool) -> std::io::Result<ProcessFile> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bundle.config())?).map_err(std::io::Error::other)?;
    let mut process = config["process"].clone();
    process["args"] = serde_json::json!(command);
    process["terminal"] = serde_json::json!(terminal);
    if terminal
        && let Some(env) = process["env"].as_array_mut()
        && !env
            .iter()
            .filter_map(|entry| entry.as_str())
            .any(|entry| entry.starts_with("TERM="))
    {
        env.push(TERM_DEFAULT.into());
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = bundle.dir().join(format!("exec-{}-{number}.json", std::process::id()));
    std::fs::write(&path, process.to_string())?;
    Ok(ProcessFile { path })
}

async fn read_some(stream: Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let mut kept = Vec::new();
    let mut buffer = [0_u8; 2048];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        let room = OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
