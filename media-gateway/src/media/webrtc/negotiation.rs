//! Offers and answers of the visitor's leg: the first, those for another path, and the answer to an offer that is still to come.
//!
//! Like an ICE-lite agent the gateway sends no checks of its own (RFC 8445 section 2.5), so of the browser it needs to know nothing
//! but the certificate to let it connect. What else an offer of the same browser says, the one before has said.

use std::collections::VecDeque;
use std::time::Instant;

use dsp::SampleRate;
use protocol::fingerprint;
use protocol::visitor::Quality;
use str0m::change::SdpOffer;
use str0m::format::{Codec, FormatParams};
use str0m::ice::IceCreds;
use str0m::media::{Direction, Frequency, Mid};
use str0m::net::Transmit;
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Output, Rtc, RtcConfig};

use super::path::{Path, transport_of};
use super::{CONNECT_DEADLINE, REPORT_INTERVAL, Way, WebRtcError, WebRtcLeg, WebRtcOutput, WebRtcSettings};
use crate::media::quality::with_quality;
use protocol::gateway::Transport;

/// Payload types that we would prefer; the browser's offer decides (RFC 3264 section 6.1).
pub(super) const PREFERRED_EVENT_PT_48K: u8 = 110;
pub(super) const PREFERRED_EVENT_PT_8K: u8 = 126;

/// RFC 4733 section 2.3.2: 0–9, *, #, A–D. Flash (16) is no key.
const HIGHEST_EVENT: u8 = 15;

/// The RTP header extension id of `urn:ietf:params:rtp-hdrext:sdes:mid` that we would prefer.
const PREFERRED_MID_EXTENSION: u8 = 4;

/// What offer and answer have agreed on.
pub(super) struct Agreed {
    /// The browser's first offer; of a leg that is made ahead, that of the page before.
    offer: String,
    /// What it was answered with.
    answer: String,
    /// What the audio may cost.
    quality: Quality,
    /// The browser's username fragment; `None` until a leg that was made ahead has heard of it.
    remote_ufrag: Option<String>,
    /// The session of the browser's peer connection; `None` until the page that the leg was made ahead for has made its offer.
    session: Option<String>,
}

impl WebRtcLeg {
    /// Makes a leg from the browser's offer, and the SDP answer with our candidates inside.
    ///
    /// # Errors
    /// [`WebRtcError`] when the offer is no SDP, lacks fingerprint or ICE credentials, or has no Opus to send and receive.
    pub(crate) fn answer(
        settings: &WebRtcSettings,
        offer: &str,
        quality: Quality,
        now: Instant,
    ) -> Result<(Self, String), WebRtcError> {
        let parsed = SdpOffer::from_sdp_string(offer).map_err(|error| WebRtcError::Syntax(error.to_string()))?;
        let mut rtc = rtc_config(settings).build(now);
        for candidate in settings.host_candidates() {
            rtc.add_local_candidate(candidate);
        }
        let answer = rtc.sdp_api().accept_offer(parsed)?.to_sdp_string();
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        let mid = first_audio(&rtc, &answer).ok_or(WebRtcError::NoAudio)?;
        let pending = drain(&mut rtc)?;
        let remote_pts = rtc.media(mid).map(|media| media.remote_pts().to_vec()).unwrap_or_default();
        let negotiated = || rtc.codec_config().params().iter().filter(|params| remote_pts.contains(&params.pt()));
        let opus = negotiated().find(|params| params.spec().codec == Codec::Opus).ok_or(WebRtcError::NoAudio)?.pt();
        let answer = with_quality(&undeclared(&answer), &mid.to_string(), *opus, quality);
        let events = negotiated().filter(|params| params.spec().codec.is_tele());
        let events = events.map(|params| (params.pt(), event_clock(params.spec().clock_rate))).collect();
        let leg = Self {
            rtc,
            ufrag,
            mid,
            opus,
            events,
            pending,
            next_timeout: now,
            connect_deadline: Some(now + CONNECT_DEADLINE),
            is_down: false,
            agreed: Agreed {
                offer: offer.to_owned(),
                answer: answer.clone(),
                quality,
                remote_ufrag: ice_ufrag(offer).map(str::to_owned),
                session: session(offer),
            },
            heard: None,
            is_silent: false,
            tells_up: false,
            remote_candidates: 0,
            path: Path::default(),
            carried: None,
            last_over: Transport::Udp,
        };
        Ok((leg, answer))
    }

    /// Makes a leg for the page after the one that this leg is of, which will have the certificate with that fingerprint, and the answer
    /// to the offer that it will make. It waits without a deadline until it is [met](Self::meet).
    ///
    /// # Errors
    /// [`WebRtcError`], as for the offer before.
    pub(crate) fn prepare(
        &self,
        settings: &WebRtcSettings,
        fingerprint: &str,
        now: Instant,
    ) -> Result<(Self, String), WebRtcError> {
        let offer = offer_of_successor(&self.agreed.offer, fingerprint);
        let (mut leg, answer) = Self::answer(settings, &offer, self.agreed.quality, now)?;
        (leg.agreed.remote_ufrag, leg.agreed.session) = (None, None);
        leg.connect_deadline = None;
        Ok((leg, answer))
    }

    /// A STUN request that names this leg has come from a page that it was prepared for: from now on its time counts. Says whether
    /// the request is to be believed.
    pub(crate) fn meet(&mut self, way: Way, remote_ufrag: &str, datagram: &[u8], now: Instant) -> bool {
        if !self.is_met() {
            // Of the password nothing is known, and nothing needed: we send no checks.
            let creds = IceCreds { ufrag: remote_ufrag.to_owned(), pass: String::new() };
            self.rtc.direct_api().set_remote_ice_credentials(creds);
        }
        let is_true = self.accepts(way, datagram, now);
        if is_true && !self.is_met() {
            self.agreed.remote_ufrag = Some(remote_ufrag.to_owned());
            self.connect_deadline = Some(now + CONNECT_DEADLINE);
            self.next_timeout = now;
        }
        is_true
    }

    /// Whether the browser's side of it is known.
    pub(crate) fn is_met(&self) -> bool {
        self.agreed.remote_ufrag.is_some()
    }

    /// Whether this leg, made ahead, is the one for the offer: of the right certificate, of the page that it was met by if it was, and
    /// otherwise like the offer that it was made from.
    pub(crate) fn is_prepared_for(&self, offer: &str) -> bool {
        let met = self.agreed.remote_ufrag.as_deref();
        self.agreed.session.is_none()
            && self.is_under_same_certificate(offer)
            && (met.is_none() || met == ice_ufrag(offer))
            && lasting_lines(offer).eq(lasting_lines(&self.agreed.offer))
    }

    /// The page that it was made ahead for has made its offer, to which this is the answer.
    pub(crate) fn offered(&mut self, offer: &str, now: Instant) -> String {
        if let Some(ufrag) = ice_ufrag(offer).filter(|_| !self.is_met()) {
            let creds = IceCreds { ufrag: ufrag.to_owned(), pass: String::new() };
            self.rtc.direct_api().set_remote_ice_credentials(creds);
            self.connect_deadline = Some(now + CONNECT_DEADLINE);
            self.next_timeout = now;
        }
        (self.agreed.remote_ufrag, self.agreed.session) = (ice_ufrag(offer).map(str::to_owned), session(offer));
        self.agreed.offer = offer.to_owned();
        self.agreed.answer.clone()
    }

    /// Whether the offer is of the peer connection that this leg belongs to, and can be answered by it: then DTLS and SRTP go
    /// on over whichever path ICE finds (RFC 8842 section 5.5). Of two pages that have one certificate each has a session of its own
    /// (RFC 8866 section 5.2).
    pub(crate) fn is_of_same_peer(&self, offer: &str) -> bool {
        self.agreed.session.is_some() && session(offer) == self.agreed.session && self.is_under_same_certificate(offer)
    }

    fn is_under_same_certificate(&self, offer: &str) -> bool {
        let both = fingerprint::of_sdp(offer).zip(fingerprint::of_sdp(&self.agreed.offer));
        !self.is_down && self.rtc.is_alive() && both.is_some_and(|(one, other)| fingerprint::is_same(one, other))
    }

    /// The answer to an offer of the same peer connection, if it asks for the path that there is.
    pub(crate) fn known_answer(&self, offer: &str) -> Option<String> {
        let is_known = self.is_met() && self.agreed.remote_ufrag.as_deref() == ice_ufrag(offer);
        is_known.then(|| self.agreed.answer.clone())
    }

    /// Answers another offer of the same peer connection: an ICE restart (RFC 8445 section 2.4).
    ///
    /// # Errors
    /// [`WebRtcError`] when the offer is no SDP or contradicts what was agreed.
    pub(crate) fn answer_again(&mut self, offer: &str, quality: Quality, now: Instant) -> Result<String, WebRtcError> {
        let parsed = SdpOffer::from_sdp_string(offer).map_err(|error| WebRtcError::Syntax(error.to_string()))?;
        let answer = self.rtc.sdp_api().accept_offer(parsed)?.to_sdp_string();
        let answer = with_quality(&undeclared(&answer), &self.mid.to_string(), *self.opus, quality);
        let remote_ufrag = ice_ufrag(offer).map(str::to_owned);
        // The first offer stays: it is what the next page's will be like.
        (self.agreed.answer, self.agreed.quality, self.agreed.remote_ufrag) = (answer.clone(), quality, remote_ufrag);
        self.ufrag = self.rtc.direct_api().local_ice_credentials().ufrag;
        self.remote_candidates = 0;
        self.path = Path::default();
        self.tells_up = self.connect_deadline.is_none();
        self.next_timeout = now;
        Ok(answer)
    }

    /// What the audio may cost the visitor.
    pub(crate) fn quality(&self) -> Quality {
        self.agreed.quality
    }
}

/// Lines of an offer that are of one page, or of one path of it.
const PASSING: [&str; 8] =
    ["o=", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=candidate:", "a=end-of-candidates", "a=ssrc", "a=msid"];

/// The others, in their order: codecs, header extensions, sections. Ports and addresses tell of candidates.
fn lasting_lines(offer: &str) -> impl Iterator<Item = &str> {
    let of_candidates = ["m=", "c=", "a=rtcp:"];
    offer
        .lines()
        .filter(|line| !PASSING.iter().any(|start| line.starts_with(start)))
        .filter(move |line| !of_candidates.iter().any(|start| line.starts_with(start)))
}

/// What the next page of the same browser will offer, as far as that can be known. Its streams are told by their MID (RFC 8843
/// section 9.2), since their SSRCs are not known.
fn offer_of_successor(offer: &str, fingerprint: &str) -> String {
    let not_its = ["a=candidate:", "a=end-of-candidates", "a=ssrc"];
    let lines = offer.lines().filter(|line| !not_its.iter().any(|start| line.starts_with(start)));
    let lines = lines.map(|line| match line.split_once(':') {
        Some(("a=fingerprint", _)) => format!("a=fingerprint:{fingerprint}\r\n"),
        _ => format!("{line}\r\n"),
    });
    lines.collect()
}

/// The session that an offer is of: its `o=` line up to the version.
fn session(offer: &str) -> Option<String> {
    let origin = offer.lines().find_map(|line| line.strip_prefix("o="))?;
    let end = origin.match_indices(' ').nth(1).map_or(origin.len(), |(end, _)| end);
    origin.get(..end).map(str::to_owned)
}

/// The browser's username fragment (RFC 8839 section 5.4).
fn ice_ufrag(offer: &str) -> Option<&str> {
    offer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::trim_end)
}

/// An answer that does not say that we are ICE-lite (RFC 8839 section 5.3). To a lite agent Chromium nominates a path with its second check, 50 ms
/// after the first, and DTLS has to wait for that; to a full one it does so with the first. That we send no checks it does not notice: no
/// browser needs them for its own to succeed.
fn undeclared(answer: &str) -> String {
    answer.replace("a=ice-lite\r\n", "")
}

fn rtc_config(settings: &WebRtcSettings) -> RtcConfig {
    codecs(Rtc::builder().set_ice_lite(true).set_rtp_mode(true).set_dtls_cert(settings.certificate.clone()))
        .set_stats_interval(Some(REPORT_INTERVAL))
}

pub(super) fn codecs(config: RtcConfig) -> RtcConfig {
    let mut extensions = ExtensionMap::empty();
    extensions.set(PREFERRED_MID_EXTENSION, Extension::RtpMid);
    let mut config = config.clear_codecs().enable_opus(true, false).set_extension_map(extensions);
    for (pt, clock) in
        [(PREFERRED_EVENT_PT_48K, Frequency::FORTY_EIGHT_KHZ), (PREFERRED_EVENT_PT_8K, Frequency::EIGHT_KHZ)]
    {
        let format = FormatParams { telephone_event_max: Some(HIGHEST_EVENT), ..FormatParams::default() };
        config.codec_config().add_config(pt.into(), None, Codec::Tele, clock, None, format);
    }
    config
}

/// The first audio section of our answer that sends and receives. str0m names its sections in an event only when DTLS is
/// done.
fn first_audio(rtc: &Rtc, answer: &str) -> Option<Mid> {
    let mids = answer.split("\nm=").skip(1).filter(|section| section.starts_with("audio ")).filter_map(|section| {
        section.lines().find_map(|line| line.strip_prefix("a=mid:")).map(|mid| Mid::from(mid.trim_end()))
    });
    mids.into_iter().find(|&mid| rtc.media(mid).is_some_and(|media| media.direction() == Direction::SendRecv))
}

/// What str0m has to send at once.
fn drain(rtc: &mut Rtc) -> Result<VecDeque<WebRtcOutput>, WebRtcError> {
    let mut pending = VecDeque::new();
    loop {
        match rtc.poll_output()? {
            Output::Timeout(_) => return Ok(pending),
            Output::Event(_) => {}
            Output::Transmit(Transmit { proto, destination, contents, .. }) => {
                let (transport, datagram) = (transport_of(proto), Vec::from(contents));
                pending.push_back(WebRtcOutput::Transmit { transport, destination, datagram });
            }
        }
    }
}

fn event_clock(rate: Frequency) -> SampleRate {
    if rate == Frequency::EIGHT_KHZ { SampleRate::HZ_8000 } else { SampleRate::HZ_48000 }
}
