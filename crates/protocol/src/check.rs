//! What a check page and the signal-server say to each other over `/ws/check`, version 1, as JSON texts; and what a check of
//! browser, network and shop page can find.
//!
//! A check is no call: nobody is rung, nothing is recorded. `hello` → `welcome`, then for each [`CheckPath`] an `offer` →
//! `answer`. The gateway sends every audio packet back as it came, over the way it came. Binary messages are
//! [`frame`](crate::frame)s and come back just so, once one leg has its `answer`. After [`MAX_SECONDS`] the legs end.

use crate::error::catalogue;
use alloc::string::String;

/// The version in `hello` and `welcome`.
pub const VERSION: u32 = 1;

/// How long a leg of a check may last, in seconds: time for a handshake over a bad network and three seconds of audio.
pub const MAX_SECONDS: u32 = 10;

words! {
    /// The way to the gateway that a leg tries. The browser tries one by taking only its candidates out of the answer.
    pub enum CheckPath {
        /// Datagrams.
        Udp = "udp",
        /// A TCP connection (RFC 6544).
        Tcp = "tcp",
    }
}

messages! {
    /// What the check page sends.
    pub enum CheckRequest {
        /// The first message.
        Hello = "hello" {
            /// [`VERSION`].
            version: u32,
            /// The short-lived token that came with the page.
            token: String,
        },
        /// An SDP offer, once for each path.
        Offer = "offer" {
            /// Which leg.
            path: CheckPath,
            /// SDP (RFC 8866), one audio section, at most 16 KiB.
            sdp: String,
        },
        /// An ICE candidate of the browser; an empty text ends them.
        Candidate = "candidate" {
            /// Of which leg.
            path: CheckPath,
            /// The candidate attribute's value (RFC 8839 section 5.1).
            candidate: String,
        },
    }
}

messages! {
    /// What the signal-server sends to the check page.
    pub enum CheckEvent {
        /// Legs may be offered.
        Welcome = "welcome" {
            /// [`VERSION`].
            version: u32,
        },
        /// The gateway's SDP answer, its candidates inside.
        Answer = "answer" {
            /// Of which leg.
            path: CheckPath,
            /// SDP (RFC 8866).
            sdp: String,
        },
        /// A leg is over, or there was none.
        Ended = "ended" {
            /// Which leg; absent: the whole check, and the socket closes.
            path: Option<CheckPath>,
            /// Why: a code of the catalogue. Absent: its time is over.
            code: Option<String>,
        },
    }
}

catalogue! {
    /// What a check finds that is no error of a call. Codes are never used again for something else.
    Finding;
    SocketBlocked = "RL-501" {
        shopper: "The call service cannot be reached from this network.",
        engineer: "The WebSocket to the Ringlet host did not open or broke. Let proxies and firewalls pass WebSocket upgrades (RFC 6455) to it."
    },
    UdpUnreachable = "RL-502" {
        shopper: "This network blocks calls over UDP; calls use a slower way.",
        engineer: "No ICE pair over UDP came about. Let clients reach the gateway's media port over UDP; if none can from anywhere, check `gateway.media.listen` and `gateway.media.public_ips`."
    },
    TcpUnreachable = "RL-503" {
        shopper: "This network blocks calls over TCP.",
        engineer: "No ICE pair over TCP (RFC 6544) came about. Let clients connect to `gateway.media.tcp_port`; 443, shared with the web server, passes most firewalls, and Chromium takes it on public addresses alone."
    },
    FramesUnreachable = "RL-504" {
        shopper: "Audio does not pass over a WebSocket from this network.",
        engineer: "Too few audio frames came back over the WebSocket. A proxy on the way holds its messages back or is too slow."
    },
    RoundTripLong = "RL-505" {
        shopper: "This connection is slow: both sides will hear each other late.",
        engineer: "The round trip to the gateway is above 300 ms, so that with coding and playout the one-way delay passes ITU-T G.114's limit for easy talk. Look for a VPN or a busy uplink, or set a gateway up nearer to the shoppers."
    },
    LossHigh = "RL-506" {
        shopper: "This connection loses parts of the speech.",
        engineer: "More than 3 % of the packets to the gateway and back were lost. Weak Wi-Fi and busy uplinks do that; try a cable."
    },
    LossNotMeasured = "RL-507" {
        shopper: "Losses could not be measured on this page.",
        engineer: "No audio flowed: browsers let a page make sound only after a click in it, or with the microphone. Call `preflight()` on a click, or with `{microphone: true}`."
    },
    MicrophoneNotAsked = "RL-508" {
        shopper: "The browser will ask for the microphone when you call.",
        engineer: "The permission is `prompt`, and the check was not to ask. Call `preflight({microphone: true})` to ask."
    },
    CheckNotLoaded = "RL-509" {
        shopper: "The check could not be loaded in this page.",
        engineer: "The frame with the check page said nothing. The shop's Content-Security-Policy must allow the Ringlet host in `frame-src`; the network's proxy must let it pass."
    },
    TcpNotOffered = "RL-510" {
        shopper: "Calls over TCP are not set up.",
        engineer: "The gateway's answer has no TCP candidate. Set `gateway.media.tcp_port` for shoppers whose network lets no UDP pass."
    },
    ScriptMissing = "RL-511" {
        shopper: "The call button is not on this page.",
        engineer: "The page has no script tag with the Ringlet host's `ringlet.js`. Paste the one of docs/embedding.md; a tag that another script adds later cannot be seen from here."
    },
    ScriptForbidden = "RL-512" {
        shopper: "This page does not let the call button load.",
        engineer: "The page's Content-Security-Policy does not allow the Ringlet host's script. Add the host to `script-src`, or give the script tag the page's nonce."
    },
    FrameForbidden = "RL-513" {
        shopper: "This page does not let the phone open.",
        engineer: "The page's Content-Security-Policy does not allow the Ringlet host in a frame. Add the host to `frame-src`."
    },
    PageUnreachable = "RL-514" {
        shopper: "The page could not be loaded.",
        engineer: "The shop's page did not answer with HTML and 200. Name the address that shoppers see, reachable from here."
    },
    PageNotSecure = "RL-515" {
        shopper: "This page is not secure, so that browsers give it no microphone.",
        engineer: "The page is neither https nor on localhost, which getUserMedia wants. Serve it over https."
    },
    TooManyChecks = "RL-519" {
        shopper: "Too many checks were made from here: please wait a minute, then try again.",
        engineer: "An address may begin `limits.checks_per_address_per_minute` checks, and a server carries a bounded number at the same time. Do not run `preflight()` on every page."
    },
}
