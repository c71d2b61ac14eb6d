//! Logs of the long-running commands: to standard error, for people or as JSON lines.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

/// Options of every command that logs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogArguments {
    /// How log lines look.
    #[arg(
        long,
        value_enum,
        default_value = "human",
        env = "SKEP_LOG_FORMAT",
        global = true,
        hide = true
    )]
    pub(crate) log_format: LogFormat,
    /// What is logged: a level, or `module=level` pairs separated by commas.
    #[arg(
        long,
        default_value = "info,netlink_packet_route=error,hickory_server=warn",
        env = "SKEP_LOG",
        global = true,
        hide = true
    )]
    pub(crate) log: String,
}

impl LogArguments {
    /// Sends this process's logs to standard error.
    pub(crate) fn init(&self) -> anyhow::Result<()> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| anyhow::anyhow!("--log {}: {error}; an example is info,agent::net=debug", self.log))?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            // What cannot be logged is lost; complaining about it on the same descriptor would end the process.
            .log_internal_errors(false)
            .with_ansi(std::io::stderr().is_terminal());
        match self.log_format {
            LogFormat::Human => builder.init(),
            LogFormat::Json => builder.json().init(),
        }
        Ok(())
    }
}
