//! A pod's sandbox: cgroup, volumes, namespaces, network, files. Made before its containers, released after them.
//!
//! Namespaces are pinned by bind mounts, so nothing has to run to keep them. Everything here is idempotent: what a
//! former agent began is finished or undone. Never here: when.
//! Source: namespaces(7), Kubernetes documentation, "DNS for Services and Pods", "Adding entries to Pod /etc/hosts".

use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use api::{
    Timestamp,
    k8s_openapi::api::core::v1::{Pod, PodSpec, Volume},
    node_stream::FromAgent,
};
use nix::{
    mount::MsFlags,
    sched::{CloneFlags, unshare},
};
use tokio::sync::mpsc;

use super::{
    fields::PodFacts,
    layout::{PodHome, PodRecord, SandboxRecord, remove_dir},
    network::{AttachError, DetachError, DnsPolicy, DnsSettings, PodNetRequest, PodNetwork, ResolvConf},
    objects::Objects,
    resources,
    shim_link::is_locked,
    tokens::{self, TokenError},
};
use crate::{
    runtime::{
        cgroup::{CgroupError, Hierarchies},
        spec::{Namespaces, PidNamespace},
    },
    volume::{self, VolumeError},
};

/// Size of /dev/shm: what container runtimes give.
const SHM_OPTIONS: &str = "mode=1777,size=65536k";
/// A shim whose container is killed ends within milliseconds; one that hangs is reported, and tried again.
const SHIM_WAIT_MAX: Duration = Duration::from_secs(5);
const SHIM_RETRY: Duration = Duration::from_millis(5);
/// Longest host name the kernel takes.
const HOSTNAME_BYTES_MAX: usize = 63;

/// A sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("MountVolume.SetUp failed for volume \"{volume}\"")]
    Volume {
        volume: String,
        #[source]
        source: VolumeError,
    },
    #[error("{step}")]
    System {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Network(#[from] AttachError),
    #[error("this node does not share a pod's process namespace between containers yet (shareProcessNamespace)")]
    SharedPids,
}

/// A sandbox could not be released.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReleaseError {
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Network(#[from] DetachError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error("{step}")]
    System {
        step: &'static str,
        #[source]
        source: io::Error,
    },
}

fn failed(step: &'static str) -> impl FnOnce(io::Error) -> PrepareError {
    move |source| PrepareError::System { step, source }
}

/// What sandboxes are made from.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) pod: Box<Pod>,
    pub(crate) home: PodHome,
    pub(crate) facts: PodFacts,
    pub(crate) objects: Objects,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) cgroup: String,
    pub(crate) cluster_domain: String,
    /// Where tokens are asked for.
    pub(crate) out: mpsc::Sender<FromAgent>,
}

impl Inputs {
    fn spec(&self) -> Option<&PodSpec> {
        self.pod.spec.as_ref()
    }
}

/// Makes the sandbox; answers what it is.
pub(crate) async fn prepare(inputs: Inputs, network: &dyn PodNetwork) -> Result<SandboxRecord, PrepareError> {
    let spec = inputs.spec().cloned().unwrap_or_default();
    if spec.share_process_namespace == Some(true) {
        return Err(PrepareError::SharedPids);
    }
    tokens::obtain(&inputs.objects, &inputs.pod, &inputs.out)
        .await
        .map_err(|error| token_failed(&spec, error))?;
    let metadata = &inputs.pod.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    let uid = metadata.uid.clone().unwrap_or_default();
    let hostname = hostname(&spec, &name);
    let dns = dns_settings(&spec);

    let inputs = blocking(move || make_local(&inputs).map(|()| inputs)).await?;
    let (ips, netns, resolv_conf, mut hosts) = if spec.host_network == Some(true) {
        let resolv_conf = network.host_resolv_conf(&namespace, &dns).await;
        (inputs.facts.host_ips.clone(), None, resolv_conf, Vec::new())
    } else {
        let request = PodNetRequest {
            uid,
            namespace: namespace.clone(),
            name,
            hostname: hostname.clone(),
            dns,
        };
        let attached = network.attach(&request).await?;
        (attached.ips, Some(attached.netns), attached.resolv_conf, attached.hosts)
    };
    for alias in spec.host_aliases.iter().flatten() {
        if let Ok(ip) = alias.ip.parse() {
            hosts.push((ip, alias.hostnames.clone().unwrap_or_default()));
        }
    }
    let record = SandboxRecord {
        ips,
        since: Timestamp::now(),
        netns,
    };
    blocking(move || {
        let names = own_names(&spec, &hostname, &namespace, &inputs.cluster_domain);
        write_files(&inputs.home, &spec, &record.ips, &names, &hosts, &resolv_conf).map_err(failed("write /etc"))?;
        inputs
            .home
            .write_sandbox(&record)
            .map_err(failed("write sandbox.json"))?;
        Ok(record)
    })
    .await
}

/// A token did not come; said of the first volume that shows one.
fn token_failed(spec: &PodSpec, error: TokenError) -> PrepareError {
    let shows_token = |volume: &&Volume| {
        let mut sources = volume
            .projected
            .iter()
            .flat_map(|projected| projected.sources.iter().flatten());
        sources.any(|source| source.service_account_token.is_some())
    };
    let volume = spec.volumes.iter().flatten().find(shows_token);
    PrepareError::Volume {
        volume: volume.map_or_else(String::new, |volume| volume.name.clone()),
        source: VolumeError::Token(error),
    }
}

/// Undoes [`prepare`], as far as it came, and what containers left. Records, logs and exit states stay.
pub(crate) async fn release(
    home: PodHome,
    cgroup: String,
    hierarchies: Hierarchies,
    uid: &str,
    network: &dyn PodNetwork,
) -> Result<(), ReleaseError> {
    let step = |step: &'static str| move |source| ReleaseError::System { step, source };
    let first = home.clone();
    blocking(move || {
        // Without its record the sandbox does not exist: a new agent would not trust half of one.
        first.remove_sandbox_record().map_err(step("remove sandbox.json"))?;
        hierarchies.kill(&cgroup);
        wait_for_shims(&first).map_err(step("wait for the containers' shims"))?;
        Ok::<_, ReleaseError>(hierarchies.remove(&cgroup)?)
    })
    .await?;
    network.detach(uid).await?;
    blocking(move || {
        for container in home.containers() {
            for attempt in home.attempts(&container) {
                let bundle = home.bundle(&container, attempt);
                volume::unmount(&bundle.rootfs()).map_err(step("unmount a root filesystem"))?;
                for part in ["rootfs", "upper", "work"] {
                    remove_dir(&bundle.dir().join(part)).map_err(step("remove a root filesystem"))?;
                }
            }
        }
        volume::release(&home.volumes())?;
        for path in [home.namespaces().join("ipc"), home.namespaces().join("uts"), home.shm()] {
            volume::unmount(&path).map_err(step("unmount"))?;
        }
        for dir in [home.namespaces(), home.shm(), home.etc()] {
            remove_dir(&dir).map_err(step("remove the sandbox's files"))?;
        }
        Ok(())
    })
    .await
}

/// Waits until the shims have written down how their containers ended. Blocks, within bounds.
fn wait_for_shims(home: &PodHome) -> io::Result<()> {
    let until = Instant::now() + SHIM_WAIT_MAX;
    for container in home.containers() {
        for attempt in home.attempts(&container) {
            let bundle = home.bundle(&container, attempt);
            while is_locked(&bundle) {
                if Instant::now() >= until {
                    return Err(io::Error::other(format!("the shim of {:?} does not end", bundle.dir())));
                }
                std::thread::sleep(SHIM_RETRY);
            }
        }
    }
    Ok(())
}

/// The sandbox that is there, if it is whole.
pub(crate) fn existing(home: &PodHome, spec: &PodSpec) -> Option<SandboxRecord> {
    let record = home.sandbox()?;
    let pinned = |path: &Path| rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type == NSFS_MAGIC);
    let network = match &record.netns {
        Some(path) => pinned(path),
        None => spec.host_network == Some(true),
    };
    let whole = network && pinned(&home.namespaces().join("uts")) && pinned(&home.namespaces().join("ipc"));
    whole.then_some(record)
}

/// `f_type` of a bound namespace (linux/magic.h).
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// The namespaces that the pod's containers join.
pub(crate) fn namespaces(home: &PodHome, spec: &PodSpec, record: &SandboxRecord) -> Namespaces {
    let pinned = |name: &str| Some(home.namespaces().join(name));
    Namespaces {
        network: record.netns.clone(),
        ipc: if spec.host_ipc == Some(true) {
            None
        } else {
            pinned("ipc")
        },
        // On the node's network a pod has the node's name.
        uts: if spec.host_network == Some(true) {
            None
        } else {
            pinned("uts")
        },
        pid: if spec.host_pid == Some(true) {
            PidNamespace::Host
        } else {
            PidNamespace::Own
        },
    }
}

/// The request of a pod, as its network was asked when the sandbox was made.
pub(crate) fn network_request(pod: &Pod) -> Option<PodNetRequest> {
    let spec = pod.spec.as_ref()?;
    if spec.host_network == Some(true) {
        return None;
    }
    let metadata = &pod.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    Some(PodNetRequest {
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        hostname: hostname(spec, &name),
        name,
        dns: dns_settings(spec),
    })
}

fn make_local(inputs: &Inputs) -> Result<(), PrepareError> {
    let metadata = &inputs.pod.metadata;
    let spec = inputs.spec().cloned().unwrap_or_default();
    let record = PodRecord {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
    };
    inputs.home.write_record(&record).map_err(failed("write pod.json"))?;
    inputs.hierarchies.make(&inputs.cgroup, &resources::of_pod(&spec))?;
    let sources = volume::Sources {
        pod: &inputs.pod,
        facts: &inputs.facts,
        objects: &inputs.objects,
        dir: &inputs.home.volumes(),
    };
    volume::prepare(&sources).map_err(|(volume, source)| PrepareError::Volume { volume, source })?;
    volume::mount_tmpfs(&inputs.home.shm(), SHM_OPTIONS).map_err(failed("mount /dev/shm"))?;
    let hostname = hostname(&spec, &record.name);
    pin_namespaces(&inputs.home.namespaces(), &hostname).map_err(failed("pin namespaces"))
}

/// Makes an IPC and a UTS namespace and binds them to files. Those that are there stay.
fn pin_namespaces(dir: &Path, hostname: &str) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let is_pinned = |name: &str| rustix::fs::statfs(dir.join(name)).is_ok_and(|stat| stat.f_type == NSFS_MAGIC);
    if is_pinned("ipc") && is_pinned("uts") {
        return Ok(());
    }
    let dir = dir.to_owned();
    let hostname = hostname.to_owned();
    // unshare(2) concerns the calling thread alone: one that ends with it.
    std::thread::Builder::new()
        .name("pin-namespaces".to_owned())
        .spawn(move || -> io::Result<()> {
            unshare(CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
            nix::unistd::sethostname(&hostname)?;
            for name in ["ipc", "uts"] {
                let target = dir.join(name);
                volume::unmount(&target)?;
                File::create(&target)?;
                let source = PathBuf::from(format!("/proc/thread-self/ns/{name}"));
                nix::mount::mount(Some(&source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
            }
            Ok(())
        })?
        .join()
        .map_err(|_| io::Error::other("the thread panicked"))?
}

fn hostname(spec: &PodSpec, name: &str) -> String {
    let wanted = match (&spec.hostname_override, &spec.hostname) {
        (Some(name), _) if !name.is_empty() => name.as_str(),
        (_, Some(name)) if !name.is_empty() => name.as_str(),
        _ => name,
    };
    let cut = &wanted[..wanted.len().min(HOSTNAME_BYTES_MAX)];
    cut.trim_end_matches(['-', '.']).to_owned()
}

/// What the pod calls itself in /etc/hosts.
fn own_names(spec: &PodSpec, hostname: &str, namespace: &str, cluster_domain: &str) -> Vec<String> {
    match spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty()) {
        Some(subdomain) => vec![
            format!("{hostname}.{subdomain}.{namespace}.svc.{cluster_domain}"),
            hostname.to_owned(),
        ],
        None => vec![hostname.to_owned()],
    }
}

fn dns_settings(spec: &PodSpec) -> DnsSettings {
    let on_host = spec.host_network == Some(true);
    let policy = match spec.dns_policy.as_deref() {
        Some("None") => DnsPolicy::None,
        Some("Default") => DnsPolicy::Default,
        Some("ClusterFirstWithHostNet") => DnsPolicy::ClusterFirst,
        _ if on_host => DnsPolicy::Default,
        _ => DnsPolicy::ClusterFirst,
    };
    let config = spec.dns_config.as_ref();
    let options = config.and_then(|config| config.options.as_ref());
    DnsSettings {
        policy,
        extra: ResolvConf {
            nameservers: config
                .and_then(|config| config.nameservers.as_ref())
                .into_iter()
                .flatten()
                .filter_map(|ip| ip.parse().ok())
                .collect(),
            search: config.and_then(|config| config.searches.clone()).unwrap_or_default(),
            options: options
                .into_iter()
                .flatten()
                .map(|option| {
                    let name = option.name.clone().unwrap_or_default();
                    match &option.value {
                        Some(value) => format!("{name}:{value}"),
                        None => name,
                    }
                })
                .collect(),
        },
    }
}

fn write_files(
    home: &PodHome,
    spec: &PodSpec,
    ips: &[IpAddr],
    names: &[String],
    hosts: &[(IpAddr, Vec<String>)],
    resolv_conf: &ResolvConf,
) -> io::Result<()> {
    let etc = home.etc();
    fs::create_dir_all(&etc)?;
    let mut text = if spec.host_network == Some(true) {
        fs::read_to_string("/etc/hosts").unwrap_or_default()
    } else {
        let mut text = "# Written by skep for this pod; spec.hostAliases adds to it.\n\
            127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned();
        for ip in ips {
            text.push_str(&format!("{ip}\t{}\n", names.join("\t")));
        }
        text
    };
    for (ip, names) in hosts {
        text.push_str(&format!("{ip}\t{}\n", names.join("\t")));
    }
    write_public(&etc.join("hosts"), &text)?;
    let own = names.last().cloned().unwrap_or_default();
    write_public(&etc.join("hostname"), &format!("{own}\n"))?;
    let mut text = String::new();
    if !resolv_conf.search.is_empty() {
        text.push_str(&format!("search {}\n", resolv_conf.search.join(" ")));
    }
    for nameserver in &resolv_conf.nameservers {
        text.push_str(&format!("nameserver {nameserver}\n"));
    }
    if !resolv_conf.options.is_empty() {
        text.push_str(&format!("options {}\n", resolv_conf.options.join(" ")));
    }
    write_public(&etc.join("resolv.conf"), &text)
}

/// In place: containers have the file itself mounted.
fn write_public(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

/// Runs file and mount work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(err) => std::panic::resume_unwind(err.into_panic()),
    }
}
