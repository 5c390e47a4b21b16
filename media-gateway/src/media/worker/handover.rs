//! The WebRTC socket while two processes share it, because one takes the other's place: the newcomer reads it and passes on what is
//! for none of its calls; the other reads what is passed on, and sends as before. Not here: which process is which.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

use mio::{Interest, Token};
use protocol::gateway::Transport;
use tracing::{error, info, trace, warn};

use super::leads::guarded;
use super::{MAX_DATAGRAM, WEBRTC, WEBRTC_BUDGET, Worker, keeps_readable};
use crate::media::webrtc::Way;
use crate::strays;

/// The token of what is passed on to us.
pub(super) const INLET: Token = Token(3);

/// The ways to the process before this one and from the one after it.
#[derive(Default)]
pub(super) struct Neighbours {
    /// To the process whose place this one has taken.
    before: Option<UnixDatagram>,
    /// From the one that takes ours.
    after: Option<mio::net::UnixDatagram>,
    /// It has the sockets.
    has_let_go: bool,
}

impl Neighbours {
    pub(super) fn new(before: Option<UnixDatagram>) -> Self {
        Self { before, ..Self::default() }
    }
}

impl Worker {
    /// A datagram that came to our port.
    pub(super) fn handle_datagram(&mut self, source: SocketAddr, datagram: &[u8]) {
        let now = Instant::now();
        let Some(destination) = self.webrtc.candidate_for(Transport::Udp, source) else { return };
        let way = Way { transport: Transport::Udp, source, destination };
        if let Some(slot) = guarded(|| self.owner(way, datagram, now)) {
            self.with_call(slot, now, |call| call.handle_visitor(way, datagram, now));
            self.time(now);
        } else if let Some(before) = &self.neighbours.before {
            // A way that is full is one more queue that audio may be late in.
            let _ = before.send(&strays::write(source, datagram));
        } else {
            self.shared.counters.stray.increment(1);
            trace!(%source, length = datagram.len(), "datagram for no call");
        }
    }

    /// Reads what the process after this one passes on. Returns whether there may be more.
    pub(super) fn receive_strays(&mut self) -> bool {
        let mut buffer = [0; MAX_DATAGRAM + strays::HEADER_BYTES];
        for _ in 0..WEBRTC_BUDGET {
            let Some(after) = &self.neighbours.after else { return false };
            match after.recv(&mut buffer) {
                Ok(0) => {
                    self.lose_successor();
                    return false;
                }
                Ok(length) => {
                    if let Some((source, datagram)) = buffer.get(..length).and_then(strays::read) {
                        self.handle_datagram(source, datagram);
                    }
                }
                Err(error) => return keeps_readable(&error),
            }
        }
        true
    }

    /// Reads from now on what another process passes on, beside the socket itself.
    pub(super) fn watch_strays(&mut self, inlet: UnixDatagram) {
        let mut inlet = mio::net::UnixDatagram::from_std(inlet);
        match self.poll.registry().register(&mut inlet, INLET, Interest::READABLE) {
            Ok(()) => self.neighbours.after = Some(inlet),
            Err(error) => error!(%error, "what is passed on to us is not watched"),
        }
    }

    /// Reads the socket no more, and accepts no connection: the process after this one does.
    pub(super) fn let_go(&mut self) {
        if self.neighbours.after.is_none() {
            // It was gone before the word came, and nobody would read.
            return warn!("the process that was to have the ports is gone: keeping them");
        }
        self.neighbours.has_let_go = true;
        self.shared.tcp.close_listener();
        if let Err(error) = self.poll.registry().deregister(&mut self.shared.socket) {
            error!(%error, "the socket is watched still");
        }
        // What has been told to be readable is left to the other.
        self.readable.retain(|token| *token != WEBRTC);
        info!(calls = self.calls.len(), "another process has the ports");
    }

    /// The process after this one is gone: our calls' datagrams find nobody but us.
    fn lose_successor(&mut self) {
        if let Some(mut inlet) = self.neighbours.after.take() {
            let _ = self.poll.registry().deregister(&mut inlet);
        }
        if std::mem::take(&mut self.neighbours.has_let_go) {
            warn!("the process that has the ports is gone: reading the WebRTC socket again");
            let watched = self.poll.registry().register(&mut self.shared.socket, WEBRTC, Interest::READABLE);
            if let Err(error) = watched.or_else(already) {
                error!(%error, "the socket is not watched");
            }
        }
    }
}

fn already(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}
