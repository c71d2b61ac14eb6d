//! `skep net`: what the nodes' dataplanes hold, read from their maps.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    client::{
        Connection, ConnectionArguments, object,
        output::{self, Format},
    },
    terminal::TextTable,
};

/// Look into the dataplane of the nodes.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum NetCommand {
    /// Services: address, port, and the backends behind them.
    Services(NetArguments),
    /// Backends and the node's own pods.
    Endpoints(NetArguments),
    /// Translated flows.
    Conntrack(NetArguments),
    /// Maps: how full they are.
    Maps(NetArguments),
    /// Dropped packets, by reason.
    Drops(NetArguments),
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct NetArguments {
    /// Only of this node. May be repeated. Default: all nodes.
    #[arg(long)]
    node: Vec<String>,
    /// Form: wide, json or yaml.
    #[arg(short, long)]
    output: Option<Format>,
    /// No headings.
    #[arg(long)]
    no_headers: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl NetCommand {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let (what, arguments) = match self {
            Self::Services(arguments) => ("services", arguments),
            Self::Endpoints(arguments) => ("endpoints", arguments),
            Self::Conntrack(arguments) => ("conntrack", arguments),
            Self::Maps(arguments) => ("maps", arguments),
            Self::Drops(arguments) => ("drops", arguments),
        };
        arguments.run(what).await
    }
}

impl NetArguments {
    async fn run(&self, what: &str) -> anyhow::Result<()> {
        let connection = self.connection.connect().await?;
        let nodes = if self.node.is_empty() {
            all_nodes(&connection).await?
        } else {
            self.node.clone()
        };
        let mut answers = Vec::new();
        let mut failures = Vec::new();
        for node in &nodes {
            let path = format!("/skep/v1/nodes/{}/net/{what}", object::encoded(node));
            match connection.get_json(&path).await {
                Ok(rows) => answers.push((node, rows)),
                // The other nodes are shown all the same.
                Err(error) => failures.push(format!("{node}: {error}")),
            }
        }
        if let Some(format @ (Format::Json | Format::Yaml)) = self.output {
            let document: Vec<Value> = answers
                .iter()
                .map(|(node, answer)| json!({"node": node, what: answer}))
                .collect();
            output::print_document(&document.into(), format)?;
        } else {
            let wide = self.output == Some(Format::Wide);
            let shown = sections(what).iter().filter(|section| wide || !section.only_wide);
            for (index, section) in shown.enumerate() {
                if index > 0 {
                    outln!();
                }
                out!("{}", self.table(section, &answers, wide));
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            anyhow::bail!(failures.join("\n"))
        }
    }

    fn table(&self, section: &Section, answers: &[(&String, Value)], wide: bool) -> TextTable {
        let columns: Vec<&str> = section
            .columns
            .iter()
            .chain(section.wide.iter().filter(|_| wide))
            .copied()
            .collect();
        let mut table = TextTable::new(&[]);
        if !self.no_headers {
            let headings = columns.iter().map(|column| heading(column));
            table.row(std::iter::once("NODE".to_owned()).chain(headings).collect());
        }
        for (node, answer) in answers {
            let rows = section.part.map_or(answer, |part| &answer[part]);
            for row in object::items(rows) {
                let cells = columns.iter().map(|column| cell_of(row, column));
                table.row(std::iter::once((*node).clone()).chain(cells).collect());
            }
        }
        table
    }
}

/// One table of an answer.
struct Section {
    /// The field of the answer that holds the rows; None: the answer is the rows.
    part: Option<&'static str>,
    columns: &'static [&'static str],
    /// Further columns of the wide form.
    wide: &'static [&'static str],
    only_wide: bool,
}

/// The tables of an answer, with the columns people look for in their order.
fn sections(what: &str) -> &'static [Section] {
    const fn rows(columns: &'static [&'static str], wide: &'static [&'static str]) -> Section {
        Section {
            part: None,
            columns,
            wide,
            only_wide: false,
        }
    }
    match what {
        "services" => {
            const {
                &[rows(
                    &[
                        "namespace",
                        "service",
                        "address",
                        "port",
                        "protocol",
                        "scope",
                        "backends",
                    ],
                    &["portName", "id", "generation", "turn"],
                )]
            }
        }
        "endpoints" => {
            const {
                &[
                    Section {
                        part: Some("backends"),
                        columns: &["address", "port", "protocol", "services"],
                        wide: &["id"],
                        only_wide: false,
                    },
                    Section {
                        part: Some("pods"),
                        columns: &["address", "uid", "interfaceIndex", "mac"],
                        wide: &[],
                        only_wide: true,
                    },
                    Section {
                        part: Some("nodes"),
                        columns: &["name", "address", "local", "ranges"],
                        wide: &[],
                        only_wide: true,
                    },
                ]
            }
        }
        "conntrack" => {
            const {
                &[rows(
                    &[
                        "protocol",
                        "kind",
                        "source",
                        "destination",
                        "translatedSource",
                        "translatedDestination",
                        "state",
                        "idleSeconds",
                    ],
                    &["direction", "site", "via"],
                )]
            }
        }
        "maps" => const { &[rows(&["name", "entries", "limit", "percent"], &[])] },
        "drops" => const { &[rows(&["hook", "reason", "packets"], &[])] },
        _ => &[],
    }
}

async fn all_nodes(connection: &Connection) -> anyhow::Result<Vec<String>> {
    let list = connection.get_json("/api/v1/nodes").await?;
    Ok(object::items(&list["items"])
        .iter()
        .map(|node| object::name(node).to_owned())
        .collect())
}

/// "nodePort" becomes "NODE-PORT".
fn heading(column: &str) -> String {
    column.chars().fold(String::new(), |mut heading, letter| {
        if letter.is_uppercase() || letter == '_' {
            heading.push('-');
        }
        heading.extend(letter.to_uppercase().filter(|letter| *letter != '_'));
        heading
    })
}

/// A cell; how full a map is, is computed from what is in it and what fits.
fn cell_of(row: &Value, column: &str) -> String {
    match (column, row["entries"].as_u64(), row["limit"].as_u64()) {
        ("percent", Some(entries), Some(limit)) if limit > 0 => format!("{}%", entries * 100 / limit),
        _ => cell(&row[column]),
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(map) => match (map.get("address"), map.get("port")) {
            (Some(address), Some(port)) => format!("{}:{}", cell(address), cell(port)),
            _ => map
                .iter()
                .map(|(key, value)| format!("{key}={}", cell(value)))
                .collect::<Vec<_>>()
                .join(" "),
        },
        Value::String(_) | Value::Number(_) | Value::Bool(_) => object::text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_say_how_full_they_are() {
        let row = json!({"name": "flows", "entries": 5, "limit": 200});
        let cells: Vec<String> = sections("maps")[0]
            .columns
            .iter()
            .map(|column| cell_of(&row, column))
            .collect();
        assert_eq!(cells, ["flows", "5", "200", "2%"]);
    }

    #[test]
    fn cells_and_headings_are_short() {
        assert_eq!(heading("nodePort"), "NODE-PORT");
        for (value, expected) in [
            (json!(null), "-"),
            (json!([]), "-"),
            (
                json!([{"address": "10.42.0.2", "port": 8080}, {"address": "10.42.1.2", "port": 8080}]),
                "10.42.0.2:8080,10.42.1.2:8080",
            ),
            (json!({"a": 1}), "a=1"),
            (json!(true), "true"),
        ] {
            assert_eq!(cell(&value), expected);
        }
    }
}
