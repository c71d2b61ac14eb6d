//! Carries a plan's runs out, through whatever writes objects.
//!
//! Never here: what to write, when to try again.

use std::future::Future;

use api::ObjectKey;
use futures::{StreamExt, stream};
use reconcile::plan::{Announcement, Asked, Refusal};
use tokio::sync::mpsc;

use super::{
    queue::End,
    recorder::Record,
    steps::{Run, Step},
};
use crate::store::Revision;

/// Steps of one plan that are under way at a time. A plan of thousands (a node's pods evicted) must not fill the
/// store's queue, which all share.
const CONCURRENT_STEPS_MAX: usize = 32;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// A change of this revision.
    At(Revision),
    /// Nothing had to be changed.
    Nothing,
}

/// Why a step was not carried out.
#[derive(Debug)]
pub(crate) enum StepError {
    /// The object is not as the world had it: plan again on a newer one.
    Stale(String),
    /// Refused, or the disk failed: the same step may work later.
    Failed(String),
}

/// Whatever writes objects: the engine, or a fake in tests.
pub(crate) trait Hands: Clone + Send + Sync + 'static {
    /// Carries one step out, in the name of a planner.
    fn perform(&self, planner: &'static str, step: Step) -> impl Future<Output = Result<Written, StepError>> + Send;

    /// The newest revision of the store.
    fn revision(&self) -> Revision;
}

/// How the runs of a plan ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) end: End,
    /// The world must hold this before the key is planned again.
    pub(super) awaits: Revision,
    /// The first refusal.
    pub(super) refusal: Option<String>,
    /// What was asked for, if that is an object that was to come or to go.
    pub(super) refused: Option<Refusal>,
}

/// Carries the runs out in order, each only if those before it succeeded. `done` is what to answer if all did.
pub(super) async fn carry_out<H: Hands>(
    hands: &H,
    planner: &'static str,
    runs: Vec<Run>,
    announcements: &mpsc::Sender<Record>,
    done: End,
) -> Outcome {
    let mut awaits = 0;
    for run in runs {
        let steps = match run {
            Run::Announcements(list) => {
                for announcement in list {
                    announce(announcements, announcement);
                }
                continue;
            }
            Run::Creations(steps) => create_in_batches(hands, planner, steps).await,
            Run::Others(steps) => all_of(hands, planner, steps).await,
        };
        awaits = awaits.max(steps.written);
        let (end, refusal) = match steps.error {
            None => continue,
            Some(StepError::Stale(refusal)) => (End::Stale, refusal),
            Some(StepError::Failed(refusal)) => (End::Failed, refusal),
        };
        return Outcome {
            end,
            // What made it fail is in the store by now; a world before that would make the same plan.
            awaits: awaits.max(hands.revision()),
            refusal: Some(refusal),
            refused: steps.refused,
        };
    }
    Outcome {
        end: done,
        awaits,
        refusal: None,
        refused: None,
    }
}

#[derive(Default)]
struct Steps {
    written: Revision,
    /// The worst: a failure before a stale object.
    error: Option<StepError>,
    /// The first object that was not to come or not to go.
    refused: Option<Refusal>,
}

impl Steps {
    fn add(&mut self, asked: Option<(Asked, ObjectKey)>, result: Result<Written, StepError>) {
        if let (None, Some((asked, object)), Err(StepError::Failed(message))) = (&self.refused, asked, &result) {
            self.refused = Some(Refusal {
                asked,
                object,
                message: message.clone(),
            });
        }
        match result {
            Ok(Written::Nothing) => {}
            Ok(Written::At(revision)) => self.written = self.written.max(revision),
            Err(error) => match (&self.error, &error) {
                (None, _) | (Some(StepError::Stale(_)), StepError::Failed(_)) => self.error = Some(error),
                (Some(_), _) => {}
            },
        }
    }
}

async fn all_of<H: Hands>(hands: &H, planner: &'static str, steps: Vec<Step>) -> Steps {
    let mut results = stream::iter(steps)
        .map(|step| async {
            let asked = step.asked();
            (asked, hands.perform(planner, step).await)
        })
        .buffer_unordered(CONCURRENT_STEPS_MAX);
    let mut sum = Steps::default();
    while let Some((asked, result)) = results.next().await {
        sum.add(asked, result);
    }
    sum
}

async fn create_in_batches<H: Hands>(hands: &H, planner: &'static str, mut steps: Vec<Step>) -> Steps {
    let mut sum = Steps::default();
    let mut size = 1;
    while !steps.is_empty() && sum.error.is_none() {
        let rest = steps.split_off(steps.len().min(size));
        let batch = all_of(hands, planner, std::mem::replace(&mut steps, rest)).await;
        sum.written = sum.written.max(batch.written);
        sum.error = batch.error;
        sum.refused = batch.refused;
        size *= 2;
    }
    sum
}

pub(super) fn announce(announcements: &mpsc::Sender<Record>, announcement: Announcement) {
    if announcements.try_send(Record::from(announcement)).is_err() {
        tracing::warn!("an event was dropped: too many wait to be written");
    }
}
