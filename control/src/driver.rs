//! The only controller loop: folds the store's changes into the world, asks the planners which keys they concern,
//! plans those, and carries the plans out.
//!
//! Event-driven: a key is planned because something changed, because its plan asked for it after a time, or because
//! carrying it out failed. There is one timer for all of it and no polling. Never here: a decision about objects
//! (`reconcile`), how a write is done (`engine`).

mod carry;
mod expiry;
mod fold;
mod hands;
pub mod meter;
mod queue;
pub(crate) mod recorder;
mod steps;
mod token_secrets;

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use api::Timestamp;
use reconcile::{Context, Planner, World, plan::Refusal};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use self::hands::resource_of;
use self::{
    carry::{Hands, Outcome},
    meter::{PlannerMeter, WorkMeter},
    queue::{End, Queue, Task},
    recorder::Record,
};
use crate::{
    engine::Engine,
    store::{Change, ReadError, Store, WatchEnd, WatchEvent, WatchRequest, Watcher},
};

/// Plans that are carried out at a time; more wait in the queue. Each may have several writes under way.
const RUNNING_PLANS_MAX: usize = 64;

/// Changes folded before keys are planned again, so that a burst is planned once and a stream of changes cannot keep
/// planners from their turn.
const FOLDED_AT_ONCE_MAX: usize = 1024;

/// Plans made before changes are looked at again.
const PLANNED_AT_ONCE_MAX: usize = 64;

/// How long the driver waits before it reads the store again after the disk failed.
const READ_RETRY: Duration = Duration::from_secs(1);

/// How far the controllers are, for who asks from outside.
#[derive(Debug, Default)]
pub struct Progress {
    is_running: AtomicBool,
    has_read_all: AtomicBool,
}

impl Progress {
    /// Of a loop that runs and has read everything.
    #[cfg(test)]
    pub(crate) fn complete() -> Progress {
        Progress {
            is_running: AtomicBool::new(true),
            has_read_all: AtomicBool::new(true),
        }
    }

    /// Of a loop that runs and is still reading.
    #[cfg(test)]
    pub(crate) fn reading() -> Progress {
        Progress {
            is_running: AtomicBool::new(true),
            has_read_all: AtomicBool::new(false),
        }
    }

    /// Whether the loop runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running.load(Ordering::Acquire)
    }

    /// Whether the loop has read everything there is, and only has to follow what changes.
    #[must_use]
    pub fn has_read_all(&self) -> bool {
        self.has_read_all.load(Ordering::Acquire)
    }
}

/// Says that the loop runs, until it is dropped, however that happens.
struct Runs(Arc<Progress>);

impl Runs {
    fn begin(progress: Arc<Progress>) -> Runs {
        progress.is_running.store(true, Ordering::Release);
        Runs(progress)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Release);
    }
}

/// Runs the controllers until `shutdown`, or until the store is closed. Plans under way are finished.
pub async fn run(
    engine: Engine,
    store: Store,
    planners: Vec<Box<dyn Planner>>,
    progress: Arc<Progress>,
    meter: WorkMeter,
    shutdown: CancellationToken,
) {
    let (recorder, recorded) = recorder::start(engine.clone(), shutdown.clone());
    let expiring = tokio::spawn(expiry::run(engine.clone(), store.clone(), shutdown.clone()));
    let filling = tokio::spawn(token_secrets::run(engine.clone(), store.clone(), shutdown.clone()));
    run_with(engine, store, planners, recorder, progress, meter, shutdown.clone()).await;
    shutdown.cancel();
    for task in [recorded, expiring, filling] {
        if let Err(error) = task.await {
            tracing::error!(error = &error as &dyn Error, "a task of the driver panicked");
        }
    }
}

/// [`run`], with anything for hands.
async fn run_with<H: Hands>(
    hands: H,
    store: Store,
    planners: Vec<Box<dyn Planner>>,
    announcements: mpsc::Sender<Record>,
    progress: Arc<Progress>,
    meter: WorkMeter,
    shutdown: CancellationToken,
) {
    let _runs = Runs::begin(progress.clone());
    let meters = planners.iter().map(|planner| meter.of(planner.name())).collect();
    let mut driver = Driver {
        meters,
        hands,
        store,
        planners,
        announcements,
        progress,
        world: World::default(),
        queue: Queue::default(),
        running: JoinSet::new(),
        refusals: HashMap::new(),
        begun: HashMap::new(),
    };
    let end = tokio::select! {
        end = driver.work() => end,
        () = shutdown.cancelled() => None,
    };
    if let Some(end) = end {
        tracing::info!(reason = %end, "controllers stop");
    }
    while driver.running.join_next().await.is_some() {}
}

struct Driver<H> {
    hands: H,
    store: Store,
    planners: Vec<Box<dyn Planner>>,
    announcements: mpsc::Sender<Record>,
    progress: Arc<Progress>,
    world: World,
    queue: Queue,
    running: JoinSet<(Task, Outcome)>,
    /// What the last plans of keys were refused, until they are planned again.
    refusals: HashMap<Task, Refusal>,
    /// Since when plans are being made and carried out.
    begun: HashMap<Task, Instant>,
    /// By the planners' index.
    meters: Vec<PlannerMeter>,
}

/// What the loop woke up for.
enum Wake {
    Event(Result<WatchEvent, WatchEnd>),
    Ended(Result<(Task, Outcome), tokio::task::JoinError>),
    Timer,
}

impl<H: Hands> Driver<H> {
    /// Returns when the store is closed.
    async fn work(&mut self) -> Option<WatchEnd> {
        let Some(mut watcher) = self.begin().await else {
            return Some(WatchEnd::Closed);
        };
        loop {
            self.plan_ready();
            let timer = self.queue.next_timer();
            let wake = tokio::select! {
                biased;
                event = watcher.next() => Wake::Event(event),
                Some(ended) = self.running.join_next() => Wake::Ended(ended),
                () = sleep_until(timer) => Wake::Timer,
                // More is ready than was planned at once.
                () = tokio::task::yield_now(), if self.queue.has_ready() && self.has_room() => Wake::Timer,
            };
            match wake {
                Wake::Timer => {}
                Wake::Ended(Ok((task, outcome))) => self.ended(task, outcome),
                Wake::Ended(Err(error)) => {
                    // A panic took the task's name with it, so nothing could ever plan the key again.
                    std::panic::resume_unwind(error.into_panic());
                }
                Wake::Event(event) => {
                    if let Err(end) = self.fold_ready(event, &mut watcher).await {
                        let next = match end {
                            WatchEnd::Closed => None,
                            WatchEnd::Slow => self.resume().await,
                            WatchEnd::Compacted { .. } => self.begin().await,
                            WatchEnd::Storage(_) => {
                                wait_for_disk(&end).await;
                                self.resume().await
                            }
                        };
                        let Some(next) = next else {
                            return Some(WatchEnd::Closed);
                        };
                        watcher = next;
                    }
                }
            }
            let now = Instant::now();
            self.queue.seen(self.world.revision, now);
            self.queue.expire(now);
        }
    }

    /// Reads the whole store, wants every key, and watches from there; none if the store is closed.
    async fn begin(&mut self) -> Option<Watcher> {
        self.progress.has_read_all.store(false, Ordering::Release);
        loop {
            match fold::load(&self.store).and_then(|world| Ok((self.watch(world.revision)?, world))) {
                Ok((watcher, world)) => {
                    let before = std::mem::replace(&mut self.world, world);
                    self.want_everything(&before);
                    self.progress.has_read_all.store(true, Ordering::Release);
                    return Some(watcher);
                }
                Err(ReadError::Closed) => return None,
                Err(error) => wait_for_disk(&error).await,
            }
        }
    }

    /// Watches from where the world is; none if the store is closed.
    async fn resume(&mut self) -> Option<Watcher> {
        loop {
            match self.watch(self.world.revision) {
                Ok(watcher) => return Some(watcher),
                Err(ReadError::Compacted { .. }) => return self.begin().await,
                Err(ReadError::Closed) => return None,
                Err(error) => wait_for_disk(&error).await,
            }
        }
    }

    fn watch(&self, after: u64) -> Result<Watcher, ReadError> {
        self.store.watch(WatchRequest {
            after,
            ..WatchRequest::default()
        })
    }

    fn want_everything(&mut self, before: &World) {
        let now = Instant::now();
        for (index, planner) in self.planners.iter().enumerate() {
            let mut keys = planner.at_start();
            for kind in planner.watches() {
                for object in self.world.of_kind(*kind) {
                    keys.extend(planner.affected(&self.world, &object.key(), None, Some(object)));
                }
                for gone in before.of_kind(*kind) {
                    if self.world.get(&gone.key()).is_none() {
                        keys.extend(planner.affected(&self.world, &gone.key(), Some(gone), None));
                    }
                }
            }
            for key in keys {
                self.queue.want(Task { planner: index, key }, now);
            }
        }
    }

    /// Folds an event and those that wait behind it.
    async fn fold_ready(&mut self, first: Result<WatchEvent, WatchEnd>, watcher: &mut Watcher) -> Result<(), WatchEnd> {
        let mut next = Some(first);
        for _ in 0..FOLDED_AT_ONCE_MAX {
            match next.take() {
                None => return Ok(()),
                Some(Err(end)) => return Err(end),
                Some(Ok(WatchEvent::Progress(revision))) => self.world.revision = self.world.revision.max(revision),
                Some(Ok(WatchEvent::Change(change))) => self.fold(&change),
            }
            // A future that is dropped before it is ready has taken nothing.
            next = futures::FutureExt::now_or_never(watcher.next());
        }
        match next {
            Some(Ok(WatchEvent::Change(change))) => self.fold(&change),
            Some(Ok(WatchEvent::Progress(_))) | None => {}
            Some(Err(end)) => return Err(end),
        }
        Ok(())
    }

    fn fold(&mut self, change: &Change) {
        let Some(folded) = fold::fold(&mut self.world, change) else {
            return;
        };
        let now = Instant::now();
        for (index, planner) in self.planners.iter().enumerate() {
            let keys = match &folded {
                fold::Folded::Tally { namespace, collection } => planner.tallied(&self.world, namespace, collection),
                fold::Folded::Object { key, .. } if !planner.watches().contains(&key.kind) => continue,
                fold::Folded::Object { key, before, exists } => {
                    let after = self.world.get(key).filter(|_| *exists);
                    planner.affected(&self.world, key, before.as_ref(), after)
                }
            };
            for key in keys {
                self.queue.want(Task { planner: index, key }, now);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.queue.running() < RUNNING_PLANS_MAX
    }

    /// Plans what is ready, and starts to carry out what that asks for.
    fn plan_ready(&mut self) {
        for planner in self.queue.take_entered() {
            self.meters[planner].entered();
        }
        for _ in 0..PLANNED_AT_ONCE_MAX {
            if !self.has_room() {
                return;
            }
            let Some(task) = self.queue.next() else { return };
            let now = Instant::now();
            self.meters[task.planner].left(self.queue.waited(&task, now));
            self.begun.insert(task.clone(), now);
            self.plan(task);
        }
    }

    fn plan(&mut self, task: Task) {
        let planner = &self.planners[task.planner];
        let name = planner.name();
        let context = Context {
            now: Timestamp::now(),
            seed: rand::random(),
        };
        let plan = match self.refusals.remove(&task) {
            None => planner.plan(&self.world, &task.key, context),
            Some(refusal) => planner.plan_after(&refusal, &self.world, &task.key, context),
        };
        tracing::debug!(
            planner = name,
            object = %task.key,
            rev = self.world.revision,
            actions = plan.actions.len(),
            waiting = plan.waiting_on.first().map(|waiting| waiting.message.as_str()),
            "planned"
        );
        let done = End::Done {
            requeue_after: plan.requeue_after,
        };
        let runs = match steps::runs(&self.world, plan.actions) {
            Ok(runs) => runs,
            Err(steps::NotInWorld(object)) => {
                tracing::error!(planner = name, object = %object, "plan changes an object that is not in its world");
                self.end(task, End::Failed, 0);
                return;
            }
        };
        if runs.is_empty() {
            self.end(task, done, 0);
            return;
        }
        let (hands, announcements) = (self.hands.clone(), self.announcements.clone());
        self.running.spawn(async move {
            let outcome = carry::carry_out(&hands, name, runs, &announcements, done).await;
            (task, outcome)
        });
    }

    fn ended(&mut self, task: Task, outcome: Outcome) {
        if let Some(refusal) = outcome.refusal {
            let planner = self.planners[task.planner].name();
            match outcome.end {
                End::Failed => tracing::warn!(planner, object = %task.key, error = refusal, "plan failed, will retry"),
                End::Stale | End::Done { .. } => {
                    tracing::debug!(planner, object = %task.key, reason = refusal, "plan was stale");
                }
            }
        }
        if let Some(refusal) = outcome.refused {
            let told = self.planners[task.planner].announce_refusal(&self.world, &task.key, &refusal);
            if let Some(announcement) = told {
                carry::announce(&self.announcements, announcement);
            }
            self.refusals.insert(task.clone(), refusal);
        }
        self.end(task, outcome.end, outcome.awaits);
    }

    fn end(&mut self, task: Task, end: End, awaits: crate::store::Revision) {
        let now = Instant::now();
        let worked = self.begun.remove(&task).map_or(Duration::ZERO, |begun| now - begun);
        self.meters[task.planner].ended(worked, !matches!(end, End::Done { .. }));
        self.queue.end(task, end, awaits, now);
    }
}

async fn wait_for_disk(error: &(impl Error + Sync + 'static)) {
    tracing::error!(error = error as &dyn Error, "controllers cannot read the store");
    tokio::time::sleep(READ_RETRY).await;
}

/// Sleeps until then; for ever if there is no such time.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
