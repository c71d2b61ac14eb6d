//! The client verbs, with kubectl's argument order and flags.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

pub(crate) mod apply;
pub(crate) mod attach;
pub(crate) mod cp;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod exec;
pub(crate) mod expose;
pub(crate) mod get;
pub(crate) mod logs;
pub(crate) mod net;
pub(crate) mod port_forward;
pub(crate) mod run;
pub(crate) mod scale;
mod session;
pub(crate) mod version;

/// Commands that talk to a server.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Show objects.
    Get(get::GetArguments),
    /// Show one object or several in detail, with their events.
    Describe(describe::DescribeArguments),
    /// Create objects from files, or a common one from flags.
    Create(create::CreateArguments),
    /// Create objects from files, or change them to what the files say.
    Apply(apply::ApplyArguments),
    /// Delete objects.
    Delete(delete::DeleteArguments),
    /// Run an image in a pod.
    Run(run::RunArguments),
    /// Make a service for a pod, deployment, replica set or service.
    Expose(expose::ExposeArguments),
    /// Set the number of replicas.
    Scale(scale::ScaleArguments),
    /// Print what a pod's containers wrote.
    Logs(logs::LogsArguments),
    /// Run a command in a container.
    Exec(exec::ExecArguments),
    /// Connect to what runs in a container already.
    Attach(attach::AttachArguments),
    /// Forward local ports to a pod.
    PortForward(port_forward::PortForwardArguments),
    /// Copy files to and from a container.
    Cp(cp::CpArguments),
    /// Look into the dataplane of the nodes.
    #[command(subcommand)]
    Net(net::NetCommand),
    /// Print the versions of this program and of the server.
    Version(version::VersionArguments),
}

impl Verb {
    /// Runs the verb.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the asynchronous runtime")?;
        runtime.block_on(async {
            match self {
                Self::Exec(arguments) => return arguments.run().await,
                Self::Attach(arguments) => return arguments.run().await,
                Self::Get(arguments) => arguments.run().await?,
                Self::Describe(arguments) => arguments.run().await?,
                Self::Create(arguments) => arguments.run().await?,
                Self::Apply(arguments) => arguments.run().await?,
                Self::Delete(arguments) => arguments.run().await?,
                Self::Run(arguments) => arguments.run().await?,
                Self::Expose(arguments) => arguments.run().await?,
                Self::Scale(arguments) => arguments.run().await?,
                Self::Logs(arguments) => arguments.run().await?,
                Self::PortForward(arguments) => arguments.run().await?,
                Self::Cp(arguments) => arguments.run().await?,
                Self::Net(command) => command.run().await?,
                Self::Version(arguments) => arguments.run().await?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// `-l` and `--field-selector`.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct SelectorArguments {
    /// Only objects with these labels: `app=web,tier!=db`, `env in (a,b)`, `key`, `!key`.
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// Only objects with these fields: `spec.nodeName=NODE`, `status.phase!=Running`.
    #[arg(long)]
    pub(crate) field_selector: Option<String>,
}

impl SelectorArguments {
    /// As parameters of a request.
    pub(crate) fn query(&self) -> Vec<(&'static str, String)> {
        let label = self.selector.clone().map(|selector| ("labelSelector", selector));
        let field = self.field_selector.clone().map(|selector| ("fieldSelector", selector));
        label.into_iter().chain(field).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.selector.is_none() && self.field_selector.is_none()
    }
}

/// `--dry-run`, as kubectl has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DryRun {
    /// Do it.
    #[default]
    None,
    /// Only print the object that would be sent.
    Client,
    /// Have the server check it without keeping it.
    Server,
}

impl DryRun {
    /// What is put behind "created" and the like.
    pub(crate) fn remark(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }

    /// As a parameter of a request.
    pub(crate) fn query(self) -> Option<(&'static str, String)> {
        (self == Self::Server).then(|| ("dryRun", "All".to_owned()))
    }
}

/// `--validate`, as kubectl has it: what becomes of fields that the server does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Validate {
    /// The object is refused.
    #[default]
    #[value(alias = "true")]
    Strict,
    /// They are dropped, with a warning.
    Warn,
    /// They are dropped.
    #[value(alias = "false")]
    Ignore,
}

impl Validate {
    /// As a parameter of a request.
    pub(crate) fn query(self) -> (&'static str, String) {
        let value = match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        };
        ("fieldValidation", value.to_owned())
    }
}

/// Options of the commands that make one object.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct MakeArguments {
    /// Form of the output: name, json or yaml.
    #[arg(short, long)]
    pub(crate) output: Option<crate::client::output::Format>,
    /// Make nothing: `client` prints the object, `server` has it checked.
    #[arg(long, value_enum, default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    pub(crate) dry_run: DryRun,
    /// What becomes of unknown fields: strict refuses them, warn and ignore drop them.
    #[arg(long, value_enum, default_value = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "strict")]
    pub(crate) validate: Validate,
}

/// A number of replicas: what the API's 32 bits with a sign can hold.
pub(crate) fn parse_replicas(text: &str) -> Result<u32, String> {
    const REPLICAS_MAX: u32 = i32::MAX as u32;
    match text.parse() {
        Ok(replicas) if replicas <= REPLICAS_MAX => Ok(replicas),
        Ok(_) | Err(_) => Err(format!("the value must be a number between 0 and {REPLICAS_MAX}")),
    }
}

/// "a=b,c=d" as a map.
pub(crate) fn parse_labels(text: &str) -> anyhow::Result<serde_json::Map<String, serde_json::Value>> {
    let pair = |pair: &str| {
        let (key, value) = pair
            .split_once('=')
            .with_context(|| format!("{pair:?} is not KEY=VALUE"))?;
        Ok((key.to_owned(), value.into()))
    };
    text.split(',').filter(|pair| !pair.is_empty()).map(pair).collect()
}
