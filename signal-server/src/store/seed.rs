//! Writes what the configuration names into the store. Idempotent: the configuration wins for the ids that it names, the
//! rest stays, except that a configured API key that is configured no more is gone.

use super::{KeyHash, Millis, Store, StoreError, commands, merchants};
use crate::config::{ApiKeySeed, MerchantSeed, Seed};
use protocol::rest::{DestinationWrite, LinkWrite, MerchantWrite};
use sqlx::{Sqlite, Transaction};

/// A seed that cannot be written, with the id to look for in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configured {what} `{id}` cannot be stored")]
pub(crate) struct SeedError {
    what: &'static str,
    id: String,
    source: StoreError,
}

impl Store {
    /// Writes the whole seed, or nothing of it.
    pub(crate) async fn seed(&self, seed: &Seed, now: Millis) -> Result<(), SeedError> {
        let database = |error: sqlx::Error| failed("seed", "")(error.into());
        let mut tx = self.begin().await.map_err(database)?;
        for merchant in &seed.merchants {
            put(&mut tx, merchant, now).await?;
        }
        sqlx::query("DELETE FROM api_keys WHERE configured").execute(&mut *tx).await.map_err(database)?;
        for key in &seed.api_keys {
            put_key(&mut tx, key, now).await.map_err(|error| failed("API key", &key.name)(error.into()))?;
        }
        tx.commit().await.map_err(database)
    }
}

async fn put(tx: &mut Transaction<'static, Sqlite>, merchant: &MerchantSeed, now: Millis) -> Result<(), SeedError> {
    let id = &merchant.id;
    let write = MerchantWrite {
        name: merchant.name.clone(),
        origins: merchant.origins.iter().map(ToString::to_string).collect(),
        // The empty text takes a secret of an earlier configuration away.
        signing_secret: Some(merchant.signing_secret.as_ref().map(|it| it.reveal().to_owned()).unwrap_or_default()),
        key_pause_ms: Some(u32::try_from(merchant.key_pause.as_millis()).unwrap_or(u32::MAX)),
        forbidden: Some(merchant.forbidden.clone()),
        on_gateway_loss: Some(merchant.on_gateway_loss),
    };
    merchants::put_merchant(tx, id, &write, now)
        .await
        .map_err(|error| failed("merchant", id.as_str())(error.into()))?;
    for destination in &merchant.destinations {
        let write = DestinationWrite { trunk: destination.trunk.clone(), address: destination.address.clone() };
        let written = merchants::put_destination(tx, id, &destination.id, &write).await;
        written.map_err(failed("destination", destination.id.as_str()))?;
    }
    for link in &merchant.links {
        let write = LinkWrite {
            label: link.label.clone(),
            destination: link.destination.clone(),
            no_answer_seconds: link.no_answer.map(|it| u32::try_from(it.as_secs()).unwrap_or(u32::MAX)),
        };
        merchants::put_link(tx, id, &link.id, &write).await.map_err(failed("link", link.id.as_str()))?;
    }
    for command in &merchant.commands {
        let written = commands::put_command(tx, id, command).await;
        written.map_err(failed("command", &command.sequence))?;
    }
    Ok(())
}

async fn put_key(tx: &mut Transaction<'static, Sqlite>, key: &ApiKeySeed, now: Millis) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO api_keys (id, name, key_hash, merchant_id, configured, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(format!("configured-{}", key.name))
    .bind(&key.name)
    .bind(KeyHash::of(key.key.reveal()).as_str())
    .bind(key.merchant.as_ref().map(protocol::MerchantId::as_str))
    .bind(true)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map(drop)
}

fn failed(what: &'static str, id: &str) -> impl FnOnce(StoreError) -> SeedError {
    let id = id.to_owned();
    move |source| SeedError { what, id, source }
}
