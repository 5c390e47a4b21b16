//! What a media gateway is told at its start: addresses, ports, capacity and the trunks it rings.
//!
//! Plain values: reading `ringlet.toml` and complaining about it belongs to the binary.

use protocol::{GatewayId, TrunkName};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

/// The settings of one gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway's name, unique among those of a signal-server.
    pub name: GatewayId,
    /// How many calls it takes at the same time.
    pub capacity: u32,
    /// Where browsers' ICE, DTLS and SRTP arrive: one UDP socket for all calls.
    pub media_udp: SocketAddr,
    /// Where browsers connect whose network lets no UDP pass.
    pub media_tcp: MediaTcp,
    /// The addresses that the ICE candidates name; empty means those of `media_udp` itself.
    pub public_ips: Vec<IpAddr>,
    /// Where SIP arrives, over UDP and TCP on the same port. Port 0 takes a free one.
    pub sip_listen: SocketAddr,
    /// The address that Via, Contact and SDP name, when the gateway stands behind a 1:1 NAT.
    pub sip_public_ip: Option<IpAddr>,
    /// The address that the RTP sockets of the SIP side bind.
    pub rtp_ip: IpAddr,
    /// The ports that they take: even for RTP, the odd one above it for RTCP (RFC 3550 section 11).
    pub rtp_ports: RangeInclusive<u16>,
    /// The SIP peers that can be rung.
    pub trunks: Vec<Trunk>,
    /// What the visitor hears while the far end rings without sending audio itself.
    pub ringback: Ringback,
    /// What the far end hears when the visitor's page goes away, and when nobody has come back.
    pub away_tone: AwayTone,
    /// How long a far end that has answered may send neither RTP nor RTCP, unless it holds the call; `None`: for ever.
    pub far_end_silence: Option<Duration>,
}

impl Default for Config {
    /// Everything on loopback, no trunk.
    fn default() -> Self {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            name: GatewayId::new("gateway"),
            capacity: 200,
            media_udp: SocketAddr::new(loopback, 3478),
            media_tcp: MediaTcp::default(),
            public_ips: Vec::new(),
            sip_listen: SocketAddr::new(loopback, 5060),
            sip_public_ip: None,
            rtp_ip: loopback,
            rtp_ports: 20000..=20999,
            trunks: Vec::new(),
            ringback: Ringback::default(),
            away_tone: AwayTone::default(),
            far_end_silence: Some(Duration::from_secs(60)),
        }
    }
}

/// Where browsers connect for ICE over TCP (RFC 6544).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaTcp {
    /// Nowhere.
    #[default]
    Off,
    /// At a port of our own. Port 0 takes that of `media_udp`.
    Listen(SocketAddr),
    /// At a port where somebody else listens, who hands over what begins with
    /// [a frame](protocol::rfc4571::begins_with) through [`Gateway::sockets`](crate::Gateway::sockets).
    Shared(u16),
}

impl MediaTcp {
    /// Where we listen ourselves, beside `media_udp`.
    pub(crate) fn address(self, media_udp: SocketAddr) -> Option<SocketAddr> {
        let Self::Listen(mut address) = self else { return None };
        if address.port() == 0 {
            address.set_port(media_udp.port());
        }
        Some(address)
    }
}

/// A SIP peer that reaches the PSTN or a PBX.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its name, as destinations refer to it.
    pub name: TrunkName,
    /// Host name or IP address. A name is looked up (A and AAAA) for every call; SRV is not.
    pub host: String,
    /// The port, by default 5060.
    pub port: u16,
    /// How SIP travels.
    pub transport: Transport,
    /// Who we are when the trunk asks for digest credentials (RFC 8760).
    pub username: Option<String>,
    /// The secret that goes with `username`.
    pub password: Option<Password>,
    /// The user part of the From URI, by default `username`, else `ringlet`.
    pub from_user: Option<String>,
    /// The From display name of calls that bring no caller name of their own.
    pub from_name: Option<String>,
    /// The host part of the From URI, by default the gateway's own address.
    pub from_domain: Option<String>,
    /// How often an OPTIONS request asks whether the trunk is there; `None` never asks.
    pub keepalive: Option<Duration>,
    /// How keys travel, both ways.
    pub dtmf: Dtmf,
}

impl Trunk {
    /// A trunk without credentials, reached over UDP.
    pub fn new(name: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self {
            name: TrunkName::new(name),
            host: host.into(),
            port,
            transport: Transport::default(),
            username: None,
            password: None,
            from_user: None,
            from_name: None,
            from_domain: None,
            keepalive: None,
            dtmf: Dtmf::default(),
        }
    }
}

/// How keys travel on a trunk, both ways. SIP INFO is taken besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// As events (RFC 4733) where the far end negotiates them, else as tones in the audio.
    #[default]
    Auto,
    /// As events or not at all.
    Events,
    /// As tones whatever the far end negotiates; events that it sends are taken as well.
    Tones,
}

/// How SIP travels to a trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, with the retransmissions of RFC 3261 section 17.
    #[default]
    Udp,
    /// A connection, opened by us when there is none yet.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// A secret that never reaches a log: neither `Debug` nor `Display` tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the digest.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The cadence and pitch of a local ringback tone (ITU-T E.180 supplement 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ringback {
    /// 425 Hz, 1 s on, 4 s off.
    #[default]
    Europe,
    /// 440 Hz and 480 Hz together, 2 s on, 4 s off.
    NorthAmerica,
    /// 400 Hz and 450 Hz together, 0.4 s on, 0.2 s off, 0.4 s on, 2 s off.
    UnitedKingdom,
    /// Silence.
    Silent,
}

/// What the far end is told of a visitor between two pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AwayTone {
    /// A short soft tone when the page goes, two low ones when nobody has come back.
    #[default]
    Soft,
    /// Silence.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_prints_without_its_password() {
        let trunk = Trunk { password: Some(Password::new("hunter2")), ..Trunk::new("pbx", "pbx.example", 5060) };
        assert!(!format!("{trunk:?}").contains("hunter2"));
    }
}
