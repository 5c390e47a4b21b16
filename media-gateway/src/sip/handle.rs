//! The way in: commands to the stack. Nothing here waits; what becomes of a command arrives as
//! [`SipEvent`](super::SipEvent)s.

use super::{
    Dial, OfferReply, SipError, SipStats,
    probe::{self, OptionsOutcome, ProbeError},
    stack::Shared,
};
use protocol::{CallId, TrunkName};
use std::{io, net::SocketAddr, os::unix::net::UnixDatagram, sync::Arc, time::Duration};
use tokio::sync::{mpsc, mpsc::error::TrySendError};

/// Commands that may wait for the stack: it never blocks on anything, so more than this means that it is stuck.
pub(super) const COMMAND_QUEUE: usize = 1024;

/// What the stack is told.
#[derive(Debug)]
pub(super) enum Command {
    Dial(Box<Dial>),
    Call(CallId, CallCommand),
    Shutdown,
}

/// What a call is told.
#[derive(Debug)]
pub(super) enum CallCommand {
    Release(String),
    OfferReply(OfferReply),
    Ring,
    Answer(String),
    Reject(u16),
}

/// A handle on the running stack. Clones are cheap; the stack ends on [`shutdown`](Self::shutdown), or when the last
/// handle is gone.
#[derive(Clone, Debug)]
pub struct SipHandle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) shared: Arc<Shared>,
}

impl SipHandle {
    /// Rings the far end.
    ///
    /// # Errors
    /// When there is no such trunk, the address makes no URI, or all calls are taken; no event follows then.
    pub fn dial(&self, dial: Dial) -> Result<(), SipError> {
        self.shared.check(&dial)?;
        self.send(Command::Dial(Box::new(dial)))
    }

    /// The trunk's address, once a call that we make goes there.
    pub(crate) fn peer(&self, call: &CallId) -> Option<std::net::IpAddr> {
        self.shared.peer(call)
    }

    /// Ends a call in whatever state: CANCEL, BYE, a refusal, or nothing. `why` goes into the Reason header (RFC 3326).
    /// A call that is gone already is no error.
    ///
    /// # Errors
    /// [`SipError::Ended`] or [`SipError::Full`].
    pub fn release(&self, call: &CallId, why: &str) -> Result<(), SipError> {
        self.call(call, CallCommand::Release(why.to_owned()))
    }

    /// Answers [`SipEvent::ReInvite`](super::SipEvent::ReInvite).
    ///
    /// # Errors
    /// [`SipError::Ended`] or [`SipError::Full`].
    pub fn answer_reinvite(&self, call: &CallId, reply: OfferReply) -> Result<(), SipError> {
        self.call(call, CallCommand::OfferReply(reply))
    }

    /// Tells the caller of [`SipEvent::Incoming`](super::SipEvent::Incoming) that it rings (180).
    ///
    /// # Errors
    /// [`SipError::Ended`] or [`SipError::Full`].
    pub fn ring(&self, call: &CallId) -> Result<(), SipError> {
        self.call(call, CallCommand::Ring)
    }

    /// Answers the caller of [`SipEvent::Incoming`](super::SipEvent::Incoming) with our SDP (200).
    ///
    /// # Errors
    /// [`SipError::Ended`] or [`SipError::Full`].
    pub fn answer(&self, call: &CallId, sdp: String) -> Result<(), SipError> {
        self.call(call, CallCommand::Answer(sdp))
    }

    /// Refuses the caller of [`SipEvent::Incoming`](super::SipEvent::Incoming) with a status of 300 to 699.
    ///
    /// # Errors
    /// [`SipError::Ended`] or [`SipError::Full`].
    pub fn reject(&self, call: &CallId, status: u16) -> Result<(), SipError> {
        self.call(call, CallCommand::Reject(status))
    }

    /// Asks a trunk with OPTIONS whether it is there (RFC 3261 section 11).
    ///
    /// # Errors
    /// In words for a person, what is wrong.
    pub async fn options(&self, trunk: &TrunkName, timeout: Duration) -> Result<OptionsOutcome, ProbeError> {
        probe::options(&self.shared, trunk, timeout).await
    }

    /// What is alive.
    pub fn stats(&self) -> SipStats {
        self.shared.stats()
    }

    /// Where SIP arrives.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr()
    }

    /// Another process is to take this one's place: what it passes on comes this way.
    ///
    /// # Errors
    /// When the socket is of no use.
    pub(crate) fn hear_strays(&self, inlet: UnixDatagram) -> io::Result<()> {
        self.shared.port.hear_strays(inlet)
    }

    /// It has the sockets: read them no more.
    pub(crate) fn let_go(&self) {
        self.shared.port.let_go.cancel();
    }

    /// Whose sockets these were is gone; resolves at once when there was nobody.
    pub(crate) async fn predecessor_gone(&self) {
        self.shared.port.predecessor_gone.cancelled().await;
    }

    /// Ends all calls (CANCEL, BYE), waits for that until `deadline` has passed, then closes the sockets.
    pub async fn shutdown(&self, deadline: Duration) {
        // A full queue or an ended stack: the token below ends it either way.
        let _ = self.commands.send_timeout(Command::Shutdown, deadline).await;
        let _ = tokio::time::timeout(deadline, self.shared.ended.cancelled()).await;
        self.shared.close();
    }

    fn call(&self, call: &CallId, command: CallCommand) -> Result<(), SipError> {
        self.send(Command::Call(call.clone(), command))
    }

    fn send(&self, command: Command) -> Result<(), SipError> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => SipError::Full,
            TrySendError::Closed(_) => SipError::Ended,
        })
    }
}
