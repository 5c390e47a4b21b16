//! The REST API's keys. The store holds their SHA-256: keys are long and random, so that no slow hash is needed, and a
//! look-up by hash tells nothing by its timing.

use super::{Store, StoreError, referenced};
use protocol::MerchantId;
use protocol::rest::ApiKey;
use sha2::{Digest, Sha256};

/// API keys that one merchant, or the operator, may have.
const MAX_API_KEYS: i64 = 100;

/// The SHA-256 of a key, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(String);

impl KeyHash {
    pub(crate) fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How far a key reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything: an operator's key.
    Everything,
    /// One merchant.
    Merchant(MerchantId),
}

type Row = (String, String, Option<String>, bool, i64);

impl Store {
    /// How far the key reaches; `None` when there is no such key.
    pub(crate) async fn reach(&self, key: &KeyHash) -> Result<Option<Reach>, sqlx::Error> {
        let row: Option<(Option<String>,)> = sqlx::query_as("SELECT merchant_id FROM api_keys WHERE key_hash = $1")
            .bind(key.as_str())
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|(merchant,)| merchant.map_or(Reach::Everything, |id| Reach::Merchant(MerchantId::new(id)))))
    }

    /// The keys that a key of that reach may see, by id, those after `after`.
    pub(crate) async fn api_keys(&self, reach: &Reach, after: &str, limit: u32) -> Result<Vec<ApiKey>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT id, name, merchant_id, configured, created_at FROM api_keys \
             WHERE ($1 IS NULL OR merchant_id = $1) AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(scope(reach))
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(id, name, merchant, configured, created_at)| ApiKey {
                id,
                name,
                merchant: merchant.map(MerchantId::new),
                configured,
                created_at,
            })
            .collect())
    }

    /// Keeps a fresh key.
    pub(crate) async fn add_api_key(&self, key: &ApiKey, hash: &KeyHash) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO api_keys (id, name, key_hash, merchant_id, configured, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&key.id)
        .bind(&key.name)
        .bind(hash.as_str())
        .bind(key.merchant.as_ref().map(MerchantId::as_str))
        .bind(key.configured)
        .bind(key.created_at)
        .execute(&mut *tx)
        .await
        .map_err(|error| referenced(error, StoreError::NoParent))?;
        let count: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM api_keys WHERE COALESCE(merchant_id, '') = COALESCE($1, '')")
                .bind(key.merchant.as_ref().map(MerchantId::as_str))
                .fetch_one(&mut *tx)
                .await?;
        if count > MAX_API_KEYS {
            return Err(StoreError::TooMany);
        }
        Ok(tx.commit().await?)
    }

    /// Takes a key away that was made through the API; `false` when the reach has none of that id. A configured one is
    /// [`StoreError::InUse`].
    pub(crate) async fn delete_api_key(&self, reach: &Reach, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let configured: Option<bool> =
            sqlx::query_scalar("SELECT configured FROM api_keys WHERE id = $1 AND ($2 IS NULL OR merchant_id = $2)")
                .bind(id)
                .bind(scope(reach))
                .fetch_optional(&mut *tx)
                .await?;
        match configured {
            None => return Ok(false),
            Some(true) => return Err(StoreError::InUse),
            Some(false) => {}
        }
        sqlx::query("DELETE FROM api_keys WHERE id = $1").bind(id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn scope(reach: &Reach) -> Option<&str> {
    match reach {
        Reach::Everything => None,
        Reach::Merchant(id) => Some(id.as_str()),
    }
}
