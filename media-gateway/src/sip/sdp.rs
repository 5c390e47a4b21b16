//! SDP of the SIP side: our offer, what the far end's SDP means for RTP, and answers to its offers (RFC 3264, RFC 8866).
//!
//! One audio stream of G.711 with RFC 4733 events, nothing else: further streams of an offer are declined with port 0.
//! It knows neither dialogs nor sockets.

use sdp_types::{Attribute, Connection, Media, NetType, Origin, Session};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// The payload type under which our own offers name `telephone-event`.
pub const TELEPHONE_EVENT: u8 = 101;

/// What we send unless the far end asks for something else (RFC 3551 section 4.2).
pub const DEFAULT_PTIME: Duration = Duration::from_millis(20);

/// Packet times that we send: more than 60 ms would make the conversation sluggish.
const PTIME_MS: std::ops::RangeInclusive<u64> = 10..=60;

/// SDP has no bound of its own; ours keeps the answer to a hostile offer small.
const MAX_MEDIA_SECTIONS: usize = 16;

/// A codec of the SIP side, both at 8,000 samples/s, one byte a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// G.711 μ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
}

impl Codec {
    const ALL: [Self; 2] = [Self::Pcmu, Self::Pcma];

    /// The encoding name (RFC 3551).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// The static payload type (RFC 3551 table 4).
    pub const fn static_payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }
}

/// Which way audio flows, from the view of whoever wrote the SDP (RFC 8866 section 6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// The writer only sends; the usual hold.
    SendOnly,
    /// The writer only receives.
    RecvOnly,
    /// Nothing flows.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    const fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same from the other side.
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            Self::SendRecv | Self::Inactive => self,
        }
    }
}

/// Our end of the audio stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where we receive RTP.
    pub rtp: SocketAddr,
    /// The session's number, the same over the life of a call.
    pub session_id: u64,
    /// Counts the SDPs that we sent in this call (RFC 3264 section 8); raise it before each new one.
    pub version: u64,
}

/// The far end of the audio stream, as its SDP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where it receives RTP; `None` while it holds the call with the address 0.0.0.0 (RFC 2543).
    pub rtp: Option<SocketAddr>,
    /// What both sides speak.
    pub codec: Codec,
    /// The payload type for it, in both directions.
    pub payload_type: u8,
    /// The payload type of `telephone-event`, in both directions, if it knows RFC 4733.
    pub telephone_event: Option<u8>,
    /// How much audio it wants in a packet: a multiple of 10 ms, from 10 to 60.
    pub ptime: Duration,
    /// Which way audio flows from its view.
    pub direction: Direction,
    /// Where its SIP comes from, which is no matter of SDP: audio from that host is rather the far end's than a stranger's.
    pub trunk: Option<IpAddr>,
}

impl Remote {
    /// Whether it wants our audio now.
    pub fn receives(&self) -> bool {
        self.rtp.is_some() && matches!(self.direction, Direction::SendRecv | Direction::RecvOnly)
    }
}

/// Why an SDP is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It cannot be read.
    #[error("not SDP: {0}")]
    Malformed(String),
    /// No audio section, or all of them switched off.
    #[error("no audio stream")]
    NoAudio,
    /// Audio, but not plain RTP: SRTP, or something unknown.
    #[error("audio is offered as {0}, not as RTP/AVP")]
    NotRtp(String),
    /// Neither PCMU nor PCMA.
    #[error("no common codec among {0:?}")]
    NoCommonCodec(String),
    /// The connection address is missing, a name, or multicast.
    #[error("no usable address: {0:?}")]
    NoAddress(String),
}

/// Our offer: PCMU and PCMA in this order, and telephone-event.
pub fn offer(local: &Local) -> String {
    let codecs = Codec::ALL.map(|codec| (codec, codec.static_payload_type()));
    write(local, vec![audio(local, &codecs, Some(TELEPHONE_EVENT), Direction::SendRecv)])
}

/// Reads the far end's answer to [`offer`], or its early one.
///
/// # Errors
/// When no audio can flow by it.
pub fn parse_answer(sdp: &str) -> Result<Remote, SdpError> {
    let session = parse(sdp)?;
    first_audio(&session).map(|(_, remote)| remote)
}

/// Reads an offer of the far end and writes our answer to it.
///
/// # Errors
/// When no audio can flow by it; the far end then gets 488 (RFC 3261 section 21.4.26).
pub fn answer(offer: &str, local: &Local) -> Result<(Remote, String), SdpError> {
    let session = parse(offer)?;
    let (chosen, remote) = first_audio(&session)?;
    let sections = session.medias.iter().enumerate().map(|(index, media)| {
        if index == chosen {
            let codecs = [(remote.codec, remote.payload_type)];
            audio(local, &codecs, remote.telephone_event, remote.direction.reversed())
        } else {
            declined(media)
        }
    });
    Ok((remote, write(local, sections.collect())))
}

fn parse(sdp: &str) -> Result<Session, SdpError> {
    let session = Session::parse(sdp.as_bytes()).map_err(|error| SdpError::Malformed(error.to_string()))?;
    if session.medias.len() > MAX_MEDIA_SECTIONS {
        return Err(SdpError::Malformed(format!("{} media sections", session.medias.len())));
    }
    Ok(session)
}

/// The first audio section that can be used, and its index. When none can, the error of the first live one.
fn first_audio(session: &Session) -> Result<(usize, Remote), SdpError> {
    let live = session.medias.iter().enumerate().filter(|(_, media)| media.media == "audio" && media.port != 0);
    let mut first_error = SdpError::NoAudio;
    for (nth, (index, media)) in live.enumerate() {
        match remote(session, media) {
            Ok(remote) => return Ok((index, remote)),
            Err(error) if nth == 0 => first_error = error,
            Err(_) => {}
        }
    }
    Err(first_error)
}

fn remote(session: &Session, media: &Media) -> Result<Remote, SdpError> {
    if media.proto != "RTP/AVP" && media.proto != "RTP/AVPF" {
        return Err(SdpError::NotRtp(media.proto.clone()));
    }
    let formats = || media.fmt.split_ascii_whitespace().filter_map(|format| format.parse::<u8>().ok());
    let (payload_type, codec) = formats()
        .find_map(|format| codec_of(media, format).map(|codec| (format, codec)))
        .ok_or_else(|| SdpError::NoCommonCodec(media.fmt.clone()))?;
    let telephone_event =
        formats().find(|&format| rtpmap(media, format).is_some_and(|map| is_encoding(map, "telephone-event")));
    let ip = address(session, media)?;
    let direction = |attributes: &[Attribute]| {
        Direction::ALL.into_iter().find(|way| attributes.iter().any(|a| a.attribute == way.attribute()))
    };
    Ok(Remote {
        rtp: (!ip.is_unspecified()).then(|| SocketAddr::new(ip, media.port)),
        codec,
        payload_type,
        telephone_event,
        ptime: ptime(media),
        direction: direction(&media.attributes).or_else(|| direction(&session.attributes)).unwrap_or_default(),
        trunk: None,
    })
}

/// The codec that a format stands for: by its rtpmap, or by the static table when there is none.
fn codec_of(media: &Media, format: u8) -> Option<Codec> {
    Codec::ALL.into_iter().find(|codec| match rtpmap(media, format) {
        Some(map) => is_encoding(map, codec.name()),
        None => format == codec.static_payload_type(),
    })
}

/// What follows the payload type in its rtpmap: `PCMU/8000`.
fn rtpmap(media: &Media, format: u8) -> Option<&str> {
    media.get_attribute_values("rtpmap").flatten().find_map(|value| {
        let (payload_type, map) = value.split_once(' ')?;
        (payload_type.parse() == Ok(format)).then(|| map.trim())
    })
}

fn is_encoding(map: &str, name: &str) -> bool {
    let mut parts = map.split('/');
    parts.next().is_some_and(|part| part.eq_ignore_ascii_case(name))
        && parts.next() == Some("8000")
        && parts.next().is_none_or(|channels| channels == "1")
}

fn address(session: &Session, media: &Media) -> Result<IpAddr, SdpError> {
    let connection = media.connections.first().or(session.connection.as_ref());
    let connection = connection.ok_or_else(|| SdpError::NoAddress(String::new()))?;
    match connection.try_address() {
        Ok(address) if connection.nettype == NetType::In && !address.ip.is_multicast() => Ok(address.ip),
        Ok(_) | Err(_) => Err(SdpError::NoAddress(connection.connection_address.clone())),
    }
}

fn ptime(media: &Media) -> Duration {
    // Some write fractions ("a=ptime:20.0").
    let number = |name| {
        let value = media.get_first_attribute_value(name).flatten()?;
        value.trim().parse().ok().filter(|number: &f64| number.is_finite())
    };
    let wanted = number("ptime").unwrap_or(DEFAULT_PTIME.as_millis() as f64);
    let at_most = number("maxptime").unwrap_or(f64::INFINITY);
    // `as` saturates, so hostile numbers end at the bounds.
    let ms = (wanted.min(at_most) as u64).clamp(*PTIME_MS.start(), *PTIME_MS.end());
    Duration::from_millis(ms - ms % 10)
}

fn audio(local: &Local, codecs: &[(Codec, u8)], event: Option<u8>, direction: Direction) -> Media {
    let attribute = |name: &str, value: String| Attribute { attribute: name.to_owned(), value: Some(value) };
    let mut formats: Vec<String> = codecs.iter().map(|(_, payload_type)| payload_type.to_string()).collect();
    let mut attributes: Vec<Attribute> =
        codecs.iter().map(|(codec, pt)| attribute("rtpmap", format!("{pt} {}/8000", codec.name()))).collect();
    if let Some(pt) = event {
        formats.push(pt.to_string());
        attributes.push(attribute("rtpmap", format!("{pt} telephone-event/8000")));
        attributes.push(attribute("fmtp", format!("{pt} 0-15")));
    }
    attributes.push(attribute("ptime", DEFAULT_PTIME.as_millis().to_string()));
    attributes.push(Attribute { attribute: direction.attribute().to_owned(), value: None });
    Media {
        media: "audio".to_owned(),
        port: local.rtp.port(),
        num_ports: None,
        proto: "RTP/AVP".to_owned(),
        fmt: formats.join(" "),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes,
    }
}

/// Port 0, everything else as offered (RFC 3264 section 6).
fn declined(offered: &Media) -> Media {
    Media {
        port: 0,
        num_ports: None,
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
        ..offered.clone()
    }
}

fn write(local: &Local, medias: Vec<Media>) -> String {
    let origin = Origin::with_ip_addr(local.session_id, local.version, local.rtp.ip());
    let mut session = Session::new(origin, "-");
    session.connection = Some(Connection::from_ip_addr(local.rtp.ip()));
    session.medias = medias;
    let mut text = Vec::new();
    // Writing to memory does not fail, and all parts are text.
    let _ = session.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOCAL: Local = Local {
        rtp: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), 20000),
        session_id: 42,
        version: 1,
    };

    fn sdp(media: &str) -> String {
        format!("v=0\r\no=- 1 1 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 198.51.100.2\r\nt=0 0\r\n{media}")
    }

    #[test]
    fn our_offer_lists_g711_and_events() {
        insta::assert_snapshot!(offer(&LOCAL).replace("\r\n", "\n"), @r"
        v=0
        o=- 42 1 IN IP4 192.0.2.7
        s=-
        c=IN IP4 192.0.2.7
        t=0 0
        m=audio 20000 RTP/AVP 0 8 101
        a=rtpmap:0 PCMU/8000
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-15
        a=ptime:20
        a=sendrecv
        ");
    }

    #[test]
    fn an_ordinary_answer_is_understood() {
        let answer = sdp(
            "m=audio 4000 RTP/AVP 8 96\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\n",
        );
        let remote = parse_answer(&answer).unwrap();
        assert_eq!(
            remote,
            Remote {
                rtp: Some("198.51.100.2:4000".parse().unwrap()),
                codec: Codec::Pcma,
                payload_type: 8,
                telephone_event: Some(96),
                ptime: Duration::from_millis(30),
                direction: Direction::SendRecv,
                trunk: None,
            }
        );
    }

    #[test]
    fn a_static_payload_type_needs_no_rtpmap() {
        let remote = parse_answer(&sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
        assert_eq!((remote.codec, remote.telephone_event, remote.ptime), (Codec::Pcmu, None, DEFAULT_PTIME));
    }

    #[test]
    fn the_address_of_the_media_section_goes_before_the_sessions() {
        let remote = parse_answer(&sdp("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 203.0.113.9\r\n")).unwrap();
        assert_eq!(remote.rtp, Some("203.0.113.9:4000".parse().unwrap()));
    }

    #[test]
    fn an_answer_without_a_common_codec_is_refused() {
        assert_eq!(
            parse_answer(&sdp("m=audio 4000 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\n")),
            Err(SdpError::NoCommonCodec("18".to_owned()))
        );
        // A dynamic rtpmap over the static number makes it something else.
        assert!(matches!(
            parse_answer(&sdp("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/16000\r\n")),
            Err(SdpError::NoCommonCodec(_))
        ));
    }

    #[test]
    fn a_declined_stream_is_no_audio() {
        assert_eq!(parse_answer(&sdp("m=audio 0 RTP/AVP 0\r\n")), Err(SdpError::NoAudio));
        assert_eq!(parse_answer(&sdp("m=video 4000 RTP/AVP 96\r\n")), Err(SdpError::NoAudio));
    }

    #[test]
    fn srtp_names_and_multicast_are_refused() {
        assert!(matches!(parse_answer(&sdp("m=audio 4000 RTP/SAVP 0\r\n")), Err(SdpError::NotRtp(_))));
        let name = sdp("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 media.example\r\n");
        assert_eq!(parse_answer(&name), Err(SdpError::NoAddress("media.example".to_owned())));
        let multicast = sdp("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n");
        assert!(matches!(parse_answer(&multicast), Err(SdpError::NoAddress(_))));
    }

    #[test]
    fn hold_by_sendonly_is_answered_by_recvonly() {
        let (remote, answer) =
            answer(&sdp("a=sendonly\r\nm=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"), &LOCAL)
                .unwrap();
        assert_eq!(remote.direction, Direction::SendOnly);
        assert!(!remote.receives());
        assert!(answer.contains("a=recvonly\r\n"), "{answer}");
    }

    #[test]
    fn hold_by_a_zero_address_gets_no_audio() {
        let remote = parse_answer(&sdp("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n")).unwrap();
        assert_eq!((remote.rtp, remote.receives()), (None, false));
    }

    #[test]
    fn an_answer_has_as_many_sections_as_the_offer_and_declines_all_but_one() {
        let offer = sdp(
            "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\nm=audio 4000 RTP/AVP 9 8 100\r\na=rtpmap:100 telephone-event/8000\r\nm=audio 4002 RTP/AVP 0\r\n",
        );
        insta::assert_snapshot!(answer(&offer, &LOCAL).unwrap().1.replace("\r\n", "\n"), @r"
        v=0
        o=- 42 1 IN IP4 192.0.2.7
        s=-
        c=IN IP4 192.0.2.7
        t=0 0
        m=video 0 RTP/AVP 96
        m=audio 20000 RTP/AVP 8 100
        a=rtpmap:8 PCMA/8000
        a=rtpmap:100 telephone-event/8000
        a=fmtp:100 0-15
        a=ptime:20
        a=sendrecv
        m=audio 0 RTP/AVP 0
        ");
    }

    #[test]
    fn odd_packet_times_come_to_rest_within_bounds() {
        for (written, ms) in
            [("20.0", 20), ("35", 30), ("5", 10), ("200", 60), ("NaN", 20), ("1e99", 60), ("-1", 10), ("x", 20)]
        {
            let remote = parse_answer(&sdp(&format!("m=audio 4000 RTP/AVP 0\r\na=ptime:{written}\r\n"))).unwrap();
            assert_eq!(remote.ptime, Duration::from_millis(ms), "{written}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_panics(text in "([vosctma]=[ -~]{0,40}\r\n){0,12}") {
            let _ = parse_answer(&text);
            let _ = answer(&text, &LOCAL);
        }

        #[test]
        fn our_own_answer_to_our_own_offer_agrees(port in 1..=u16::MAX, version: u64) {
            let local = Local { rtp: SocketAddr::new(LOCAL.rtp.ip(), port), version, ..LOCAL };
            let (remote, text) = answer(&offer(&local), &LOCAL).unwrap();
            prop_assert_eq!(remote.rtp, Some(local.rtp));
            let back = parse_answer(&text).unwrap();
            prop_assert_eq!((back.codec, back.telephone_event), (remote.codec, remote.telephone_event));
        }
    }
}
