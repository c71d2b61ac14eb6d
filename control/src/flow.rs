//! Flow control: how many requests run at once, so that a client with many cannot starve others.
//!
//! A request's flow schema says its priority level and its flow (`schemas`); the level says whether it runs, waits or
//! is refused (`level`). Both follow the objects in the store. Never here: HTTP.
//! Source: Kubernetes, "API Priority and Fairness"; KEP-1040.

mod dangling;
mod level;
mod meter;
mod schemas;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use self::{dangling::run as judge_schemas, meter::FlowMeter};
use self::{
    level::{Arrival, Level, Ticket},
    schemas::{Class, Limited, Schemas},
};
use crate::{
    auth::Caller,
    authorization::Request,
    followed::{Fold, Followed},
    store::{ReadError, Store},
};

/// How long a request may wait for its turn: a quarter of what a request may take in all, as in Kubernetes.
const WAIT_MAX: Duration = Duration::from_secs(15);

const SCHEMAS: &str = "flowcontrol.apiserver.k8s.io/flowschemas";
const LEVELS: &str = "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations";

/// Of which kind an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Schema,
    Level,
}

impl Fold for Schemas {
    type Part = Part;
    const PARTS: &'static [Part] = &[Part::Schema, Part::Level];

    fn collection(part: Part) -> &'static str {
        match part {
            Part::Schema => SCHEMAS,
            Part::Level => LEVELS,
        }
    }

    fn fold(&mut self, part: Part, _namespace: &str, name: &str, object: Option<&Value>) {
        match part {
            Part::Schema => self.fold_schema(name, object),
            Part::Level => self.fold_level(name, object),
        }
    }
}

/// Decides when requests run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Flow {
    inner: Arc<Inner>,
}

struct Inner {
    schemas: Followed<Schemas>,
    /// Of all levels together.
    seats: usize,
    levels: Mutex<HashMap<String, Running>>,
    next: AtomicU64,
    meter: FlowMeter,
}

/// A level and those who wait for it.
struct Running {
    limits: (usize, Limited),
    level: Level,
    waiters: HashMap<Ticket, oneshot::Sender<()>>,
}

/// Why a request is refused; the client may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// All seats of a level without queues are taken.
    NoSeat,
    /// The queues of the request's flow are full.
    QueueFull,
    /// It waited for too long.
    TimeOut,
}

impl Refusal {
    /// As Kubernetes' metrics name it.
    const fn reason(self) -> &'static str {
        match self {
            Refusal::NoSeat => "concurrency-limit",
            Refusal::QueueFull => "queue-full",
            Refusal::TimeOut => "time-out",
        }
    }
}

/// Where a request belongs, and whether it may go on.
pub(crate) struct Admission {
    /// The uid of its flow schema; empty if there is none.
    pub(crate) schema_uid: String,
    /// The uid of its priority level; empty if there is none.
    pub(crate) level_uid: String,
    /// A seat for as long as it is kept.
    pub(crate) seat: Result<Seat, Refusal>,
}

/// One of the requests of a level that run, or wait for that. Dropping it lets the next one run.
pub(crate) struct Seat {
    taken: Option<Taken>,
}

struct Taken {
    inner: Arc<Inner>,
    class: Class,
    ticket: Ticket,
    runs: bool,
}

impl Flow {
    /// Follows the schemas and levels of this store; `seats` requests run at once.
    pub(crate) fn new(store: Store, seats: usize, meter: FlowMeter) -> Flow {
        Flow {
            inner: Arc::new(Inner {
                schemas: Followed::new(store),
                seats,
                levels: Mutex::default(),
                next: AtomicU64::new(0),
                meter,
            }),
        }
    }

    /// Answers when the request may run, or that it may not.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn admit(&self, caller: &Caller, request: &Request) -> Result<Admission, ReadError> {
        let inner = &self.inner;
        let found = inner.schemas.ask(|schemas| {
            let class = schemas.classify(caller, request)?;
            let limited = schemas.level(&class.level).and_then(|level| level.limited);
            let limits = limited.map(|limited| (schemas.seats(&limited, inner.seats), limited));
            Some((class, limits))
        })?;
        let Some((class, limits)) = found else {
            // Only where somebody took away what every cluster has: then nothing is limited.
            return Ok(Admission {
                schema_uid: String::new(),
                level_uid: String::new(),
                seat: Ok(Seat { taken: None }),
            });
        };
        let (schema_uid, level_uid) = (class.schema_uid.clone(), class.level_uid.clone());
        let seat = match limits {
            None => Ok(Seat { taken: None }),
            Some(limits) => self.take(class, limits).await,
        };
        Ok(Admission {
            schema_uid,
            level_uid,
            seat,
        })
    }

    async fn take(&self, class: Class, limits: (usize, Limited)) -> Result<Seat, Refusal> {
        let meter = &self.inner.meter;
        let mut taken = Taken {
            inner: self.inner.clone(),
            ticket: self.inner.next.fetch_add(1, Ordering::Relaxed),
            runs: false,
            class,
        };
        let arrived = Instant::now();
        let (arrival, turn) = self.inner.arrive(&taken, limits);
        let refusal = match arrival {
            Arrival::Runs => {
                taken.runs = true;
                meter.dispatched(&taken.class, Duration::ZERO);
                return Ok(Seat { taken: Some(taken) });
            }
            Arrival::NoSeat => Refusal::NoSeat,
            Arrival::QueueFull => Refusal::QueueFull,
            Arrival::Waits => {
                meter.queued(&taken.class);
                // From here on it gives its place back when it is dropped, also because the client went away.
                let mut seat = Seat { taken: Some(taken) };
                match tokio::time::timeout(WAIT_MAX, turn).await {
                    Ok(Ok(())) => {
                        if let Some(taken) = &mut seat.taken {
                            taken.runs = true;
                            meter.unqueued(&taken.class);
                            meter.dispatched(&taken.class, arrived.elapsed());
                        }
                        return Ok(seat);
                    }
                    Ok(Err(_)) | Err(_) => {
                        if let Some(taken) = &seat.taken {
                            meter.rejected(&taken.class, Refusal::TimeOut.reason());
                        }
                        return Err(Refusal::TimeOut);
                    }
                }
            }
        };
        meter.rejected(&taken.class, refusal.reason());
        Err(refusal)
    }
}

impl Inner {
    fn arrive(&self, taken: &Taken, limits: (usize, Limited)) -> (Arrival, oneshot::Receiver<()>) {
        let (sender, turn) = oneshot::channel();
        let mut levels = self.levels.lock();
        let running = levels.entry(taken.class.level.clone()).or_insert_with(|| Running {
            limits,
            level: Level::new(limits.0, limits.1.overflow),
            waiters: HashMap::new(),
        });
        if running.limits != limits {
            running.limits = limits;
            let turns = running.level.configure(limits.0, limits.1.overflow);
            running.give(turns);
        }
        self.meter.limit(&taken.class.level, limits.0);
        let arrival = running.level.arrive(taken.ticket, taken.class.flow);
        if arrival == Arrival::Waits {
            running.waiters.insert(taken.ticket, sender);
        }
        (arrival, turn)
    }

    fn end(&self, taken: &Taken) {
        let mut levels = self.levels.lock();
        let Some(running) = levels.get_mut(&taken.class.level) else {
            return;
        };
        running.waiters.remove(&taken.ticket);
        if !taken.runs && running.level.abandon(taken.ticket) {
            return;
        }
        let turns = running.level.leave();
        running.give(turns);
    }
}

impl Running {
    /// Tells those whose turn it is. Who went away at this moment ends its turn itself, when it is dropped.
    fn give(&mut self, turns: Vec<Ticket>) {
        for ticket in turns {
            if let Some(waiter) = self.waiters.remove(&ticket) {
                let _ = waiter.send(());
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(taken) = self.taken.take() else { return };
        taken.inner.end(&taken);
        if taken.runs {
            taken.inner.meter.ended(&taken.class);
        } else {
            taken.inner.meter.unqueued(&taken.class);
        }
    }
}

#[cfg(test)]
mod tests;
