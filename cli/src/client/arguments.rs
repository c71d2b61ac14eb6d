//! Which server, as whom, in which namespace: kubectl's flags and files.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{Connection, connection::innermost};

/// Where `skep up` puts its kubeconfig: used when the user has none.
const OWN_KUBECONFIG: &str = "/var/lib/skep/kubeconfig";
/// A server that does not accept a connection this long is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Options of every command that talks to a server.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The kubeconfig file. Default: those in KUBECONFIG, else ~/.kube/config, else that of `skep up`.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig to use.
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// The namespace. Default: the context's.
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
}

impl ConnectionArguments {
    /// As if a file had been named on the command line.
    pub(crate) fn for_kubeconfig(path: &Path) -> Self {
        Self {
            kubeconfig: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// Prepares a connection; nothing is sent yet.
    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let (kubeconfig, files) = self.load()?;
        if self.context.is_none() && kubeconfig.current_context.as_deref().is_none_or(str::is_empty) {
            bail!(
                "the kubeconfig {files} does not say which context to use: it has no current-context, and {}",
                contexts_of(&kubeconfig)
            );
        }
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let known = contexts_of(&kubeconfig);
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(|error| anyhow!(said_once(&error)))
            .with_context(|| match &self.context {
                Some(context) => format!("use the context {context} of the kubeconfig {files}, where {known}"),
                None => format!("use the current context of the kubeconfig {files}"),
            })?;
        config.connect_timeout = Some(CONNECT_WITHIN);
        // A refused or missing server is reported at once rather than tried again for a while.
        config.default_retry = false;
        Connection::new(config, self.namespace.clone())
    }

    /// What the files say, and which they are.
    fn load(&self) -> anyhow::Result<(Kubeconfig, String)> {
        if let Some(path) = &self.kubeconfig {
            return Ok((read(path)?, path.display().to_string()));
        }
        let listed = std::env::var_os("KUBECONFIG").map(|list| std::env::split_paths(&list).collect::<Vec<_>>());
        let listed: Vec<PathBuf> = listed
            .unwrap_or_default()
            .into_iter()
            .filter(|path| !path.as_os_str().is_empty())
            .collect();
        let is_default = listed.is_empty();
        let candidates = if is_default { default_files() } else { listed };
        let present: Vec<&PathBuf> = candidates.iter().filter(|path| path.exists()).collect();
        if present.is_empty() {
            let looked_at = listed_names(candidates.iter());
            bail!(
                "there is no kubeconfig ({looked_at}): set KUBECONFIG to the one of your cluster; `skep sandbox list` \
                 shows those of this machine's sandboxes, and `skep sandbox create` makes one"
            );
        }
        // Of the places where one may lie the first counts; files that were listed are merged.
        let used = if is_default { &present[..1] } else { &present[..] };
        let merged = used.iter().try_fold(Kubeconfig::default(), |merged, path| {
            merged
                .merge(read(path)?)
                .with_context(|| format!("merge the kubeconfig {}", path.display()))
        })?;
        Ok((merged, listed_names(used.iter().copied())))
    }
}

fn listed_names<'a>(files: impl Iterator<Item = &'a PathBuf>) -> String {
    files
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    // The file is in front already.
    Kubeconfig::read_from(path)
        .map_err(|error| anyhow!(innermost(&error)))
        .with_context(|| format!("read the kubeconfig {}", path.display()))
}

/// "the contexts are a, b".
fn contexts_of(kubeconfig: &Kubeconfig) -> String {
    let names: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    match names.as_slice() {
        [] => "there are no contexts".to_owned(),
        names => format!("the contexts are {} (--context chooses one)", names.join(", ")),
    }
}

/// An error with its causes; those that it has in its own text already are not repeated.
fn said_once(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

fn default_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    home.into_iter().chain([PathBuf::from(OWN_KUBECONFIG)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refusal(file: &Path, context: Option<&str>) -> String {
        let arguments = ConnectionArguments {
            context: context.map(str::to_owned),
            ..ConnectionArguments::for_kubeconfig(file)
        };
        match arguments.connect().await {
            Ok(_) => panic!("{} is taken", file.display()),
            Err(error) => format!("{error:#}"),
        }
    }

    #[tokio::test]
    async fn what_a_kubeconfig_lacks_is_said_once_and_with_its_file() {
        let directory = tempfile::tempdir().expect("make a directory");
        let file = directory.path().join("config");
        let shown = file.display().to_string();
        let missing = refusal(&file, None).await;
        assert_eq!(
            missing,
            format!("read the kubeconfig {shown}: No such file or directory (os error 2)")
        );
        for (content, context, said) in [
            ("", None, "it has no current-context, and there are no contexts"),
            ("", Some("a"), "where there are no contexts"),
            (
                "contexts: [{name: a, context: {cluster: c, user: u}}]",
                None,
                "no current-context, and the contexts are a",
            ),
            (
                "contexts: [{name: a, context: {cluster: c, user: u}}]",
                Some("b"),
                "use the context b of the kubeconfig",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}]}",
                None,
                "failed to load the cluster of context",
            ),
        ] {
            std::fs::write(&file, content).expect("write");
            let refusal = refusal(&file, context).await;
            assert!(refusal.contains(said), "{content}: {refusal}");
            assert_eq!(refusal.matches(&shown).count(), 1, "{content}: {refusal}");
        }
    }
}
