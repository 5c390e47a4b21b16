// What the browser and the signal-server say to each other, version 1: JSON texts of at most 65536 bytes.
// Printed from crates/protocol by UPDATE=1 cargo test -p protocol; not to be edited.

/** Where a call stands, as the shopper is told. */
export type CallState =
  | "connecting"
  | "dialing"
  | "ringing"
  | "early_media"
  | "answered";

/** Why a call ended. */
export type EndReason =
  | "visitor_hung_up"
  | "agent_hung_up"
  | "cancelled"
  | "busy"
  | "refused"
  | "not_found"
  | "no_answer"
  | "trunk_unreachable"
  | "trunk_failed"
  | "microphone_denied"
  | "visitor_gone"
  | "media_failed"
  | "browser_failed"
  | "too_long"
  | "gateway_gone"
  | "no_capacity"
  | "setup_timed_out"
  | "server_stopping"
  | "far_end_silent";

/** What keeps the far end from hearing itself, from the weakest to the strongest. */
export type EchoLayer =
  | "off"
  | "browser"
  | "suppressor"
  | "canceller";

/** Whose doing it is that the shopper's page or settings change. */
export type By =
  | "agent"
  | "desk";

/** An error of the catalogue, docs/errors.md. */
export type ErrorCode =
  | "RL-101"
  | "RL-102"
  | "RL-103"
  | "RL-104"
  | "RL-105"
  | "RL-106"
  | "RL-107"
  | "RL-108"
  | "RL-110"
  | "RL-111"
  | "RL-113"
  | "RL-114"
  | "RL-115"
  | "RL-120"
  | "RL-125"
  | "RL-126"
  | "RL-127"
  | "RL-201"
  | "RL-202"
  | "RL-203"
  | "RL-204"
  | "RL-205"
  | "RL-206"
  | "RL-207"
  | "RL-208"
  | "RL-301"
  | "RL-302"
  | "RL-303"
  | "RL-304"
  | "RL-305"
  | "RL-306"
  | "RL-307"
  | "RL-308"
  | "RL-309"
  | "RL-310"
  | "RL-313"
  | "RL-317"
  | "RL-318"
  | "RL-401"
  | "RL-402"
  | "RL-403"
  | "RL-404"
  | "RL-405"
  | "RL-406"
  | "RL-407";

/** The first message on every socket. */
export interface VisitorRequestHello {
  type: "hello";
  /** The protocol version, `VERSION`. */
  version: number;
  /** The short-lived token that came with the panel: names merchant, link and time. */
  token: string;
  /** The origin of the page that embeds the panel, as the browser vouches for it. */
  origin: string;
  /** The address of the page that embeds the panel, without query and fragment. */
  page?: string;
  /** The merchant's own id of the customer or session (`data-customer`). */
  customer?: string;
  /** A token signed by the merchant that names the destination itself (`data-token`). */
  destination_token?: string;
  /** The last `resume` token of a call that a page before this one had: the call is taken up again. `token` */
  /** then only says which panel asks; nothing is counted and no new call begins. */
  resume?: string;
  /** With `resume`: take the call from the page that has it, which is told `ErrorCode::CallElsewhere`. */
  takeover?: boolean;
  /** The `session` token of this very page, whose socket before this one broke. Answered by `reconnected`. */
  session?: string;
  /** With `session`: how many of the server's events have come to this page, as they are counted. */
  seen?: number;
  /** With `resume`: the fingerprint of the certificate that the page will connect with, as in SDP (RFC 8122 section 5). Where */
  /** the page before has said `next`, no other page is believed. */
  fingerprint?: string;
}

/** The browser's SDP offer. */
export interface VisitorRequestOffer {
  type: "offer";
  /** SDP (RFC 8866), one audio section, at most 16 KiB. */
  sdp: string;
  /** What the audio may cost (`data-quality`); `Quality::Standard` without it. */
  quality?: Quality;
}

/** An ICE candidate of the browser; an empty text ends them (RFC 8838). */
export interface VisitorRequestCandidate {
  type: "candidate";
  /** The candidate attribute's value (RFC 8839 section 5.1). */
  candidate: string;
}

/** The microphone is allowed: the far end may be rung. */
export interface VisitorRequestReady {
  type: "ready";
}

/** Audio goes as `frame`s over this socket from now on, whatever becomes of the WebRTC path, which is kept; or */
/** over the WebRTC path again. */
export interface VisitorRequestFrames {
  type: "frames";
  /** What the browser wants to hear, which it may change while frames go; each frame says what it is, and all are understood. */
  /** Absent: the WebRTC path works again. */
  codec?: FrameCodec;
}

/** The shopper pressed keys while audio goes as frames. */
export interface VisitorRequestKeys {
  type: "keys";
  /** Each of `0`–`9`, `*`, `#`, `A`–`D`; at most `MAX_KEYS`. */
  digits: string;
}

/** The engine has heard a key of the far end in the audio. The server answers with `digit`, if it did not know it. */
export interface VisitorRequestHeard {
  type: "heard";
  /** One of `0`–`9`, `*`, `#`, `A`–`D`. */
  digit: string;
}

/** The shopper hangs up, before or after the answer. */
export interface VisitorRequestHangup {
  type: "hangup";
}

/** The browser cannot go on. */
export interface VisitorRequestFailed {
  type: "failed";
  /** Why. */
  code: ErrorCode;
  /** What the browser said, for the log. */
  detail?: string;
}

/** Is the server there? Answered by `pong` at once. Not counted. */
export interface VisitorRequestPing {
  type: "ping";
  /** How many of the server's events have come: it need not keep those. */
  seen: number;
}

/** The certificate that this page's successor will have, whose key never leaves this browser: from now on the call goes to */
/** nobody else, and the gateway makes a leg for it ahead. Answered by `prepared`. */
export interface VisitorRequestNext {
  type: "next";
  /** SHA-256, as in SDP (RFC 8122 section 5). */
  fingerprint: string;
}

/** What has become of `page`. Where the shop's page goes at once, the end of the socket says it as well. */
export interface VisitorRequestShown {
  type: "shown";
  /** The shop's page is going there. */
  done: boolean;
}

/** What is really set: said after each `set`, whenever the shopper changes something, and once a call is answered */
/** or taken up again. What is left out has not changed, or this panel has no such thing. */
export interface VisitorRequestSettings {
  type: "settings";
  /** The amplification of what the shopper says, in dB; 0: as the microphone gives it. */
  microphone_db?: number;
  /** The microphone is muted. */
  muted?: boolean;
  /** The amplification of what the shopper hears, in dB; 0: as it comes. */
  speaker_db?: number;
  /** What keeps the echo away. */
  echo?: EchoLayer;
  /** The browser takes noise out of what the shopper says. */
  noise_suppression?: boolean;
  /** The microphone, by the name that the browser gives it. */
  input_device?: string;
  /** The loudspeaker or headset. */
  output_device?: string;
  /** All that could be `input_device`, one a line. */
  input_devices?: string;
  /** All that could be `output_device`, one a line. */
  output_devices?: string;
  /** A test of the connection's quality runs. */
  quality_test?: boolean;
  /** What the test that is over has found: how good the connection is, from 1 to 5. */
  quality_score?: number;
  /** The round trip between browser and gateway, in ms. */
  round_trip_ms?: number;
  /** How unevenly packets come to the browser, in ms. */
  jitter_ms?: number;
  /** What is lost of what the shopper says, in percent. */
  said_lost_percent?: number;
  /** What is lost of what the shopper hears, in percent. */
  heard_lost_percent?: number;
  /** What the shopper hears in the place of sound that was not there in time, in percent. */
  concealed_percent?: number;
  /** The `set` before could not be carried out, or the shopper has undone it. */
  refused?: boolean;
}

export type VisitorRequest =
  | VisitorRequestHello
  | VisitorRequestOffer
  | VisitorRequestCandidate
  | VisitorRequestReady
  | VisitorRequestFrames
  | VisitorRequestKeys
  | VisitorRequestHeard
  | VisitorRequestHangup
  | VisitorRequestFailed
  | VisitorRequestPing
  | VisitorRequestNext
  | VisitorRequestShown
  | VisitorRequestSettings;

/** The call exists. */
export interface VisitorEventWelcome {
  type: "welcome";
  /** The protocol version, `VERSION`. */
  version: number;
  /** The call's id, to be quoted to the merchant's support. */
  call: string;
  /** Who is called: the merchant's name as it is shown. */
  merchant: string;
  /** Which line is called: the link's label as it is shown. */
  link: string;
}

/** The gateway's SDP answer, its candidates inside. */
export interface VisitorEventAnswer {
  type: "answer";
  /** SDP (RFC 8866). */
  sdp: string;
}

/** The call has come to a new state. */
export interface VisitorEventState {
  type: "state";
  /** Which. */
  state: CallState;
}

/** The key to the call for the next page of the shop: sent when the far end has answered, and anew after each */
/** `resumed`. It works once, from the same origin, while the call lives; keep it in the page's session storage */
/** in place of the one before. */
export interface VisitorEventResume {
  type: "resume";
  /** Opaque. */
  token: string;
}

/** The call is taken up again, after `welcome`: make a new offer, as at the beginning. Nobody is rung anew. */
export interface VisitorEventResumed {
  type: "resumed";
  /** Where it stands. */
  state: CallState;
  /** How long ago the far end answered, in milliseconds. */
  answered_ms: number;
}

/** The far end pressed a key. */
export interface VisitorEventDigit {
  type: "digit";
  /** One of `0`–`9`, `*`, `#`, `A`–`D`. */
  digit: string;
  /** How long it was held, in milliseconds; 0: that is not known. */
  duration_ms: number;
}

/** What carries the audio: sent when the path is up, and again whenever the audio has moved. */
export interface VisitorEventTransport {
  type: "transport";
  /** Which. */
  transport: Transport;
}

/** Something is wrong; the call goes on if it can, `ended` follows if it cannot. */
export interface VisitorEventError {
  type: "error";
  /** Which of the catalogue's errors. */
  code: ErrorCode;
  /** A sentence for the shopper. */
  message: string;
}

/** The call is over; the socket closes. */
export interface VisitorEventEnded {
  type: "ended";
  /** Why. */
  reason: EndReason;
  /** Set when it ended for an error. */
  code?: ErrorCode;
  /** A sentence for the shopper. */
  message: string;
}

/** The key to this page's call over another socket, sent after `welcome`: see `hello`. It holds for this page, from the */
/** same origin, until another page has the call. */
export interface VisitorEventSession {
  type: "session";
  /** Opaque. */
  token: string;
}

/** The page's call goes on over this socket. Not counted. */
export interface VisitorEventReconnected {
  type: "reconnected";
  /** How many of the page's requests have come. Absent when the server does not know, since it was restarted: then */
  /** what it has not answered is to be sent again, and both count anew. */
  received?: number;
  /** The events that follow are counted from here: what `hello` said, unless the server has not kept those that the */
  /** page has not seen; then it tells the state as it is. */
  sent: number;
}

/** The server is there. Not counted. */
export interface VisitorEventPong {
  type: "pong";
  /** How many of the page's requests have come: it need not keep those. */
  received: number;
}

/** There is a leg for this page's successor, which need not wait for an answer to its offer: this is the answer, if it */
/** connects with that certificate. To be kept beside the `resume` token, and used once. */
export interface VisitorEventPrepared {
  type: "prepared";
  /** Of which certificate. */
  fingerprint: string;
  /** SDP (RFC 8866). */
  sdp: string;
}

/** The call centre shows the shopper a page of the shop: the shop's page goes there, and the call with it. Answered by */
/** `shown`. */
export interface VisitorEventPage {
  type: "page";
  /** Absolute, and of the shop page's own origin. */
  url: string;
  /** Whose doing it is; the shopper is told. */
  by: By;
}

/** The call centre sets something; what is left out stays as it is. The shopper is told, can undo it, and `settings` is */
/** the answer. */
export interface VisitorEventSet {
  type: "set";
  /** Whose doing it is. */
  by: By;
  /** The amplification of what the shopper says, in dB. */
  microphone_db?: number;
  /** Always true: a microphone is opened by its owner. */
  muted?: boolean;
  /** The amplification of what the shopper hears, in dB. */
  speaker_db?: number;
  /** What shall keep the echo away. */
  echo?: EchoLayer;
  /** Whether the browser shall take noise out of what the shopper says. */
  noise_suppression?: boolean;
  /** The microphone, by one of the names that `settings` told. */
  input_device?: string;
  /** The loudspeaker or headset. */
  output_device?: string;
  /** Always true: test the connection's quality. */
  quality_test?: boolean;
}

export type VisitorEvent =
  | VisitorEventWelcome
  | VisitorEventAnswer
  | VisitorEventState
  | VisitorEventResume
  | VisitorEventResumed
  | VisitorEventDigit
  | VisitorEventTransport
  | VisitorEventError
  | VisitorEventEnded
  | VisitorEventSession
  | VisitorEventReconnected
  | VisitorEventPong
  | VisitorEventPrepared
  | VisitorEventPage
  | VisitorEventSet;

/** The way to the gateway that a leg of a check tries. */
export type CheckPath =
  | "udp"
  | "tcp";

/** What a check finds that is no error of a call, docs/errors.md. */
export type Finding =
  | "RL-501"
  | "RL-502"
  | "RL-503"
  | "RL-504"
  | "RL-505"
  | "RL-506"
  | "RL-507"
  | "RL-508"
  | "RL-509"
  | "RL-510"
  | "RL-511"
  | "RL-512"
  | "RL-513"
  | "RL-514"
  | "RL-515"
  | "RL-519";

/** The first message. */
export interface CheckRequestHello {
  type: "hello";
  /** `VERSION`. */
  version: number;
  /** The short-lived token that came with the page. */
  token: string;
}

/** An SDP offer, once for each path. */
export interface CheckRequestOffer {
  type: "offer";
  /** Which leg. */
  path: CheckPath;
  /** SDP (RFC 8866), one audio section, at most 16 KiB. */
  sdp: string;
}

/** An ICE candidate of the browser; an empty text ends them. */
export interface CheckRequestCandidate {
  type: "candidate";
  /** Of which leg. */
  path: CheckPath;
  /** The candidate attribute's value (RFC 8839 section 5.1). */
  candidate: string;
}

export type CheckRequest =
  | CheckRequestHello
  | CheckRequestOffer
  | CheckRequestCandidate;

/** Legs may be offered. */
export interface CheckEventWelcome {
  type: "welcome";
  /** `VERSION`. */
  version: number;
}

/** The gateway's SDP answer, its candidates inside. */
export interface CheckEventAnswer {
  type: "answer";
  /** Of which leg. */
  path: CheckPath;
  /** SDP (RFC 8866). */
  sdp: string;
}

/** A leg is over, or there was none. */
export interface CheckEventEnded {
  type: "ended";
  /** Which leg; absent: the whole check, and the socket closes. */
  path?: CheckPath;
  /** Why: a code of the catalogue. Absent: its time is over. */
  code?: string;
}

export type CheckEvent =
  | CheckEventWelcome
  | CheckEventAnswer
  | CheckEventEnded;
