//! The deadlines of a call and the bounds of every table: what an operator may set, and what is fixed with its reason.

use std::time::Duration;

/// The shortest [`Plan::no_answer`](crate::Plan::no_answer); below, a far end could not even ring once.
pub const MIN_NO_ANSWER: Duration = Duration::from_secs(5);

/// The longest [`Plan::no_answer`](crate::Plan::no_answer): proxies on the way give up by themselves after timer C
/// (RFC 3261 section 16.6, more than 3 minutes), and the shopper long before.
pub const MAX_NO_ANSWER: Duration = Duration::from_secs(180);

/// Candidates that one call may trickle: a browser with many interfaces, relays and both address families finds fewer
/// than half of these.
pub const MAX_CANDIDATES: usize = 128;

/// The longest candidate attribute (RFC 8839 section 5.1). Real ones with IPv6 addresses and all extensions stay below 300.
pub const MAX_CANDIDATE_BYTES: usize = 512;

/// Messages of a page that are kept while it waits for the call: an offer, its candidates and a handful of others.
pub const MAX_HELD_REQUESTS: usize = MAX_CANDIDATES + 8;

/// Offers of one page: the first, one each time that it finds itself in another network, and one each half minute of the longest call
/// ([`Config::max_duration`]) where UDP does not pass. Who makes more than that floods the gateway.
pub const MAX_OFFERS: usize = 1_024;

/// Events that are kept for a page whose socket may break, until it has acknowledged them: a page whose socket is broken for
/// as long as [`Config::resume`] misses a few, and one for each key that the far end presses.
pub const MAX_REPLAY: usize = 64;

/// How much of a free text from outside goes into a call's record.
pub const MAX_DETAIL_CHARS: usize = 500;

/// Gateways that may be registered at the same time: far above one per rack of a large operator; bounds the search for
/// the least loaded one.
pub const MAX_GATEWAYS: usize = 256;

/// What an operator may set. The defaults are those of `ringlet.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Calls at the same time, those included that wait for their gateway's [`Closed`](protocol::gateway::Event::Closed).
    pub max_calls: usize,
    /// From the arrival until the far end can be rung: covers the microphone prompt.
    pub setup: Duration,
    /// From the INVITE until the trunk rings, sends audio, answers or refuses. Longer than RFC 3261's timer B (32 s), so
    /// that the gateway, which knows more, speaks first.
    pub trunk_response: Duration,
    /// From the answer until audio can flow to the browser, when it could not before.
    pub media_setup: Duration,
    /// How long a broken audio path may take to come back.
    pub media_lost: Duration,
    /// How long an answered call waits for the visitor's next page; zero: pages cannot take calls up again.
    pub resume: Duration,
    /// How long a call outlives its visitor's socket: one that is not answered when the socket broke without a goodbye, and
    /// an answered one where [`resume`](Self::resume) is zero.
    pub visitor_grace: Duration,
    /// How long a page that asks for a call waits for the page that has it to be lost: the old page's socket may close
    /// after the new one's has opened.
    pub contest: Duration,
    /// The same where the old page has no socket and is still heard: longer than a gateway takes to notice that a page is heard no more.
    pub contest_heard: Duration,
    /// How long a gateway may take to release a call. Longer than RFC 3261's timer F (32 s), which a BYE or CANCEL to a
    /// dead trunk runs into.
    pub release: Duration,
    /// How long calls wait for a gateway whose connection is gone, or that a restarted server has not seen yet; zero: they end
    /// with the connection.
    pub gateway: Duration,
    /// The longest answered call: a forgotten off-hook phone shall not cost trunk minutes for days.
    pub max_duration: Duration,
    /// How long the socket of an answered call may be broken before the visitor counts as away, if no audio flows either. As
    /// long as it flows, the far end shall notice nothing.
    pub away_after: Duration,
    /// How long a gateway that is out of reach is waited for when the page has lost its path as well, where the call shall be
    /// placed again and another gateway can take it. Shorter than a page waits for an answer (3 s): of two offers, the one that the
    /// next gateway answers would not be the one that the browser is at.
    pub again_after: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_calls: 10_000,
            setup: Duration::from_secs(60),
            trunk_response: Duration::from_secs(35),
            media_setup: Duration::from_secs(15),
            media_lost: Duration::from_secs(15),
            resume: Duration::from_secs(60),
            visitor_grace: Duration::from_secs(10),
            contest: Duration::from_secs(1),
            contest_heard: Duration::from_secs(3),
            release: Duration::from_secs(40),
            gateway: Duration::from_secs(30),
            max_duration: Duration::from_secs(4 * 60 * 60),
            away_after: Duration::from_secs(2),
            again_after: Duration::from_millis(2_500),
        }
    }
}
