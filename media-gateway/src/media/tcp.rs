//! ICE over TCP (RFC 6544): the passive side's connections, datagrams framed by RFC 4571. They come from a listener of our own,
//! or from the web server, which tells them by their first byte.
//!
//! Deliberately not here: whose a connection is. The worker finds that out from the first frame, which must be a STUN request
//! that names a leg, and tells.
//!
//! A connection holds a fixed number of bytes each way. When the browser does not read, audio is dropped, a whole frame at
//! a time: what is late is of no use, and a frame that was begun must be ended.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use metrics::{Counter, counter, gauge};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use protocol::network::of_stranger;
use protocol::rfc4571::{self, Deframer};
use tracing::{debug, trace};

/// Connections at the same time: five for each of 200 calls.
const MAX_CONNECTIONS: usize = 1024;
/// Of which so many may not have shown yet whose they are, in all and from one address or, of IPv6, one /64. An office behind one NAT
/// clicks less often than this within [`INTRODUCTION`].
const MAX_STRANGERS: usize = 256;
const MAX_STRANGERS_OF_ONE_ADDRESS: usize = 32;
/// A browser makes one for each of its interfaces and each of our addresses, and keeps one.
const MAX_CONNECTIONS_OF_ONE_CALL: usize = 8;
/// How long a connection may take to its first valid STUN request, which a browser sends at once.
const INTRODUCTION: Duration = Duration::from_secs(5);
/// How long a connection may be silent. Browsers check a pair that they keep at least every 5 s (RFC 7675 section 5.1).
const IDLE: Duration = Duration::from_secs(30);
/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_secs(1);
/// Connections that are accepted in one turn.
const ACCEPT_BUDGET: usize = 16;
/// Audio that may wait here for the browser to read: about 0.2 s. DTLS and STUN may fill [`MAX_WAITING`].
const MAX_AUDIO_WAITING: usize = 2048;
/// A flight of DTLS, and room for audio.
const MAX_WAITING: usize = 16 * 1024;
/// What may wait unsent in the kernel, where nothing can be dropped any more: about 0.3 s of audio.
const MAX_UNSENT: u32 = 2048;
/// RFC 7983 section 7: first bytes below are STUN, DTLS and others, from here on RTP and RTCP.
const FIRST_OF_AUDIO: u8 = 128;

/// The token of our listener.
pub(crate) const LISTENER: Token = Token(2);
/// Tokens from here on are connections, far above those of calls.
const FIRST_TOKEN: usize = 1 << 48;

/// Whether the token is a connection's.
pub(crate) fn is_connection(Token(token): Token) -> bool {
    token >= FIRST_TOKEN
}

/// What came over a connection.
#[derive(Debug)]
pub(crate) enum Received {
    /// A datagram of this length, now at the buffer's beginning.
    Datagram {
        /// Its length in bytes.
        length: usize,
        /// The browser's address.
        peer: SocketAddr,
        /// Whose the connection is, once that is known.
        owner: Option<usize>,
    },
    /// Nothing more for now.
    Nothing,
    /// The connection is of no more use; it was `owner`'s.
    Over {
        /// The browser's address.
        peer: SocketAddr,
        /// Whose the connection was.
        owner: Option<usize>,
    },
}

/// All connections of a gateway.
pub(crate) struct Connections {
    listener: Option<TcpListener>,
    registry: Registry,
    connections: BTreeMap<Token, Connection>,
    by_peer: HashMap<SocketAddr, Token>,
    next_token: usize,
    next_sweep: Instant,
    counters: Counters,
}

struct Counters {
    refused: Counter,
    not_introduced: Counter,
    idle: Counter,
    dropped: Counter,
}

struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    owner: Option<usize>,
    since: Instant,
    heard: Instant,
    inbox: Deframer,
    outbox: Vec<u8>,
}

impl Connections {
    /// Takes connections from the listener, if there is one, and from [`Self::adopt`].
    ///
    /// # Errors
    /// When the listener cannot be watched.
    pub(crate) fn new(listener: Option<std::net::TcpListener>, registry: Registry, now: Instant) -> io::Result<Self> {
        let mut listener = listener.map(TcpListener::from_std);
        if let Some(listener) = &mut listener {
            registry.register(listener, LISTENER, Interest::READABLE)?;
        }
        let ended = |why: &'static str| counter!("ringlet_tcp_connections_ended_total", "why" => why);
        let counters = Counters {
            refused: ended("refused"),
            not_introduced: ended("not_introduced"),
            idle: ended("idle"),
            dropped: counter!("ringlet_tcp_frames_dropped_total"),
        };
        let (connections, by_peer) = (BTreeMap::new(), HashMap::new());
        let this = Self {
            listener,
            registry,
            connections,
            by_peer,
            next_token: FIRST_TOKEN,
            next_sweep: now + SWEEP,
            counters,
        };
        this.show();
        Ok(this)
    }

    /// Accepts no more.
    pub(crate) fn close_listener(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            let _ = self.registry.deregister(&mut listener);
        }
    }

    /// Accepts what waits at the listener. Returns whether there may be more.
    pub(crate) fn accept(&mut self, now: Instant) -> bool {
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = &self.listener else { return false };
            match listener.accept() {
                Ok((socket, peer)) => self.take(socket, peer, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    // Out of descriptors, most likely: the next sweep tries again.
                    debug!(%error, "a connection cannot be accepted");
                    return false;
                }
            }
        }
        true
    }

    /// Takes over a connection that somebody else has accepted and not read from. It is non-blocking.
    pub(crate) fn adopt(&mut self, socket: std::net::TcpStream, now: Instant) {
        match socket.peer_addr() {
            Ok(peer) => self.take(TcpStream::from_std(socket), peer, now),
            Err(error) => debug!(%error, "a connection was gone before it was taken over"),
        }
    }

    /// The next datagram of a connection, copied to `buffer`.
    pub(crate) fn receive(&mut self, token: Token, buffer: &mut [u8], now: Instant) -> Received {
        let Some(connection) = self.connections.get_mut(&token) else { return Received::Nothing };
        let (peer, owner) = (connection.peer, connection.owner);
        match connection.read(buffer) {
            Ok(Some(length)) => {
                connection.heard = now;
                return Received::Datagram { length, peer, owner };
            }
            Ok(None) => match connection.flush() {
                Ok(()) => return Received::Nothing,
                Err(error) => debug!(%peer, %error, "connection broken"),
            },
            Err(error) => debug!(%peer, %error, "connection over"),
        }
        self.close(token);
        Received::Over { peer, owner }
    }

    /// It is known whose the connection is. One who makes too many loses the oldest.
    pub(crate) fn claim(&mut self, token: Token, owner: usize) {
        let mut same = self.connections.iter().filter(|(_, connection)| connection.owner == Some(owner));
        let oldest = same.next().map(|(token, _)| *token);
        if let Some(oldest) = oldest.filter(|_| same.count() + 1 >= MAX_CONNECTIONS_OF_ONE_CALL) {
            self.close(oldest);
        }
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.owner = Some(owner);
        }
    }

    /// Sends a datagram. Returns whether there is such a connection and the datagram was taken.
    pub(crate) fn send(&mut self, peer: SocketAddr, datagram: &[u8]) -> bool {
        let connection = self.by_peer.get(&peer).and_then(|token| self.connections.get_mut(token));
        let Some(connection) = connection.filter(|connection| connection.owner.is_some()) else { return false };
        // An error shows again when the connection is read.
        let is_taken = connection.send(datagram).unwrap_or_default();
        if !is_taken {
            self.counters.dropped.increment(1);
            trace!(%peer, length = datagram.len(), "the browser does not keep up");
        }
        is_taken
    }

    /// Closes the connections of an owner, but for those of the browser's addresses that are kept.
    pub(crate) fn close_those_of(&mut self, owner: usize, is_kept: impl Fn(SocketAddr) -> bool) {
        let of_owner =
            |(_, connection): &(&Token, &Connection)| connection.owner == Some(owner) && !is_kept(connection.peer);
        for token in self.connections.iter().filter(of_owner).map(|(token, _)| *token).collect::<Vec<_>>() {
            self.close(token);
        }
    }

    /// Closes one.
    pub(crate) fn close(&mut self, token: Token) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        if self.by_peer.get(&connection.peer) == Some(&token) {
            self.by_peer.remove(&connection.peer);
        }
        let _ = self.registry.deregister(&mut connection.socket);
        self.show();
    }

    /// Closes a connection that did not say whose it is.
    pub(crate) fn turn_away(&mut self, token: Token) {
        self.counters.not_introduced.increment(1);
        self.close(token);
    }

    /// Closes what has come to its deadline, once a second; looks for what an accept that failed has left. Gives back whose
    /// connections are closed.
    pub(crate) fn sweep(&mut self, now: Instant) -> Vec<(usize, SocketAddr)> {
        if now < self.next_sweep {
            return Vec::new();
        }
        self.next_sweep = now + SWEEP;
        self.accept(now);
        let is_past = |since: Instant, deadline| now.saturating_duration_since(since) >= deadline;
        let due = self.connections.iter().filter(|(_, connection)| match connection.owner {
            None => is_past(connection.since, INTRODUCTION),
            Some(_) => is_past(connection.heard, IDLE),
        });
        let due: Vec<_> = due.map(|(token, it)| (*token, it.owner, it.peer)).collect();
        let mut owners = Vec::new();
        for (token, owner, peer) in due {
            debug!(%peer, is_known = owner.is_some(), "connection closed at its deadline");
            match owner {
                None => self.turn_away(token),
                Some(owner) => {
                    self.counters.idle.increment(1);
                    owners.push((owner, peer));
                    self.close(token);
                }
            }
        }
        owners
    }

    fn take(&mut self, mut socket: TcpStream, peer: SocketAddr, now: Instant) {
        if self.is_full_for(peer.ip()) {
            self.counters.refused.increment(1);
            return debug!(%peer, connections = self.connections.len(), "connection refused: there are too many");
        }
        let token = Token(self.next_token);
        let prepared = prepare(&socket)
            .and_then(|()| self.registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE));
        if let Err(error) = prepared {
            return debug!(%peer, %error, "a connection cannot be used");
        }
        self.next_token += 1;
        // The same four-tuple cannot be connected twice; over another of our addresses, the newer counts.
        if let Some(older) = self.by_peer.insert(peer, token) {
            self.close(older);
        }
        let (inbox, outbox) = (Deframer::default(), Vec::new());
        self.connections.insert(token, Connection { socket, peer, owner: None, since: now, heard: now, inbox, outbox });
        self.by_peer.insert(peer, token);
        self.show();
    }

    fn is_full_for(&self, address: IpAddr) -> bool {
        let strangers = self.connections.values().filter(|connection| connection.owner.is_none());
        let (all, same) = strangers.fold((0, 0), |(all, same), stranger| {
            (all + 1, same + usize::from(of_stranger(stranger.peer.ip()) == of_stranger(address)))
        });
        self.connections.len() >= MAX_CONNECTIONS || all >= MAX_STRANGERS || same >= MAX_STRANGERS_OF_ONE_ADDRESS
    }

    fn show(&self) {
        gauge!("ringlet_tcp_connections").set(self.connections.len() as f64);
    }
}

impl Connection {
    /// Copies the next datagram to `buffer`; its length, or `None` when there is none yet.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.inbox.next_frame() {
                Ok(Some(frame)) => {
                    buffer.iter_mut().zip(frame).for_each(|(to, from)| *to = *from);
                    return Ok(Some(frame.len().min(buffer.len())));
                }
                Ok(None) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            match self.socket.read(self.inbox.room()) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.inbox.filled(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a datagram, or keeps it for when there is room; `false` when it was dropped.
    fn send(&mut self, datagram: &[u8]) -> io::Result<bool> {
        let Ok(header) = rfc4571::header(datagram.len()) else { return Ok(false) };
        self.flush()?;
        let is_audio = datagram.first().is_some_and(|first| *first >= FIRST_OF_AUDIO);
        let most = if is_audio { MAX_AUDIO_WAITING } else { MAX_WAITING };
        if !self.outbox.is_empty() && self.outbox.len() + header.len() + datagram.len() > most {
            return Ok(false);
        }
        self.outbox.extend(header);
        self.outbox.extend(datagram);
        self.flush()?;
        Ok(true)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.outbox.is_empty() {
            match self.socket.write(&self.outbox) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => drop(self.outbox.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Each datagram at once, and not more of them in the kernel than can be heard in time.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(MAX_UNSENT)
}

#[cfg(test)]
#[path = "tcp_tests.rs"]
mod tests;
