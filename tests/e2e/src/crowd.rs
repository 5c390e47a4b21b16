//! Many scripted visitors in one page: real WebRTC, and nothing of our phone.

use crate::browser::Browser;
use crate::wait::eventually;
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;

/// Many calls in one browser are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

impl Browser {
    /// Lets `size` visitors call from pages of `origin`. The browser must show a page of the signal-server's own origin;
    /// the visitors stand in its `crowd`.
    ///
    /// # Errors
    /// When the page cannot run the script.
    pub async fn gather_crowd(&self, origin: &str, size: u32) -> Result<()> {
        let script = format!("const origin = {origin:?}, size = {size}\n{}", include_str!("crowd.js"));
        self.in_page(&script).await?;
        Ok(())
    }

    /// Begins to watch how long each of the crowd receives nothing; of the first `listeners`, how long they hear nothing.
    ///
    /// # Errors
    /// When there is no crowd.
    pub async fn watch_gaps(&self, listeners: u32) -> Result<()> {
        self.in_page(&format!("return watchGaps({listeners}).then((tell) => {{ window.tellGaps = tell }})")).await?;
        Ok(())
    }

    /// The longest gap of each since [`watch_gaps`](Self::watch_gaps), in ms; listeners first.
    ///
    /// # Errors
    /// When nobody watches.
    pub async fn longest_gaps(&self) -> Result<Vec<u64>> {
        let gaps = self.in_page("return tellGaps()").await?;
        let gaps = gaps.as_array().context("nobody watches")?;
        gaps.iter().map(|gap| gap.as_u64().context("no gap")).collect()
    }

    /// Waits until an expression is true of every `visitor`.
    ///
    /// # Errors
    /// What those have come to of whom it is not.
    pub async fn crowd_is(&self, expression: &str) -> Result<()> {
        eventually(expression, SOON, async || {
            let script =
                format!("return crowd.filter((visitor) => !({expression})).map((visitor) => visitor.events.join())");
            let others = self.in_page(&script).await?;
            ensure!(others.as_array().is_some_and(Vec::is_empty), "not true of {others}");
            Ok(())
        })
        .await
    }
}
