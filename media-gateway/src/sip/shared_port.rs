//! The SIP port while two processes share it, because one takes the other's place: the newcomer reads it and passes on what the
//! Call-ID says is the other's. That still sends from the port, and its dialogs go on under the Contact that they have.
//!
//! Every Call-ID that we make ends in the process that made it, and peers repeat it in all that they say in the dialog.

use crate::strays;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Ends every Call-ID of ours.
pub(super) const OURS: &str = ".ringlet";

/// Longer than any datagram of SIP; rsipstack reads no longer ones.
const MAX_MESSAGE: usize = 65_536;

/// How the port is shared.
pub(super) struct SharedPort {
    /// How the Call-IDs of this process end.
    process: String,
    /// To the process whose port this was.
    before: Option<UnixDatagram>,
    /// From the one that takes ours.
    after: Mutex<Option<Arc<UnixDatagram>>>,
    /// There is one now.
    changed: tokio::sync::Notify,
    /// It has the port.
    pub(super) let_go: CancellationToken,
    pub(super) predecessor_gone: CancellationToken,
}

/// What there is to read.
enum Read {
    Port(SocketAddr, usize),
    Passed(usize),
    PredecessorGone,
    Changed,
}

impl SharedPort {
    pub(super) fn new(process: String, before: Option<std::os::unix::net::UnixDatagram>) -> io::Result<Self> {
        let predecessor_gone = CancellationToken::new();
        if before.is_none() {
            predecessor_gone.cancel();
        }
        Ok(Self {
            process,
            before: before.map(UnixDatagram::from_std).transpose()?,
            after: Mutex::new(None),
            changed: tokio::sync::Notify::new(),
            let_go: CancellationToken::new(),
            predecessor_gone,
        })
    }

    pub(super) fn hear_strays(&self, inlet: std::os::unix::net::UnixDatagram) -> io::Result<()> {
        let inlet = Arc::new(UnixDatagram::from_std(inlet)?);
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = Some(inlet);
        self.changed.notify_one();
        Ok(())
    }

    /// The next datagram for this process.
    pub(super) async fn receive(&self, port: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let mut passed = Vec::new();
        loop {
            let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match self.read(port, after.as_deref(), buffer, &mut passed).await? {
                Read::Port(source, length) => match &self.before {
                    Some(before) if buffer.get(..length).is_some_and(|it| self.is_of_another(it)) => {
                        // A way that is full loses what the port would have lost; SIP says it again.
                        let _ = before.try_send(&strays::write(source, buffer.get(..length).unwrap_or_default()));
                    }
                    Some(_) | None => return Ok((length, source)),
                },
                Read::Passed(0) => {
                    warn!("the process that has the SIP port is gone");
                    *self.after.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
                Read::Passed(length) => {
                    let Some((source, datagram)) = passed.get(..length).and_then(strays::read) else { continue };
                    match &self.before {
                        Some(before) if self.is_of_another(datagram) => {
                            let _ = before.try_send(&strays::write(source, datagram));
                        }
                        Some(_) | None => {
                            let Some(place) = buffer.get_mut(..datagram.len()) else { continue };
                            place.copy_from_slice(datagram);
                            return Ok((datagram.len(), source));
                        }
                    }
                }
                Read::PredecessorGone => self.predecessor_gone.cancel(),
                Read::Changed => {}
            }
        }
    }

    async fn read(
        &self,
        port: &UdpSocket,
        after: Option<&UnixDatagram>,
        buffer: &mut [u8],
        passed: &mut Vec<u8>,
    ) -> io::Result<Read> {
        if after.is_some() {
            passed.resize(MAX_MESSAGE + strays::HEADER_BYTES, 0);
        }
        let is_read = !self.let_go.is_cancelled() || after.is_none();
        let inlet = async {
            match after {
                Some(after) => after.recv(passed).await,
                None => std::future::pending().await,
            }
        };
        let outlet = async {
            match &self.before {
                // It says nothing; a read that comes back tells its end.
                Some(before) => before.recv(&mut [0]).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            received = port.recv_from(buffer), if is_read => received.map(|(length, source)| Read::Port(source, length)),
            received = inlet => Ok(Read::Passed(received.unwrap_or_default())),
            _ = outlet, if !self.predecessor_gone.is_cancelled() => Ok(Read::PredecessorGone),
            () = self.changed.notified() => Ok(Read::Changed),
            () = self.let_go.cancelled(), if is_read && after.is_some() => Ok(Read::Changed),
        }
    }

    /// Whether a message is of a dialog, or an answer to a request, of another process of ours.
    fn is_of_another(&self, datagram: &[u8]) -> bool {
        call_id(datagram).is_some_and(|id| id.ends_with(OURS) && !id.ends_with(&self.process))
    }
}

/// The Call-ID of a message that nobody has parsed yet.
fn call_id(datagram: &[u8]) -> Option<&str> {
    let end = datagram.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(datagram.len());
    let head = std::str::from_utf8(datagram.get(..end)?).ok()?;
    let (_, id) = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).find(|(name, _)| {
        let name = name.trim();
        name.eq_ignore_ascii_case("Call-ID") || name.eq_ignore_ascii_case("i")
    })?;
    Some(id.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(header: &str) -> Vec<u8> {
        format!("BYE sip:a@192.0.2.7 SIP/2.0\r\nVia: SIP/2.0/UDP a\r\n{header}\r\nCSeq: 2 BYE\r\n\r\nCall-ID: x")
            .into_bytes()
    }

    #[test]
    fn the_call_id_tells_whose_message_it_is() -> io::Result<()> {
        let port = SharedPort::new("@0000beef.ringlet".to_owned(), None)?;
        let table = [
            ("Call-ID: 1-2@0000cafe.ringlet", true),
            ("i:1-2@0000cafe.ringlet ", true),
            ("CALL-ID : 1-2@0000cafe.ringlet", true),
            ("Call-ID: 1-2@0000beef.ringlet", false),
            ("Call-ID: 1-2@pbx.example", false),
            ("Subject: 1-2@0000cafe.ringlet", false),
        ];
        for (header, is_of_another) in table {
            assert_eq!(port.is_of_another(&message(header)), is_of_another, "{header}");
        }
        assert!(!port.is_of_another(b"\xff\xfe"));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_of_the_process_before_goes_there_and_it_reads_nothing_else() -> io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?.into_std()?;
        let (old_port, new_port) = (UdpSocket::from_std(socket.try_clone()?)?, UdpSocket::from_std(socket)?);
        let (inlet, outlet) = strays::pair()?;
        let old = SharedPort::new("@0000cafe.ringlet".to_owned(), None)?;
        let new = SharedPort::new("@0000beef.ringlet".to_owned(), Some(outlet))?;
        old.hear_strays(inlet)?;
        old.let_go.cancel();
        let peer = UdpSocket::bind("127.0.0.1:0").await?;
        let source = peer.local_addr()?;
        let (mine, its) = (message("Call-ID: 1@0000beef.ringlet"), message("Call-ID: 1@0000cafe.ringlet"));
        let (mut new_buffer, mut old_buffer) = ([0; 2048], [0; 2048]);
        for datagram in [&its, &mine] {
            peer.send_to(datagram, new_port.local_addr()?).await?;
        }
        let received = tokio::join!(new.receive(&new_port, &mut new_buffer), old.receive(&old_port, &mut old_buffer));
        assert_eq!((received.0?, received.1?), ((mine.len(), source), (its.len(), source)));
        assert_eq!((new_buffer.get(..mine.len()), old_buffer.get(..its.len())), (Some(&mine[..]), Some(&its[..])));

        // Whoever goes first, the other has the port.
        drop(new);
        drop(new_port);
        peer.send_to(&its, old_port.local_addr()?).await?;
        assert_eq!(old.receive(&old_port, &mut old_buffer).await?, (its.len(), source));
        Ok(())
    }
}
