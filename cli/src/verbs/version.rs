//! `skep version`.

use serde_json::json;

use crate::client::{
    ConnectionArguments, object,
    output::{self, Format},
};

/// Print the versions of this program and of the server.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VersionArguments {
    /// Only of this program.
    #[arg(long)]
    client: bool,
    /// Form: json or yaml.
    #[arg(short, long)]
    output: Option<Format>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl VersionArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let own = env!("CARGO_PKG_VERSION");
        let server = if self.client {
            None
        } else {
            Some(self.connection.connect().await?.get_json("/version").await?)
        };
        if let Some(format @ (Format::Json | Format::Yaml)) = self.output {
            let mut document = json!({"clientVersion": {"version": own}});
            if let Some(server) = server {
                document["serverVersion"] = server;
            }
            return output::print_document(&document, format);
        }
        outln!("Client Version: {own}");
        if let Some(server) = server {
            outln!("Server Version: {}", object::text(&server["gitVersion"]));
        }
        Ok(())
    }
}
