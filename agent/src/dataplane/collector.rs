//! The thread that removes idle flows while the agent runs. While no agent runs, flows only accumulate, within their
//! table's limit.
//!
//! Never here: which flows are idle.

use std::{error::Error, io, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};
use tracing::{debug, warn};

use super::{conntrack, object::Maps};

/// Between two passes. Closed flows stay 10 s at least; twice that many new ones per second still find room.
const PERIOD: Duration = Duration::from_secs(15);

/// Stops and joins its thread when dropped.
#[derive(Debug)]
pub(super) struct Collector {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Collector {
    pub(super) fn start(maps: Arc<Maps>) -> io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = stop.clone();
        let thread = thread::Builder::new()
            .name("dataplane-flows".to_owned())
            .spawn(move || run(&maps, &stopped))?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

fn run(maps: &Maps, stop: &(Mutex<bool>, Condvar)) {
    let mut stopped = stop.0.lock();
    while !*stopped {
        if stop.1.wait_for(&mut stopped, PERIOD).timed_out() {
            match conntrack::collect(&maps.flows, conntrack::now_s()) {
                Ok(0) => {}
                Ok(removed) => debug!(removed, "idle flows removed"),
                Err(error) => warn!(error = &error as &dyn Error, "idle flows not removed"),
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the removal of idle flows had failed");
        }
    }
}
