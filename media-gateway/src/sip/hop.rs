//! Where a request goes next: name to address, address to connection, and the address that we name as our own.
//!
//! Names are looked up as A and AAAA (RFC 3263 without NAPTR and SRV, which rsipstack cannot here and trunks rarely need).

use super::stack::Shared;
use crate::config::{Transport, Trunk};
use rsipstack::{
    sip::{Host, HostWithPort, Param, Transport as SipTransport, Uri},
    transport::{SipAddr, SipConnection},
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::PoisonError,
    time::Duration,
};
use tokio::time::timeout;

/// A name server or TCP peer that is silent for longer is down; far below timer B, so that the caller learns sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// RFC 3261 section 19.1.2.
const DEFAULT_PORT: u16 = 5060;

/// Trunk addresses that are remembered: a name may have several and change them, and all are looked up again for each call.
const MAX_TRUNK_ADDRESSES: usize = 1024;

/// Where a request goes, and over what.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) connection: SipConnection,
    pub(super) address: SipAddr,
    pub(super) peer: SocketAddr,
}

impl Hop {
    pub(super) fn transport(&self) -> Transport {
        if self.connection.is_reliable() { Transport::Tcp } else { Transport::Udp }
    }

    /// Whether the connection can still carry requests; datagrams always can.
    fn is_alive(&self) -> bool {
        !self.connection.is_reliable() || self.connection.cancel_token().is_some_and(|token| !token.is_cancelled())
    }
}

/// Why there is no way to a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HopError {
    /// The name has no address.
    #[error("the host name {host} has no address: {detail}")]
    UnknownHost {
        /// The name.
        host: String,
        /// What the resolver said.
        detail: String,
    },
    /// No connection came about.
    #[error("no connection to {transport} {peer}: {detail}")]
    NoConnection {
        /// How.
        transport: Transport,
        /// Where to.
        peer: SocketAddr,
        /// What the system said.
        detail: String,
    },
}

impl Shared {
    /// The way to a trunk.
    pub(super) async fn hop_to_trunk(&self, trunk: &Trunk) -> Result<Hop, HopError> {
        let peer = self.resolve(&trunk.host, trunk.port).await?;
        self.remember_trunk(peer.ip());
        self.connect(trunk.transport, peer).await
    }

    fn remember_trunk(&self, ip: IpAddr) {
        let mut known = self.trunk_addresses.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_TRUNK_ADDRESSES {
            known.clear();
        }
        known.insert(ip);
    }

    /// The way to the first hop of a request within a dialog (RFC 3261 section 8.1.2). A dialog over TCP keeps its
    /// connection as long as that lives: behind a NAT it is the only way (RFC 5923).
    pub(super) async fn hop_to_uri(&self, uri: &Uri, dialog: &Hop) -> Result<Hop, HopError> {
        if dialog.connection.is_reliable() && dialog.is_alive() {
            return Ok(dialog.clone());
        }
        let named = |transport| uri.params.contains(&Param::Transport(transport));
        let transport = match (named(SipTransport::Tcp), named(SipTransport::Udp)) {
            (true, _) => Transport::Tcp,
            (false, true) => Transport::Udp,
            (false, false) => dialog.transport(),
        };
        let host = match &uri.host_with_port.host {
            Host::Domain(name) => name.0.clone(),
            Host::IpAddr(ip) => ip.to_string(),
        };
        let port = uri.host_with_port.port.map_or(DEFAULT_PORT, |port| port.0);
        let peer = self.resolve(&host, port).await?;
        self.connect(transport, peer).await
    }

    /// The address that Via, Contact and From name towards a peer.
    pub(super) fn own_address(&self, peer: SocketAddr) -> SocketAddr {
        let local = self.local_addr();
        let ip = match self.settings.public_ip {
            Some(ip) => ip,
            None if local.ip().is_unspecified() => source_ip(peer).unwrap_or(local.ip()),
            None => local.ip(),
        };
        SocketAddr::new(ip, local.port())
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<SocketAddr, HopError> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(SocketAddr::new(ip, port));
        }
        let unknown = |detail: String| HopError::UnknownHost { host: host.to_owned(), detail };
        let found = timeout(CONNECT_TIMEOUT, tokio::net::lookup_host((host, port))).await;
        let found = found.map_err(|_| unknown("the name server is silent".to_owned()))?;
        let mut addresses = found.map_err(|error| unknown(error.to_string()))?;
        let family = self.local_addr().is_ipv4();
        let version = if family { "IPv4" } else { "IPv6" };
        addresses.find(|address| address.is_ipv4() == family).ok_or_else(|| unknown(format!("none of {version}")))
    }

    async fn connect(&self, transport: Transport, peer: SocketAddr) -> Result<Hop, HopError> {
        let kind = match transport {
            Transport::Udp => SipTransport::Udp,
            Transport::Tcp => SipTransport::Tcp,
        };
        let address = SipAddr::new(kind, HostWithPort::from(peer));
        let failed = |detail: String| HopError::NoConnection { transport, peer, detail };
        let found = timeout(CONNECT_TIMEOUT, self.endpoint.transport_layer.lookup(&address, None)).await;
        let found = found.map_err(|_| failed(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())))?;
        let (connection, address) = found.map_err(|error| failed(error.to_string()))?;
        Ok(Hop { connection, address, peer })
    }
}

/// The address that the system would send from.
fn source_ip(peer: SocketAddr) -> Option<IpAddr> {
    let any = if peer.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // Connecting a datagram socket sends nothing: it only picks the route.
    socket.connect(peer).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
