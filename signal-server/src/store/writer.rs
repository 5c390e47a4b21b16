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
const FIRST_PAUSE: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 250 });

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

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::visitor::EndReason;
    use switchboard::{Ending, Plan};

    fn change(call: &str, change: Change) -> CallChange {
        CallChange { call: call.into(), at: Millis(1), change }
    }

    fn started(call: &str) -> CallChange {
        let plan = Plan {
            merchant: "acme".into(),
            merchant_name: "Acme".to_owned(),
            link: "sales".into(),
            link_label: "Sales".to_owned(),
            destination: "desk".into(),
            trunk: "pbx".into(),
            address: "1001".to_owned(),
            caller_name: None,
            headers: Vec::new(),
            origin: "https://shop.example".to_owned(),
            page: None,
            customer: None,
            no_answer: Plan::NO_ANSWER,
        };
        change(call, Change::Started { plan: Box::new(plan) })
    }

    fn ended(call: &str) -> CallChange {
        let reason = EndReason::Cancelled;
        change(call, Change::Ended(Ending { reason, code: None, sip_status: None, detail: None, stats: None }))
    }

    #[tokio::test]
    async fn everything_that_was_put_is_written_before_the_writer_ends() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("calls.sqlite")).await.unwrap();
        let (records, writer) = RecordWriter::new(store.clone());
        for number in 0..2_000 {
            records.put(started(&format!("{number:04}"))).await;
            records.put(ended(&format!("{number:04}"))).await;
        }
        drop(records);
        writer.run().await;
        for number in [0, 1_000, 1_999] {
            let call = store.call(&format!("{number:04}").as_str().into()).await.unwrap().unwrap();
            assert_eq!(call.reason, Some(EndReason::Cancelled));
        }
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_written_takes_no_other_with_it() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("calls.sqlite")).await.unwrap();
        let (records, writer) = RecordWriter::new(store.clone());
        // The same call twice: the second breaks the primary key.
        for change in [started("a"), started("a"), started("b")] {
            records.put(change).await;
        }
        drop(records);
        writer.run().await;
        for call in ["a", "b"] {
            assert!(store.call(&call.into()).await.unwrap().is_some(), "{call}");
        }
    }
}
