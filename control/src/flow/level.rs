//! One priority level: how many requests run, which wait where, and whose turn it is. Pure.
//!
//! Requests of one flow share a hand of queues, those with the fewest waiting first ("shuffle sharding"): a flow that
//! fills its hand leaves other flows, whose hands differ in at least one queue, a way through. Queues take turns by
//! start-time fair queueing: each request takes one unit of its queue's virtual time, and the queue whose next request
//! starts earliest is served. A queue that was idle begins at the present, so it neither saves up turns nor waits
//! behind those who queued before it. Seats are not lent between levels, and every request takes one seat.
//! Source: Kubernetes, "API Priority and Fairness"; P. Goyal et al., "Start-time Fair Queueing".

use std::collections::VecDeque;

/// What becomes of requests beyond the seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    /// They are refused.
    Reject,
    /// They wait.
    Queue {
        /// How many queues there are, at least 1.
        queues: usize,
        /// How many of them one flow uses, at least 1 and at most `queues`.
        hand: usize,
        /// How many requests wait in one.
        length_max: usize,
    },
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It runs at once.
    Runs,
    /// It waits for its turn.
    Waits,
    /// All seats are taken, and this level has no queues.
    NoSeat,
    /// The queues of its flow are full.
    QueueFull,
}

/// A request's number, unique within its level.
pub(super) type Ticket = u64;

#[derive(Debug, Default)]
struct Queue {
    /// With the hash of the flow, so that they can be dealt again.
    waiting: VecDeque<(Ticket, u64)>,
    /// Virtual time at which the next request of this queue starts.
    starts: u64,
}

/// The requests of one level. `running` may exceed `seats` after these were reduced.
#[derive(Debug)]
pub(super) struct Level {
    seats: usize,
    overflow: Overflow,
    running: usize,
    queues: Vec<Queue>,
    /// Virtual time: the start of the request that was dispatched last.
    present: u64,
}

impl Level {
    pub(super) fn new(seats: usize, overflow: Overflow) -> Level {
        Level {
            seats,
            overflow,
            running: 0,
            queues: queues_of(overflow),
            present: 0,
        }
    }

    /// A request of a flow comes.
    pub(super) fn arrive(&mut self, ticket: Ticket, flow: u64) -> Arrival {
        let is_empty = self.queues.iter().all(|queue| queue.waiting.is_empty());
        if self.running < self.seats && is_empty {
            self.running += 1;
            return Arrival::Runs;
        }
        match self.overflow {
            Overflow::Reject => Arrival::NoSeat,
            Overflow::Queue { length_max, .. } => {
                let shortest = self.shortest(flow);
                let queue = &mut self.queues[shortest];
                if queue.waiting.len() >= length_max {
                    return Arrival::QueueFull;
                }
                if queue.waiting.is_empty() {
                    queue.starts = queue.starts.max(self.present);
                }
                queue.waiting.push_back((ticket, flow));
                Arrival::Waits
            }
        }
    }

    /// A request that ran has ended. Answers which ones run now.
    pub(super) fn leave(&mut self) -> Vec<Ticket> {
        self.running = self.running.saturating_sub(1);
        self.dispatch()
    }

    /// A request waits no longer. False if it runs already.
    pub(super) fn abandon(&mut self, ticket: Ticket) -> bool {
        for queue in &mut self.queues {
            if let Some(at) = queue.waiting.iter().position(|(waiting, _)| *waiting == ticket) {
                queue.waiting.remove(at);
                return true;
            }
        }
        false
    }

    /// Other limits hold from now on. Who waits is dealt anew, in turn, also beyond the length of queues; where nobody
    /// may wait any more, those who do still get their turn. Answers which ones run now.
    pub(super) fn configure(&mut self, seats: usize, overflow: Overflow) -> Vec<Ticket> {
        self.seats = seats;
        if self.overflow != overflow {
            let mut waiting = Vec::new();
            while let Some(next) = self.next() {
                waiting.push(next);
            }
            self.overflow = overflow;
            self.queues = queues_of(overflow);
            for (ticket, flow) in waiting {
                let queue = self.shortest(flow);
                self.queues[queue].starts = self.queues[queue].starts.max(self.present);
                self.queues[queue].waiting.push_back((ticket, flow));
            }
        }
        self.dispatch()
    }

    fn dispatch(&mut self) -> Vec<Ticket> {
        let mut turns = Vec::new();
        while self.running < self.seats
            && let Some((ticket, _)) = self.next()
        {
            self.running += 1;
            turns.push(ticket);
        }
        turns
    }

    /// Takes the request whose turn it is.
    fn next(&mut self) -> Option<(Ticket, u64)> {
        let waiting = self.queues.iter_mut().filter(|queue| !queue.waiting.is_empty());
        let queue = waiting.min_by_key(|queue| queue.starts)?;
        self.present = self.present.max(queue.starts);
        queue.starts += 1;
        queue.waiting.pop_front()
    }

    /// The queue of a flow's hand with the fewest waiting.
    fn shortest(&self, flow: u64) -> usize {
        let hand = match self.overflow {
            Overflow::Reject => 1,
            Overflow::Queue { hand, .. } => hand,
        };
        let dealt = deal(flow, self.queues.len(), hand).into_iter();
        dealt.min_by_key(|queue| self.queues[*queue].waiting.len()).unwrap_or(0)
    }
}

/// A level that rejects has one all the same, for those who wait when it is reconfigured.
fn queues_of(overflow: Overflow) -> Vec<Queue> {
    let count = match overflow {
        Overflow::Reject => 1,
        Overflow::Queue { queues, .. } => queues.max(1),
    };
    (0..count).map(|_| Queue::default()).collect()
}

/// A hand of `count` different cards of a deck, chosen by a hash.
pub(super) fn deal(mut hash: u64, deck: usize, count: usize) -> Vec<usize> {
    let mut hand: Vec<usize> = Vec::with_capacity(count.min(deck));
    for dealt in 0..count.min(deck) {
        let left = (deck - dealt) as u64;
        // Below the length of the deck.
        let mut card = usize::try_from(hash % left).unwrap_or(0);
        hash /= left;
        let mut sorted = hand.clone();
        sorted.sort_unstable();
        for before in sorted {
            if card >= before {
                card += 1;
            }
        }
        hand.push(card);
    }
    hand
}

#[cfg(test)]
mod tests;
