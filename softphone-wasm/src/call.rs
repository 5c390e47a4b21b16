//! A call as the shopper's browser sees it: what to send, what to show, what to wait for and for how long.
//!
//! A state machine told the time: no browser, no clock. The server owns the call's state; this renders it, and decides
//! only what the server cannot: that the server itself, the microphone or the audio path is gone.

mod path;

use self::path::{FRAMES_AGAIN, FRAMES_WITHIN};
use crate::link::{Link, Request, Step};
use alloc::borrow::ToOwned;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use protocol::error::ErrorCode;
use protocol::visitor::{CallState, EndReason, FrameCodec, Quality, Transport, VisitorEvent, VisitorRequest};

/// From `offer` to `answer`: the gateway needs no more than two round trips.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long the browser's question for the microphone may stand. The server's set-up deadline is usually shorter.
const MICROPHONE_WITHIN: Duration = Duration::from_secs(120);
/// How often that is looked at.
const LISTEN_EVERY: Duration = Duration::from_millis(200);
/// How often another path is asked for while there is none.
const RESTART_AGAIN: Duration = Duration::from_secs(3);
/// How long a socket may be gone before the shopper is told; most are back before anybody notices.
const TOLD_AFTER: Duration = Duration::from_secs(2);
/// The server closes a socket with this when it cannot go on with this page (RFC 6455 section 7.4.1).
const POLICY_VIOLATION: u16 = 1008;

/// What happens to a call.
#[derive(Debug)]
pub(crate) enum Input {
    /// The WebSocket is open.
    SocketOpened,
    /// The WebSocket is closed, by whomever, or cannot be opened; with the code of RFC 6455 section 7.4.1.
    SocketClosed(u16),
    /// A message of the server.
    Received(VisitorEvent),
    /// A message that cannot be read; with the reason.
    Unreadable(String),
    /// The browser's SDP offer.
    Offered(String, Option<Quality>),
    /// An ICE candidate of the browser; empty at the end of candidates.
    Found(String),
    /// The audio path has changed.
    Path(Path),
    /// The shopper has allowed the microphone.
    MicrophoneAllowed,
    /// The engine has heard a key of the far end in its audio.
    KeyHeard(char),
    /// The browser speaks of another network.
    NetworkChanged,
    /// A message of the server that only the panel understands, as JSON.
    Relayed(String),
    /// A message of the panel that only the server understands, as JSON.
    Told(String),
    /// The RTP timestamp of the audio that came last: the answer to [`Output::Listen`].
    Heard(u32),
    /// The browser refuses a description or a track; with what it said.
    Rejected(String),
    /// The shopper has pressed keys while audio goes as frames.
    Pressed(String),
    /// What frames can be of has changed.
    Codec(FrameCodec),
    /// The shopper hangs up.
    HungUp,
    /// The page goes, and leaves the call to the next one.
    Left,
    /// The browser cannot go on; with what it said.
    Failed(ErrorCode, String),
}

/// The state of the audio path (ICE and DTLS together).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// Addresses are found between which something passes; DTLS is still to be agreed on.
    Paired,
    /// It works.
    Up,
    /// It is interrupted and may come back by itself.
    Interrupted,
    /// It has failed for good.
    Failed,
}

/// All that a call does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Open a socket, in place of the one before.
    Connect,
    /// Send a message; the socket is open.
    Send(Request),
    /// Make another offer, for another audio path (ICE restart, RFC 8445 section 2.4).
    Restart,
    /// Look what audio came last.
    Listen,
    /// Apply the server's SDP answer.
    Accept(String),
    /// Show who is called: the call's id, the merchant, the link.
    Welcome(String, String, String),
    /// Show the state, and how many milliseconds ago the far end answered.
    State(CallState, u32),
    /// Keep the token with which the next page takes the call up again, in place of the one before.
    Keep(String),
    /// Let audio go as frames, or over WebRTC again.
    Frames(bool),
    /// Show what carries the audio.
    Transport(Transport),
    /// Show a key of the far end.
    Digit(String),
    /// Hand the panel a message of the server.
    Relay(String),
    /// Show that something is wrong; the call goes on.
    Warn(ErrorCode, String),
    /// Show that the call is over, with the error's code if it was one; release microphone and audio path.
    End(Option<ErrorCode>, String),
    /// Close the socket.
    CloseSocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Told,
    Restart,
    Listen,
    Answer,
    Path,
    Frames,
    Believed,
    Slow,
    Microphone,
}

/// A call, from the click to its end.
#[derive(Debug)]
pub(crate) struct Call {
    link: Link,
    ended: bool,
    /// The socket is not to be used any more.
    closed: bool,
    ready: bool,
    is_answered: bool,
    has_offered: bool,
    /// Offers without their answer: only the last one's answer is meant for what the browser offers now.
    unanswered: u32,
    has_path: bool,
    /// There has been a path before.
    was_up: bool,
    /// Audio goes as frames.
    is_frames: bool,
    /// Of what.
    codec: FrameCodec,
    /// A page before this one found that WebRTC does not pass.
    was_slow: bool,
    /// The answer that the gateway has prepared, until it is the answer.
    prepared: Option<String>,
    /// The shopper knows that UDP does not pass.
    is_slow_told: bool,
    /// The RTP timestamp that was heard last, and when it was new; `None` when its age was noticed.
    heard: (u32, Option<Duration>),
    /// Since when no audio comes, as far as that was noticed.
    silent_since: Option<Duration>,
    /// Another audio path is to be asked for once the server is found.
    wants_path: bool,
    /// The shopper knows that there is no socket.
    is_told: bool,
    timers: Vec<(Timer, Duration)>,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call that introduces itself with `hello`. Times are counted from any fixed moment; `seed` is random.
    pub(crate) fn new(hello: VisitorRequest, seed: u32, now: Duration) -> Self {
        let mut timers = Vec::new();
        // A call that is taken up again is heard without the microphone, for as long as the shopper likes.
        if !matches!(hello, VisitorRequest::Hello { resume: Some(_), .. }) {
            timers.push((Timer::Microphone, now + MICROPHONE_WITHIN));
        }
        Self {
            link: Link::new(hello, seed, now),
            ended: false,
            closed: false,
            ready: false,
            is_answered: false,
            has_offered: false,
            unanswered: 0,
            has_path: false,
            was_up: false,
            is_frames: false,
            codec: FrameCodec::G711,
            was_slow: false,
            prepared: None,
            is_slow_told: false,
            heard: (0, None),
            silent_since: None,
            wants_path: false,
            is_told: false,
            timers,
            outputs: VecDeque::new(),
        }
    }

    /// A page before this one found that WebRTC does not pass: no time is lost over it.
    pub(crate) fn expect_slow(&mut self) {
        self.was_slow = true;
    }

    /// The gateway has prepared a path for this page, and this is its answer to the page's first offer.
    pub(crate) fn expect_answer(&mut self, sdp: String) {
        self.prepared = Some(sdp);
    }

    /// Whether audio goes as frames.
    pub(crate) fn is_frames(&self) -> bool {
        self.is_frames
    }

    /// What is to be done next; to be asked after every input until there is nothing more.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.timers.iter().map(|(_, at)| *at).chain(self.link.poll_timeout()).min()
    }

    /// A moment has come.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        if !self.link.handle_timeout(now) {
            self.unreachable(now);
        }
        if let Some(&(due, _)) = self.timers.iter().find(|(_, at)| *at <= now) {
            self.stop(due);
            self.expire(due, now);
        }
        self.follow(now);
    }

    fn expire(&mut self, due: Timer, now: Duration) {
        let code = match due {
            Timer::Told => {
                self.is_told = true;
                return self.warn(ErrorCode::Reconnecting);
            }
            Timer::Restart => return self.restart(now),
            Timer::Listen => {
                self.start(Timer::Listen, now + LISTEN_EVERY);
                return self.outputs.push_back(Output::Listen);
            }
            // There is nothing that could carry them.
            Timer::Frames if self.link.is_broken() => return self.start(Timer::Frames, now + FRAMES_AGAIN),
            Timer::Frames => return self.use_frames(now),
            Timer::Believed => return self.path_is_up(),
            Timer::Slow => return self.slow(now),
            // Of another path: the one before may still work, and if not, that has a deadline of its own.
            Timer::Answer if self.is_answered => {
                self.unanswered = 0;
                return;
            }
            Timer::Answer | Timer::Microphone => ErrorCode::SetupTimedOut,
            // Both are gone, and may come back together: the link knows how long that may take.
            Timer::Path if self.link.is_broken() && self.is_frames => {
                return self.start(Timer::Path, now + FRAMES_WITHIN);
            }
            Timer::Path if self.link.is_broken() => return,
            Timer::Path => ErrorCode::MediaPathFailed,
        };
        self.fail(code, "deadline passed".to_owned());
    }

    /// Something has happened.
    pub(crate) fn handle_input(&mut self, input: Input, now: Duration) {
        if !self.closed {
            self.handle(input, now);
            self.follow(now);
        }
    }

    fn handle(&mut self, input: Input, now: Duration) {
        match input {
            Input::SocketOpened => self.link.opened(now),
            Input::SocketClosed(POLICY_VIOLATION) if !self.ended => {
                self.end(Some(ErrorCode::SocketLost), ErrorCode::SocketLost.shopper());
                self.close();
            }
            Input::SocketClosed(_) => self.link.broken(now),
            Input::Received(event) => {
                if let (true, VisitorEvent::Reconnected { received, .. }) = (self.wants_path, &event) {
                    // Made where the page is no more, and another follows.
                    self.unanswered = self.unanswered.saturating_sub(self.link.drop_offers(*received));
                }
                let is_forgotten = matches!(event, VisitorEvent::Reconnected { received: None, .. });
                let event = self.link.receive(event, now);
                if is_forgotten && self.is_frames && !self.ended {
                    self.ask_for_frames(now);
                }
                if let Some(event) = event.filter(|_| !self.ended) {
                    self.receive(event, now);
                }
            }
            Input::Relayed(text) => {
                self.link.relayed(now);
                if !self.ended {
                    self.outputs.push_back(Output::Relay(text));
                }
            }
            // The goodbye may still wait for a socket.
            _ if self.ended => {}
            Input::NetworkChanged => {
                self.link.doubt(now);
                self.restart(now);
            }
            Input::Unreadable(why) => self.fail(ErrorCode::MessageInvalid, why),
            Input::Offered(sdp, quality) => self.offered(sdp, quality, now),
            Input::Found(candidate) => self.send(VisitorRequest::Candidate { candidate }),
            Input::Path(path) => self.path_changed(path, now),
            Input::Heard(timestamp) => self.listen(timestamp, now),
            // The path before goes on as it did.
            // It was of no use to this browser: the page waits for the answer like a first one.
            Input::Rejected(_) if self.prepared.take().is_some() => {}
            Input::Rejected(_) if self.is_answered => self.start(Timer::Restart, now + RESTART_AGAIN),
            Input::Rejected(why) => self.fail(ErrorCode::MediaPathFailed, why),
            Input::Codec(codec) => self.recode(codec),
            Input::Pressed(digits) => self.send(VisitorRequest::Keys { digits }),
            Input::MicrophoneAllowed => {
                self.stop(Timer::Microphone);
                if !core::mem::replace(&mut self.ready, true) {
                    self.send(VisitorRequest::Ready {});
                }
            }
            Input::Told(text) => self.say(Request::Panel(text)),
            // The server knows whether it came another way as well, and whether it is one of a command.
            Input::KeyHeard(digit) => self.send(VisitorRequest::Heard { digit: digit.into() }),
            Input::HungUp => {
                self.send(VisitorRequest::Hangup {});
                self.end(None, const { EndReason::VisitorHungUp.shopper() });
            }
            Input::Left => {
                self.ended = true;
                self.close();
            }
            Input::Failed(code, detail) => self.fail(code, detail),
        }
    }

    /// The browser has made an offer.
    fn offered(&mut self, sdp: String, quality: Option<Quality>, now: Duration) {
        if let (false, Some(prepared)) = (self.has_offered, &self.prepared) {
            self.outputs.push_back(Output::Accept(prepared.clone()));
        }
        self.has_offered = true;
        self.unanswered += 1;
        self.start(Timer::Answer, now + if self.is_answered { RESTART_AGAIN } else { ANSWER_WITHIN });
        self.send(VisitorRequest::Offer { sdp, quality });
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the browser's build lacks the messages that are not the phone's"
    )]
    fn receive(&mut self, event: VisitorEvent, now: Duration) {
        match event {
            VisitorEvent::Welcome { call, merchant, link, .. } => {
                self.outputs.push_back(Output::Welcome(call, merchant, link));
            }
            VisitorEvent::Answer { sdp } => {
                self.unanswered = self.unanswered.saturating_sub(1);
                if self.unanswered > 0 {
                    return;
                }
                self.stop(Timer::Answer);
                self.link.answered(|request| matches!(request, VisitorRequest::Offer { .. }));
                match self.prepared.take() {
                    Some(prepared) if prepared == sdp => {}
                    // The gateway does not know of it any more, and the browser cannot have two answers to one offer.
                    Some(_) => return self.restart(now),
                    None => self.outputs.push_back(Output::Accept(sdp)),
                }
                self.described(now);
            }
            VisitorEvent::State { state } => {
                if state != CallState::Connecting {
                    self.link.answered(|request| matches!(request, VisitorRequest::Ready {}));
                }
                if state == CallState::Answered {
                    self.answered(now);
                }
                self.outputs.push_back(Output::State(state, 0));
            }
            VisitorEvent::Resume { token } => self.outputs.push_back(Output::Keep(token)),
            VisitorEvent::Transport { transport } => {
                self.carried(transport, now);
                self.outputs.push_back(Output::Transport(transport));
            }
            VisitorEvent::Resumed { state, answered_ms } => {
                self.answered(now);
                self.outputs.push_back(Output::State(state, answered_ms));
                // The gateway has let go of this page's path, if it had one.
                if self.has_offered {
                    self.restart(now);
                }
                if self.is_frames {
                    self.ask_for_frames(now);
                }
            }
            VisitorEvent::Digit { digit, .. } => self.outputs.push_back(Output::Digit(digit)),
            // The server's last word to this page: the call itself may go on elsewhere.
            VisitorEvent::Error { code: code @ (ErrorCode::CallElsewhere | ErrorCode::CallOver), message } => {
                self.end(Some(code), &message);
                self.close();
            }
            // The gateway hears nothing, which it notices seconds before the browser.
            VisitorEvent::Error { code: ErrorCode::AudioPathBroken, .. } => self.doubt_path(now),
            VisitorEvent::Error { code, message } => self.outputs.push_back(Output::Warn(code, message)),
            VisitorEvent::Ended { code, message, .. } => {
                self.end(code, &message);
                self.close();
            }
            // The link's; and the panel's, which this phone does not even read.
            _ => {}
        }
    }

    fn answered(&mut self, now: Duration) {
        self.is_answered = true;
        if self.is_frames {
            self.restart(now);
        }
        self.start(Timer::Listen, now + LISTEN_EVERY);
        self.link.call_answered();
    }

    fn fail(&mut self, code: ErrorCode, detail: String) {
        self.send(VisitorRequest::Failed { code, detail: Some(detail) });
        self.end(Some(code), code.shopper());
    }

    fn warn(&mut self, code: ErrorCode) {
        self.outputs.push_back(Output::Warn(code, code.shopper().to_owned()));
    }

    /// Ends the call towards the shopper at once. The link outlives it only until the goodbye is said.
    fn end(&mut self, code: Option<ErrorCode>, message: &str) {
        self.ended = true;
        self.timers.clear();
        self.outputs.push_back(Output::End(code, message.to_owned()));
    }

    fn close(&mut self) {
        self.closed = true;
        self.link.close();
        self.timers.clear();
        self.outputs.push_back(Output::CloseSocket);
    }

    fn send(&mut self, request: VisitorRequest) {
        self.say(Request::Phone(request));
    }

    fn say(&mut self, request: Request) {
        self.link.send(request);
        self.forward();
    }

    /// Passes on what the link wants done.
    fn forward(&mut self) {
        while let Some(step) = self.link.poll_step() {
            self.outputs.push_back(match step {
                Step::Connect => Output::Connect,
                Step::Send(request) => Output::Send(request),
            });
        }
    }

    /// The link has looked for the server in vain.
    fn unreachable(&mut self, now: Duration) {
        // Who hears each other can do without for longer.
        if self.has_path && !self.is_frames && self.is_answered && !self.ended {
            return self.link.go_on(now);
        }
        if !self.ended {
            self.end(Some(ErrorCode::SocketLost), ErrorCode::SocketLost.shopper());
        }
        // If that was so, even the goodbye could not be said.
        self.close();
    }

    /// After each input: does what the link wants done, and what its state asks for.
    fn follow(&mut self, now: Duration) {
        self.forward();
        match (self.ended, self.link.is_broken()) {
            _ if self.closed => {}
            (true, _) if self.link.is_idle() => self.close(),
            (true, _) => self.link.hurry(now),
            (false, true) if !self.is_told && !self.runs(Timer::Told) => {
                self.start(Timer::Told, now + TOLD_AFTER);
            }
            (false, true) => {}
            (false, false) => {
                if self.wants_path {
                    self.restart(now);
                }
                self.is_told = false;
                self.stop(Timer::Told);
            }
        }
    }

    fn start(&mut self, timer: Timer, at: Duration) {
        self.stop(timer);
        self.timers.push((timer, at));
    }

    fn runs(&self, timer: Timer) -> bool {
        self.timers.iter().any(|(other, _)| *other == timer)
    }

    fn stop(&mut self, timer: Timer) {
        self.timers.retain(|(other, _)| *other != timer);
    }
}

#[cfg(test)]
mod tests;
