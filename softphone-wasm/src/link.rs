//! The way to the server over one WebSocket after the other: what waits for a socket, what must be said again on the next one,
//! when to try again, and whether the socket that seems open still leads anywhere.
//!
//! A state machine told the time, as [`Call`](crate::call::Call), whose part it is. Both sides count their messages (see
//! `protocol::visitor`), so that over any number of sockets each is taken once and in order. Not here: what they mean.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;
use protocol::visitor::{VisitorEvent, VisitorRequest};

/// From the start to `welcome`: DNS, TCP, TLS and one round trip, on a poor mobile network.
pub(crate) const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// How long the page looks for its server before it calls an answered call lost, its own or that of the page before it, and how long its
/// goodbye does: as long as servers keep it by default.
pub(crate) const RECONNECT_WITHIN: Duration = Duration::from_secs(60);
/// The same before the answer, for which servers wait less.
const RECONNECT_UNANSWERED_WITHIN: Duration = Duration::from_secs(12);
/// Before the first try, the second, and so on, the last again and again: a socket that breaks by accident comes back at
/// once, a server that restarts within a second or two, and nobody is flooded.
const PAUSES_MS: [u32; 7] = [0, 100, 300, 1_000, 2_000, 4_000, 5_000];
/// How long one try may take: a lost SYN is repeated after 1 s (RFC 6298 section 2.1), and TCP, TLS, upgrade and `hello` take
/// five round trips. Later tries have more time.
const TRIES_MS: [u32; 4] = [2_500, 4_000, 6_000, 10_000];
/// The same, one after the other again and again, while somebody is at the other end, who shall hear the shopper within 3 s of the
/// network's return: a SYN is repeated after 1 s and after 3 s, and what would follow after 7 s is not waited for. One of four has more
/// time, for slow networks.
const HASTY_TRIES_MS: [u32; 4] = [3_600, 3_600, 3_600, 5_000];
/// For the same reason, the last of [`PAUSES_MS`] that is taken then.
const LAST_HASTY_PAUSE: usize = 3;
/// How long a socket that has opened has from then on: the network is there.
const GREETING_WITHIN: Duration = Duration::from_secs(5);
/// A socket that breaks before that is as good as one that does not open.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// How long a socket may be silent before the server is asked whether it is there.
pub(crate) const PING_AFTER: Duration = Duration::from_secs(15);
/// How long the answer may take, …
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// … and how long where there is reason to doubt it: two round trips and a busy server's delay, …
const DOUBTED_PONG_DELAY: Duration = Duration::from_millis(400);
/// … but no longer than this, since whoever asks has lost the audio path as well.
const DOUBTED_PONG_WITHIN: Duration = Duration::from_millis(1_500);
/// Requests that are kept until the server has them: an offer and the candidates of a machine with many interfaces.
pub(crate) const MAX_KEPT: usize = 64;

/// What the server is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// By the phone.
    Phone(VisitorRequest),
    /// By the panel, as JSON.
    Panel(String),
}

/// What a link wants done.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a step is taken as soon as it is there; a box would cost the shopper bytes"
)]
pub(crate) enum Step {
    /// Open a socket, in place of the one before.
    Connect,
    /// Send over the socket that is open.
    Send(Request),
}

/// How far the socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    /// It opens.
    Opening,
    /// It is open, `hello` is said and not yet answered.
    Greeting,
    /// The server has answered.
    Open,
    /// There is none until the next try.
    Broken,
}

/// The way to the server.
#[derive(Debug)]
pub(crate) struct Link {
    hello: VisitorRequest,
    /// Once there is one, a broken socket costs nothing.
    session: Option<String>,
    socket: Socket,
    /// What the server may not have, oldest first.
    kept: VecDeque<Request>,
    /// How many of these have gone out over this socket, …
    said: usize,
    /// … and over any.
    went: usize,
    /// How many requests came before them.
    known: u32,
    /// How many events have come.
    seen: u32,
    /// Tries since a socket was open for some time.
    tries: usize,
    open_since: Duration,
    /// When something was said that the server answers at once.
    asked: Option<Duration>,
    /// How long its last such answer took.
    round_trip: Duration,
    /// For the pauses' random part.
    seed: u32,
    /// The next try; or the end of this one.
    turn: Option<Duration>,
    ping_at: Option<Duration>,
    pong_until: Option<Duration>,
    give_up: Option<Duration>,
    /// How long to look for the server.
    patience: Duration,
    hurry_until: Option<Duration>,
    steps: VecDeque<Step>,
}

impl Link {
    /// A link whose first socket is being opened. `seed` is random.
    pub(crate) fn new(hello: VisitorRequest, seed: u32, now: Duration) -> Self {
        let (patience, give_up) = if let VisitorRequest::Hello { resume: Some(_), .. } = hello {
            // The server may be restarting, and keeps the call.
            (RECONNECT_WITHIN, RECONNECT_WITHIN)
        } else {
            (RECONNECT_UNANSWERED_WITHIN, WELCOME_WITHIN)
        };
        Self {
            hello,
            session: None,
            socket: Socket::Opening,
            kept: VecDeque::new(),
            said: 0,
            went: 0,
            known: 0,
            seen: 0,
            tries: 0,
            open_since: now,
            asked: None,
            round_trip: DOUBTED_PONG_WITHIN,
            seed: seed | 1,
            turn: None,
            ping_at: None,
            pong_until: None,
            give_up: Some(now + give_up),
            patience,
            hurry_until: None,
            steps: VecDeque::new(),
        }
    }

    /// What is to be done next; to be asked after every call of a method until there is nothing more.
    pub(crate) fn poll_step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        [self.turn, self.ping_at, self.pong_until, self.give_up].into_iter().flatten().min()
    }

    /// A moment has come. `false` if the server cannot be reached.
    pub(crate) fn handle_timeout(&mut self, now: Duration) -> bool {
        let due = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if due(self.give_up) {
            self.give_up = None;
            return false;
        }
        if due(self.turn) && self.socket == Socket::Broken {
            self.connect(now);
        } else if due(self.turn) || due(self.pong_until) {
            self.broken(now);
        } else if let Some(at) = self.ping_at.filter(|at| *at <= now) {
            // Late: the machine has slept, and who knows where it woke.
            self.ping(if at + PONG_WITHIN < now { self.doubted() } else { PONG_WITHIN }, now);
        }
        true
    }

    /// The socket is open.
    pub(crate) fn opened(&mut self, now: Duration) {
        self.socket = Socket::Greeting;
        self.turn = self.turn.and(Some(now + GREETING_WITHIN));
        self.asked = Some(now);
        self.said = 0;
        if self.session.is_none() {
            self.seen = 0;
        }
        let mut hello = self.hello.clone();
        if let VisitorRequest::Hello { session, seen, .. } = &mut hello {
            *session = self.session.clone();
            *seen = self.session.is_some().then_some(self.seen);
        }
        self.steps.push_back(Step::Send(Request::Phone(hello)));
        self.flush();
    }

    /// The socket is closed, or could not be opened: the next one follows.
    pub(crate) fn broken(&mut self, now: Duration) {
        match self.socket {
            Socket::Broken => return,
            Socket::Open => {
                if self.open_since + STEADY_AFTER <= now {
                    self.tries = 0;
                }
                self.give_up = Some(self.hurry_until.unwrap_or(now + self.patience));
            }
            Socket::Opening | Socket::Greeting => {}
        }
        self.socket = Socket::Broken;
        (self.ping_at, self.pong_until) = (None, None);
        self.turn = Some(now + self.pause());
        self.tries += 1;
    }

    /// Something speaks for another network: a try that is under way may be one in vain, the open socket a dead one.
    pub(crate) fn doubt(&mut self, now: Duration) {
        match self.socket {
            Socket::Open if self.pong_until.is_none_or(|until| until > now + self.doubted()) => {
                self.ping(self.doubted(), now);
            }
            Socket::Open => {}
            Socket::Opening | Socket::Greeting | Socket::Broken if self.session.is_some() => {
                self.tries = 0;
                self.connect(now);
            }
            Socket::Opening | Socket::Greeting | Socket::Broken => {}
        }
    }

    /// Takes note of an event. Gives it back if it means something to the call.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the browser's build lacks the messages that are not the phone's"
    )]
    pub(crate) fn receive(&mut self, event: VisitorEvent, now: Duration) -> Option<VisitorEvent> {
        self.heard(now);
        match event {
            VisitorEvent::Pong { received } => {
                self.acknowledge(received);
                None
            }
            VisitorEvent::Reconnected { received, sent } => {
                match received {
                    Some(received) => self.acknowledge(received),
                    None => self.begin_anew(),
                }
                self.seen = sent;
                self.is_open(now);
                None
            }
            VisitorEvent::Session { token } => {
                self.seen = self.seen.saturating_add(1);
                self.session = Some(token);
                self.is_open(now);
                None
            }
            event => {
                self.seen = self.seen.saturating_add(1);
                Some(event)
            }
        }
    }

    /// Takes note of an event that the phone does not read.
    pub(crate) fn relayed(&mut self, now: Duration) {
        self.heard(now);
        self.seen = self.seen.saturating_add(1);
    }

    /// Forgets the offers and candidates that the server has not got, of whose requests it has `received` so many. Returns how many offers
    /// they were.
    pub(crate) fn drop_offers(&mut self, received: Option<u32>) -> u32 {
        self.acknowledge(received.unwrap_or_default());
        let mut dropped = 0;
        self.retain(|request, _| {
            let is_offer = matches!(request, Request::Phone(VisitorRequest::Offer { .. }));
            dropped += u32::from(is_offer);
            !is_offer && !matches!(request, Request::Phone(VisitorRequest::Candidate { .. }))
        });
        dropped
    }

    /// The server has answered the last of these: it has that and whatever was sent before.
    pub(crate) fn answered(&mut self, is_it: fn(&VisitorRequest) -> bool) {
        let is_it = |request: &Request| matches!(request, Request::Phone(request) if is_it(request));
        let answered = self.kept.iter().take(self.said).rposition(is_it).map_or(0, |last| last + 1);
        self.forget(answered);
    }

    /// Sends a request, over the next socket if need be.
    pub(crate) fn send(&mut self, request: Request) {
        if self.kept.len() >= MAX_KEPT {
            if self.said == 0 && matches!(request, Request::Phone(VisitorRequest::Candidate { .. })) {
                // More candidates than that add nothing; the last word of a call always finds room.
                return;
            }
            // What went out so many messages ago has come.
            self.forget(self.said.min(1));
        }
        self.kept.push_back(request);
        self.flush();
    }

    /// Whether everything is said.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.socket, Socket::Greeting | Socket::Open) && self.said == self.kept.len()
    }

    /// Whether the server is to be found again.
    pub(crate) fn is_broken(&self) -> bool {
        self.session.is_some() && self.socket != Socket::Open
    }

    /// How long the server's last answer took.
    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// Somebody has answered: the call is worth a longer search.
    pub(crate) fn call_answered(&mut self) {
        self.patience = RECONNECT_WITHIN;
    }

    /// Looks on for the server for as long again.
    pub(crate) fn go_on(&mut self, now: Duration) {
        self.give_up = Some(now + self.patience);
    }

    /// Only what is kept is to be said any more, and that soon.
    pub(crate) fn hurry(&mut self, now: Duration) {
        let until = self.hurry_until.get_or_insert(now + self.patience);
        self.give_up = Some(self.give_up.map_or(*until, |at| at.min(*until)));
    }

    /// Nothing is to be said any more.
    pub(crate) fn close(&mut self) {
        (self.turn, self.ping_at, self.pong_until, self.give_up) = (None, None, None, None);
    }

    fn is_open(&mut self, now: Duration) {
        self.socket = Socket::Open;
        self.open_since = now;
        (self.turn, self.give_up) = (None, None);
        self.ping_at = Some(now + PING_AFTER);
        self.flush();
    }

    fn connect(&mut self, now: Duration) {
        self.socket = Socket::Opening;
        let before = self.tries.saturating_sub(1);
        let is_hasty = self.is_hasty() && self.session.is_some();
        let within =
            if is_hasty { step_of(&HASTY_TRIES_MS, before % HASTY_TRIES_MS.len()) } else { step_of(&TRIES_MS, before) };
        self.turn = Some(now + within);
        self.steps.push_back(Step::Connect);
    }

    fn ping(&mut self, within: Duration, now: Duration) {
        self.ping_at = None;
        self.pong_until = Some(now + within);
        self.asked = Some(now);
        self.steps.push_back(Step::Send(Request::Phone(VisitorRequest::Ping { seen: self.seen })));
    }

    fn heard(&mut self, now: Duration) {
        if let Some(asked) = self.asked.take() {
            self.round_trip = now.saturating_sub(asked);
        }
        if self.socket == Socket::Open {
            self.pong_until = None;
            self.ping_at = Some(now + PING_AFTER);
        }
    }

    /// Sends what this socket has not had. What rings somebody waits for the session, without which it might ring twice.
    fn flush(&mut self) {
        while let Some(request) = self.kept.get(self.said) {
            let may = match self.socket {
                Socket::Open => true,
                Socket::Greeting => self.session.is_none() && *request != Request::Phone(VisitorRequest::Ready {}),
                Socket::Opening | Socket::Broken => false,
            };
            if !may {
                break;
            }
            self.steps.push_back(Step::Send(request.clone()));
            self.said += 1;
            self.went = self.went.max(self.said);
        }
    }

    /// Somebody has answered, who hears nothing meanwhile.
    fn is_hasty(&self) -> bool {
        self.patience == RECONNECT_WITHIN
    }

    fn doubted(&self) -> Duration {
        (DOUBTED_PONG_DELAY + self.round_trip * 2).min(DOUBTED_PONG_WITHIN)
    }

    fn acknowledge(&mut self, received: u32) {
        self.forget(received.saturating_sub(self.known) as usize);
    }

    fn forget(&mut self, count: usize) {
        let count = count.min(self.kept.len());
        self.kept.drain(..count);
        self.known = self.known.saturating_add(count as u32);
        self.said = self.said.saturating_sub(count);
        self.went = self.went.saturating_sub(count);
    }

    /// The server has forgotten what it had: it is told again, but for keys. One before it has most likely pressed those that went out, and a
    /// key that is pressed twice is another one.
    fn begin_anew(&mut self) {
        self.known = 0;
        self.retain(|request, has_gone| !(has_gone && matches!(request, Request::Phone(VisitorRequest::Keys { .. }))));
    }

    /// Keeps only what `stays`, which is told whether it has gone out over any socket.
    fn retain(&mut self, mut stays: impl FnMut(&Request, bool) -> bool) {
        let (went, mut at) = (self.went, 0);
        self.kept.retain(|request| {
            let has_gone = at < went;
            at += 1;
            let stays = stays(request, has_gone);
            self.went -= usize::from(has_gone && !stays);
            stays
        });
    }

    /// With a random part, so that the pages of a server that fell do not all come back at the same moment.
    fn pause(&mut self) -> Duration {
        // Xorshift (Marsaglia 2003): any will do, and this is the smallest.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 17;
        self.seed ^= self.seed << 5;
        let pause = step_of(&PAUSES_MS, if self.is_hasty() { self.tries.min(LAST_HASTY_PAUSE) } else { self.tries });
        pause + pause / 2 * (self.seed % 1_024) / 1_024
    }
}

fn step_of(table: &[u32], n: usize) -> Duration {
    Duration::from_millis(table.get(n).or(table.last()).copied().unwrap_or_default().into())
}
