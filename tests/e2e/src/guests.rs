//! Shoppers who open the panel and go, one every 50 ms and each over connections of its own: nobody may be refused. Not here: calls,
//! which are the visitors', and a browser, whose calls so many guests would disturb.

use crate::visitors::{greet, open_panel};
use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;

/// How often one comes.
const EVERY: Duration = Duration::from_millis(50);

/// A server that says nothing for so long has refused.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// Guests who come until they are told to stop.
#[derive(Debug)]
pub struct Guests {
    /// What became of each.
    served: Arc<Mutex<Vec<Result<()>>>>,
    coming: JoinSet<()>,
}

impl Guests {
    /// The first comes now.
    ///
    /// # Errors
    /// When there is no HTTP client.
    pub fn come() -> Result<Self> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let served = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&served);
        let mut coming = JoinSet::new();
        coming.spawn(async move {
            let mut guests = JoinSet::new();
            let mut turn = interval(EVERY);
            loop {
                turn.tick().await;
                let (told, http) = (Arc::clone(&told), http.clone());
                guests.spawn(async move {
                    let served = timeout(SERVED_WITHIN, look_in(&http)).await.context("nobody answers").flatten();
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(served);
                });
                while guests.try_join_next().is_some() {}
            }
        });
        Ok(Self { served, coming })
    }

    /// Nobody comes any more: how many were served, and why others were not.
    pub fn stop(self) -> (usize, Vec<String>) {
        drop(self.coming);
        let served = std::mem::take(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner));
        let refused: Vec<String> = served.iter().filter_map(|it| Some(format!("{:#}", it.as_ref().err()?))).collect();
        (served.len() - refused.len(), refused)
    }
}

/// Opens the panel and its socket, hears the welcome, and hangs up.
async fn look_in(http: &reqwest::Client) -> Result<()> {
    let mut socket = greet(&open_panel(http).await?, None).await?;
    // A socket that was open and closes without a word is opened again by every phone: nobody was refused.
    let Some(Ok(Message::Text(text))) = socket.next().await else { return Ok(()) };
    let event: Value = serde_json::from_str(&text)?;
    if event.get("type").and_then(Value::as_str) != Some("welcome") {
        bail!("no welcome but {text}");
    }
    // It is served; a goodbye that does not come through is said over the next socket by every phone.
    drop(socket.send(Message::text(json!({ "type": "hangup" }).to_string())).await);
    drop(socket.close(None).await);
    Ok(())
}
