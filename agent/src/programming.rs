//! Brings routes and maps to the mirror's network state, and says when it is done.
//!
//! One task; changes that come while it works are taken together in the next round. Never here: what the maps should
//! hold ([`crate::dataplane::desired`] says) and what the state is.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::Duration};

use api::net_state::NetState;
use ipnet::Ipv4Net;
use parking_lot::RwLock;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use tracing::{debug, error};

use crate::{
    causes::chain,
    dataplane::{ApplyError, Dataplane, NodeContext, desired},
    net::{Listing, NodeNet, link::LinkError},
    node_status::{Health, Programming},
    stream::Outbox,
};

/// Waits between attempts while the kernel refuses; a change in between tries at once.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(500);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);

/// What the maps are to hold, by numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Store revision that the state has reached.
    pub revision: u64,
    /// Counts changes of the network state. Zero: it is not known yet, and nothing may be removed.
    pub version: u64,
}

/// Programs until all senders of `wanted` are gone.
pub struct Programmer {
    /// The state; read briefly.
    pub state: Arc<RwLock<NetState>>,
    /// The maps.
    pub dataplane: Arc<Dataplane>,
    /// The routes.
    pub node_net: Arc<NodeNet>,
    /// What the image depends on besides the state.
    pub context: NodeContext,
    /// Who is told how it goes.
    pub health: Arc<Health>,
    /// Who is told how far it is.
    pub outbox: Arc<Outbox>,
}

#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("change the routes to other nodes")]
    Routes(#[from] LinkError),
    #[error("change the maps")]
    Maps(#[from] ApplyError),
    #[error("a task has panicked")]
    Panicked,
}

impl Programmer {
    /// Works on whatever `wanted` names last.
    pub async fn run(self, mut wanted: watch::Receiver<Wanted>) {
        let mut done = 0;
        let mut wait = RETRY_WAIT_FIRST;
        loop {
            let now = *wanted.borrow_and_update();
            if now.version != done {
                match self.round().await {
                    Ok(()) => {
                        done = now.version;
                        wait = RETRY_WAIT_FIRST;
                        self.health.set_programming(Programming::Done);
                    }
                    Err(err) => {
                        error!(
                            error = &err as &dyn Error,
                            retry_in_ms = wait.as_millis(),
                            "the dataplane does not follow the cluster's state"
                        );
                        self.health.set_programming(Programming::Failed(chain(&err)));
                        tokio::select! {
                            changed = wanted.changed() => if changed.is_err() { return },
                            () = sleep(wait) => {}
                        }
                        wait = (wait * 2).min(RETRY_WAIT_MAX);
                        continue;
                    }
                }
            }
            if now.revision > 0 && done > 0 {
                self.outbox.programmed(now.revision);
            }
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    async fn round(&self) -> Result<(), RoundError> {
        let (state, context) = (self.state.clone(), self.context.clone());
        let (ranges, image) = spawn_blocking(move || {
            let state = state.read();
            (pod_ranges(&state), desired::image(&state, &context))
        })
        .await
        .map_err(|_| RoundError::Panicked)?;
        // A node's route before anything that leads there.
        self.node_net.sync_routes(&ranges, Listing::Complete).await?;
        let dataplane = self.dataplane.clone();
        let applied = spawn_blocking(move || dataplane.apply(&image))
            .await
            .map_err(|_| RoundError::Panicked)??;
        debug!(written = applied.written, removed = applied.removed, "programmed");
        Ok(())
    }
}

/// The pod ranges of all nodes that have one.
fn pod_ranges(state: &NetState) -> BTreeSet<Ipv4Net> {
    state
        .nodes
        .values()
        .filter_map(|node| node.pod_cidr.parse::<Ipv4Net>().ok())
        .collect()
}
