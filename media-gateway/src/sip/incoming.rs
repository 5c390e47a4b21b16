//! A call from outside, from its INVITE to its end (RFC 3261 section 13.3). The gateway takes none; `ringlet phone` does.

use super::{
    SipEvent,
    dialog::{Dialog, shown_name},
    digest::Authenticator,
    handle::CallCommand,
    hop::Hop,
    outgoing::{contact, finish},
    server::{self, Responder, ServerEvent},
    session::Session,
    stack::{Inbox, Shared},
};
use protocol::CallId;
use rsipstack::{
    sip::{Header, HeadersExt as _, Request},
    transaction::transaction::Transaction,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// How long a caller may wait for an answer (RFC 3261 section 13.3.1.1 wants an upper bound of minutes).
const MAX_RINGING: Duration = Duration::from_secs(300);

/// A call on its way in.
pub(super) struct Incoming {
    pub(super) shared: Arc<Shared>,
    pub(super) call: CallId,
    pub(super) dialog: Dialog,
    pub(super) hop: Hop,
    pub(super) sdp: Option<String>,
    pub(super) transaction: Transaction,
    pub(super) events: mpsc::Sender<SipEvent>,
    pub(super) inbox: Inbox,
}

/// The dialog and the way back of an INVITE from outside. `None` when it lacks what they need.
pub(super) fn dialog_of(shared: &Shared, transaction: &Transaction) -> Option<(Dialog, Hop)> {
    let connection = transaction.connection.clone()?;
    let address = connection.get_remote_addr()?.clone();
    let peer = address.get_socketaddr().ok()?;
    let hop = Hop { connection, address, peer };
    let user = transaction.original.uri.user().unwrap_or_default().to_owned();
    let contact = contact(&user, shared.own_address(peer), hop.transport());
    Some((Dialog::incoming(&transaction.original, contact)?, hop))
}

impl Incoming {
    /// Runs the call to its end.
    pub(super) async fn run(self) {
        let Self { shared, call, dialog, hop, sdp, transaction, events, mut inbox } = self;
        let mut session = Session::new(shared, call.clone(), events, dialog, hop, Authenticator::new(None));
        let invite = server::open(&session.shared, transaction, session.server_events_in.clone());
        respond(&session, &invite, 100, Vec::new(), None);
        session.late_answer = sdp.is_none();
        let from = invite.request.from_header().map(shown_name).unwrap_or_default();
        let to = invite.request.uri.user().unwrap_or_default().to_owned();
        session.tell(SipEvent::Incoming { call, from, to, sdp }).await;
        if accepted(&mut session, &mut inbox, &invite).await {
            session.confirmed = true;
            acknowledged(session, inbox).await;
        }
    }
}

/// Waits for what becomes of the INVITE. True when it was answered.
async fn accepted(session: &mut Session, inbox: &mut Inbox, invite: &Responder) -> bool {
    let deadline = Instant::now() + MAX_RINGING;
    loop {
        let refusal = tokio::select! {
            command = inbox.commands.recv() => match command {
                Some(CallCommand::Ring) => {
                    respond(session, invite, 180, contact_header(session), None);
                    continue;
                }
                Some(CallCommand::Answer(sdp)) => match session.negotiate_timer(&invite.request.headers.0) {
                    Ok((headers, timer)) => {
                        session.timer = timer;
                        let headers = [server::capabilities(), contact_header(session), record_route(&invite.request), headers];
                        respond(session, invite, 200, headers.concat(), Some(&sdp));
                        session.local_sdp = sdp;
                        return true;
                    }
                    Err(min_se) => {
                        respond(session, invite, 422, vec![min_se], None);
                        return false;
                    }
                },
                Some(CallCommand::Reject(status)) => status,
                Some(CallCommand::OfferReply(_)) => continue,
                Some(CallCommand::Release(_)) | None => 480,
            },
            event = session.server_event() => match event {
                ServerEvent::Cancelled => {
                    respond(session, invite, 487, Vec::new(), None);
                    session.tell(SipEvent::Bye { call: session.call.clone() }).await;
                    return false;
                }
                ServerEvent::Acknowledged(_) | ServerEvent::Unacknowledged => continue,
            },
            Some(request) = inbox.requests.recv() => {
                let _ = session.on_request(request).await;
                continue;
            }
            () = sleep_until(deadline) => 480,
        };
        respond(session, invite, refusal, Vec::new(), None);
        return false;
    }
}

/// Waits for the ACK, then serves the call. Until it has come, the callee may not hang up (RFC 3261 section 15).
async fn acknowledged(mut session: Session, mut inbox: Inbox) {
    let mut released = None;
    loop {
        tokio::select! {
            event = session.server_event() => match event {
                ServerEvent::Acknowledged(answer) => {
                    let call = session.call.clone();
                    let sdp = answer.unwrap_or_default();
                    let late = std::mem::take(&mut session.late_answer);
                    session.tell(SipEvent::Answered { call, sdp: if late { sdp } else { String::new() } }).await;
                    break;
                }
                ServerEvent::Unacknowledged => {
                    session.tell(SipEvent::Bye { call: session.call.clone() }).await;
                    return session.hang_up(&mut inbox, "our 2xx was never acknowledged".to_owned()).await;
                }
                ServerEvent::Cancelled => {}
            },
            command = inbox.commands.recv() => match command {
                Some(CallCommand::Release(why)) => released = Some(why),
                Some(CallCommand::OfferReply(_) | CallCommand::Ring | CallCommand::Answer(_) | CallCommand::Reject(_)) => {}
                None => return,
            },
            Some(request) = inbox.requests.recv() => {
                if session.on_request(request).await.is_some() {
                    return session.tell(SipEvent::Bye { call: session.call.clone() }).await;
                }
            }
        }
    }
    match released {
        Some(why) => session.hang_up(&mut inbox, why).await,
        None => finish(session, &mut inbox, None).await,
    }
}

fn respond(session: &Session, invite: &Responder, status: u16, headers: Vec<Header>, sdp: Option<&str>) {
    // A 100 makes no dialog and has no tag (RFC 3261 section 8.2.6.2).
    let to = (status != 100).then(|| session.dialog.local());
    invite.respond(server::response(&session.shared, &invite.request, status, to, headers, sdp));
}

fn contact_header(session: &Session) -> Vec<Header> {
    vec![Header::Contact(session.dialog.contact.clone().into())]
}

/// RFC 3261 section 12.1.1: the response that makes the dialog repeats them.
fn record_route(request: &Request) -> Vec<Header> {
    request.headers.iter().filter(|header| matches!(header, Header::RecordRoute(_))).cloned().collect()
}
