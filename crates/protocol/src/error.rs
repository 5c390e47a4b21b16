//! The catalogue of errors that a person can meet: a code that support can look up, a sentence for the shopper, and
//! cause and cure for the engineer. `docs/errors.md` is printed from here.

use crate::visitor::EndReason;

/// `said` is a sentence that only the server says, in its messages: the browser's build does without.
macro_rules! sentence {
    (shopper $text:literal) => {
        $text
    };
    (said $text:literal) => {
        if cfg!(feature = "serde") { $text } else { "" }
    };
}

macro_rules! catalogue {
    ($(#[doc = $doc:literal])* $name:ident; $($variant:ident = $code:literal { $whose:ident: $text:literal, engineer: $engineer:literal },)*) => {
        words! {
            $(#[doc = $doc])*
            pub enum $name { $(#[doc = $engineer] $variant = $code,)* }
        }

        impl $name {
            /// One sentence for the shopper.
            pub const fn shopper(self) -> &'static str {
                match self { $(Self::$variant => $crate::error::sentence!($whose $text),)* }
            }

            /// Cause and cure, for the engineer.
            pub const fn engineer(self) -> &'static str {
                match self { $(Self::$variant => $engineer,)* }
            }
        }
    };
}

pub(crate) use {catalogue, sentence};

// RL-1xx the shopper's browser, RL-2xx the merchant's page and set-up, RL-3xx the call, RL-4xx our servers; RL-5xx are
// findings of a check (`check.rs`).
catalogue! {
    /// An error of the catalogue. Codes are never used again for something else.
    ErrorCode;
    MicrophoneDenied = "RL-101" {
        shopper: "The microphone is blocked: allow it for this page in the browser's address bar, then call again.",
        engineer: "getUserMedia was rejected with NotAllowedError. The shopper or the system refused."
    },
    MicrophoneMissing = "RL-102" {
        shopper: "No microphone was found: connect one, then call again.",
        engineer: "getUserMedia was rejected with NotFoundError or OverconstrainedError."
    },
    MicrophoneBusy = "RL-103" {
        shopper: "The microphone is used by another program: close that program, then call again.",
        engineer: "getUserMedia was rejected with NotReadableError or AbortError."
    },
    MicrophoneForbiddenByPage = "RL-104" {
        shopper: "This page does not let calls use the microphone.",
        engineer: "The page's Permissions-Policy or an enclosing frame withholds the microphone. Allow `microphone` for the Ringlet host, and let enclosing frames carry `allow=\"microphone\"`."
    },
    BrowserTooOld = "RL-105" {
        shopper: "This browser cannot make calls: please use a current version of Chrome, Edge, Firefox or Safari.",
        engineer: "RTCPeerConnection, WebAssembly, AudioWorklet or getUserMedia is missing, or the page is neither https nor localhost."
    },
    PhoneNotLoaded = "RL-106" {
        shopper: "The phone could not be loaded: check the connection and try again.",
        engineer: "A script or module of the panel failed to load or to compile. See the browser's network and console panels."
    },
    SocketLost = "RL-107" {
        shopper: "The connection to the call service was lost.",
        engineer: "The WebSocket closed without `ended`. Proxies in between must allow WebSocket upgrades and 60 s of silence."
    },
    MediaPathFailed = "RL-108" {
        shopper: "No audio connection came about: this network seems to block calls.",
        engineer: "ICE found no working pair or DTLS failed. The gateway's UDP port must be reachable under `media.public_ips`."
    },
    UdpBlocked = "RL-110" {
        shopper: "This network blocks calls over UDP; using a slower way.",
        engineer: "No ICE pair over UDP worked in time, so audio goes over TCP, or as frames over the WebSocket where no pair worked at all. Let clients reach the gateway's media port over UDP; the call moves up by itself when such a pair is found."
    },
    AudioPathBroken = "RL-111" {
        shopper: "The audio connection broke; using a slower way.",
        engineer: "ICE lost its pair during the call, so audio goes as frames over the WebSocket. The call moves up by itself when a pair is found."
    },
    CancellerNotLoaded = "RL-113" {
        shopper: "The echo canceller could not be loaded; a simpler one is used.",
        engineer: "The canceller's module could not be fetched or does not run in this browser; the engine's suppressor works in its place. See the browser's network and console panels."
    },
    EchoEngineMissing = "RL-114" {
        shopper: "This browser offers no other way against the echo.",
        engineer: "There is no audio engine in the microphone's path (AudioWorklet or WebAssembly failed, or the context does not run), so that only the browser's own canceller can be had."
    },
    EchoBrowserUnwilling = "RL-115" {
        shopper: "This browser does not let its echo cancellation be changed.",
        engineer: "Neither applyConstraints nor a second getUserMedia changed `echoCancellation` of the microphone. The canceller module is not used behind the browser's own; the suppressor is."
    },
    PageNotShown = "RL-120" {
        shopper: "The call centre wanted to show you a page, but this page could not be left.",
        engineer: "The shop's page answered `page` with a refusal, or not at all: its loader is older than the server, or the page is of another origin than the call's. The call centre hears the tone for what is not possible."
    },
    MicrophoneSwitched = "RL-125" {
        shopper: "Your microphone is gone; another one has taken its place.",
        engineer: "The microphone's track ended during the call (unplugged, or taken by the system), and the browser gave another one."
    },
    MicrophoneGone = "RL-126" {
        shopper: "Your microphone is gone and nobody hears you: connect one.",
        engineer: "The microphone's track ended during the call, or was stopped to be opened otherwise, and getUserMedia gave no other. It is asked again when a device is connected."
    },
    SpeakerSwitched = "RL-127" {
        shopper: "Your speaker is gone; you hear through the usual one.",
        engineer: "The chosen output device is no longer among enumerateDevices; playback went back to the system's default."
    },
    OriginNotAllowed = "RL-201" {
        said: "Calls are not enabled for this website.",
        engineer: "The page's origin is not among the merchant's allowed origins. Add it under `origins` of the merchant."
    },
    LinkUnknown = "RL-202" {
        said: "This call button is not set up.",
        engineer: "No such merchant or link, or it has no destination. Compare `data-merchant` and `data-link` with the configuration."
    },
    TokenInvalid = "RL-203" {
        said: "This call button has expired: reload the page and try again.",
        engineer: "The panel's token is expired, was made by another server secret, or does not fit the origin. Tokens live 10 minutes."
    },
    DestinationTokenInvalid = "RL-204" {
        said: "This call button is not valid any more: reload the page and try again.",
        engineer: "The merchant-signed token (`data-token`) is expired, wrongly signed, or names a destination outside the merchant's. HS256 with the merchant's `signing_secret`; claims `destination`, `exp`."
    },
    TooManyCalls = "RL-205" {
        said: "Too many calls were started from here: please wait a minute, then try again.",
        engineer: "A rate limit was reached, by address or by merchant. See `limits` in the configuration."
    },
    LoaderMisconfigured = "RL-206" {
        shopper: "This call button is not set up.",
        engineer: "The script tag lacks `data-merchant`, or an icon lacks its link."
    },
    PageNotAllowed = "RL-207" {
        said: "The call centre wanted to show you a page that does not belong to this shop.",
        engineer: "A command or the merchant's resolver named a page whose origin is not among the merchant's, or is not the one that the shopper is at: the call could not follow there. Name pages by path (`/returns`) where a shop has several origins."
    },
    PageNotResolved = "RL-208" {
        said: "The call centre wanted to show you a page that could not be found.",
        engineer: "The merchant's resolver did not answer within 2 s, answered something else than 200 with `{\"page\": …}` below 8 KiB, redirected, is at a private address that `signal.resolver_networks` does not name, or the merchant has no `signing_secret`. The log tells which."
    },
    Busy = "RL-301" {
        said: "The line is busy: please try again in a moment.",
        engineer: "The far end answered 486 Busy Here or 600 Busy Everywhere."
    },
    Refused = "RL-302" {
        said: "The call was declined.",
        engineer: "The far end answered 603 Decline, 403 Forbidden or another refusal; the status is in the call's record."
    },
    NumberNotFound = "RL-303" {
        said: "The call centre cannot be reached under its number.",
        engineer: "The far end answered 404, 410, 484 or 604. Check the destination's address."
    },
    NoAnswer = "RL-304" {
        said: "Nobody answered.",
        engineer: "The no-answer deadline passed while it rang, or the far end answered 408, 480 or 487."
    },
    TrunkUnreachable = "RL-305" {
        said: "The call centre cannot be reached at the moment.",
        engineer: "The trunk did not answer the INVITE within 8 s, or refused the TCP connection. Try `ringlet check`."
    },
    TrunkFailed = "RL-306" {
        said: "The call centre cannot be reached at the moment.",
        engineer: "The trunk answered 5xx, rejected the credentials (401 or 407), or sent an SDP answer without PCMU or PCMA."
    },
    CallTooLong = "RL-307" {
        said: "The call has reached the longest time that a call may last.",
        engineer: "4 h passed since the answer, and no call may last longer. If nobody was talking any more, look for a phone left off the hook."
    },
    CallElsewhere = "RL-308" {
        shopper: "This call is open in another tab.",
        engineer: "A page asked for a call that another page's live socket has: a duplicated tab, or the call was moved from here. `hello` with `takeover` moves it."
    },
    CallOver = "RL-309" {
        shopper: "The call has ended meanwhile.",
        engineer: "The `resume` token was used before, or was made for another origin or by another server secret, or its call is over."
    },
    Reconnecting = "RL-310" {
        shopper: "The connection was interrupted: it is being restored.",
        engineer: "The panel's WebSocket broke while the call lives, and the phone tries again with growing pauses: 12 s before the answer, and at least 60 s after it. Audio goes on meanwhile, if its path holds."
    },
    CalledAgain = "RL-313" {
        said: "The connection to the call centre broke; it is being called again.",
        engineer: "The media gateway that carried the call is gone, and the merchant's `on_gateway_loss` is `call_again`: another gateway rings the far end anew. The record is the same."
    },
    WindowCutOff = "RL-317" {
        shopper: "This window has lost the shop's page: close it, and call from there.",
        engineer: "The panel was opened as a window and has no opener: the shop's `Cross-Origin-Opener-Policy` cuts it off (use `same-origin-allow-popups`, or no `data-window`), or somebody opened its address by hand."
    },
    WindowBlocked = "RL-318" {
        shopper: "The browser has blocked the call window: the call stays on this page.",
        engineer: "`data-window=\"popup\"`, but window.open gave nothing or the window never spoke: a popup blocker, a sandbox without `allow-popups`, or `Cross-Origin-Opener-Policy`. The panel is in a frame instead."
    },
    GatewayGone = "RL-401" {
        said: "The call was interrupted by a fault of the call service.",
        engineer: "The media gateway that carried the call disconnected from the signal-server."
    },
    NoGateway = "RL-402" {
        said: "The call service is not available at the moment.",
        engineer: "No media gateway is connected, or all are full."
    },
    ServerStopping = "RL-403" {
        said: "The call service is being restarted: please try again in a moment.",
        engineer: "The server received SIGTERM."
    },
    VersionUnknown = "RL-404" {
        shopper: "The call panel is out of date: reload the page and try again.",
        engineer: "The browser's protocol version is not one that this server speaks; a cached panel outlived a deploy."
    },
    MessageInvalid = "RL-405" {
        shopper: "The call service and this browser do not understand each other.",
        engineer: "A message was no JSON, too long, of an unknown type, out of order, or one offer too many. The log names the field."
    },
    SetupTimedOut = "RL-406" {
        shopper: "The call could not be set up in time: please try again.",
        engineer: "The browser neither offered nor gave up before the set-up deadline; most often the microphone prompt was left open."
    },
    FarEndSilent = "RL-407" {
        said: "The other side cannot be heard any more: please call again.",
        engineer: "The far end had answered, and then sent neither RTP nor RTCP for `gateway.media.far_end_silence_seconds`, without hold. Its phone or network is gone without a BYE, or a firewall between the trunk and our RTP ports drops its audio."
    },
}

impl EndReason {
    /// The catalogue's entry for an ending that is an error; `None` for one that somebody wanted.
    pub const fn code(self) -> Option<ErrorCode> {
        match self {
            Self::VisitorHungUp | Self::AgentHungUp | Self::Cancelled => None,
            Self::Busy => Some(ErrorCode::Busy),
            Self::Refused => Some(ErrorCode::Refused),
            Self::NotFound => Some(ErrorCode::NumberNotFound),
            Self::NoAnswer => Some(ErrorCode::NoAnswer),
            Self::TrunkUnreachable => Some(ErrorCode::TrunkUnreachable),
            Self::TrunkFailed => Some(ErrorCode::TrunkFailed),
            Self::MicrophoneDenied => Some(ErrorCode::MicrophoneDenied),
            Self::VisitorGone => Some(ErrorCode::SocketLost),
            Self::MediaFailed => Some(ErrorCode::MediaPathFailed),
            Self::BrowserFailed => Some(ErrorCode::PhoneNotLoaded),
            Self::TooLong => Some(ErrorCode::CallTooLong),
            Self::GatewayGone => Some(ErrorCode::GatewayGone),
            Self::NoCapacity => Some(ErrorCode::NoGateway),
            Self::SetupTimedOut => Some(ErrorCode::SetupTimedOut),
            Self::ServerStopping => Some(ErrorCode::ServerStopping),
            Self::FarEndSilent => Some(ErrorCode::FarEndSilent),
        }
    }

    /// One sentence for the shopper.
    pub const fn shopper(self) -> &'static str {
        match (self, self.code()) {
            (_, Some(code)) => code.shopper(),
            (Self::AgentHungUp, None) => "The call centre has hung up.",
            (_, None) => "The call has ended.",
        }
    }
}
