//! What `cargo xtask bench api` runs: how fast one server reads, writes and tells, and what that costs in memory.
//!
//! Real requests over TLS and HTTP/2, each client with a connection of its own, against the real binary on a real disk.
//! Client and server share the machine, so that the rates are those of both together.

#![allow(missing_docs, clippy::print_stdout, reason = "a program that prints what it measures")]

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

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail};
use http::Method;

use crate::{
    connection::{Connection, Target},
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
/// How long each row is measured by default.
const SECONDS: u64 = 5;

/// `--seconds N`: how long each row is measured. `cargo bench` adds `--bench`, which says nothing here.
fn seconds() -> Result<u64> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.as_slice() {
        [] => Ok(SECONDS),
        [flag, value] if flag == "--seconds" => Ok(value.parse()?),
        _ => bail!("usage: [--seconds N]"),
    }
}

fn main() -> Result<()> {
    let lasting = Duration::from_secs(seconds()?);
    let server = Server::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measure(&server, lasting));
    // Whatever is still open goes before the server does.
    runtime.shutdown_background();
    measured
}

async fn measure(server: &Server, lasting: Duration) -> Result<()> {
    let target = Target::read(&server.kubeconfig()).await?;
    println!(
        "server at rest: {:.1} MiB; rows of {} s each; {} processors for clients and server together\n",
        server.resident_mib()?,
        lasting.as_secs(),
        std::thread::available_parallelism()?
    );
    objects::prepare(&mut Connection::open(&target).await?).await?;
    println!("{}", Row::HEAD);

    for clients in CLIENTS {
        let plan = Plan::full_speed(clients, lasting);
        let creation = move |client, number| Call {
            method: Method::POST,
            path: objects::CONFIG_MAPS.to_owned(),
            body: objects::config_map(&objects::name(clients, client, number)),
        };
        row(server, &target, "create configmap", &plan, creation).await?;
    }
    for clients in CLIENTS {
        let plan = Plan::full_speed(clients, lasting);
        let update = move |client, number| {
            let name = objects::name(clients, client, 0);
            Call {
                method: Method::PUT,
                path: format!("{}/{name}", objects::CONFIG_MAPS),
                body: objects::changed_config_map(&name, number),
            }
        };
        row(server, &target, "update configmap", &plan, update).await?;
    }
    for clients in CLIENTS {
        let plan = Plan::full_speed(clients, lasting);
        let creation = move |client, number| Call {
            method: Method::POST,
            path: objects::PODS.to_owned(),
            body: objects::pod(&objects::name(clients, client, number)),
        };
        row(server, &target, "create pod", &plan, creation).await?;
    }
    let read = |client: usize, _| Call::get(format!("{}/{}", objects::CONFIG_MAPS, objects::name(256, client, 0)));
    for clients in CLIENTS {
        row(server, &target, "get configmap", &Plan::full_speed(clients, lasting), read).await?;
    }
    let paced = Plan::paced(PACED_CLIENTS, lasting, PACED_RATE);
    row(server, &target, "get, 1000 a second", &paced, read).await?;

    objects::fill(&target, FILLING_CLIENTS, LISTED).await?;
    for clients in CLIENTS {
        let list = |_, _| Call::get(objects::LISTED_PODS.to_owned());
        row(server, &target, "list of 10000 pods", &Plan::full_speed(clients, lasting), list).await?;
    }
    let page = |_, _| Call::get(format!("{}?limit=500", objects::LISTED_PODS));
    row(server, &target, "list, page of 500", &Plan::full_speed(1, lasting), page).await?;

    fanout::measure(server, &Arc::new(target), lasting).await
}

async fn row(
    server: &Server,
    target: &Target,
    operation: &str,
    plan: &Plan,
    call: impl Fn(usize, usize) -> Call + Clone + Send + 'static,
) -> Result<()> {
    let begun = server.cpu_seconds()?;
    let peak = server.watch_memory();
    let load = load::run(target, plan, call).await?;
    let row = Row {
        operation,
        clients: plan.clients,
        load,
        server_mib: peak.end().await?,
        server_cpu_seconds: server.cpu_seconds()? - begun,
    };
    println!("{row}");
    Ok(())
}
