//! The leg that waits for the visitor's next page: made while the page before still talks, so that the new one connects without a
//! question. While the visitor is away it is heard as soon as it has connected; until then, or while another page has the call, it
//! is connected and no more. Who may have the call is the signal-server's to say, and what it says next counts.

use std::net::SocketAddr;
use std::time::Instant;

use protocol::visitor::Quality;
use tracing::{debug, info};

use super::{Call, Shared};
use crate::media::webrtc::{Way, WebRtcLeg, WebRtcOutput};

/// A leg whose page is still to come.
pub(super) struct Standby {
    leg: WebRtcLeg,
    /// The addresses of the page's browser.
    addresses: Vec<SocketAddr>,
    /// Where packets to it are numbered from.
    sequence: u16,
    is_up: bool,
}

fn counted(what: &'static str) {
    metrics::counter!("ringlet_prepared_legs_total", "what" => what).increment(1);
}

/// A leg that the call does not have any more, and what leads to it.
pub(crate) struct Retired {
    /// The username fragment that names it.
    pub ufrag: String,
    /// The browser's addresses.
    pub addresses: Vec<SocketAddr>,
}

impl Call {
    /// Keeps a leg for the next page, in place of one that was kept before.
    pub(crate) fn keep_prepared(&mut self, leg: WebRtcLeg, sequence: u16) {
        self.retire_standby();
        counted("made");
        self.standby = Some(Standby { leg, addresses: Vec::new(), sequence, is_up: false });
    }

    /// The answer to a page's offer, if the leg that was made ahead is for it. Then it is the call's from now on.
    pub(crate) fn take_prepared(&mut self, offer: &str, now: Instant) -> Option<String> {
        let standby = self.standby.as_mut().filter(|standby| standby.leg.is_prepared_for(offer))?;
        let answer = standby.leg.offered(offer, now);
        debug!(call = %self.id, is_up = standby.is_up, "the page that asks has its leg ready");
        self.promote(now);
        Some(answer)
    }

    /// The page that has the leg asks for it, and is not away any more.
    pub(crate) fn visitor_asks(&mut self, quality: Quality, now: Instant) {
        self.bridge.set_quality(quality);
        self.visitor_returns(now);
        if self.webrtc_up && self.frames.is_none() {
            self.tell_webrtc_is_up();
        }
    }

    /// Whether a STUN request is to be believed that names one of the call's legs by its username fragment; then the addresses of its
    /// browser.
    pub(crate) fn believes(
        &mut self,
        way: Way,
        local: &str,
        remote: &str,
        datagram: &[u8],
        now: Instant,
    ) -> Option<&mut Vec<SocketAddr>> {
        match self.standby.as_mut().filter(|standby| standby.leg.ufrag() == local) {
            Some(standby) => standby.leg.meet(way, remote, datagram, now).then_some(&mut standby.addresses),
            None => self.webrtc.accepts(way, datagram, now).then_some(&mut self.addresses),
        }
    }

    /// Whether the browser's address is known to lead to one of the call's legs.
    pub(crate) fn is_at(&self, peer: SocketAddr) -> bool {
        self.addresses.contains(&peer) || self.standby.as_ref().is_some_and(|it| it.addresses.contains(&peer))
    }

    /// The leg that a datagram of the browser is for.
    pub(super) fn leg_at(&mut self, source: SocketAddr) -> &mut WebRtcLeg {
        match self.standby.as_mut().filter(|standby| standby.addresses.contains(&source)) {
            Some(standby) => &mut standby.leg,
            None => &mut self.webrtc,
        }
    }

    /// Tells the waiting leg the time, once there is somebody whom time matters to.
    pub(super) fn advance_standby(&mut self, now: Instant) {
        if let Some(standby) = self.standby.as_mut().filter(|standby| standby.leg.is_met()) {
            standby.leg.handle_timeout(now);
        }
    }

    /// When [`Self::advance_standby`] is due.
    pub(super) fn standby_timeout(&self) -> Option<Instant> {
        self.standby.as_ref().filter(|standby| standby.leg.is_met()).map(|standby| standby.leg.poll_timeout())
    }

    /// Does what the waiting leg wants done; lets it be heard if the visitor is away.
    pub(crate) fn drain_standby(&mut self, shared: &mut Shared, now: Instant) {
        let Some(standby) = self.standby.as_mut().filter(|standby| standby.leg.is_met()) else { return };
        while let Some(output) = standby.leg.poll_output(now) {
            match output {
                WebRtcOutput::Transmit { transport, destination, datagram } => {
                    shared.transmit(transport, destination, &datagram);
                }
                WebRtcOutput::Up => standby.is_up = true,
                WebRtcOutput::Down(detail) => {
                    debug!(call = %self.id, detail, "the leg that was made ahead is down");
                    return self.retire_standby();
                }
                WebRtcOutput::Packet(_) | WebRtcOutput::Report { .. } | WebRtcOutput::Carried(_) => {}
            }
        }
        if standby.is_up && self.is_away && self.frames.is_none() {
            info!(call = %self.id, "the next page is there before it has asked");
            self.promote(now);
        }
    }

    /// Goes on with the waiting leg.
    fn promote(&mut self, now: Instant) {
        let Some(Standby { leg, addresses, sequence, is_up }) = self.standby.take() else { return };
        self.replace(leg, addresses, sequence, now);
        self.webrtc_up = is_up;
        counted("taken");
    }

    /// Notes down that the call has not that leg any more.
    pub(super) fn retire(&mut self, leg: &WebRtcLeg, addresses: Vec<SocketAddr>) {
        self.retired.push(Retired { ufrag: leg.ufrag().to_owned(), addresses });
    }

    fn retire_standby(&mut self) {
        if let Some(standby) = self.standby.take() {
            self.retire(&standby.leg, standby.addresses);
        }
    }

    /// The call ends, and with it all its legs.
    pub(crate) fn retire_all(&mut self) {
        self.retire_standby();
        let addresses = std::mem::take(&mut self.addresses);
        self.retired.push(Retired { ufrag: self.webrtc.ufrag().to_owned(), addresses });
    }

    /// Whether there is something in [`Self::take_retired`].
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// The legs that the call does not have any more, once.
    pub(crate) fn take_retired(&mut self) -> Vec<Retired> {
        std::mem::take(&mut self.retired)
    }
}
