//! Many scripted visitors in one page: real WebRTC, and nothing of our phone.

use crate::browser::Browser;
use crate::wait::eventually;
use anyhow::{Result, ensure};
use std::time::Duration;

/// Fifty calls in one browser are slow on a busy machine.
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
