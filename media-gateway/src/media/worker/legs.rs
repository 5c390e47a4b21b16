//! Visitors' legs as they come and go: made from an offer or ahead of it, replaced, sent along another path. What leads to a leg (its
//! username fragment, its browser's addresses and connections) is known here, and forgotten with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use protocol::CallId;
use protocol::visitor::Quality;
use tracing::debug;

use super::{SLOT_STEP, Slot, Worker, seed};
use crate::media::MediaEvent;
use crate::media::bridge::Bridge;
use crate::media::call::Call;
use crate::media::webrtc::WebRtcLeg;

impl Worker {
    pub(super) fn offer(&mut self, id: &CallId, sdp: &str, quality: Quality, now: Instant) {
        if let Some(&slot) = self.by_id.get(id)
            && let Some(call) = self.calls.get_mut(&slot)
        {
            if call.webrtc.is_prepared_for(sdp) {
                let answer = call.webrtc.offered(sdp, now);
                return self.go_on(slot, answer, quality, now);
            }
            if call.webrtc.is_of_same_peer(sdp) {
                return match call.webrtc.known_answer(sdp) {
                    Some(answer) => self.go_on(slot, answer, quality, now),
                    None => self.restart(slot, sdp, quality, now),
                };
            }
            if let Some(answer) = call.take_prepared(sdp, now) {
                return self.go_on(slot, answer, quality, now);
            }
        }
        // str0m promises not to panic on what comes from outside; should it, one call is lost and not all of them.
        let made = catch_unwind(AssertUnwindSafe(|| WebRtcLeg::answer(&self.webrtc, sdp, quality, now)));
        let (leg, answer) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return self.refuse(id, error.to_string(), now),
            Err(_) => return self.refuse(id, "reading the offer panicked".to_owned(), now),
        };
        if let Some(&slot) = self.by_id.get(id) {
            return self.replace(slot, leg, answer, now);
        }
        let mut bridge = match Bridge::new(seed(), self.ringback, self.away_tone, now) {
            Ok(bridge) => bridge,
            Err(error) => return self.refuse(id, error.to_string(), now),
        };
        bridge.set_quality(quality);
        bridge.limit_silence(self.far_end_silence);
        let slot = self.next_slot;
        self.next_slot += SLOT_STEP;
        self.by_id.insert(id.clone(), slot);
        self.by_ufrag.insert(leg.ufrag().to_owned(), slot);
        self.calls.insert(slot, Call::new(id.clone(), leg, bridge));
        self.shared.report(MediaEvent::Answer { call: id.clone(), sdp: answer });
        self.show();
        self.with_call(slot, now, |_| {});
    }

    /// The call goes on with another leg of the visitor. What was known of the old one leads nowhere any more.
    fn replace(&mut self, slot: Slot, leg: WebRtcLeg, answer: String, now: Instant) {
        let Some(call) = self.calls.get_mut(&slot) else { return };
        self.by_ufrag.insert(leg.ufrag().to_owned(), slot);
        call.replace(leg, Vec::new(), rand::random(), now);
        self.shared.report(MediaEvent::Answer { call: call.id.clone(), sdp: answer });
        self.with_call(slot, now, |_| {});
    }

    /// The offer asks for the leg that there is: it was repeated, or the leg was made ahead of it.
    fn go_on(&mut self, slot: Slot, answer: String, quality: Quality, now: Instant) {
        let Some(call) = self.calls.get(&slot) else { return };
        self.shared.report(MediaEvent::Answer { call: call.id.clone(), sdp: answer });
        self.with_call(slot, now, |call| call.visitor_asks(quality, now));
    }

    /// The call's browser looks for another path for the leg that it has.
    fn restart(&mut self, slot: Slot, sdp: &str, quality: Quality, now: Instant) {
        let Some(call) = self.calls.get_mut(&slot) else { return };
        let (id, before) = (call.id.clone(), call.webrtc.ufrag().to_owned());
        let answered = catch_unwind(AssertUnwindSafe(|| call.webrtc.answer_again(sdp, quality, now)));
        let answer = match answered {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return self.refuse(&id, error.to_string(), now),
            Err(_) => return self.refuse(&id, "reading the offer panicked".to_owned(), now),
        };
        call.visitor_returns(now);
        self.by_ufrag.remove(&before);
        self.by_ufrag.insert(call.webrtc.ufrag().to_owned(), slot);
        self.shared.report(MediaEvent::Answer { call: id, sdp: answer });
        self.with_call(slot, now, |_| {});
    }

    /// Makes a leg ahead of the page that it is for. Without one that page makes an offer and waits, as the first page did.
    pub(super) fn prepare(&mut self, slot: Slot, fingerprint: String, now: Instant) {
        let Some(call) = self.calls.get_mut(&slot) else { return };
        let made = catch_unwind(AssertUnwindSafe(|| call.webrtc.prepare(&self.webrtc, &fingerprint, now)));
        match made {
            Ok(Ok((leg, sdp))) => {
                self.by_ufrag.insert(leg.ufrag().to_owned(), slot);
                call.keep_prepared(leg, rand::random());
                self.shared.report(MediaEvent::Prepared { call: call.id.clone(), fingerprint, sdp });
            }
            Ok(Err(error)) => debug!(call = %call.id, %error, "no leg can be made ahead"),
            Err(_) => debug!(call = %call.id, "making a leg ahead panicked"),
        }
        self.settled(slot);
    }

    /// Forgets what led to legs that the call does not have any more.
    pub(super) fn settled(&mut self, slot: Slot) {
        if self.calls.get(&slot).is_some_and(Call::has_retired)
            && let Some(mut call) = self.calls.remove(&slot)
        {
            self.settle(slot, &mut call);
            self.calls.insert(slot, call);
        }
    }

    /// [`Self::settled`] of a call that is taken out.
    pub(super) fn settle(&mut self, slot: Slot, call: &mut Call) {
        for retired in call.take_retired() {
            self.by_ufrag.remove(&retired.ufrag);
            for address in retired.addresses {
                self.by_address.forget(address, slot);
            }
            self.shared.tcp.close_those_of(slot, |peer| call.is_at(peer));
        }
    }
}
