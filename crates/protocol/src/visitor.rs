//! What the shopper's browser and the signal-server say to each other, version 1, as JSON texts over one WebSocket.
//!
//! The order of an ordinary call: `hello` → `welcome`, `offer` → `answer`, `candidate`s as they are found, `ready` once the
//! shopper has allowed the microphone (only then is anybody rung), `state` as the call proceeds, `hangup` or `ended`.
//! Keys that the shopper presses do not pass here: they go out with the audio (RFC 4733).
//!
//! Where the network lets no WebRTC pass, `frames` moves the audio to the same socket: from then on binary messages both
//! ways are [`frame`]s, and keys go as `keys`.
//!
//! An answered call survives the page: the next page says `hello` with the `resume` token and goes on from `welcome`,
//! `resumed` and a new `resume`. What `next` and `prepared` have agreed on ahead saves it the wait for an `answer`. [`ErrorCode::CallElsewhere`] or [`ErrorCode::CallOver`] and the end of the socket say
//! that it cannot; the former can be overruled by `takeover`.
//!
//! A page survives its socket: it opens another and says `hello` with the `session` token and how many events it has `seen`.
//! Both sides count what they send, each in its order, from 1: the phone its requests but `hello` and `ping`, the server its
//! events from `welcome` on but `reconnected` and `pong`. `reconnected` says how many requests have come; those after it are
//! sent again, and the events that the page has not seen follow. So nothing is lost and nothing done twice.
//!
//! The call centre may show the shopper a page (`page`, answered by `shown`) and set what the panel sends and plays (`set`,
//! answered by `settings`).

use crate::error::ErrorCode;
#[cfg(feature = "serde")]
use crate::settings::{By, EchoLayer};
use alloc::string::String;

/// The version in `hello` and `welcome`. A server that does not speak the browser's version answers
/// [`ErrorCode::VersionUnknown`], and the panel then reloads itself once.
pub const VERSION: u32 = 1;

/// The longest text that either side accepts, in bytes. An SDP with many candidates stays below 16 KiB.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest offer. Those of browsers for one audio section are below 4 KiB; the rest is for the candidates of a machine with very
/// many addresses.
pub const MAX_OFFER_BYTES: usize = 16 * 1024;

/// Keys in one `keys` message: more than anybody presses before the panel sends them.
pub const MAX_KEYS: usize = 32;

words! {
    /// Where a call stands, as the shopper is told.
    pub enum CallState {
        /// The browser and the gateway are agreeing on the audio path, or the shopper is asked for the microphone.
        Connecting = "connecting",
        /// The INVITE is on its way.
        Dialing = "dialing",
        /// The far end rings (SIP 180): the gateway plays a ringback tone.
        Ringing = "ringing",
        /// The far end sends audio before the answer (SIP 183 with SDP).
        EarlyMedia = "early_media",
        /// Somebody has answered.
        Answered = "answered",
    }
}

words! {
    /// What carries the audio between browser and gateway.
    pub enum Transport {
        /// SRTP in datagrams: the way of choice.
        Udp = "udp",
        /// SRTP over a TCP connection (RFC 6544, framed by RFC 4571), where the network lets no UDP pass.
        Tcp = "tcp",
        /// Frames over a WebSocket, where the network lets nothing but HTTPS pass.
        WebSocket = "websocket",
    }
}

words! {
    /// Why a call ended. Stands in the call's record, in `ended` and in the metric `ringlet_calls_ended_total`.
    pub enum EndReason {
        /// The shopper hung up after the answer.
        VisitorHungUp = "visitor_hung_up",
        /// The far end hung up after the answer.
        AgentHungUp = "agent_hung_up",
        /// The shopper hung up before the answer.
        Cancelled = "cancelled",
        /// SIP 486 or 600.
        Busy = "busy",
        /// SIP 603 or 403, or another refusal that is nobody's fault.
        Refused = "refused",
        /// SIP 404, 410, 484 or 604: the number is wrong.
        NotFound = "not_found",
        /// It rang and nobody answered in time (own deadline, SIP 408 after ringing, 480 or 487 of the far end).
        NoAnswer = "no_answer",
        /// The trunk does not answer at all, or the connection to it failed.
        TrunkUnreachable = "trunk_unreachable",
        /// The trunk answered with an error (SIP 5xx, 401 or 407 after the right credentials were sent, unusable SDP).
        TrunkFailed = "trunk_failed",
        /// The shopper, the browser or the shop's page does not allow the microphone.
        MicrophoneDenied = "microphone_denied",
        /// The visitor's socket closed and did not come back in time.
        VisitorGone = "visitor_gone",
        /// No audio path came about between browser and gateway, or it broke.
        MediaFailed = "media_failed",
        /// The browser gave up for a reason that has nothing to do with microphone or network.
        BrowserFailed = "browser_failed",
        /// The call reached the longest time that a call may last.
        TooLong = "too_long",
        /// The gateway that carried the call is gone.
        GatewayGone = "gateway_gone",
        /// No gateway can take the call, or a limit is reached.
        NoCapacity = "no_capacity",
        /// A deadline passed that nothing else explains: the browser neither offered nor gave up.
        SetupTimedOut = "setup_timed_out",
        /// The server is stopping.
        ServerStopping = "server_stopping",
        /// The far end had answered, and then sent neither RTP nor RTCP for too long.
        FarEndSilent = "far_end_silent",
    }
}

words! {
    /// How audio is coded that goes as frames over the WebSocket.
    pub enum FrameCodec {
        /// PCMU or PCMA (RFC 3551), whichever the far end talks; the browser sends the law that it hears.
        G711 = "g711",
        /// Opus, which the browser can decode as well as G.711.
        Opus = "opus",
    }
}

words! {
    /// What the audio may cost the visitor in traffic and power; what is heard of a telephone line differs little.
    pub enum Quality {
        /// Some 20 kbit/s each way, headers included: packets of 60 ms, nothing sent in silence.
        Saver = "saver",
        /// Some 45 kbit/s each way: packets of 20 ms.
        Standard = "standard",
        /// Some 60 kbit/s each way.
        Best = "best",
    }
}

messages! {
    /// What the visitor's browser sends.
    pub enum VisitorRequest {
        /// The first message on every socket.
        Hello = "hello" {
            /// The protocol version, [`VERSION`].
            version: u32,
            /// The short-lived token that came with the panel: names merchant, link and time.
            token: String,
            /// The origin of the page that embeds the panel, as the browser vouches for it.
            origin: String,
            /// The address of the page that embeds the panel, without query and fragment.
            page: Option<String>,
            /// The merchant's own id of the customer or session (`data-customer`).
            customer: Option<String>,
            /// A token signed by the merchant that names the destination itself (`data-token`).
            destination_token: Option<String>,
            /// The last `resume` token of a call that a page before this one had: the call is taken up again. `token`
            /// then only says which panel asks; nothing is counted and no new call begins.
            resume: Option<String>,
            /// With `resume`: take the call from the page that has it, which is told [`ErrorCode::CallElsewhere`].
            takeover: Option<bool>,
            /// The `session` token of this very page, whose socket before this one broke. Answered by `reconnected`.
            session: Option<String>,
            /// With `session`: how many of the server's events have come to this page, as they are counted.
            seen: Option<u32>,
            /// With `resume`: the fingerprint of the certificate that the page will connect with, as in SDP (RFC 8122 section 5). Where
            /// the page before has said `next`, no other page is believed.
            fingerprint: Option<String>,
        },
        /// The browser's SDP offer.
        Offer = "offer" {
            /// SDP (RFC 8866), one audio section, at most 16 KiB.
            sdp: String,
            /// What the audio may cost (`data-quality`); [`Quality::Standard`] without it.
            quality: Option<Quality>,
        },
        /// An ICE candidate of the browser; an empty text ends them (RFC 8838).
        Candidate = "candidate" {
            /// The candidate attribute's value (RFC 8839 section 5.1).
            candidate: String,
        },
        /// The microphone is allowed: the far end may be rung.
        Ready = "ready" {},
        /// Audio goes as [`frame`]s over this socket from now on, whatever becomes of the WebRTC path, which is kept; or
        /// over the WebRTC path again.
        Frames = "frames" {
            /// What the browser wants to hear, which it may change while frames go; each frame says what it is, and all are understood.
            /// Absent: the WebRTC path works again.
            codec: Option<FrameCodec>,
        },
        /// The shopper pressed keys while audio goes as frames.
        Keys = "keys" {
            /// Each of `0`–`9`, `*`, `#`, `A`–`D`; at most [`MAX_KEYS`].
            digits: String,
        },
        /// The engine has heard a key of the far end in the audio. The server answers with `digit`, if it did not know it.
        Heard = "heard" {
            /// One of `0`–`9`, `*`, `#`, `A`–`D`.
            digit: String,
        },
        /// The shopper hangs up, before or after the answer.
        Hangup = "hangup" {},
        /// The browser cannot go on.
        Failed = "failed" {
            /// Why.
            code: ErrorCode,
            /// What the browser said, for the log.
            detail: Option<String>,
        },
        /// Is the server there? Answered by `pong` at once. Not counted.
        Ping = "ping" {
            /// How many of the server's events have come: it need not keep those.
            seen: u32,
        },
        /// The certificate that this page's successor will have, whose key never leaves this browser: from now on the call goes to
        /// nobody else, and the gateway makes a leg for it ahead. Answered by `prepared`.
        #[cfg(feature = "serde")]
        Next = "next" {
            /// SHA-256, as in SDP (RFC 8122 section 5).
            fingerprint: String,
        },
        /// What has become of `page`. Where the shop's page goes at once, the end of the socket says it as well.
        #[cfg(feature = "serde")]
        Shown = "shown" {
            /// The shop's page is going there.
            done: bool,
        },
        /// What is really set: said after each `set`, whenever the shopper changes something, and once a call is answered
        /// or taken up again. What is left out has not changed, or this panel has no such thing.
        #[cfg(feature = "serde")]
        Settings = "settings" {
            /// The amplification of what the shopper says, in dB; 0: as the microphone gives it.
            microphone_db: Option<i32>,
            /// The microphone is muted.
            muted: Option<bool>,
            /// The amplification of what the shopper hears, in dB; 0: as it comes.
            speaker_db: Option<i32>,
            /// What keeps the echo away.
            echo: Option<EchoLayer>,
            /// The browser takes noise out of what the shopper says.
            noise_suppression: Option<bool>,
            /// The microphone, by the name that the browser gives it.
            input_device: Option<String>,
            /// The loudspeaker or headset.
            output_device: Option<String>,
            /// All that could be `input_device`, one a line.
            input_devices: Option<String>,
            /// All that could be `output_device`, one a line.
            output_devices: Option<String>,
            /// A test of the connection's quality runs.
            quality_test: Option<bool>,
            /// What the test that is over has found: how good the connection is, from 1 to 5.
            quality_score: Option<u32>,
            /// The round trip between browser and gateway, in ms.
            round_trip_ms: Option<u32>,
            /// How unevenly packets come to the browser, in ms.
            jitter_ms: Option<u32>,
            /// What is lost of what the shopper says, in percent.
            said_lost_percent: Option<u32>,
            /// What is lost of what the shopper hears, in percent.
            heard_lost_percent: Option<u32>,
            /// What the shopper hears in the place of sound that was not there in time, in percent.
            concealed_percent: Option<u32>,
            /// The `set` before could not be carried out, or the shopper has undone it.
            refused: Option<bool>,
        },
    }
}

messages! {
    /// What the signal-server sends to the visitor's browser.
    pub enum VisitorEvent {
        /// The call exists.
        Welcome = "welcome" {
            /// The protocol version, [`VERSION`].
            version: u32,
            /// The call's id, to be quoted to the merchant's support.
            call: String,
            /// Who is called: the merchant's name as it is shown.
            merchant: String,
            /// Which line is called: the link's label as it is shown.
            link: String,
        },
        /// The gateway's SDP answer, its candidates inside.
        Answer = "answer" {
            /// SDP (RFC 8866).
            sdp: String,
        },
        /// The call has come to a new state.
        State = "state" {
            /// Which.
            state: CallState,
        },
        /// The key to the call for the next page of the shop: sent when the far end has answered, and anew after each
        /// `resumed`. It works once, from the same origin, while the call lives; keep it in the page's session storage
        /// in place of the one before.
        Resume = "resume" {
            /// Opaque.
            token: String,
        },
        /// The call is taken up again, after `welcome`: make a new offer, as at the beginning. Nobody is rung anew.
        Resumed = "resumed" {
            /// Where it stands.
            state: CallState,
            /// How long ago the far end answered, in milliseconds.
            answered_ms: u32,
        },
        /// The far end pressed a key.
        Digit = "digit" {
            /// One of `0`–`9`, `*`, `#`, `A`–`D`.
            digit: String,
            /// How long it was held, in milliseconds; 0: that is not known.
            duration_ms: u32,
        },
        /// What carries the audio: sent when the path is up, and again whenever the audio has moved.
        Transport = "transport" {
            /// Which.
            transport: Transport,
        },
        /// Something is wrong; the call goes on if it can, `ended` follows if it cannot.
        Error = "error" {
            /// Which of the catalogue's errors.
            code: ErrorCode,
            /// A sentence for the shopper.
            message: String,
        },
        /// The call is over; the socket closes.
        Ended = "ended" {
            /// Why.
            reason: EndReason,
            /// Set when it ended for an error.
            code: Option<ErrorCode>,
            /// A sentence for the shopper.
            message: String,
        },
        /// The key to this page's call over another socket, sent after `welcome`: see `hello`. It holds for this page, from the
        /// same origin, until another page has the call.
        Session = "session" {
            /// Opaque.
            token: String,
        },
        /// The page's call goes on over this socket. Not counted.
        Reconnected = "reconnected" {
            /// How many of the page's requests have come. Absent when the server does not know, since it was restarted: then
            /// what it has not answered is to be sent again, and both count anew.
            received: Option<u32>,
            /// The events that follow are counted from here: what `hello` said, unless the server has not kept those that the
            /// page has not seen; then it tells the state as it is.
            sent: u32,
        },
        /// The server is there. Not counted.
        Pong = "pong" {
            /// How many of the page's requests have come: it need not keep those.
            received: u32,
        },
        /// There is a leg for this page's successor, which need not wait for an answer to its offer: this is the answer, if it
        /// connects with that certificate. To be kept beside the `resume` token, and used once.
        #[cfg(feature = "serde")]
        Prepared = "prepared" {
            /// Of which certificate.
            fingerprint: String,
            /// SDP (RFC 8866).
            sdp: String,
        },
        /// The call centre shows the shopper a page of the shop: the shop's page goes there, and the call with it. Answered by
        /// `shown`.
        #[cfg(feature = "serde")]
        Page = "page" {
            /// Absolute, and of the shop page's own origin.
            url: String,
            /// Whose doing it is; the shopper is told.
            by: By,
        },
        /// The call centre sets something; what is left out stays as it is. The shopper is told, can undo it, and `settings` is
        /// the answer.
        #[cfg(feature = "serde")]
        Set = "set" {
            /// Whose doing it is.
            by: By,
            /// The amplification of what the shopper says, in dB.
            microphone_db: Option<i32>,
            /// Always true: a microphone is opened by its owner.
            muted: Option<bool>,
            /// The amplification of what the shopper hears, in dB.
            speaker_db: Option<i32>,
            /// What shall keep the echo away.
            echo: Option<EchoLayer>,
            /// Whether the browser shall take noise out of what the shopper says.
            noise_suppression: Option<bool>,
            /// The microphone, by one of the names that `settings` told.
            input_device: Option<String>,
            /// The loudspeaker or headset.
            output_device: Option<String>,
            /// Always true: test the connection's quality.
            quality_test: Option<bool>,
        },
    }
}
