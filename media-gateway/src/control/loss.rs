//! What the task does when the media thread is gone, by a panic or because epoll failed: no call can be heard any more, nor another
//! made. It ends, so that a supervisor starts the process anew.

use tracing::error;

use super::{Controller, Ends};

impl Controller {
    /// Ends the far ends' legs, and the task. Returns that it is stopping.
    pub(super) async fn lose_media(&mut self, is_stopping: bool, ends: &Ends) -> bool {
        error!(calls = self.calls.len(), "the media thread is gone, and with it the audio of all calls");
        ends.broken.cancel();
        let calls: Vec<_> = self.calls.keys().cloned().collect();
        for id in &calls {
            if let Some(call) = self.calls.get_mut(id) {
                call.media_is_open = false;
            }
            // Nobody can say a farewell, or has said one.
            self.farewell_said(id).await;
            self.finish(id);
        }
        self.stop(is_stopping, "the media thread is gone").await
    }
}
