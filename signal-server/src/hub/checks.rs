//! The hub's part in checks: it carries between their sockets, the gateways and [`switchboard::Checks`], which decides.

use super::Hub;
use crate::frames::FrameQueue;
use bytes::Bytes;
use protocol::gateway::CallFrame;
use protocol::{CallId, TrunkName};
use std::time::Instant;
use switchboard::{CheckInput, CheckOutput};
use tokio::sync::mpsc;

/// What the hub is told of a check.
#[derive(Debug)]
pub(crate) enum CheckMessage {
    /// A leg is offered, for the gateway that a call over that trunk would go to.
    Offer { leg: CallId, trunk: Option<TrunkName>, sdp: String, link: CheckLink },
    /// The browser found a candidate.
    Candidate { leg: CallId, candidate: String },
    /// The socket is gone.
    Over { leg: CallId },
}

/// How the hub reaches a check's socket.
#[derive(Clone, Debug)]
pub(crate) struct CheckLink {
    pub(crate) events: mpsc::Sender<ToCheck>,
    /// Frames that come back to it.
    pub(crate) frames: FrameQueue<Bytes>,
}

/// What a check's socket is told.
#[derive(Debug)]
pub(crate) enum ToCheck {
    /// The gateway's answer, and where frames go.
    Answer { leg: CallId, sdp: String, sink: Option<FrameQueue<CallFrame>> },
    /// Nothing comes of the leg any more.
    Ended { leg: CallId, code: Option<&'static str> },
}

impl Hub {
    pub(super) fn take_check(&mut self, message: CheckMessage) {
        let input = match message {
            CheckMessage::Offer { leg, trunk, sdp, link } => {
                self.check_links.insert(leg.clone(), link);
                CheckInput::Offer { leg, gateway: self.switchboard.gateway_for_check(trunk.as_ref()), sdp }
            }
            CheckMessage::Candidate { leg, candidate } => CheckInput::Candidate { leg, candidate },
            CheckMessage::Over { leg } => {
                self.forget_check(&leg);
                CheckInput::Over { leg }
            }
        };
        self.checks.handle_input(input, Instant::now());
    }

    pub(super) fn drain_checks(&mut self) {
        while let Some(output) = self.checks.poll_output() {
            match output {
                CheckOutput::Gateway { gateway, command } => self.tell_gateway(&gateway, command),
                CheckOutput::Answer { leg, gateway, sdp } => {
                    let Some(link) = self.check_links.get(&leg) else { continue };
                    let sink = self.gateways.get(&gateway).map(|gateway| gateway.frames.clone());
                    self.listeners.set(&leg, Some(link.frames.clone()));
                    // A socket that does not keep up has its own deadline.
                    let _ = link.events.try_send(ToCheck::Answer { leg, sdp, sink });
                }
                CheckOutput::Ended { leg, code } => {
                    tracing::debug!(%leg, code, "a check's leg has ended");
                    if let Some(link) = self.forget_check(&leg) {
                        let _ = link.events.try_send(ToCheck::Ended { leg, code });
                    }
                }
            }
        }
        metrics::gauge!("ringlet_check_legs").set(self.checks.legs() as f64);
    }

    fn forget_check(&mut self, leg: &CallId) -> Option<CheckLink> {
        self.listeners.set(leg, None);
        self.check_links.remove(leg)
    }
}
