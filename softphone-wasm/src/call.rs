//! A call as the shopper's browser sees it: what to send, what to show, what to wait for and for how long.
//!
//! A state machine told the time: no browser, no clock. The server owns the call's state; this renders it, and decides
//! only what the server cannot: that the server itself, the microphone or the audio path is gone.

use core::time::Duration;
use protocol::error::ErrorCode;
use protocol::visitor::{CallState, EndReason, VisitorEvent, VisitorRequest};
use std::collections::VecDeque;

/// From the start to `welcome`: DNS, TCP, TLS and one round trip, on a poor mobile network.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// From `offer` to `answer`: the gateway needs no more than two round trips.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// From `answer` to the first working candidate pair and the end of the DTLS handshake.
const PATH_WITHIN: Duration = Duration::from_secs(15);
/// How long a path may be interrupted; RFC 7675 section 5.1 lets consent expire after 30 s, shoppers hang up sooner.
const PATH_BACK_WITHIN: Duration = Duration::from_secs(10);
/// How long the browser's question for the microphone may stand. The server's set-up deadline is usually shorter.
const MICROPHONE_WITHIN: Duration = Duration::from_secs(120);
/// How far apart the two reports of one key of the far end may be: by signalling, and heard in the audio.
const SAME_KEY_WITHIN: Duration = Duration::from_secs(2);
/// Messages that wait for the socket to open: an offer and the candidates of a machine with many interfaces.
const MAX_UNSENT: usize = 64;
/// Reported keys that wait for their other report; nobody presses more within [`SAME_KEY_WITHIN`].
const MAX_KEYS: usize = 32;

/// What happens to a call.
#[derive(Debug)]
pub(crate) enum Input {
    /// The WebSocket is open.
    SocketOpened,
    /// The WebSocket is closed, by whomever.
    SocketClosed,
    /// A message of the server.
    Received(VisitorEvent),
    /// A message that cannot be read; with the reason.
    Unreadable(String),
    /// The browser's SDP offer.
    Offered(String),
    /// An ICE candidate of the browser; empty at the end of candidates.
    Found(String),
    /// The audio path has changed.
    Path(Path),
    /// The shopper has allowed the microphone.
    MicrophoneAllowed,
    /// The engine has heard a key of the far end in its audio.
    KeyHeard(char),
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
    /// Send a message; the socket is open.
    Send(VisitorRequest),
    /// Apply the server's SDP answer.
    Accept(String),
    /// Show who is called: the call's id, the merchant, the link.
    Welcome(String, String, String),
    /// Show the state, and how many milliseconds ago the far end answered.
    State(CallState, u32),
    /// Keep the token with which the next page takes the call up again, in place of the one before.
    Keep(String),
    /// Show a key of the far end.
    Digit(char),
    /// Show that something is wrong; the call goes on.
    Warn(ErrorCode, String),
    /// Show that the call is over, with the error's code if it was one; release microphone and audio path.
    End(Option<ErrorCode>, String),
    /// Close the socket.
    CloseSocket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    Welcome,
    Answer,
    Path,
    Microphone,
}

/// How a key of the far end became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Signalled,
    Heard,
}

/// A call, from the click to its end.
#[derive(Debug)]
pub(crate) struct Call {
    /// What waits for the socket; `None` once it is open, and everything is sent at once.
    unsent: Option<Vec<VisitorRequest>>,
    ended: bool,
    ready: bool,
    timers: Vec<(Timer, Duration)>,
    keys: Vec<(Way, char, Duration)>,
    outputs: VecDeque<Output>,
}

impl Call {
    /// A call that introduces itself with `hello`. Times are counted from any fixed moment.
    pub(crate) fn new(hello: VisitorRequest, now: Duration) -> Self {
        let mut timers = vec![(Timer::Welcome, now + WELCOME_WITHIN)];
        // A call that is taken up again is heard without the microphone, for as long as the shopper likes.
        if !matches!(hello, VisitorRequest::Hello { resume: Some(_), .. }) {
            timers.push((Timer::Microphone, now + MICROPHONE_WITHIN));
        }
        Self {
            unsent: Some(vec![hello]),
            ended: false,
            ready: false,
            timers,
            keys: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// What is to be done next; to be asked after every input until there is nothing more.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.timers.iter().map(|(_, at)| *at).min()
    }

    /// A moment has come.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        let Some(&(due, _)) = self.timers.iter().find(|(_, at)| *at <= now) else { return };
        self.stop(due);
        if self.ended {
            // Even the goodbye could not be sent.
            self.outputs.push_back(Output::CloseSocket);
            return;
        }
        let code = match due {
            Timer::Welcome => ErrorCode::SocketLost,
            Timer::Answer | Timer::Microphone => ErrorCode::SetupTimedOut,
            Timer::Path => ErrorCode::MediaPathFailed,
        };
        self.fail(code, "deadline passed".to_owned());
    }

    /// Something has happened.
    pub(crate) fn handle_input(&mut self, input: Input, now: Duration) {
        if self.ended {
            // The goodbye may still wait for the socket.
            if matches!(input, Input::SocketOpened) {
                self.flush();
            }
            return;
        }
        match input {
            Input::SocketOpened => self.flush(),
            Input::SocketClosed => self.end(Some(ErrorCode::SocketLost), ErrorCode::SocketLost.shopper()),
            Input::Received(event) => self.receive(event, now),
            Input::Unreadable(why) => self.fail(ErrorCode::MessageInvalid, why),
            Input::Offered(sdp) => {
                self.start(Timer::Answer, now + ANSWER_WITHIN);
                self.send(VisitorRequest::Offer { sdp });
            }
            Input::Found(candidate) => self.send(VisitorRequest::Candidate { candidate }),
            Input::Path(Path::Up) => self.stop(Timer::Path),
            Input::Path(Path::Interrupted) => self.start(Timer::Path, now + PATH_BACK_WITHIN),
            Input::Path(Path::Failed) => self.fail(ErrorCode::MediaPathFailed, "connection state: failed".to_owned()),
            Input::MicrophoneAllowed => {
                self.stop(Timer::Microphone);
                if !core::mem::replace(&mut self.ready, true) {
                    self.send(VisitorRequest::Ready {});
                }
            }
            Input::KeyHeard(digit) => self.key(Way::Heard, digit, now),
            Input::HungUp => {
                self.send(VisitorRequest::Hangup {});
                self.end(None, EndReason::VisitorHungUp.shopper());
            }
            Input::Left => {
                self.ended = true;
                self.close();
            }
            Input::Failed(code, detail) => self.fail(code, detail),
        }
    }

    fn receive(&mut self, event: VisitorEvent, now: Duration) {
        match event {
            VisitorEvent::Welcome { call, merchant, link, .. } => {
                self.stop(Timer::Welcome);
                self.outputs.push_back(Output::Welcome(call, merchant, link));
            }
            VisitorEvent::Answer { sdp } => {
                self.stop(Timer::Answer);
                self.start(Timer::Path, now + PATH_WITHIN);
                self.outputs.push_back(Output::Accept(sdp));
            }
            VisitorEvent::State { state } => self.outputs.push_back(Output::State(state, 0)),
            VisitorEvent::Resume { token } => self.outputs.push_back(Output::Keep(token)),
            VisitorEvent::Resumed { state, answered_ms } => self.outputs.push_back(Output::State(state, answered_ms)),
            VisitorEvent::Transport { .. } => {}
            VisitorEvent::Digit { digit, .. } => {
                if let Some(digit) = digit.chars().next() {
                    self.key(Way::Signalled, digit, now);
                }
            }
            // The server's last word to this page: the call itself may go on elsewhere.
            VisitorEvent::Error { code: code @ (ErrorCode::CallElsewhere | ErrorCode::CallOver), message } => {
                self.end(Some(code), &message);
            }
            VisitorEvent::Error { code, message } => self.outputs.push_back(Output::Warn(code, message)),
            VisitorEvent::Ended { code, message, .. } => self.end(code, &message),
        }
    }

    /// Shows a key unless its other report has already been shown.
    fn key(&mut self, way: Way, digit: char, now: Duration) {
        self.keys.retain(|(.., at)| *at + SAME_KEY_WITHIN >= now);
        if let Some(twin) = self.keys.iter().position(|(other, key, _)| *other != way && *key == digit) {
            self.keys.remove(twin);
        } else if self.keys.len() < MAX_KEYS {
            self.keys.push((way, digit, now));
            self.outputs.push_back(Output::Digit(digit));
        }
    }

    fn fail(&mut self, code: ErrorCode, detail: String) {
        self.send(VisitorRequest::Failed { code, detail: Some(detail) });
        self.end(Some(code), code.shopper());
    }

    /// Ends the call towards the shopper at once. The socket outlives it only until the goodbye is sent.
    fn end(&mut self, code: Option<ErrorCode>, message: &str) {
        self.ended = true;
        self.timers.retain(|(timer, _)| *timer == Timer::Welcome);
        self.outputs.push_back(Output::End(code, message.to_owned()));
        if self.unsent.is_none() {
            self.close();
        }
    }

    fn close(&mut self) {
        self.timers.clear();
        self.outputs.push_back(Output::CloseSocket);
    }

    fn send(&mut self, request: VisitorRequest) {
        match &mut self.unsent {
            None => self.outputs.push_back(Output::Send(request)),
            // More candidates than that add nothing; the last word of a call always finds room.
            Some(unsent) if unsent.len() >= MAX_UNSENT && matches!(request, VisitorRequest::Candidate { .. }) => {}
            Some(unsent) => unsent.push(request),
        }
    }

    fn flush(&mut self) {
        self.outputs.extend(self.unsent.take().unwrap_or_default().into_iter().map(Output::Send));
        if self.ended {
            self.close();
        }
    }

    fn start(&mut self, timer: Timer, at: Duration) {
        self.stop(timer);
        self.timers.push((timer, at));
    }

    fn stop(&mut self, timer: Timer) {
        self.timers.retain(|(other, _)| *other != timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(100);

    fn hello() -> VisitorRequest {
        hello_with(None)
    }

    fn hello_with(resume: Option<String>) -> VisitorRequest {
        VisitorRequest::Hello {
            version: protocol::visitor::VERSION,
            token: "t".to_owned(),
            origin: "https://shop.example".to_owned(),
            page: None,
            customer: None,
            destination_token: None,
            resume,
            takeover: None,
        }
    }

    fn hello_again() -> VisitorRequest {
        hello_with(Some("r1".to_owned()))
    }

    fn drain(call: &mut Call) -> Vec<Output> {
        std::iter::from_fn(|| call.poll_output()).collect()
    }

    fn feed(call: &mut Call, input: Input) -> Vec<Output> {
        call.handle_input(input, T0);
        drain(call)
    }

    fn welcome() -> Input {
        Input::Received(VisitorEvent::Welcome {
            version: protocol::visitor::VERSION,
            call: "01J".to_owned(),
            merchant: "Acme".to_owned(),
            link: "Sales".to_owned(),
        })
    }

    /// A call whose socket is open and welcomed.
    fn welcomed() -> Call {
        let mut call = Call::new(hello(), T0);
        feed(&mut call, Input::SocketOpened);
        feed(&mut call, welcome());
        call
    }

    fn failed(code: ErrorCode, detail: &str) -> Output {
        Output::Send(VisitorRequest::Failed { code, detail: Some(detail.to_owned()) })
    }

    fn ended(code: ErrorCode) -> Output {
        Output::End(Some(code), code.shopper().to_owned())
    }

    #[test]
    fn what_is_found_before_the_socket_opens_follows_hello_in_order() {
        let mut call = Call::new(hello(), T0);
        assert_eq!(feed(&mut call, Input::Offered("v=0".to_owned())), []);
        assert_eq!(feed(&mut call, Input::Found("candidate:1".to_owned())), []);
        assert_eq!(feed(&mut call, Input::MicrophoneAllowed), []);
        assert_eq!(
            feed(&mut call, Input::SocketOpened),
            [
                Output::Send(hello()),
                Output::Send(VisitorRequest::Offer { sdp: "v=0".to_owned() }),
                Output::Send(VisitorRequest::Candidate { candidate: "candidate:1".to_owned() }),
                Output::Send(VisitorRequest::Ready {}),
            ]
        );
    }

    #[test]
    fn ready_is_said_once_however_often_the_microphone_changes() {
        let mut call = welcomed();
        assert_eq!(feed(&mut call, Input::MicrophoneAllowed), [Output::Send(VisitorRequest::Ready {})]);
        assert_eq!(feed(&mut call, Input::MicrophoneAllowed), []);
    }

    #[test]
    fn a_microphone_denied_before_the_socket_opens_is_still_reported() {
        let mut call = Call::new(hello(), T0);
        let denied = Input::Failed(ErrorCode::MicrophoneDenied, "NotAllowedError".to_owned());
        assert_eq!(feed(&mut call, denied), [ended(ErrorCode::MicrophoneDenied)]);
        assert_eq!(
            feed(&mut call, Input::SocketOpened),
            [Output::Send(hello()), failed(ErrorCode::MicrophoneDenied, "NotAllowedError"), Output::CloseSocket]
        );
        assert_eq!(call.poll_timeout(), None);
    }

    #[test]
    fn a_goodbye_that_finds_no_open_socket_is_given_up_in_time() {
        let mut call = Call::new(hello(), T0);
        feed(&mut call, Input::HungUp);
        assert_eq!(call.poll_timeout(), Some(T0 + WELCOME_WITHIN));
        call.handle_timeout(T0 + WELCOME_WITHIN);
        assert_eq!(drain(&mut call), [Output::CloseSocket]);
        assert_eq!(call.poll_timeout(), None);
    }

    #[test]
    fn every_wait_of_the_setup_ends_in_the_error_that_names_it() {
        let mut silent = Call::new(hello(), T0);
        silent.handle_timeout(T0 + WELCOME_WITHIN);
        assert_eq!(drain(&mut silent), [ended(ErrorCode::SocketLost)]);

        let mut unanswered = welcomed();
        feed(&mut unanswered, Input::Offered(String::new()));
        unanswered.handle_timeout(T0 + ANSWER_WITHIN);
        let late = failed(ErrorCode::SetupTimedOut, "deadline passed");
        assert_eq!(drain(&mut unanswered), [late, ended(ErrorCode::SetupTimedOut), Output::CloseSocket]);

        let mut pathless = welcomed();
        feed(&mut pathless, Input::Received(VisitorEvent::Answer { sdp: String::new() }));
        pathless.handle_timeout(T0 + PATH_WITHIN);
        let blocked = failed(ErrorCode::MediaPathFailed, "deadline passed");
        assert_eq!(drain(&mut pathless), [blocked, ended(ErrorCode::MediaPathFailed), Output::CloseSocket]);

        let mut unasked = welcomed();
        unasked.handle_timeout(T0 + MICROPHONE_WITHIN);
        assert!(drain(&mut unasked).contains(&ended(ErrorCode::SetupTimedOut)));
    }

    #[test]
    fn a_path_that_comes_back_in_time_ends_nothing() {
        let mut call = welcomed();
        feed(&mut call, Input::MicrophoneAllowed);
        feed(&mut call, Input::Path(Path::Interrupted));
        assert_eq!(call.poll_timeout(), Some(T0 + PATH_BACK_WITHIN));
        feed(&mut call, Input::Path(Path::Up));
        assert_eq!(call.poll_timeout(), None);
    }

    #[test]
    fn a_key_that_is_both_signalled_and_heard_counts_once() {
        let mut call = welcomed();
        let signalled =
            |digit: &str| Input::Received(VisitorEvent::Digit { digit: digit.to_owned(), duration_ms: 100 });
        assert_eq!(feed(&mut call, signalled("5")), [Output::Digit('5')]);
        assert_eq!(feed(&mut call, Input::KeyHeard('5')), []);
        assert_eq!(feed(&mut call, Input::KeyHeard('5')), [Output::Digit('5')], "a second press");
        assert_eq!(feed(&mut call, signalled("5")), []);
        assert_eq!(feed(&mut call, signalled("7")), [Output::Digit('7')]);
        call.handle_input(Input::KeyHeard('7'), T0 + SAME_KEY_WITHIN + Duration::from_millis(1));
        assert_eq!(drain(&mut call), [Output::Digit('7')], "too late to be the same press");
    }

    #[test]
    fn a_socket_lost_in_a_call_ends_it_and_an_ended_call_loses_nothing() {
        let mut call = welcomed();
        assert_eq!(feed(&mut call, Input::SocketClosed), [ended(ErrorCode::SocketLost), Output::CloseSocket]);

        let mut over = welcomed();
        let event = VisitorEvent::Ended {
            reason: EndReason::Busy,
            code: Some(ErrorCode::Busy),
            message: "The line is busy.".to_owned(),
        };
        assert_eq!(
            feed(&mut over, Input::Received(event)),
            [Output::End(Some(ErrorCode::Busy), "The line is busy.".to_owned()), Output::CloseSocket]
        );
        assert_eq!(feed(&mut over, Input::SocketClosed), []);
        assert_eq!(feed(&mut over, Input::Path(Path::Failed)), []);
    }

    #[test]
    fn a_call_that_is_taken_up_again_says_when_it_was_answered_and_waits_for_no_microphone() {
        let mut call = Call::new(hello_again(), T0);
        assert_eq!(feed(&mut call, Input::SocketOpened), [Output::Send(hello_again())]);
        feed(&mut call, welcome());
        assert_eq!(call.poll_timeout(), None);
        let resumed = VisitorEvent::Resumed { state: CallState::Answered, answered_ms: 61_000 };
        assert_eq!(feed(&mut call, Input::Received(resumed)), [Output::State(CallState::Answered, 61_000)]);
        let token = || "r2".to_owned();
        let next = Input::Received(VisitorEvent::Resume { token: token() });
        assert_eq!(feed(&mut call, next), [Output::Keep(token())]);
        assert_eq!(feed(&mut call, Input::MicrophoneAllowed), [Output::Send(VisitorRequest::Ready {})]);
    }

    #[test]
    fn a_call_that_is_left_to_the_next_page_goes_without_a_word() {
        let mut call = welcomed();
        assert_eq!(feed(&mut call, Input::Left), [Output::CloseSocket]);
        assert_eq!(feed(&mut call, Input::SocketClosed), []);
        assert_eq!(call.poll_timeout(), None);
    }

    #[test]
    fn a_call_that_is_in_another_tab_or_over_ends_here_with_that_word_and_tells_the_server_nothing() {
        for code in [ErrorCode::CallElsewhere, ErrorCode::CallOver] {
            let mut call = welcomed();
            let event = VisitorEvent::Error { code, message: code.shopper().to_owned() };
            assert_eq!(feed(&mut call, Input::Received(event)), [ended(code), Output::CloseSocket]);
            assert_eq!(feed(&mut call, Input::SocketClosed), []);
        }
    }

    #[test]
    fn candidates_that_wait_for_the_socket_are_bounded_and_never_crowd_out_the_goodbye() {
        let mut call = Call::new(hello(), T0);
        for _ in 0..1000 {
            feed(&mut call, Input::Found("candidate:1".to_owned()));
        }
        feed(&mut call, Input::HungUp);
        let sent = feed(&mut call, Input::SocketOpened);
        assert_eq!(sent.len(), MAX_UNSENT + 2, "the bound, the goodbye, and the closing of the socket");
        assert!(sent.contains(&Output::Send(VisitorRequest::Hangup {})));
    }
}
