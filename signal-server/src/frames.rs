//! Audio as frames on its way between visitors' sockets and gateways. A queue that is full loses its oldest frame, and whoever puts one
//! in never waits: audio that is late is of no use, and signalling goes first.
//!
//! Not here: what is in a frame, and who may send any ([`switchboard::Output::Frames`] says).

use bytes::Bytes;
use metrics::counter;
use protocol::CallId;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Frames that may wait for one visitor's socket: 320 ms. What is older would be too late to be played.
pub(crate) const VISITOR_FRAMES: usize = 16;

/// Frames that may wait for one gateway: 100 ms of 200 calls, the capacity of a gateway unless set otherwise.
pub(crate) const GATEWAY_FRAMES: usize = 1_000;

/// Frames that one visitor may send in a second: twice what the panel sends.
const FRAMES_PER_SECOND: u32 = 100;

/// A bounded queue; clones share it.
#[derive(Debug)]
pub(crate) struct FrameQueue<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    waiting: Mutex<VecDeque<T>>,
    filled: Notify,
    capacity: usize,
}

impl<T> Clone for FrameQueue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> FrameQueue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (waiting, filled) = (Mutex::new(VecDeque::with_capacity(capacity)), Notify::new());
        Self(Arc::new(Shared { waiting, filled, capacity }))
    }

    /// Puts one in; the oldest is lost when there is no room.
    pub(crate) fn push(&self, frame: T) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.0.capacity {
            waiting.pop_front();
            counter!("ringlet_frames_dropped_total", "at" => "server").increment(1);
        }
        waiting.push_back(frame);
        drop(waiting);
        self.0.filled.notify_one();
    }

    /// Waits for the oldest. Nothing is lost when the wait is cut short.
    pub(crate) async fn pop(&self) -> T {
        loop {
            let frame = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            match frame {
                Some(frame) => return frame,
                None => self.0.filled.notified().await,
            }
        }
    }

    /// Loses what waits.
    fn clear(&self) {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Which socket takes the frames of which call; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listeners(Arc<Mutex<BTreeMap<CallId, FrameQueue<Bytes>>>>);

impl Listeners {
    /// The call's frames go to this queue from now on, without what may wait there of before, or nowhere. To the queue that they go to
    /// already, they go on as they did.
    pub(crate) fn set(&self, call: &CallId, queue: Option<FrameQueue<Bytes>>) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match queue {
            Some(queue) if listeners.get(call).is_some_and(|before| Arc::ptr_eq(&before.0, &queue.0)) => {}
            Some(queue) => {
                queue.clear();
                listeners.insert(call.clone(), queue);
            }
            None => drop(listeners.remove(call)),
        }
    }

    /// Hands a gateway's frame over to the socket that takes it, if one does.
    pub(crate) fn deliver(&self, call: &CallId, bytes: Bytes) {
        if let Some(queue) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(call) {
            queue.push(bytes);
        }
    }
}

/// Bounds what one visitor sends.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    second: Option<Instant>,
    used: u32,
}

impl Allowance {
    /// Whether one more frame is taken.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            *self = Self { second: Some(now), used: 0 };
        }
        self.used = self.used.saturating_add(1);
        self.used <= FRAMES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_frame() {
        let queue = FrameQueue::new(2);
        (1..=3).for_each(|n| queue.push(n));
        assert_eq!((queue.pop().await, queue.pop().await), (2, 3));
        let (popped, ()) = tokio::join!(queue.pop(), async { queue.push(4) });
        assert_eq!(popped, 4);
    }

    #[tokio::test]
    async fn a_queue_that_begins_to_listen_is_empty_and_one_that_goes_on_loses_nothing() {
        let (listeners, queue, call) = (Listeners::default(), FrameQueue::new(2), CallId::from("c"));
        let frame = |n: u8| Bytes::from(vec![n]);
        queue.push(frame(1));
        listeners.set(&call, Some(queue.clone()));
        listeners.deliver(&call, frame(2));
        listeners.set(&call, Some(queue.clone()));
        listeners.deliver(&call, frame(3));
        assert_eq!((queue.pop().await, queue.pop().await), (frame(2), frame(3)));
    }

    #[test]
    fn a_flood_is_cut_at_twice_the_ordinary_rate() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let taken = (0..1_000).filter(|_| allowance.admits(start)).count();
        assert_eq!(taken, FRAMES_PER_SECOND as usize);
        assert!(allowance.admits(start + Duration::from_secs(1)));
    }
}
