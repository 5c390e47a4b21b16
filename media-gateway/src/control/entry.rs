//! What the control task knows of one call.

use crate::once::Once;
use crate::sip::sdp::Local;
use protocol::CallId;
use protocol::gateway::{CallStats, Carried, Event, TrunkLeg};
use std::time::Instant;

/// What is known of a call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(super) media_is_open: bool,
    pub(super) sip_is_open: bool,
    pub(super) local: Option<Local>,
    pub(super) is_ringing: bool,
    pub(super) is_early: bool,
    pub(super) is_answered: bool,
    pub(super) media_is_up: bool,
    /// Why the far end's leg is gone: told again at each registration, since it may have been on its way when the connection broke.
    pub(super) last_word: Option<Event>,
    /// The visitor's page is gone: that its path breaks, or comes back, is nothing to report.
    pub(super) is_away: bool,
    /// Why the SIP leg is released once the far end has heard the farewell.
    pub(super) farewell: Option<String>,
    pub(super) sip_call_id: Option<String>,
    pub(super) stats: CallStats,
    /// A check's leg, and since when.
    pub(super) echo: Option<Instant>,
    /// The far end's.
    pub(super) keys: Once,
    /// When a leg ended by itself, or the visitor's path.
    pub(super) broken: Option<Instant>,
    /// When [`Command::Release`] came.
    pub(super) released: Option<Instant>,
}

impl Call {
    /// The visitor has a path again, or is to have another. A far end that has gone is not made up for by that.
    pub(super) fn visitor_goes_on(&mut self) {
        if self.local.is_none() || self.sip_is_open {
            self.broken = None;
        }
    }

    /// How it stands, for a signal-server that does not know.
    pub(super) fn carried(&self, id: &CallId) -> Carried {
        let far_end = match self {
            Self { last_word: Some(_), .. } => TrunkLeg::Gone,
            Self { is_answered: true, .. } => TrunkLeg::Answered,
            Self { is_early: true, .. } => TrunkLeg::EarlyMedia,
            Self { is_ringing: true, .. } => TrunkLeg::Ringing,
            Self { local: Some(_), .. } => TrunkLeg::Dialing,
            _ => TrunkLeg::Idle,
        };
        Carried { call: id.clone(), far_end, media_up: self.media_is_up, away: self.is_away }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_broke_before_anybody_was_rung_is_made_up_for_and_a_far_end_that_has_gone_is_not() {
        let broken = || Call { broken: Some(Instant::now()), ..Call::default() };
        let rtp = ([127, 0, 0, 1], 39_500).into();
        let local = Some(Local { rtp, session_id: 1, version: 1 });
        let cases = [
            (broken(), true),
            (Call { local, sip_is_open: true, ..broken() }, true),
            (Call { local, sip_is_open: false, ..broken() }, false),
        ];
        for (mut call, is_made_up_for) in cases {
            call.visitor_goes_on();
            assert_eq!(call.broken.is_none(), is_made_up_for, "{call:?}");
        }
    }
}
