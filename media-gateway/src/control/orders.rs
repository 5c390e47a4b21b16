//! What the control task tells the media thread of one call.

use super::Controller;
use crate::media::{CallOrder, MediaCommand};
use crate::sip::sdp::Remote;
use protocol::CallId;
use protocol::gateway::Event;

impl Controller {
    fn is_live(&self, id: &CallId) -> bool {
        self.calls.get(id).is_some_and(|call| call.media_is_open && call.released.is_none())
    }

    /// Lets a leg be made ahead of the visitor's next page.
    pub(super) async fn prepare_if_live(&self, call: CallId, fingerprint: String) {
        if self.is_live(&call) {
            self.media.send(MediaCommand::Prepare { call, fingerprint }).await;
        }
    }

    /// The visitor's page is gone, and another may come.
    pub(super) async fn visitor_leaves(&mut self, id: &CallId) {
        let Some(entry) = self.calls.get_mut(id).filter(|entry| entry.released.is_none()) else { return };
        (entry.is_away, entry.media_is_up) = (true, false);
        // The path may break before the loss of the page is told. The signal-server's window counts.
        entry.visitor_goes_on();
        self.order_away(id).await;
    }

    /// The far end has answered.
    pub(super) async fn far_end_answers(&mut self, id: &CallId) {
        if let Some(entry) = self.calls.get_mut(id) {
            entry.is_answered = true;
        }
        self.order(id, CallOrder::Answered).await;
        self.order_away(id).await;
        self.tell(id, |call| Event::Answered { call });
    }

    /// Lets the far end hear that the visitor is away. One that is being rung hears it when it answers.
    async fn order_away(&self, id: &CallId) {
        if self.calls.get(id).is_some_and(|entry| entry.is_away && entry.is_answered) {
            self.order(id, CallOrder::Away).await;
        }
    }

    pub(super) async fn order_if_live(&self, id: &CallId, order: CallOrder) {
        if self.is_live(id) {
            self.order(id, order).await;
        }
    }

    /// Tells what was agreed on with the far end, and where its trunk is.
    pub(super) async fn order_connect(&self, id: &CallId, remote: Remote) {
        let remote = Remote { trunk: self.sip.peer(id), ..remote };
        self.order(id, CallOrder::Connect(remote)).await;
    }

    pub(super) async fn order(&self, id: &CallId, order: CallOrder) {
        self.media.send(MediaCommand::Call { call: id.clone(), order }).await;
    }
}
