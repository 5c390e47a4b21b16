//! Merchants with their origins, destinations and links.

use super::commands::{put_defaults, read_forbidden, write_forbidden};
use super::{MAX_PER_MERCHANT, Millis, Store, StoreError, referenced};
use crate::Secret;
use protocol::rest::{Destination, DestinationWrite, GatewayLoss, Link, LinkWrite, Merchant, MerchantWrite};
use protocol::{DestinationId, LinkId, MerchantId, TrunkName};
use sqlx::{Sqlite, Transaction};
use std::collections::BTreeMap;
use std::time::Duration;

/// What must be known of a link when its button is clicked.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    pub(crate) merchant_name: String,
    pub(crate) signing_secret: Option<Secret>,
    pub(crate) origins: Vec<String>,
    pub(crate) link_label: String,
    pub(crate) no_answer: Option<Duration>,
    pub(crate) route: Route,
    pub(crate) on_gateway_loss: GatewayLoss,
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: DestinationId,
    pub(crate) trunk: TrunkName,
    pub(crate) address: String,
}

type LinkRow = (String, String, String, Option<i64>);
type MerchantRow = (String, String, bool, i64, i64, i64, String, String);

impl Store {
    /// The link with all that admits a call; `None` when merchant or link does not exist.
    pub(crate) async fn admission(
        &self,
        merchant: &MerchantId,
        link: &LinkId,
    ) -> Result<Option<Admission>, sqlx::Error> {
        type Row = (String, Option<String>, String, Option<i64>, String, String, String, String);
        let row: Option<Row> = sqlx::query_as(
            "SELECT m.name, m.signing_secret, l.label, l.no_answer_ms, d.id, d.trunk, d.address, m.on_gateway_loss \
             FROM merchants m JOIN links l ON l.merchant_id = m.id \
             JOIN destinations d ON d.merchant_id = m.id AND d.id = l.destination_id \
             WHERE m.id = $1 AND l.id = $2",
        )
        .bind(merchant.as_str())
        .bind(link.as_str())
        .fetch_optional(&self.reader)
        .await?;
        let Some((merchant_name, secret, link_label, no_answer, destination, trunk, address, loss)) = row else {
            return Ok(None);
        };
        Ok(Some(Admission {
            merchant_name,
            signing_secret: secret.map(Secret::new),
            origins: self.origins(merchant).await?,
            link_label,
            no_answer: no_answer.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis),
            route: route(destination, trunk, address),
            on_gateway_loss: GatewayLoss::from_word(&loss).unwrap_or_default(),
        }))
    }

    /// One of a merchant's destinations.
    pub(crate) async fn route(&self, merchant: &MerchantId, destination: &str) -> Result<Option<Route>, sqlx::Error> {
        let row: Option<(String, String, String)> =
            sqlx::query_as("SELECT id, trunk, address FROM destinations WHERE merchant_id = $1 AND id = $2")
                .bind(merchant.as_str())
                .bind(destination)
                .fetch_optional(&self.reader)
                .await?;
        Ok(row.map(|(id, trunk, address)| route(id, trunk, address)))
    }

    /// Whether one of the merchant's destinations is on the trunk.
    pub(crate) async fn uses_trunk(&self, merchant: &MerchantId, trunk: &TrunkName) -> Result<bool, sqlx::Error> {
        let row: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM destinations WHERE merchant_id = $1 AND trunk = $2 LIMIT 1")
                .bind(merchant.as_str())
                .bind(trunk.as_str())
                .fetch_optional(&self.reader)
                .await?;
        Ok(row.is_some())
    }

    pub(super) async fn origins(&self, merchant: &MerchantId) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT origin FROM origins WHERE merchant_id = $1 ORDER BY origin")
            .bind(merchant.as_str())
            .fetch_all(&self.reader)
            .await
    }

    /// Merchants by id, those after `after`.
    pub(crate) async fn merchants(&self, after: &str, limit: u32) -> Result<Vec<Merchant>, sqlx::Error> {
        let rows: Vec<MerchantRow> = sqlx::query_as(
            "SELECT id, name, signing_secret IS NOT NULL, created_at, updated_at, key_pause_ms, forbidden, \
             on_gateway_loss FROM merchants \
             WHERE id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        let Some(last) = rows.last().map(|row| row.0.clone()) else { return Ok(Vec::new()) };
        let pairs: Vec<(String, String)> = sqlx::query_as(
            "SELECT merchant_id, origin FROM origins WHERE merchant_id > $1 AND merchant_id <= $2 ORDER BY origin",
        )
        .bind(after)
        .bind(last)
        .fetch_all(&self.reader)
        .await?;
        let mut origins = BTreeMap::<String, Vec<String>>::new();
        for (id, origin) in pairs {
            origins.entry(id).or_default().push(origin);
        }
        Ok(rows.into_iter().map(|row| merchant(origins.remove(&row.0).unwrap_or_default(), row)).collect())
    }

    /// One merchant.
    pub(crate) async fn merchant(&self, id: &MerchantId) -> Result<Option<Merchant>, sqlx::Error> {
        let row: Option<MerchantRow> = sqlx::query_as(
            "SELECT id, name, signing_secret IS NOT NULL, created_at, updated_at, key_pause_ms, forbidden, \
             on_gateway_loss FROM merchants \
             WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.reader)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(merchant(self.origins(id).await?, row)))
    }

    /// Makes or replaces a merchant; says whether it is new.
    pub(crate) async fn put_merchant(
        &self,
        id: &MerchantId,
        write: &MerchantWrite,
        now: Millis,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let new = sqlx::query_scalar::<_, i64>("SELECT 1 FROM merchants WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(&mut *tx)
            .await?
            .is_none();
        put_merchant(&mut tx, id, write, now).await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Takes a merchant away with all that belongs to it, records excepted; `false` when there was none.
    pub(crate) async fn delete_merchant(&self, id: &MerchantId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM merchants WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(done > 0)
    }

    /// A merchant's destinations, by id.
    pub(crate) async fn destinations(&self, merchant: &MerchantId) -> Result<Vec<Destination>, sqlx::Error> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT id, trunk, address FROM destinations WHERE merchant_id = $1 ORDER BY id LIMIT $2")
                .bind(merchant.as_str())
                .bind(MAX_PER_MERCHANT)
                .fetch_all(&self.reader)
                .await?;
        Ok(rows
            .into_iter()
            .map(|(id, trunk, address)| Destination { id: id.as_str().into(), trunk: trunk.as_str().into(), address })
            .collect())
    }

    /// One of a merchant's destinations.
    pub(crate) async fn destination(
        &self,
        merchant: &MerchantId,
        id: &DestinationId,
    ) -> Result<Option<Destination>, sqlx::Error> {
        let route = self.route(merchant, id.as_str()).await?;
        Ok(route.map(|Route { destination: id, trunk, address }| Destination { id, trunk, address }))
    }

    /// Makes or replaces a destination.
    pub(crate) async fn put_destination(
        &self,
        merchant: &MerchantId,
        id: &DestinationId,
        write: &DestinationWrite,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        put_destination(&mut tx, merchant, id, write).await?;
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM destinations WHERE merchant_id = $1");
        within_bound(count.bind(merchant.as_str()).fetch_one(&mut *tx).await?)?;
        Ok(tx.commit().await?)
    }

    /// Takes a destination away; `false` when there was none.
    pub(crate) async fn delete_destination(
        &self,
        merchant: &MerchantId,
        id: &DestinationId,
    ) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM destinations WHERE merchant_id = $1 AND id = $2")
            .bind(merchant.as_str())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await
            .map_err(|error| referenced(error, StoreError::InUse))?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// A merchant's links, by id.
    pub(crate) async fn links(&self, merchant: &MerchantId) -> Result<Vec<Link>, sqlx::Error> {
        let rows: Vec<LinkRow> = sqlx::query_as(
            "SELECT id, label, destination_id, no_answer_ms FROM links WHERE merchant_id = $1 ORDER BY id LIMIT $2",
        )
        .bind(merchant.as_str())
        .bind(MAX_PER_MERCHANT)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().map(link).collect())
    }

    /// One of a merchant's links.
    pub(crate) async fn link(&self, merchant: &MerchantId, id: &LinkId) -> Result<Option<Link>, sqlx::Error> {
        let row: Option<LinkRow> = sqlx::query_as(
            "SELECT id, label, destination_id, no_answer_ms FROM links WHERE merchant_id = $1 AND id = $2",
        )
        .bind(merchant.as_str())
        .bind(id.as_str())
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.map(link))
    }

    /// Makes or replaces a link.
    pub(crate) async fn put_link(
        &self,
        merchant: &MerchantId,
        id: &LinkId,
        write: &LinkWrite,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        put_link(&mut tx, merchant, id, write).await?;
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM links WHERE merchant_id = $1");
        within_bound(count.bind(merchant.as_str()).fetch_one(&mut *tx).await?)?;
        Ok(tx.commit().await?)
    }

    /// Takes a link away; `false` when there was none.
    pub(crate) async fn delete_link(&self, merchant: &MerchantId, id: &LinkId) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM links WHERE merchant_id = $1 AND id = $2")
            .bind(merchant.as_str())
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

pub(super) async fn put_merchant(
    tx: &mut Transaction<'static, Sqlite>,
    id: &MerchantId,
    write: &MerchantWrite,
    now: Millis,
) -> Result<(), sqlx::Error> {
    let is_there = sqlx::query_scalar::<_, i64>("SELECT 1 FROM merchants WHERE id = $1").bind(id.as_str());
    let is_new = is_there.fetch_optional(&mut **tx).await?.is_none();
    sqlx::query(
        "INSERT INTO merchants (id, name, created_at, updated_at) VALUES ($1, $2, $3, $3) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at",
    )
    .bind(id.as_str())
    .bind(&write.name)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if is_new {
        put_defaults(tx, id).await?;
    }
    sqlx::query(
        "UPDATE merchants SET key_pause_ms = COALESCE($2, key_pause_ms), forbidden = COALESCE($3, forbidden), \
         on_gateway_loss = COALESCE($4, on_gateway_loss) WHERE id = $1",
    )
    .bind(id.as_str())
    .bind(write.key_pause_ms.map(i64::from))
    .bind(write.forbidden.as_deref().map(write_forbidden))
    .bind(write.on_gateway_loss.map(GatewayLoss::word))
    .execute(&mut **tx)
    .await?;
    if let Some(secret) = &write.signing_secret {
        sqlx::query("UPDATE merchants SET signing_secret = $2 WHERE id = $1")
            .bind(id.as_str())
            .bind((!secret.is_empty()).then_some(secret))
            .execute(&mut **tx)
            .await?;
    }
    sqlx::query("DELETE FROM origins WHERE merchant_id = $1").bind(id.as_str()).execute(&mut **tx).await?;
    for origin in &write.origins {
        sqlx::query("INSERT INTO origins (merchant_id, origin) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(id.as_str())
            .bind(origin)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn put_destination(
    tx: &mut Transaction<'static, Sqlite>,
    merchant: &MerchantId,
    id: &DestinationId,
    write: &DestinationWrite,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO destinations (merchant_id, id, trunk, address) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (merchant_id, id) DO UPDATE SET trunk = excluded.trunk, address = excluded.address",
    )
    .bind(merchant.as_str())
    .bind(id.as_str())
    .bind(write.trunk.as_str())
    .bind(&write.address)
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| referenced(error, StoreError::NoParent))
}

pub(super) async fn put_link(
    tx: &mut Transaction<'static, Sqlite>,
    merchant: &MerchantId,
    id: &LinkId,
    write: &LinkWrite,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO links (merchant_id, id, label, destination_id, no_answer_ms) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (merchant_id, id) DO UPDATE SET label = excluded.label, \
         destination_id = excluded.destination_id, no_answer_ms = excluded.no_answer_ms",
    )
    .bind(merchant.as_str())
    .bind(id.as_str())
    .bind(&write.label)
    .bind(write.destination.as_str())
    .bind(write.no_answer_seconds.map(|seconds| i64::from(seconds) * 1000))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| referenced(error, StoreError::NoParent))
}

fn within_bound(count: i64) -> Result<(), StoreError> {
    if count > MAX_PER_MERCHANT { Err(StoreError::TooMany) } else { Ok(()) }
}

fn route(destination: String, trunk: String, address: String) -> Route {
    Route { destination: DestinationId::new(destination), trunk: TrunkName::new(trunk), address }
}

fn link((id, label, destination, no_answer): LinkRow) -> Link {
    Link {
        id: LinkId::new(id),
        label,
        destination: DestinationId::new(destination),
        no_answer_seconds: no_answer.and_then(|ms| u32::try_from(ms / 1000).ok()),
    }
}

fn merchant(origins: Vec<String>, row: MerchantRow) -> Merchant {
    let (id, name, has_signing_secret, created_at, updated_at, pause, forbidden, loss) = row;
    let key_pause_ms = u32::try_from(pause).unwrap_or(u32::MAX);
    let (id, forbidden) = (MerchantId::new(id), read_forbidden(&forbidden));
    let on_gateway_loss = GatewayLoss::from_word(&loss).unwrap_or_default();
    Merchant { id, name, origins, has_signing_secret, key_pause_ms, forbidden, on_gateway_loss, created_at, updated_at }
}
