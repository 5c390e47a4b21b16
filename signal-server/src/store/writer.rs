//! The one task that writes the calls' records, so that no SQL stands in the hub's way. It takes what has gathered since
//! the last transaction as the next one.

use super::{Millis, Store};
use protocol::CallId;
use std::collections::VecDeque;
use std::fmt::Display;
use std::time::Duration;
use switchboard::Change;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Changes that may wait for the disk: all changes of 10,000 calls. A full queue makes the hub wait: a late call is
/// better than a call without a record.
const QUEUE: usize = 50_000;

/// Changes in one transaction: enough to share the cost of the commit, few enough to be quick.
const BATCH: usize = 512;

/// Changes that the disk has not taken and that are tried again with the next ones: as many as may wait in all.
const MAX_OWED: usize = QUEUE;

/// How often a failed transaction is tried again, and the pauses between: half a minute in all, after which others shall get
/// their turn.
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
    /// What could not be written, in order. A call of which something is here has all that came after it here as well: a
    /// record that was not begun cannot be changed.
    owed: VecDeque<CallChange>,
}

impl RecordWriter {
    pub(crate) fn new(store: Store) -> (Records, Self) {
        let (sender, changes) = mpsc::channel(QUEUE);
        (Records(sender), Self { store, changes, owed: VecDeque::new() })
    }

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.changes.recv_many(&mut batch, BATCH).await > 0 {
            self.write(std::mem::take(&mut batch)).await;
        }
        if !self.owed.is_empty() {
            self.write(Vec::new()).await;
        }
        for change in self.owed.drain(..) {
            lose(&change, "the disk does not take it");
        }
    }

    async fn write(&mut self, fresh: Vec<CallChange>) {
        let batch: Vec<_> = self.owed.drain(..).chain(fresh).collect();
        let mut pause = FIRST_PAUSE;
        for _ in 0..RETRIES {
            match self.store.apply(&batch).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, changes = batch.len(), "writing call records failed: trying again");
                    if is_refused(&error) {
                        break;
                    }
                }
            }
            sleep(pause).await;
            pause *= 2;
        }
        // One by one, so that a single change that cannot be written takes no other with it.
        for change in batch {
            if !self.owed.is_empty() {
                // The disk fails as a whole.
                self.owe(change);
                continue;
            }
            match self.store.apply(std::slice::from_ref(&change)).await {
                Ok(()) => {}
                Err(error) if is_refused(&error) => lose(&change, &error),
                Err(_) => self.owe(change),
            }
        }
    }

    fn owe(&mut self, change: CallChange) {
        if self.owed.len() < MAX_OWED {
            self.owed.push_back(change);
        } else {
            lose(&change, "too many wait for the disk");
        }
    }
}

/// Whether the database will never take the change, rather than not now (SQLite's primary result code 19, CONSTRAINT).
fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 19)
}

fn lose(change: &CallChange, why: impl Display) {
    metrics::counter!("ringlet_record_changes_lost_total").increment(1);
    tracing::error!(%why, call = %change.call, "a change of a call's record is lost");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::call_id;
    use protocol::rest::GatewayLoss;
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
            on_gateway_loss: GatewayLoss::End,
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
        let refusing = "CREATE TRIGGER refusing BEFORE INSERT ON calls WHEN NEW.id = 'refused' \
            BEGIN SELECT RAISE(ABORT, 'refused'); END";
        store.execute(refusing).await;
        for change in [started("a"), started("refused"), started("b")] {
            records.put(change).await;
        }
        drop(records);
        writer.run().await;
        for (call, is_there) in [("a", true), ("refused", false), ("b", true)] {
            assert_eq!(store.call(&call.into()).await.unwrap().is_some(), is_there, "{call}");
        }
    }

    #[tokio::test]
    async fn a_record_whose_beginning_the_disk_did_not_take_is_whole_in_the_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("calls.sqlite")).await.unwrap();
        let (_records, mut writer) = RecordWriter::new(store.clone());
        store.execute("ALTER TABLE calls RENAME TO elsewhere").await;
        writer.write(vec![started("a"), started("b")]).await;
        writer.write(vec![ended("a")]).await;
        store.execute("ALTER TABLE elsewhere RENAME TO calls").await;
        writer.write(vec![ended("b")]).await;
        for call in ["a", "b"] {
            let call = store.call(&call.into()).await.unwrap().unwrap();
            assert_eq!(call.reason, Some(EndReason::Cancelled));
        }
    }

    #[tokio::test]
    async fn old_records_are_forgotten_and_those_of_running_calls_are_not() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("calls.sqlite")).await.unwrap();
        let [old, running, young] =
            [(1_000, 1), (1_000, 2), (3_000, 3)].map(|(at, chance)| call_id(Millis(at), chance));
        for call in [&old, &running, &young] {
            store.apply(&[started(call.as_str())]).await.unwrap();
        }
        store.apply(&[ended(old.as_str()), ended(young.as_str())]).await.unwrap();
        assert_eq!(store.forget_calls(Millis(2_000)).await.unwrap(), 1);
        for (call, is_there) in [(old, false), (running, true), (young, true)] {
            assert_eq!(store.call(&call).await.unwrap().is_some(), is_there, "{call}");
        }
    }

    #[tokio::test]
    async fn certificates_are_read_back_while_their_call_is_open_and_forgotten_with_its_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = Store::open(&folder.path().join("calls.sqlite")).await.unwrap();
        let known: Vec<_> = ["sha-256 4A", "sha-256 4B"].map(str::to_owned).into();
        let certified = |call| change(call, Change::Certificates { known: known.clone() });
        store.apply(&[started("a"), certified("a"), started("b"), started("c"), certified("c")]).await.unwrap();
        store.execute("UPDATE calls SET certificates = 'nonsense' WHERE id = 'c'").await;
        let open = store.open_calls(Millis(2)).await.unwrap();
        let read: Vec<_> =
            open.iter().map(|call| (call.call.as_str(), call.restored.certificates.as_slice())).collect();
        assert_eq!(read, [("a", known.as_slice()), ("b", &[]), ("c", &[])]);
        store.apply(&[ended("a")]).await.unwrap();
        let left = "SELECT COUNT(*) FROM calls WHERE id = 'a' AND certificates IS NOT NULL";
        assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&store.reader).await.unwrap(), 0);
    }

    impl Store {
        async fn execute(&self, sql: &'static str) {
            sqlx::query(sql).execute(&self.writer).await.unwrap();
        }
    }
}
