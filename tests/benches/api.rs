//! What `cargo xtask bench api` runs: how fast one server reads, writes and tells, and what that costs in memory.
//!
//! Real requests over TLS and HTTP/2, each client with a connection of its own, against the real binary on a real disk.
//! Client and server share the machine, so that the rates are those of both together.

#![allow(
    missing_docs,
    clippy::print_stdout,
    reason = "a program that prints what it measures"
)]

#[path = "api/connection.rs"]
mod connection;
#[path = "api/fanout.rs"]
mod fanout;
#[path = "api/load.rs"]
mod load;
#[path = "api/objects.rs"]
mod objects;
#[path = "api/report.rs"]
mod report;
#[path = "api/server.rs"]
mod server;

use std::time::Duration;

use anyhow::{Result, bail};

use crate::{
    connection::Target,
    load::{Call, Plan},
    report::Row,
    server::Server,
};

/// Clients at once, as the aims name them.
const CLIENTS: [usize; 3] = [1, 16, 256];
/// Objects of the list that is measured.
const LISTED: usize = 10_000;
/// Reads per second of the paced row.
const PACED_RATE: u32 = 1_000;
/// Clients that share the paced reads.
const PACED_CLIENTS: usize = 16;
/// Clients that fill the namespace of the listed pods.
const FILLING_CLIENTS: usize = 64;
/// Objects that are read and updated: one for each client.
const READ_CLIENTS: usize = 256;
/// How long each row is measured by default.
const SECONDS: u64 = 5;

/// What the command line asks for.
struct Arguments {
    /// How long each row is measured.
    lasting: Duration,
    /// Only rows whose name has this in it.
    only: String,
}

impl Arguments {
    /// `[--seconds N] [--only WORDS]`; `cargo bench` adds `--bench`, which says nothing here.
    fn parse() -> Result<Arguments> {
        let mut arguments = Arguments {
            lasting: Duration::from_secs(SECONDS),
            only: String::new(),
        };
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        while let Some(flag) = words.next() {
            match (flag.as_str(), words.next()) {
                ("--seconds", Some(seconds)) => arguments.lasting = Duration::from_secs(seconds.parse()?),
                ("--only", Some(only)) => arguments.only = only,
                _ => bail!("usage: [--seconds N] [--only WORDS]"),
            }
        }
        Ok(arguments)
    }

    fn wants(&self, operation: &str) -> bool {
        operation.contains(&self.only)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse()?;
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(server, &arguments));
    // Whatever is still open goes before the server does.
    runtime.shutdown_background();
    measured
}

async fn measure(server: Server, arguments: &Arguments) -> Result<()> {
    let bench = Bench {
        target: Target::read(&server.kubeconfig()).await?,
        server,
        arguments,
    };
    println!(
        "server at rest: {:.1} MiB; rows of {} s each; {} processors for clients and server together\n",
        bench.server.resident_mib()?,
        arguments.lasting.as_secs(),
        std::thread::available_parallelism()?
    );
    objects::prepare(&bench.target, READ_CLIENTS).await?;
    println!("{}", Row::HEAD);
    bench.writes().await?;
    bench.reads().await?;
    bench.lists().await?;
    if arguments.wants(fanout::OPERATION) {
        fanout::measure(&bench.server, &bench.target, arguments.lasting).await?;
    }
    Ok(())
}

struct Bench<'a> {
    server: Server,
    target: Target,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    async fn writes(&self) -> Result<()> {
        for clients in CLIENTS {
            let creation = move |client, number| {
                let name = objects::name(clients, client, number);
                Call::post(objects::CONFIG_MAPS, objects::config_map(&name, 0))
            };
            self.row("create configmap", &self.full_speed(clients), creation)
                .await?;
        }
        for clients in CLIENTS {
            let update = move |client, number| {
                let name = objects::read_name(client);
                let path = format!("{}/{name}", objects::CONFIG_MAPS);
                Call::put(path, objects::config_map(&name, number + 1))
            };
            self.row("update configmap", &self.full_speed(clients), update).await?;
        }
        for clients in CLIENTS {
            let creation = move |client, number| {
                let name = objects::name(clients, client, number);
                Call::post(objects::PODS, objects::pod(&name))
            };
            self.row("create pod", &self.full_speed(clients), creation).await?;
        }
        Ok(())
    }

    async fn reads(&self) -> Result<()> {
        let read = |client, _| Call::get(format!("{}/{}", objects::CONFIG_MAPS, objects::read_name(client)));
        for clients in CLIENTS {
            self.row("get configmap", &self.full_speed(clients), read).await?;
        }
        let paced = Plan::paced(PACED_CLIENTS, self.arguments.lasting, PACED_RATE);
        self.row("get, 1000 a second", &paced, read).await
    }

    async fn lists(&self) -> Result<()> {
        let (all, page) = ("list of 10000 pods", "list, page of 500");
        if !self.arguments.wants(all) && !self.arguments.wants(page) {
            return Ok(());
        }
        objects::fill(&self.target, FILLING_CLIENTS, LISTED).await?;
        for clients in CLIENTS {
            self.row(all, &self.full_speed(clients), |_, _| Call::get(objects::LISTED_PODS))
                .await?;
        }
        let first = |_, _| Call::get(format!("{}?limit=500", objects::LISTED_PODS));
        self.row(page, &self.full_speed(1), first).await
    }

    fn full_speed(&self, clients: usize) -> Plan {
        Plan::full_speed(clients, self.arguments.lasting)
    }

    async fn row(
        &self,
        operation: &str,
        plan: &Plan,
        call: impl Fn(usize, usize) -> Call + Clone + Send + 'static,
    ) -> Result<()> {
        if !self.arguments.wants(operation) {
            return Ok(());
        }
        let begun = self.server.cpu_seconds()?;
        let peak = self.server.watch_memory();
        let load = load::run(&self.target, plan, call).await?;
        let row = Row {
            operation,
            clients: plan.clients,
            load,
            server_mib: peak.end().await?,
            server_cpu_seconds: self.server.cpu_seconds()? - begun,
        };
        println!("{row}");
        Ok(())
    }
}
