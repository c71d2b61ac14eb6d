//! From a container's spec to a started shim: image, environment, user, mounts, configuration.
//!
//! Never here: whether to start it (`reconcile::pod` has decided), what becomes of it afterwards.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use api::k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use reconcile::pod::RefusalReason;
use sha2::{Digest as _, Sha256};

use super::{
    env::{self, environment, expand},
    fields::PodFacts,
    layout::{AttemptRecord, PodHome, PodsHome, SandboxRecord},
    objects::Objects,
    resources, sandbox,
};
use crate::{
    causes::chain,
    image::{Image, ImageStore, StoreError},
    runtime::{
        bundle::{Bundle, ShimConfig, State, Stdin},
        spec::{self, Access, Bind, Machine, PidNamespace, Propagation},
        user::{Accounts, Wanted},
    },
    volume,
};

/// Where programs are looked for if neither image nor pod says.
const PATH_DEFAULT: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a terminal understands if neither image nor pod says.
pub(crate) const TERM_DEFAULT: &str = "TERM=xterm";
/// A log is rotated at this size; kubelet's default.
const LOG_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Log files of one attempt; kubelet's default.
const LOG_FILES_MAX: u32 = 5;
const TERMINATION_LOG_DEFAULT: &str = "/dev/termination-log";
/// Ports below it need a capability; containers listen on 80 without one, as in other runtimes.
const UNPRIVILEGED_PORTS: (&str, &str) = ("net.ipv4.ip_unprivileged_port_start", "0");
const SIGTERM: i32 = 15;

/// A container cannot be started now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) message: String,
}

/// A container whose processes another one sees.
#[derive(Debug, Clone)]
pub(crate) struct ProcessesOf {
    pub(crate) container: String,
    pub(crate) bundle: Bundle,
}

impl ProcessesOf {
    /// The namespace of its processes, while it runs.
    fn pid_namespace(&self) -> Result<PidNamespace, Refused> {
        match self.bundle.state() {
            Ok(Some(State::Running { pid, .. })) => Ok(PidNamespace::Of(PathBuf::from(format!("/proc/{pid}/ns/pid")))),
            Ok(Some(State::Failed { .. } | State::Exited { .. }) | None) | Err(_) => Err(Refused {
                reason: RefusalReason::CreateContainerError,
                message: format!("target container {:?} does not run", self.container),
            }),
        }
    }
}

/// What launching takes; owned, because it runs where it may block.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) pod: Box<Pod>,
    pub(crate) container: Container,
    /// Whose processes it sees, of an ephemeral container.
    pub(crate) target: Option<ProcessesOf>,
    pub(crate) attempt: u32,
    pub(crate) crash_level: u32,
    pub(crate) sandbox: SandboxRecord,
    pub(crate) facts: PodFacts,
    pub(crate) objects: Objects,
    pub(crate) services: Vec<api::node_stream::Service>,
    pub(crate) default_services: Vec<api::node_stream::Service>,
    pub(crate) images: ImageStore,
    pub(crate) machine: std::sync::Arc<Machine>,
    pub(crate) pods: PodsHome,
    pub(crate) home: PodHome,
    /// The pod's cgroup.
    pub(crate) cgroup: String,
}

/// Writes the bundle of an attempt. Blocks.
pub(crate) fn write_bundle(launch: &Launch) -> Result<AttemptRecord, Refused> {
    let container = &launch.container;
    let pod_spec = launch.pod.spec.clone().unwrap_or_default();
    if let Some(what) = super::check::unsupported(container) {
        return Err(Refused {
            reason: RefusalReason::CreateContainerConfigError,
            message: what.to_owned(),
        });
    }
    let image_name = container.image.clone().unwrap_or_default();
    let image = find_image(&launch.images, container, &image_name)?;
    let resolved = resolve(launch, &pod_spec, &image)?;
    let record = AttemptRecord {
        crash_level: launch.crash_level,
        container_id: container_id(&launch.pod, &container.name, launch.attempt),
        image: image_name
            .parse::<crate::image::Reference>()
            .map_or(image_name.clone(), |reference| reference.to_string()),
        image_id: image.image_id(),
        stop_signal: stop_signal(container, &image),
        resources: Some(container.resources.clone().unwrap_or_default()),
    };
    store(launch, &image, &resolved, &record).map_err(|err| Refused {
        reason: RefusalReason::CreateContainerError,
        message: format!("write the container's files: {err}"),
    })?;
    Ok(record)
}

/// The configuration and what the shim needs besides.
struct Resolved {
    config: serde_json::Value,
    working_dir: String,
}

fn find_image(images: &ImageStore, container: &Container, name: &str) -> Result<Image, Refused> {
    let refused = |reason, message| Refused { reason, message };
    match images.resolve(name) {
        Ok(Some(image)) => Ok(image),
        Ok(None) if container.image_pull_policy.as_deref() == Some("Never") => Err(refused(
            RefusalReason::ErrImageNeverPull,
            format!("Container image \"{name}\" is not present with pull policy of Never"),
        )),
        Ok(None) => Err(refused(
            RefusalReason::ErrImagePull,
            format!(
                "image \"{name}\" is not on this node, and this node cannot pull from registries yet: \
                 import it with \"skep image import FILE.tar\""
            ),
        )),
        Err(StoreError::Reference(err)) => Err(refused(
            RefusalReason::InvalidImageName,
            format!("Failed to apply default image tag \"{name}\": couldn't parse image name: {err}"),
        )),
        Err(err) => Err(refused(
            RefusalReason::CreateContainerError,
            format!("look for image \"{name}\": {}", chain(&err)),
        )),
    }
}

fn resolve(launch: &Launch, pod_spec: &PodSpec, image: &Image) -> Result<Resolved, Refused> {
    let container = &launch.container;
    let config_error = |message: String| Refused {
        reason: RefusalReason::CreateContainerConfigError,
        message,
    };
    let variables = environment(&env::Sources {
        pod: &launch.pod,
        container,
        facts: &launch.facts,
        objects: &launch.objects,
        services: &launch.services,
        default_services: &launch.default_services,
    })
    .map_err(|err| config_error(err.to_string()))?;
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    let args = command_line(container, image, lookup);
    if args.is_empty() {
        return Err(config_error(format!(
            "image \"{}\" names no command, and neither does the container",
            container.image.as_deref().unwrap_or_default()
        )));
    }

    let layers_dir = launch.images.layers_dir();
    let layers: Vec<PathBuf> = image.lower_dirs().iter().map(|layer| layers_dir.join(layer)).collect();
    let user = user(launch, pod_spec, image, &layers).map_err(config_error)?;

    let volumes = launch.home.volumes();
    let sources = volume::Sources {
        pod: &launch.pod,
        facts: &launch.facts,
        objects: &launch.objects,
        dir: &volumes,
    };
    let mut binds = files_of_the_pod(launch);
    let mounted = volume::binds(&sources, container, &variables)
        .map_err(|(volume, err)| config_error(format!("volume \"{volume}\": {}", chain(&err))))?;
    // The container's own mount of a file wins over the pod's.
    binds.retain(|bind| !mounted.iter().any(|mount| mount.target == bind.target));
    binds.extend(mounted);
    binds.sort_by(|a, b| Path::new(&a.target).cmp(Path::new(&b.target)));

    let working_dir = match container.working_dir.as_deref() {
        Some(dir) if !dir.is_empty() => dir.to_owned(),
        _ if !image.config.working_dir.is_empty() => image.config.working_dir.clone(),
        _ => "/".to_owned(),
    };
    let limits = resources::of_container(container);
    let mut namespaces = sandbox::namespaces(&launch.home, pod_spec, &launch.sandbox);
    if let (Some(target), PidNamespace::Own) = (&launch.target, &namespaces.pid) {
        namespaces.pid = target.pid_namespace()?;
    }
    let config = spec::config(&spec::Plan {
        container,
        pod_security: pod_spec.security_context.as_ref(),
        machine: &launch.machine,
        rootfs: &launch.home.bundle(&container.name, launch.attempt).rootfs(),
        args: &args,
        env: &merged_environment(image, &variables, container.tty.unwrap_or(false)),
        working_dir: &working_dir,
        user: &user,
        namespaces: &namespaces,
        binds: &binds,
        shm: &launch.home.shm(),
        cgroup: &container_cgroup(&launch.cgroup, &container.name),
        limits: &limits,
        oom_score_adj: resources::oom_score_adj(pod_spec, container, launch.facts.node_memory_bytes),
        sysctls: &sysctls(pod_spec),
    })
    .map_err(|err| config_error(err.to_string()))?;
    Ok(Resolved { config, working_dir })
}

/// The image's variables, then the pod's; a search path in any case.
fn merged_environment(image: &Image, variables: &[(String, String)], terminal: bool) -> Vec<String> {
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let mut merged: Vec<String> = image
        .config
        .env
        .iter()
        .filter(|variable| {
            let name = name_of(variable);
            !variables.iter().any(|(known, _)| *known == name)
        })
        .cloned()
        .collect();
    merged.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    if !merged.iter().any(|variable| name_of(variable) == "PATH") {
        merged.insert(0, PATH_DEFAULT.to_owned());
    }
    if terminal && !merged.iter().any(|variable| name_of(variable) == "TERM") {
        merged.push(TERM_DEFAULT.to_owned());
    }
    merged
}

/// A command replaces the image's entrypoint and its arguments; arguments alone replace only those.
fn command_line(container: &Container, image: &Image, lookup: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let words = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|word| expand(word, &lookup)).collect()
    };
    let command = words(&container.command);
    let args = words(&container.args);
    let (mut line, rest) = match (command.is_empty(), args.is_empty()) {
        (false, _) => (command, args),
        (true, false) => (image.config.entrypoint.clone(), args),
        (true, true) => (image.config.entrypoint.clone(), image.config.cmd.clone()),
    };
    line.extend(rest);
    line
}

fn user(
    launch: &Launch,
    pod_spec: &PodSpec,
    image: &Image,
    layers: &[PathBuf],
) -> Result<crate::runtime::user::User, String> {
    let own = launch.container.security_context.as_ref();
    let pod = pod_spec.security_context.as_ref();
    let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let groups: Vec<u32> = pod
        .and_then(|pod| pod.supplemental_groups.as_ref())
        .into_iter()
        .flatten()
        .chain(pod.and_then(|pod| pod.fs_group.as_ref()))
        .filter_map(|group| u32::try_from(*group).ok())
        .collect();
    let accounts = Accounts::read(layers.iter().map(PathBuf::as_path));
    let user = accounts
        .resolve(Wanted {
            image: &image.config.user,
            uid: number(
                own.and_then(|own| own.run_as_user)
                    .or_else(|| pod.and_then(|pod| pod.run_as_user)),
            ),
            gid: number(
                own.and_then(|own| own.run_as_group)
                    .or_else(|| pod.and_then(|pod| pod.run_as_group)),
            ),
            groups: &groups,
        })
        .map_err(|err| err.to_string())?;
    let non_root = own
        .and_then(|own| own.run_as_non_root)
        .or_else(|| pod.and_then(|pod| pod.run_as_non_root))
        .unwrap_or(false);
    if non_root && user.uid == 0 {
        let metadata = &launch.pod.metadata;
        return Err(format!(
            "container has runAsNonRoot and image will run as root (pod: \"{}_{}({})\", container: {})",
            metadata.name.as_deref().unwrap_or_default(),
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.uid.as_deref().unwrap_or_default(),
            launch.container.name
        ));
    }
    Ok(user)
}

fn files_of_the_pod(launch: &Launch) -> Vec<Bind> {
    let etc = launch.home.etc();
    let bind = |source: PathBuf, target: &str| Bind {
        source,
        target: target.to_owned(),
        access: Access::ReadWrite,
        propagation: Propagation::Private,
    };
    let bundle = launch.home.bundle(&launch.container.name, launch.attempt);
    let termination = launch
        .container
        .termination_message_path
        .as_deref()
        .filter(|path| path.starts_with('/'))
        .unwrap_or(TERMINATION_LOG_DEFAULT);
    vec![
        bind(etc.join("hosts"), "/etc/hosts"),
        bind(etc.join("hostname"), "/etc/hostname"),
        bind(etc.join("resolv.conf"), "/etc/resolv.conf"),
        bind(bundle.termination_log(), termination),
    ]
}

fn sysctls(pod_spec: &PodSpec) -> Vec<(String, String)> {
    let mut sysctls = Vec::new();
    if pod_spec.host_network != Some(true) {
        sysctls.push((UNPRIVILEGED_PORTS.0.to_owned(), UNPRIVILEGED_PORTS.1.to_owned()));
    }
    let own = pod_spec
        .security_context
        .as_ref()
        .and_then(|security| security.sysctls.as_ref());
    sysctls.extend(
        own.into_iter()
            .flatten()
            .map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())),
    );
    sysctls
}

fn stop_signal(container: &Container, image: &Image) -> i32 {
    let own = container
        .lifecycle
        .as_ref()
        .and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let name = own.unwrap_or(&image.config.stop_signal);
    if let Ok(number) = name.parse::<i32>() {
        return number;
    }
    let full = if name.starts_with("SIG") {
        name.to_owned()
    } else {
        format!("SIG{name}")
    };
    full.parse::<nix::sys::signal::Signal>()
        .map_or(SIGTERM, |signal| signal as i32)
}

fn store(launch: &Launch, image: &Image, resolved: &Resolved, record: &AttemptRecord) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let name = &launch.container.name;
    let bundle = launch.home.bundle(name, launch.attempt);
    let log = launch.home.log(name, launch.attempt);
    // What an attempt of this number left that never began.
    super::layout::remove_dir(bundle.dir())?;
    for dir in ["rootfs", "upper", "work"] {
        let path = bundle.dir().join(dir);
        fs::create_dir_all(&path)?;
        // The upper directory's mode is that of the container's /.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::create_dir_all(launch.pods.runtime_dir())?;
    fs::write(bundle.termination_log(), "")?;
    // Whoever the container runs as writes here.
    fs::set_permissions(bundle.termination_log(), fs::Permissions::from_mode(0o666))?;
    fs::write(
        bundle.config(),
        serde_json::to_vec(&resolved.config).map_err(io::Error::other)?,
    )?;
    bundle.write_shim_config(&ShimConfig {
        id: record.container_id[..32].to_owned(),
        runtime_dir: launch.pods.runtime_dir(),
        layers_dir: launch.images.layers_dir(),
        lower: image.lower_dirs(),
        working_dir: resolved.working_dir.clone(),
        cgroup: container_cgroup(&launch.cgroup, name),
        log,
        log_bytes_max: LOG_BYTES_MAX,
        log_files_max: LOG_FILES_MAX,
        stdin: stdin(&launch.container),
        terminal: launch.container.tty.unwrap_or(false),
    })?;
    launch.home.write_attempt(name, launch.attempt, record)
}

fn stdin(container: &Container) -> Stdin {
    match (container.stdin.unwrap_or(false), container.stdin_once.unwrap_or(false)) {
        (false, _) => Stdin::Null,
        (true, false) => Stdin::Open,
        (true, true) => Stdin::Once,
    }
}

/// 64 hexadecimal digits, different for every attempt of every container of every pod.
fn container_id(pod: &Pod, container: &str, attempt: u32) -> String {
    use std::fmt::Write as _;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let digest = Sha256::digest(format!("{uid}/{container}/{attempt}"));
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A container's cgroup below its pod's.
pub(crate) fn container_cgroup(pod: &str, container: &str) -> String {
    format!("{pod}/{container}")
}
