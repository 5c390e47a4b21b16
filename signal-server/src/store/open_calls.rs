//! The calls that an earlier server has left open: found at the start, so that this one goes on with them.

use super::{Millis, Store};
use protocol::visitor::EndReason;
use protocol::{CallId, GatewayId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::time::{Duration, Instant};
use switchboard::{Epoch, Restored};

/// A call whose record is open.
#[derive(Debug)]
pub(crate) struct OpenCall {
    pub(crate) call: CallId,
    pub(crate) started: Instant,
    pub(crate) restored: Box<Restored>,
}

impl Store {
    /// The calls to go on with. Open records that tell too little for that, as those of an older version, are closed.
    pub(crate) async fn open_calls(&self, now: Millis) -> Result<Vec<OpenCall>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT id, plan, gateway, started_at, dialed_at, ringing_at, answered_at, token_newest, token_oldest, \
             certificates FROM calls WHERE ended_at IS NULL ORDER BY id",
        )
        .fetch_all(&self.reader)
        .await?;
        let mut open = Vec::with_capacity(rows.len());
        for row in rows {
            let id: String = row.try_get("id")?;
            match open_call(&row, &id, now)? {
                Some(call) => open.push(call),
                None => self.close_open_call(&id, now).await?,
            }
        }
        Ok(open)
    }

    async fn close_open_call(&self, id: &str, now: Millis) -> Result<(), sqlx::Error> {
        tracing::warn!(call = id, "closing the record of a call of which too little is known to go on with it");
        let mut tx = self.begin().await?;
        sqlx::query(
            "UPDATE calls SET ended_at = $2, reason = $3, detail = $4, plan = NULL, certificates = NULL WHERE id = $1",
        )
        .bind(id)
        .bind(now.0)
        .bind(EndReason::ServerStopping.word())
        .bind("the server ended without closing this record")
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }
}

fn open_call(row: &SqliteRow, id: &str, now: Millis) -> Result<Option<OpenCall>, sqlx::Error> {
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|at| at.map(|at| instant(at, now)));
    let token = |column: &str| {
        let number = row.try_get::<Option<i64>, _>(column)?.and_then(|number| u32::try_from(number).ok());
        Ok::<_, sqlx::Error>(Epoch(number.unwrap_or_default()))
    };
    let Some(plan) = row.try_get::<Option<String>, _>("plan")?.and_then(|plan| serde_json::from_str(&plan).ok()) else {
        return Ok(None);
    };
    // What cannot be read binds to nothing: the token counts, as in a call whose page has said nothing.
    let certificates = row.try_get::<Option<String>, _>("certificates")?;
    let certificates = certificates.and_then(|known| serde_json::from_str(&known).ok()).unwrap_or_default();
    let restored = Restored {
        plan,
        gateway: row.try_get::<Option<String>, _>("gateway")?.map(GatewayId::new),
        dialed: time("dialed_at")?.is_some(),
        rang: time("ringing_at")?.is_some(),
        answered: time("answered_at")?,
        epoch: token("token_newest")?,
        oldest: token("token_oldest")?,
        certificates,
    };
    let started = instant(row.try_get("started_at")?, now);
    Ok(Some(OpenCall { call: CallId::new(id), started, restored: Box::new(restored) }))
}

/// When that was by the clock that deadlines go by. What lies before the machine's start lies at it.
fn instant(at: i64, now: Millis) -> Instant {
    let ago = Duration::from_millis(u64::try_from(now.0.saturating_sub(at)).unwrap_or_default());
    let now = Instant::now();
    now.checked_sub(ago).unwrap_or(now)
}
