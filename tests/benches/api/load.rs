//! Many clients that ask at once: as fast as they are answered, or at a pace.

use std::time::{Duration, Instant};

use anyhow::Result;
use http::Method;
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};

/// One request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Call {
        Call {
            method: Method::GET,
            path: path.into(),
            body: String::new(),
        }
    }

    pub(crate) fn post(path: impl Into<String>, body: String) -> Call {
        Call {
            method: Method::POST,
            path: path.into(),
            body,
        }
    }

    pub(crate) fn put(path: impl Into<String>, body: String) -> Call {
        Call {
            method: Method::PUT,
            path: path.into(),
            body,
        }
    }
}

/// Who asks, how long, and how fast.
pub(crate) struct Plan {
    pub(crate) clients: usize,
    lasting: Duration,
    /// Between two requests of one client; none: the next follows the answer.
    pace: Option<Duration>,
}

impl Plan {
    pub(crate) fn full_speed(clients: usize, lasting: Duration) -> Plan {
        Plan {
            clients,
            lasting,
            pace: None,
        }
    }

    /// Requests at `rate` per second of all clients together.
    pub(crate) fn paced(clients: usize, lasting: Duration, rate: u32) -> Plan {
        let clients_u32 = u32::try_from(clients).unwrap_or(u32::MAX);
        Plan {
            clients,
            lasting,
            pace: Some(Duration::from_secs(1) * clients_u32 / rate),
        }
    }
}

/// What the requests took.
pub(crate) struct Load {
    /// From when a request was due to the last byte of its answer; ascending.
    pub(crate) took: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

impl Load {
    pub(crate) fn new(mut took: Vec<Duration>, elapsed: Duration) -> Load {
        took.sort_unstable();
        Load { took, elapsed }
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.took.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// The time within which this part of the requests was answered.
    pub(crate) fn quantile(&self, part: f64) -> Duration {
        let last = self.took.len().saturating_sub(1);
        let index = (part * last as f64).round() as usize;
        self.took.get(index.min(last)).copied().unwrap_or_default()
    }
}

/// Lets clients ask what `call` says for each, by its number and that of the request.
///
/// # Errors
/// When a connection or a request fails: what is refused must not be counted as fast.
pub(crate) async fn run(
    target: &Target,
    plan: &Plan,
    call: impl Fn(usize, usize) -> Call + Clone + Send + 'static,
) -> Result<Load> {
    let mut connections = Vec::with_capacity(plan.clients);
    for _ in 0..plan.clients {
        connections.push(Connection::open(target).await?);
    }
    let begun = Instant::now();
    let (end, pace) = (begun + plan.lasting, plan.pace);
    let mut clients = JoinSet::new();
    for (client, mut connection) in connections.into_iter().enumerate() {
        let call = call.clone();
        // Clients with a pace take turns.
        let share = client as f64 / plan.clients as f64;
        clients.spawn(async move {
            let mut took = Vec::new();
            let mut due = begun + pace.map_or(Duration::ZERO, |pace| pace.mul_f64(share));
            for number in 0.. {
                match pace {
                    // What is late because the one before was slow counts from when it was due.
                    Some(_) => tokio::time::sleep_until(due.into()).await,
                    None => due = Instant::now(),
                }
                if due >= end {
                    break;
                }
                connection.call(call(client, number)).await?;
                took.push(due.elapsed());
                due += pace.unwrap_or_default();
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(client) = clients.join_next().await {
        took.extend(client??);
    }
    Ok(Load::new(took, begun.elapsed()))
}
