//! Checks' legs: how many there may be, and for how long. They take no place from calls and none of the trunks.

use std::time::{Duration, Instant};

use protocol::CallId;
use protocol::check::MAX_SECONDS;
use protocol::gateway::Failure;
use tracing::{info, warn};

use super::{Call, Controller};
use crate::media::MediaCommand;

/// Checks' legs at the same time, beside the calls: a leg copies 50 packets/s for some seconds, and no codec runs.
const MAX_ECHOES: usize = 32;

/// How long a leg may last that the signal-server has forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3 * MAX_SECONDS as u64);

impl Controller {
    /// How many of [`Controller::calls`] are none.
    pub(super) fn echoes(&self) -> usize {
        self.calls.values().filter(|call| call.echo.is_some()).count()
    }

    pub(super) async fn echo(&mut self, call: CallId, sdp: String) {
        if self.calls.contains_key(&call) {
            return warn!(%call, "a check under the name of a call is ignored");
        }
        if self.echoes() >= MAX_ECHOES || self.capacity == 0 {
            return self.fail(&call, Failure::Full, format!("{} checks", self.echoes()));
        }
        self.calls.insert(call.clone(), Call { media_is_open: true, echo: Some(Instant::now()), ..Call::default() });
        self.show();
        self.media.send(MediaCommand::Echo { call, sdp }).await;
    }

    /// Ends those that nobody has ended.
    pub(super) async fn sweep_echoes(&mut self, now: Instant) {
        let is_past = |call: &Call| call.echo.is_some_and(|since| now.saturating_duration_since(since) >= FORGOTTEN);
        let forgotten = self.calls.iter().filter(|(_, call)| call.released.is_none() && is_past(call));
        for id in forgotten.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            info!(call = %id, "nobody released the check");
            self.release(&id, "abandoned").await;
        }
    }
}
