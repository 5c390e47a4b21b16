//! The one task that writes the calls' records, so that no SQL stands in the hub's way. It takes what has gathered since
//! the last transaction as the next one.

use super::{Millis, Store};
use protocol::CallId;
use std::time::Duration;
use switchboard::Change;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Changes that may wait for the disk: all changes of 10,000 calls. A full queue makes the hub wait: a late call is
/// better than a call without a record.
const QUEUE: usize = 50_000;

/// Changes in one transaction: enough to share the cost of the commit, few enough to be quick.
const BATCH: usize = 512;

/// How often a failed transaction is tried again, and the pauses between: a disk that is full for longer than half a
/// minute costs records.
const RETRIES: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A change of a call's record.
#[derive(Clone, Debug)]
pub(crate) struct CallChange {
    pub(crate) call: CallId,
    pub(crate) at: Millis,
    pub(crate) change: Change,
}

/// Where the hub puts changes.
#[derive(Clone, Debug)]
pub(crate) struct Records(mpsc::Sender<CallChange>);

impl Records {
    pub(crate) async fn put(&self, change: CallChange) {
        if self.0.send(change).await.is_err() {
            tracing::error!("the record writer is gone: a change of a call's record is lost");
        }
    }
}

/// The task's other half. Ends when all [`Records`] are dropped and everything is written.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    store: Store,
    changes: mpsc::Receiver<CallChange>,
}

impl RecordWriter {
    pub(crate) fn new(store: Store) -> (Records, Self) {
        let (sender, changes) = mpsc::channel(QUEUE);
        (Records(sender), Self { store, changes })
    }

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.changes.recv_many(&mut batch, BATCH).await > 0 {
            self.write(&batch).await;
            batch.clear();
        }
    }

    async fn write(&self, batch: &[CallChange]) {
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES {
            match self.store.apply(batch).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, changes = batch.len(), "writing call records failed: trying again")
                }
            }
            sleep(pause).await;
            pause *= 2;
        }
        // One by one, so that a single change that cannot be written takes no other with it.
        for change in batch {
            if let Err(error) = self.store.apply(std::slice::from_ref(change)).await {
                metrics::counter!("ringlet_record_changes_lost_total").increment(1);
                tracing::error!(%error, call = %change.call, "a change of a call's record is lost");
            }
        }
    }
}
