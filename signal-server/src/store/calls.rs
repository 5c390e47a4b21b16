//! The calls' records: how the changes that the switchboard tells are written, and how they are read.

use super::{CallChange, Millis, Store};
use crate::id::call_id;
use protocol::rest::{Call, CallCounters, CallFilter};
use protocol::visitor::{EndReason, Transport};
use protocol::{CallId, DestinationId, GatewayId, LinkId, MerchantId, TrunkName, error::ErrorCode};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, Transaction};
use switchboard::{Change, Ending, Plan};

const COLUMNS: &str = "SELECT id, merchant_id, link_id, destination_id, trunk, address, origin, page, customer, gateway, \
    started_at, dialed_at, ringing_at, answered_at, ended_at, reason, code, sip_status, sip_call_id, detail, \
    visitor_packets, agent_packets, visitor_lost, agent_lost, transport FROM calls WHERE ";

/// Records that one statement deletes: with each tick of the housekeeping far more than calls can be made meanwhile.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

impl Store {
    /// Writes changes in order, all or none.
    pub(super) async fn apply(&self, changes: &[CallChange]) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        for change in changes {
            apply(&mut tx, change).await?;
        }
        tx.commit().await
    }

    /// Deletes records of ended calls that began before then, some at a time so that no change waits for long. Returns how many.
    pub(crate) async fn forget_calls(&self, before: Millis) -> Result<u64, sqlx::Error> {
        // Ids sort by the time they were made.
        let result = sqlx::query(
            "DELETE FROM calls WHERE id IN \
             (SELECT id FROM calls WHERE id < $1 AND ended_at IS NOT NULL ORDER BY id LIMIT $2)",
        )
        .bind(call_id(before, 0).as_str())
        .bind(FORGOTTEN_AT_ONCE)
        .execute(&self.writer)
        .await?;
        Ok(result.rows_affected())
    }

    /// One call.
    pub(crate) async fn call(&self, id: &CallId) -> Result<Option<Call>, sqlx::Error> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push("id = ").push_bind(id.as_str());
        query.build().try_map(call).fetch_optional(&self.reader).await
    }

    /// Calls, newest first, at most `limit`.
    pub(crate) async fn calls(&self, filter: &CallFilter, limit: u32) -> Result<Vec<Call>, sqlx::Error> {
        let mut query = QueryBuilder::<Sqlite>::new(COLUMNS);
        query.push("1 = 1");
        if let Some(merchant) = &filter.merchant {
            query.push(" AND merchant_id = ").push_bind(merchant.as_str());
        }
        if let Some(link) = &filter.link {
            query.push(" AND link_id = ").push_bind(link.as_str());
        }
        if let Some(customer) = &filter.customer {
            query.push(" AND customer = ").push_bind(customer);
        }
        if let Some(reason) = filter.reason {
            query.push(" AND reason = ").push_bind(reason.word());
        }
        if let Some(since) = filter.since {
            query.push(" AND started_at >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" AND started_at < ").push_bind(until);
        }
        if let Some(cursor) = &filter.cursor {
            query.push(" AND id < ").push_bind(cursor);
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(limit));
        query.build().try_map(call).fetch_all(&self.reader).await
    }
}

async fn apply(
    tx: &mut Transaction<'static, Sqlite>,
    CallChange { call, at, change }: &CallChange,
) -> Result<(), sqlx::Error> {
    let query = match change {
        Change::Started { plan } => return start(tx, call, *at, plan).await,
        Change::Ended(ending) => return end(tx, call, *at, ending).await,
        Change::Carried { gateway } => {
            sqlx::query("UPDATE calls SET gateway = $2 WHERE id = $1").bind(call.as_str()).bind(gateway.as_str())
        }
        Change::Dialed => sqlx::query("UPDATE calls SET dialed_at = $2 WHERE id = $1").bind(call.as_str()).bind(at.0),
        Change::Transport { transport } => {
            sqlx::query("UPDATE calls SET transport = $2 WHERE id = $1").bind(call.as_str()).bind(transport.word())
        }
        Change::Tokens { epoch, oldest } => {
            sqlx::query("UPDATE calls SET token_newest = $2, token_oldest = $3 WHERE id = $1")
                .bind(call.as_str())
                .bind(i64::from(epoch.0))
                .bind(i64::from(oldest.0))
        }
        Change::Certificates { known } => sqlx::query("UPDATE calls SET certificates = $2 WHERE id = $1")
            .bind(call.as_str())
            .bind(serde_json::to_string(known).map_err(|error| sqlx::Error::Encode(error.into()))?),
        Change::Ringing => sqlx::query("UPDATE calls SET ringing_at = $2 WHERE id = $1").bind(call.as_str()).bind(at.0),
        Change::Answered => {
            sqlx::query("UPDATE calls SET answered_at = $2 WHERE id = $1").bind(call.as_str()).bind(at.0)
        }
    };
    query.execute(&mut **tx).await.map(drop)
}

async fn start(
    tx: &mut Transaction<'static, Sqlite>,
    call: &CallId,
    at: Millis,
    plan: &Plan,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO calls (id, merchant_id, link_id, destination_id, trunk, address, origin, page, customer, started_at, plan) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
    )
    .bind(call.as_str())
    .bind(plan.merchant.as_str())
    .bind(plan.link.as_str())
    .bind(plan.destination.as_str())
    .bind(plan.trunk.as_str())
    .bind(&plan.address)
    .bind(&plan.origin)
    .bind(&plan.page)
    .bind(&plan.customer)
    .bind(at.0)
    .bind(serde_json::to_string(plan).map_err(|error| sqlx::Error::Encode(error.into()))?)
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn end(
    tx: &mut Transaction<'static, Sqlite>,
    call: &CallId,
    at: Millis,
    ending: &Ending,
) -> Result<(), sqlx::Error> {
    let stats = ending.stats.as_ref();
    // SQL has no unsigned type; a call does not count to 2^63.
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "UPDATE calls SET ended_at = $2, reason = $3, code = $4, sip_status = $5, detail = $6, sip_call_id = $7, \
         visitor_packets = $8, agent_packets = $9, visitor_lost = $10, agent_lost = $11, plan = NULL, certificates = NULL WHERE id = $1",
    )
    .bind(call.as_str())
    .bind(at.0)
    .bind(ending.reason.word())
    .bind(ending.code.map(ErrorCode::word))
    .bind(ending.sip_status.map(i64::from))
    .bind(&ending.detail)
    .bind(stats.and_then(|it| it.sip_call_id.as_deref()))
    .bind(stats.map(|it| count(it.visitor_packets)))
    .bind(stats.map(|it| count(it.agent_packets)))
    .bind(stats.map(|it| count(it.visitor_lost)))
    .bind(stats.map(|it| count(it.agent_lost)))
    .execute(&mut **tx)
    .await
    .map(drop)
}

fn call(row: SqliteRow) -> Result<Call, sqlx::Error> {
    let text = |column: &str| row.try_get::<String, _>(column);
    let words = |column: &str| row.try_get::<Option<String>, _>(column);
    let time = |column: &str| row.try_get::<Option<i64>, _>(column);
    let count = |column: &str| time(column).map(|it| it.and_then(|number| u64::try_from(number).ok()));
    Ok(Call {
        id: CallId::new(text("id")?),
        merchant: MerchantId::new(text("merchant_id")?),
        link: LinkId::new(text("link_id")?),
        destination: DestinationId::new(text("destination_id")?),
        trunk: TrunkName::new(text("trunk")?),
        address: text("address")?,
        origin: text("origin")?,
        page: words("page")?,
        customer: words("customer")?,
        gateway: words("gateway")?.map(GatewayId::new),
        started_at: row.try_get("started_at")?,
        dialed_at: time("dialed_at")?,
        ringing_at: time("ringing_at")?,
        answered_at: time("answered_at")?,
        ended_at: time("ended_at")?,
        // A word of a newer version reads as absent.
        reason: words("reason")?.and_then(|word| EndReason::from_word(&word)),
        code: words("code")?.and_then(|word| ErrorCode::from_word(&word)),
        sip_status: time("sip_status")?.and_then(|status| u16::try_from(status).ok()),
        sip_call_id: words("sip_call_id")?,
        detail: words("detail")?,
        stats: count("visitor_packets")?
            .map(|visitor_packets| -> Result<_, sqlx::Error> {
                Ok(CallCounters {
                    visitor_packets,
                    agent_packets: count("agent_packets")?.unwrap_or_default(),
                    visitor_lost: count("visitor_lost")?.unwrap_or_default(),
                    agent_lost: count("agent_lost")?.unwrap_or_default(),
                })
            })
            .transpose()?,
        transport: words("transport")?.and_then(|word| Transport::from_word(&word)),
    })
}
