//! What the worker does with browsers' TCP connections: it finds out whose each is, and moves its datagrams like those of the
//! WebRTC socket. The connections themselves are [`tcp`]'s.

use std::time::Instant;

use mio::Token;
use protocol::gateway::Transport;
use tracing::trace;

use super::leads::guarded;
use super::{Slot, Worker};
use crate::media::tcp::Received;
use crate::media::webrtc::{Way, stun_ufrags};

/// Datagrams of one connection in one turn, as many as of one RTP socket.
const CONNECTION_BUDGET: usize = 8;

impl Worker {
    /// Returns whether there may be more.
    pub(super) fn receive_connection(&mut self, token: Token, buffer: &mut [u8]) -> bool {
        for _ in 0..CONNECTION_BUDGET {
            let now = Instant::now();
            let (length, source, owner) = match self.shared.tcp.receive(token, buffer, now) {
                Received::Datagram { length, peer, owner } => (length, peer, owner),
                Received::Nothing => return false,
                Received::Over { peer, owner } => {
                    let Some(slot) = owner else { return false };
                    self.with_call(slot, now, |call| call.handle_connection_lost(peer));
                    return false;
                }
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let Some(destination) = self.webrtc.candidate_for(Transport::Tcp, source) else { continue };
            let way = Way { transport: Transport::Tcp, source, destination };
            let Some(slot) = owner.or_else(|| guarded(|| self.introduced(token, way, datagram, now))) else {
                trace!(%source, length, "a connection that is for no call");
                self.shared.counters.stray.increment(1);
                self.shared.tcp.turn_away(token);
                return false;
            };
            self.with_call(slot, now, |call| call.handle_visitor(way, datagram, now));
            self.time(now);
        }
        true
    }

    /// Closes connections that have come to their deadline.
    pub(super) fn sweep_connections(&mut self) {
        let now = Instant::now();
        for (slot, peer) in self.shared.tcp.sweep(now) {
            self.with_call(slot, now, |call| call.handle_connection_lost(peer));
        }
    }

    /// Whose a connection is, by its first datagram: a STUN request that names a leg, its integrity checked.
    fn introduced(&mut self, token: Token, way: Way, datagram: &[u8], now: Instant) -> Option<Slot> {
        let (local, remote) = stun_ufrags(datagram)?;
        let slot = *self.by_ufrag.get(&local)?;
        // With the address goes the connection, when its leg does.
        self.learn(slot, way, (&local, &remote), datagram, now)?;
        trace!(slot, peer = %way.source, "a connection of the browser");
        self.shared.tcp.claim(token, slot);
        Some(slot)
    }
}
