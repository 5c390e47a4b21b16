//! Waiting for what has no event to wait for. Every wait has a deadline and says at its end what was seen last.

use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Short against everything that is waited for, long against the cost of a look.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Looks again and again until the probe succeeds.
///
/// # Errors
/// What the last look saw, once `limit` has passed.
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(seen) if Instant::now() >= deadline => {
                return Err(seen).with_context(|| format!("waited {limit:?} in vain: {what}"));
            }
            Err(_) => sleep(LOOK_AGAIN).await,
        }
    }
}
