//! What the control task tells the media thread of one call.

use super::Controller;
use crate::media::{CallOrder, MediaCommand};
use crate::sip::sdp::Remote;
use protocol::CallId;

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
