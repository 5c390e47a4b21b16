//! Where the audio goes: over WebRTC while that has a path, as frames over the socket where it has none.

use super::{Call, Output, Path, RESTART_AGAIN, Timer};
use core::time::Duration;
use protocol::error::ErrorCode;
use protocol::visitor::{FrameCodec, Transport, VisitorRequest};

/// How long a path may be interrupted; RFC 7675 section 5.1 lets consent expire after 30 s, shoppers hang up sooner.
pub(super) const PATH_BACK_WITHIN: Duration = Duration::from_secs(15);
/// From the answer to audio as frames, at least: where UDP passes, ICE and DTLS take less than a second nearly everywhere.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(2);
/// Where the server is far away: this and five round trips, which ICE and DTLS take, …
const SLOW_DELAY: Duration = Duration::from_secs(1);
/// … and no more than that, since within 3 s the shopper is to know.
pub(super) const SLOW_AT_MOST: Duration = Duration::from_millis(2_800);
/// How long TCP must have carried the audio before the shopper is told: UDP, which is tried beside it, may come a little later.
pub(super) const TCP_FOR: Duration = Duration::from_millis(700);
/// From a pair of addresses that works to the end of DTLS: three round trips of the slowest network, and one repetition (RFC 6347 section 4.2.4.1).
pub(super) const SECURED_WITHIN: Duration = Duration::from_secs(4);
/// From the first sign of a break to audio as frames: so long another path may take.
const SLOW_AFTER_BREAK: Duration = Duration::from_millis(1_500);
/// From the wish for audio as frames to the gateway's word that it goes so: one round trip.
pub(super) const FRAMES_WITHIN: Duration = Duration::from_secs(8);
/// How soon frames are tried again that had no socket: short, since the shopper hears nothing.
pub(super) const FRAMES_AGAIN: Duration = Duration::from_millis(250);
/// A browser that for so long calls a path connected after it seemed broken is right: the loss of a real one shows within half of it
/// (RFC 7675 section 5.1 has it checked every 5 s).
pub(super) const BELIEVED_AFTER: Duration = Duration::from_secs(10);
/// How often another path is asked for while audio goes as frames or over TCP: offers are counted, and a network that blocks UDP goes on to.
pub(super) const RESTART_ON_FRAMES: Duration = Duration::from_secs(30);
/// How long no audio may come before there is reason to doubt its path.
const SILENCE: Duration = Duration::from_millis(1_200);
/// From `answer` to the first working candidate pair and the end of the DTLS handshake.
pub(super) const PATH_WITHIN: Duration = Duration::from_secs(15);
/// From a path to the end of frames.
pub(super) const SETTLED_AFTER: Duration = Duration::from_millis(1_500);

impl Call {
    /// The browser says what has become of its path.
    pub(super) fn path_changed(&mut self, path: Path, now: Duration) {
        match path {
            // The browser may still change between candidate pairs, unheard while frames go on.
            Path::Up if self.is_frames => {
                self.has_path = true;
                self.stop(Timer::Restart);
                self.start(Timer::Believed, now + SETTLED_AFTER);
            }
            Path::Up => self.path_is_up(),
            Path::Paired => self.paired(now),
            Path::Interrupted | Path::Failed => self.interrupted(now),
        }
    }

    /// The gateway has answered an offer.
    pub(super) fn described(&mut self, now: Duration) {
        if self.has_path || self.is_frames {
            return;
        }
        self.start(Timer::Path, now + PATH_WITHIN);
        if self.was_slow {
            self.use_frames(now);
        } else if !self.runs(Timer::Frames) {
            let slow = SLOW_DELAY + 5 * self.link.round_trip();
            self.start(Timer::Frames, now + slow.clamp(SLOW_AFTER, SLOW_AT_MOST));
        }
    }

    /// The gateway tells what carries the audio.
    pub(super) fn carried(&mut self, transport: Transport, now: Duration) {
        if transport == Transport::WebSocket && self.is_frames {
            self.stop(Timer::Path);
        }
        if transport != Transport::Tcp {
            self.stop(Timer::Slow);
        } else if !self.runs(Timer::Slow) {
            self.start(Timer::Slow, now + TCP_FOR);
        }
    }

    /// TCP carries the audio: the shopper is told once, and UDP is tried again and again.
    pub(super) fn slow(&mut self, now: Duration) {
        self.start(Timer::Slow, now + RESTART_ON_FRAMES);
        if core::mem::replace(&mut self.is_slow_told, true) {
            self.restart(now);
        } else {
            self.warn(ErrorCode::UdpBlocked);
        }
    }

    /// A first path will be there soon: this network blocks nothing and is slow.
    fn paired(&mut self, now: Duration) {
        if !self.was_up && !self.is_frames && self.runs(Timer::Frames) {
            self.start(Timer::Frames, now + SECURED_WITHIN);
        }
    }

    /// The browser has a path.
    pub(super) fn path_is_up(&mut self) {
        (self.has_path, self.was_up, self.was_slow) = (true, true, false);
        [Timer::Path, Timer::Restart, Timer::Frames, Timer::Believed].into_iter().for_each(|timer| self.stop(timer));
        if core::mem::take(&mut self.is_frames) {
            self.outputs.push_back(Output::Frames(false));
            self.send(VisitorRequest::Frames { codec: None });
        }
    }

    /// The audio path is gone, and may come back: by itself, or somewhere else.
    pub(super) fn interrupted(&mut self, now: Duration) {
        self.has_path = false;
        self.stop(Timer::Believed);
        if !self.is_frames && !self.runs(Timer::Path) {
            self.start(Timer::Path, now + PATH_BACK_WITHIN);
        }
        self.doubt_path(now);
    }

    /// The audio path is gone or may be: another one is looked for, and frames begin unless it comes soon.
    pub(super) fn doubt_path(&mut self, now: Duration) {
        self.link.doubt(now);
        if !self.is_frames && !self.runs(Timer::Frames) {
            self.start(Timer::Frames, self.silent_since.unwrap_or(now) + SLOW_AFTER_BREAK);
        }
        self.restart(now);
    }

    /// Lets audio go as frames, which the shopper is told.
    pub(super) fn use_frames(&mut self, now: Duration) {
        self.stop(Timer::Frames);
        let why = if self.was_up { ErrorCode::AudioPathBroken } else { ErrorCode::UdpBlocked };
        (self.is_frames, self.is_slow_told) = (true, true);
        if self.has_path {
            self.start(Timer::Believed, now + BELIEVED_AFTER);
        }
        if self.runs(Timer::Restart) {
            self.start(Timer::Restart, now + RESTART_ON_FRAMES);
        }
        self.warn(why);
        self.outputs.push_back(Output::Frames(true));
        self.ask_for_frames(now);
    }

    /// Asks the gateway for frames; without its word that audio goes so, there is no audio.
    pub(super) fn ask_for_frames(&mut self, now: Duration) {
        self.start(Timer::Path, now + FRAMES_WITHIN);
        self.send(VisitorRequest::Frames { codec: Some(self.codec) });
    }

    /// Frames are of this from now on. Each says what it is, so that nothing waits for the gateway to follow.
    pub(super) fn recode(&mut self, codec: FrameCodec) {
        self.codec = codec;
        if self.is_frames {
            self.send(VisitorRequest::Frames { codec: Some(codec) });
        }
    }

    /// Looks whether audio still comes. The far end may be silent for its own reasons, so this alone ends nothing.
    pub(super) fn listen(&mut self, timestamp: u32, now: Duration) {
        if timestamp != self.heard.0 {
            self.heard = (timestamp, Some(now));
            self.silent_since = None;
            if self.has_path {
                self.stop(Timer::Frames);
            }
        } else if self.heard.1.is_some_and(|last| last + SILENCE <= now) {
            self.heard.1 = None;
            self.silent_since = Some(now);
            self.link.doubt(now);
            self.restart(now);
        }
    }

    /// Asks for another audio path, one at a time; over a server that is to be found first, if need be.
    pub(super) fn restart(&mut self, now: Duration) {
        if !self.is_answered {
            return;
        }
        if !self.has_path {
            let again = if self.is_frames { RESTART_ON_FRAMES } else { RESTART_AGAIN };
            self.start(Timer::Restart, now + again);
        }
        let asked = self.runs(Timer::Answer);
        self.wants_path = self.link.is_broken();
        if !asked && !self.wants_path {
            self.start(Timer::Answer, now + RESTART_AGAIN);
            self.outputs.push_back(Output::Restart);
        }
    }
}
