//! What the far end's keys mean, by merchant.

use super::{MAX_PER_MERCHANT, Store, StoreError, referenced};
use crate::Secret;
use protocol::MerchantId;
use protocol::command::{Action, Command, DEFAULTS};
use protocol::settings::Setting;
use sqlx::{Sqlite, Transaction};
use std::time::Duration;

/// All that decides what keys mean in a merchant's calls.
#[derive(Clone, Debug)]
pub(crate) struct Keypad {
    pub(crate) commands: Vec<Command>,
    pub(crate) pause: Duration,
    pub(crate) forbidden: Vec<Setting>,
    pub(crate) origins: Vec<String>,
    pub(crate) signing_secret: Option<Secret>,
}

type Row = (String, String, Option<String>, String);

impl Store {
    /// A merchant's keypad as it is now; `None` when there is no such merchant.
    pub(crate) async fn keypad(&self, merchant: &MerchantId) -> Result<Option<Keypad>, sqlx::Error> {
        let row: Option<(Option<String>, i64, String)> =
            sqlx::query_as("SELECT signing_secret, key_pause_ms, forbidden FROM merchants WHERE id = $1")
                .bind(merchant.as_str())
                .fetch_optional(&self.reader)
                .await?;
        let Some((secret, pause, forbidden)) = row else { return Ok(None) };
        Ok(Some(Keypad {
            commands: self.commands(merchant).await?,
            pause: Duration::from_millis(pause.unsigned_abs()),
            forbidden: read_forbidden(&forbidden),
            origins: self.origins(merchant).await?,
            signing_secret: secret.map(Secret::new),
        }))
    }

    /// A merchant's commands, by sequence.
    pub(crate) async fn commands(&self, merchant: &MerchantId) -> Result<Vec<Command>, sqlx::Error> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT sequence, action, url, label FROM commands WHERE merchant_id = $1 ORDER BY sequence LIMIT $2",
        )
        .bind(merchant.as_str())
        .bind(MAX_PER_MERCHANT)
        .fetch_all(&self.reader)
        .await?;
        Ok(rows.into_iter().filter_map(command).collect())
    }

    /// One of a merchant's commands.
    pub(crate) async fn command(&self, merchant: &MerchantId, sequence: &str) -> Result<Option<Command>, sqlx::Error> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT sequence, action, url, label FROM commands WHERE merchant_id = $1 AND sequence = $2",
        )
        .bind(merchant.as_str())
        .bind(sequence)
        .fetch_optional(&self.reader)
        .await?;
        Ok(row.and_then(command))
    }

    /// Makes a command, or with `replaces` one in the place of another.
    pub(crate) async fn put_command(
        &self,
        merchant: &MerchantId,
        command: &Command,
        replaces: bool,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let there = sqlx::query_scalar::<_, i64>("SELECT 1 FROM commands WHERE merchant_id = $1 AND sequence = $2");
        let there = there.bind(merchant.as_str()).bind(&command.sequence).fetch_optional(&mut *tx).await?;
        if there.is_some() && !replaces {
            return Err(StoreError::Exists);
        }
        put_command(&mut tx, merchant, command).await?;
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM commands WHERE merchant_id = $1")
            .bind(merchant.as_str())
            .fetch_one(&mut *tx)
            .await?;
        if count > MAX_PER_MERCHANT {
            return Err(StoreError::TooMany);
        }
        Ok(tx.commit().await?)
    }

    /// Takes a command away; `false` when there was none.
    pub(crate) async fn delete_command(&self, merchant: &MerchantId, sequence: &str) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query("DELETE FROM commands WHERE merchant_id = $1 AND sequence = $2")
            .bind(merchant.as_str())
            .bind(sequence)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Gives a new merchant what every merchant begins with.
pub(super) async fn put_defaults(
    tx: &mut Transaction<'static, Sqlite>,
    merchant: &MerchantId,
) -> Result<(), sqlx::Error> {
    for (sequence, action, label) in DEFAULTS {
        sqlx::query(
            "INSERT INTO commands (merchant_id, sequence, action, label) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        )
        .bind(merchant.as_str())
        .bind(sequence)
        .bind(action.word())
        .bind(label)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

pub(super) async fn put_command(
    tx: &mut Transaction<'static, Sqlite>,
    merchant: &MerchantId,
    command: &Command,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO commands (merchant_id, sequence, action, url, label) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (merchant_id, sequence) DO UPDATE SET action = excluded.action, url = excluded.url, \
         label = excluded.label",
    )
    .bind(merchant.as_str())
    .bind(&command.sequence)
    .bind(command.action.word())
    .bind(&command.url)
    .bind(&command.label)
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| referenced(error, StoreError::NoParent))
}

/// What a merchant forbids, as it is stored.
pub(super) fn write_forbidden(forbidden: &[Setting]) -> String {
    forbidden.iter().map(|it| it.word()).collect::<Vec<_>>().join(" ")
}

/// A word of a newer version forbids nothing that this one could do.
pub(super) fn read_forbidden(text: &str) -> Vec<Setting> {
    text.split_whitespace().filter_map(Setting::from_word).collect()
}

/// An action of a newer version reads as absent.
fn command((sequence, action, url, label): Row) -> Option<Command> {
    Some(Command { sequence, action: Action::from_word(&action)?, url, label })
}
