//! Which server, as whom, in which namespace: kubectl's flags and files.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Connection;

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
        let kubeconfig = self.load()?;
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let known = kubeconfig
            .contexts
            .iter()
            .map(|context| context.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| match &self.context {
                Some(context) => format!("use the context {context} (the kubeconfig has: {known})"),
                None => "use the kubeconfig's current context".to_owned(),
            })?;
        config.connect_timeout = Some(CONNECT_WITHIN);
        // A refused or missing server is reported at once rather than tried again for a while.
        config.default_retry = false;
        Connection::new(config, self.namespace.clone())
    }

    fn load(&self) -> anyhow::Result<Kubeconfig> {
        if let Some(path) = &self.kubeconfig {
            return Kubeconfig::read_from(path).with_context(|| format!("read the kubeconfig {}", path.display()));
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
            let looked_at = candidates
                .iter()
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", ");
            bail!(
                "there is no kubeconfig ({looked_at}): set KUBECONFIG to the one of your cluster; `skep sandbox list` \
                 shows those of this machine's sandboxes, and `skep sandbox create` makes one"
            );
        }
        // Of the places where one may lie the first counts; files that were listed are merged.
        let used = if is_default { &present[..1] } else { &present[..] };
        used.iter().try_fold(Kubeconfig::default(), |merged, path| {
            let next =
                Kubeconfig::read_from(path).with_context(|| format!("read the kubeconfig {}", path.display()))?;
            merged
                .merge(next)
                .with_context(|| format!("merge the kubeconfig {}", path.display()))
        })
    }
}

fn default_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
    home.into_iter().chain([PathBuf::from(OWN_KUBECONFIG)]).collect()
}
