//! `skep sandbox list` and `status`.

use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{
    NameArgument, control_socket,
    registry::{self, Sandbox},
    supervisor,
};
use crate::{
    supervise::record::{Phase, ProcessRecord, Record},
    terminal::TextTable,
};

/// How a status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Wide,
    Json,
    Yaml,
}

/// List the sandboxes of this machine.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ListArguments {
    /// Format.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// Ignored here; all sandboxes are listed.
    #[arg(long, hide = true)]
    name: Option<String>,
}

/// Show the processes of a sandbox.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    name: NameArgument,
    /// Format.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
}

impl ListArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let mut rows = Vec::new();
        let listing = registry::all()?;
        let is_all = listing.damaged.is_empty();
        for damaged in listing.damaged {
            eprintln!(
                "warning: {:#}; `skep sandbox delete --name NAME --data-dir DIR` removes such a sandbox",
                anyhow::Error::from(damaged)
            );
        }
        for sandbox in listing
            .sandboxes
            .into_iter()
            .filter(|sandbox| self.name.as_deref().is_none_or(|name| name == sandbox.name.as_str()))
        {
            // One that cannot be read hides none of the others.
            let state = match control_socket::status(&sandbox) {
                Ok(record) => overall(&record.checked()),
                Err(error) => {
                    eprintln!("warning: {}: {:#}", sandbox.name, anyhow::Error::from(error));
                    "unknown"
                }
            };
            rows.push((state, sandbox));
        }
        match self.output {
            Some(Format::Json) => print_json(&json!(rows.iter().map(described).collect::<Vec<_>>()))?,
            Some(Format::Yaml) => print_yaml(&json!(rows.iter().map(described).collect::<Vec<_>>()))?,
            wide => {
                let mut table = TextTable::new(&["NAME", "NODES", "STATE", "AGE", "KUBECONFIG"]);
                if wide.is_some() {
                    table = TextTable::new(&["NAME", "NODES", "STATE", "AGE", "KUBECONFIG", "SERVER", "DATA-DIR"]);
                }
                for (state, sandbox) in &rows {
                    let mut cells = vec![
                        sandbox.name.to_string(),
                        sandbox.nodes.to_string(),
                        (*state).to_owned(),
                        crate::terminal::age(sandbox.created, jiff::Timestamp::now()),
                        sandbox.kubeconfig().display().to_string(),
                    ];
                    if wide.is_some() {
                        cells.extend([sandbox.server_url(), sandbox.data_dir.display().to_string()]);
                    }
                    table.row(cells);
                }
                if !rows.is_empty() {
                    out!("{table}");
                } else if is_all {
                    eprintln!("No sandboxes; `skep sandbox create` makes one.");
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn described((state, sandbox): &(&'static str, Sandbox)) -> Value {
    json!({
        "name": sandbox.name,
        "nodes": sandbox.nodes,
        "state": state,
        "created": sandbox.created,
        "dataDir": sandbox.data_dir,
        "kubeconfig": sandbox.kubeconfig(),
        "server": sandbox.server_url(),
    })
}

/// One word for a whole sandbox.
fn overall(state: &Record) -> &'static str {
    let all = |phase| state.processes.iter().all(|entry| entry.phase == phase);
    if state.supervisor.is_none() {
        "unsupervised"
    } else if all(Phase::Running) {
        "running"
    } else if all(Phase::Stopped) {
        "stopped"
    } else {
        "degraded"
    }
}

impl StatusArguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let sandbox = registry::find(&self.name.name)?;
        let state = control_socket::status(&sandbox)?.checked();
        match self.output {
            Some(Format::Json) => print_json(&document(&sandbox, &state))?,
            Some(Format::Yaml) => print_yaml(&document(&sandbox, &state))?,
            Some(Format::Wide) => print_table(&sandbox, &state, Columns::All),
            None => print_table(&sandbox, &state, Columns::Usual),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn document(sandbox: &Sandbox, state: &Record) -> Value {
    let supervisor = json!({
        "role": "supervisor",
        "node": null,
        "pid": state.supervisor.map(|process| process.pid),
        "state": if state.supervisor.is_some() { Phase::Running } else { Phase::Dead },
    });
    let processes = state.processes.iter().map(|entry| {
        json!({
            "role": role(entry),
            "node": node(entry),
            "pid": entry.process.map(|process| process.pid),
            "state": entry.phase,
            "restarts": entry.restarts,
            "lastEnd": entry.last_end,
            "address": address(sandbox, entry),
            "log": supervisor::log_file(sandbox, &entry.unit),
        })
    });
    json!({
        "name": sandbox.name,
        "state": overall(state),
        "server": sandbox.server_url(),
        "dataDir": sandbox.data_dir,
        "kubeconfig": sandbox.kubeconfig(),
        "processes": processes.chain([supervisor]).collect::<Vec<_>>(),
    })
}

/// How much a table shows of each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    Usual,
    All,
}

fn print_table(sandbox: &Sandbox, state: &Record, columns: Columns) {
    let mut table = TextTable::new(match columns {
        Columns::Usual => &["ROLE", "NODE", "PID", "STATE", "RESTARTS"],
        Columns::All => &["ROLE", "NODE", "PID", "STATE", "RESTARTS", "ADDRESS", "LAST END", "LOG"],
    });
    let pid = |process: Option<crate::supervise::ProcessId>| process.map_or("-".to_owned(), |id| id.pid.to_string());
    for entry in &state.processes {
        let mut cells = vec![
            role(entry).to_owned(),
            node(entry).unwrap_or("-").to_owned(),
            pid(entry.process),
            entry.phase.as_str().to_owned(),
            entry.restarts.to_string(),
        ];
        if columns == Columns::All {
            cells.push(address(sandbox, entry));
            cells.push(entry.last_end.clone().unwrap_or_else(|| "-".to_owned()));
            cells.push(supervisor::log_file(sandbox, &entry.unit).display().to_string());
        }
        table.row(cells);
    }
    let phase = if state.supervisor.is_some() {
        Phase::Running
    } else {
        Phase::Dead
    };
    let mut cells: Vec<String> = vec![
        "supervisor".into(),
        "-".into(),
        pid(state.supervisor),
        phase.as_str().into(),
        "-".into(),
    ];
    if columns == Columns::All {
        cells.extend([
            "-".into(),
            "-".into(),
            supervisor::log_file(sandbox, "supervisor").display().to_string(),
        ]);
    }
    table.row(cells);
    out!("{table}");
    if state.supervisor.is_none() {
        eprintln!(
            "Nobody keeps these processes alive; `skep sandbox start --name {}` does.",
            sandbox.name
        );
    }
}

fn role(entry: &ProcessRecord) -> &'static str {
    if entry.unit == "server" { "server" } else { "agent" }
}

fn node(entry: &ProcessRecord) -> Option<&str> {
    (entry.unit != "server").then_some(entry.unit.as_str())
}

fn address(sandbox: &Sandbox, entry: &ProcessRecord) -> String {
    match sandbox.number_of(&entry.unit) {
        Some(number) => sandbox.node_address(number).to_string(),
        None => sandbox.server_address().to_string(),
    }
}

fn print_json(document: &Value) -> anyhow::Result<()> {
    outln!("{}", serde_json::to_string_pretty(document)?);
    Ok(())
}

fn print_yaml(document: &Value) -> anyhow::Result<()> {
    out!("{}", serde_yaml_ng::to_string(document)?);
    Ok(())
}
