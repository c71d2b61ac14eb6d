//! `skep logs`.

use std::{io::Write, time::Duration};

use anyhow::{Context, bail};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::Value;

use crate::client::{
    Connection, ConnectionArguments, object,
    pod_choice::{self, Containers},
};

/// Pods whose logs are followed at once, unless --max-log-requests says otherwise.
const FOLLOWED_AT_ONCE: usize = 5;

/// Print what a pod's containers wrote.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogsArguments {
    /// `POD`, `POD CONTAINER`, or `TYPE/NAME` of what has pods.
    #[arg(value_name = "POD | TYPE/NAME")]
    words: Vec<String>,
    /// The container. Default: the pod's first.
    #[arg(short, long)]
    container: Option<String>,
    /// All containers.
    #[arg(long)]
    all_containers: bool,
    /// Then print what is written from now on.
    #[arg(short, long)]
    follow: bool,
    /// Of the container's previous run.
    #[arg(short, long)]
    previous: bool,
    /// Only the last lines. Default: all, or 10 with a selector.
    #[arg(long)]
    tail: Option<i64>,
    /// Only of this last time: 5s, 2m, 3h.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only since this time (RFC 3339).
    #[arg(long, conflicts_with = "since")]
    since_time: Option<String>,
    /// At most this many bytes.
    #[arg(long)]
    limit_bytes: Option<u64>,
    /// With the time of each line.
    #[arg(long)]
    timestamps: bool,
    /// Of all pods with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Put pod and container before each line.
    #[arg(long)]
    prefix: bool,
    /// How many logs may be followed at once.
    #[arg(long, default_value_t = FOLLOWED_AT_ONCE)]
    max_log_requests: usize,
    #[command(flatten)]
    connection: ConnectionArguments,
}

struct Source {
    pod: String,
    container: String,
}

impl LogsArguments {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let pods = self.pods(&connection).await?;
        let mut sources = Vec::new();
        for pod in &pods {
            sources.extend(self.sources(pod)?);
        }
        if self.follow && sources.len() > self.max_log_requests {
            bail!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
                sources.len(),
                self.max_log_requests
            );
        }
        if self.follow {
            let mut printing: FuturesUnordered<_> =
                sources.iter().map(|source| self.print(&connection, source)).collect();
            while let Some(outcome) = printing.next().await {
                outcome?;
            }
        } else {
            for source in &sources {
                self.print(&connection, source).await?;
            }
        }
        Ok(())
    }

    async fn pods(&self, connection: &Connection) -> anyhow::Result<Vec<Value>> {
        if let Some(selector) = &self.selector {
            if !self.words.is_empty() {
                bail!("a pod and a selector cannot be given together");
            }
            let found = pod_choice::list(connection, selector).await?;
            if found.is_empty() {
                eprintln!("No resources found in {} namespace.", connection.namespace());
            }
            return Ok(found);
        }
        let word = self
            .words
            .first()
            .context("name a pod, as in `skep logs POD`, or give -l SELECTOR")?;
        let mut choice = pod_choice::pods(connection, word).await?;
        let count = choice.pods.len();
        choice.pods.truncate(1);
        let chosen = choice.pods.first().with_context(|| format!("{word} has no pods"))?;
        if count > 1 {
            eprintln!("Found {count} pods, using pod/{}", object::name(chosen));
        }
        Ok(choice.pods)
    }

    fn sources(&self, pod: &Value) -> anyhow::Result<Vec<Source>> {
        let name = object::name(pod).to_owned();
        let source = |container: &String| Source {
            pod: name.clone(),
            container: container.clone(),
        };
        if self.all_containers {
            let containers = Containers::of(pod);
            let all = containers
                .init
                .iter()
                .chain(&containers.regular)
                .chain(&containers.ephemeral);
            return Ok(all.map(source).collect());
        }
        let asked = self.container.as_ref().or_else(|| self.words.get(1));
        let chosen = pod_choice::container(pod, asked.map(String::as_str), false)?;
        Ok(vec![source(&chosen)])
    }

    fn query(&self, container: &str) -> String {
        let mut parameters = vec![("container", container.to_owned())];
        for (name, flag) in [
            ("follow", self.follow),
            ("previous", self.previous),
            ("timestamps", self.timestamps),
        ] {
            if flag {
                parameters.push((name, "true".to_owned()));
            }
        }
        /// Lines of each pod when several are printed.
        const TAIL_WITH_SELECTOR: i64 = 10;
        let default_tail = self.selector.as_ref().map(|_| TAIL_WITH_SELECTOR);
        if let Some(lines) = self.tail.or(default_tail).filter(|lines| *lines >= 0) {
            parameters.push(("tailLines", lines.to_string()));
        }
        if let Some(since) = self.since {
            parameters.push(("sinceSeconds", since.as_secs().max(1).to_string()));
        }
        if let Some(time) = &self.since_time {
            parameters.push(("sinceTime", time.clone()));
        }
        if let Some(bytes) = self.limit_bytes {
            parameters.push(("limitBytes", bytes.to_string()));
        }
        object::query(&parameters)
    }

    async fn print(&self, connection: &Connection, source: &Source) -> anyhow::Result<()> {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{}/log{}",
            object::encoded(connection.namespace()),
            object::encoded(&source.pod),
            self.query(&source.container)
        );
        let mut lines = std::pin::pin!(connection.get_lines(&path, "*/*").await?);
        while let Some(line) = lines.next().await {
            let line = line.context("read the log")?;
            let mut out = std::io::stdout().lock();
            let written = if self.prefix {
                write!(out, "[pod/{}/{}] {line}", source.pod, source.container)
            } else {
                write!(out, "{line}")
            };
            written.and_then(|()| out.flush()).context("write to standard output")?;
        }
        Ok(())
    }
}
