//! A call that we make, from the INVITE to its end (RFC 3261 section 13.2 and 9.1, RFC 3262).

use super::{
    Dial, SipEvent,
    client::{self, ClientTransaction},
    dialog::{self, Dialog, DialogId},
    digest::{Authenticator, Credentials},
    handle::CallCommand,
    hop::Hop,
    server,
    session::{Over, Session, reason},
    stack::{Inbox, Shared},
};
use crate::config::{Transport, Trunk};
use protocol::CallId;
use rsipstack::{
    sip::{
        Header, HeadersExt as _, Method, Response, StatusCodeKind, Uri,
        headers::{Allow, ContentType, RAck, Supported},
    },
    transaction::transaction::Transaction,
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::{debug, info};

/// The last bound of ringing, in case that nobody above sets one; RFC 3261's timer C is above 3 minutes.
const MAX_RINGING: Duration = Duration::from_secs(300);

/// How many T1 a trunk may be silent, 8 s by default: one that is there says 100 within 200 ms (RFC 3261 section 17.2.1), and
/// four retransmissions may be lost until then. A shopper shall not listen to nothing until timer B.
const FIRST_RESPONSE_T1: u32 = 16;

/// Challenges to an INVITE: a proxy, the far end, and stale nonces of both.
const MAX_ATTEMPTS: usize = 5;

/// Branches of a fork whose reliable responses are acknowledged; a ring group of telephones has fewer.
const MAX_EARLY_DIALOGS: usize = 32;

/// What a display shows at most; longer names are cut.
const MAX_DISPLAY_NAME: usize = 80;

/// The user part of our address when neither `from_user` nor `username` is set.
const DEFAULT_USER: &str = "ringlet";

/// Headers that are the stack's own, or change where a call goes: the configuration may not set them.
const RESERVED_HEADERS: &[&str] = &[
    "accept",
    "allow",
    "authorization",
    "c",
    "call-id",
    "contact",
    "content-encoding",
    "content-length",
    "content-type",
    "cseq",
    "e",
    "f",
    "from",
    "i",
    "k",
    "l",
    "m",
    "max-forwards",
    "proxy-authorization",
    "proxy-require",
    "record-route",
    "require",
    "route",
    "session-expires",
    "supported",
    "t",
    "to",
    "v",
    "via",
    "x",
];

/// The Request-URI for an address on a trunk: a whole `sip:` URI as it stands, a bare user part completed by the trunk's
/// host. `None` when it makes no URI.
pub(super) fn request_uri(trunk: &Trunk, address: &str) -> Option<Uri> {
    let is_uri = address.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip:"));
    let text = if is_uri {
        address.to_owned()
    } else {
        // RFC 3261 section 25.1: unreserved and user-unreserved, and the number sign of star codes.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/#".contains(&byte);
        if address.is_empty() || !address.bytes().all(allowed) {
            return None;
        }
        let host = if trunk.host.contains(':') && !trunk.host.starts_with('[') {
            format!("[{}]", trunk.host)
        } else {
            trunk.host.clone()
        };
        let transport = match trunk.transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
        };
        // rsipstack escapes what a user part may not hold when it writes the URI: `#` becomes `%23`.
        format!("sip:{address}@{host}:{}{transport}", trunk.port)
    };
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte));
    clean.then(|| Uri::try_from(text.as_str()).ok()).flatten()
}

/// A call on its way out.
pub(super) struct Outgoing {
    pub(super) shared: Arc<Shared>,
    pub(super) trunk: Trunk,
    pub(super) dial: Dial,
    pub(super) id: DialogId,
    pub(super) events: mpsc::Sender<SipEvent>,
    pub(super) inbox: Inbox,
}

/// What the INVITE came to.
enum Outcome {
    Answered(Box<(Response, ClientTransaction)>),
    /// A final failure of the far end.
    Rejected(Response),
    Unreachable(String),
    /// We gave up, and nothing is left.
    Cancelled,
}

/// How far an INVITE has come.
#[derive(Default)]
struct Progress {
    /// A provisional response has come: it can be cancelled (RFC 3261 section 9.1).
    provisional: bool,
    /// We want it cancelled, and why.
    cancel: Option<String>,
    cancel_sent: bool,
    ringing: bool,
    early_sdp: Option<String>,
    reliable: Reliable,
}

/// The last RSeq of each early dialog, by its tag: every branch of a fork counts by itself (RFC 3262 section 4).
#[derive(Default)]
struct Reliable(BTreeMap<String, u32>);

impl Reliable {
    /// Whether a reliable provisional response is the next of its dialog. Others get no PRACK and say nothing.
    fn is_next(&mut self, tag: &str, rseq: u32) -> bool {
        let has_room = self.0.len() < MAX_EARLY_DIALOGS;
        match self.0.get_mut(tag) {
            Some(last) if last.checked_add(1) == Some(rseq) => *last = rseq,
            None if has_room => drop(self.0.insert(tag.to_owned(), rseq)),
            Some(_) | None => return false,
        }
        true
    }
}

impl Outgoing {
    /// Runs the call to its end.
    pub(super) async fn run(mut self) {
        let hop = tokio::select! {
            hop = self.shared.hop_to_trunk(&self.trunk) => hop,
            () = released(&mut self.inbox) => return,
        };
        let call = self.dial.call.clone();
        let hop = match hop {
            Ok(hop) => hop,
            Err(error) => {
                let _ = self.events.send(SipEvent::Unreachable { call, detail: error.to_string() }).await;
                return;
            }
        };
        self.shared.note_peer(&call, hop.peer.ip());
        let Some(dialog) = self.dialog(&hop) else { return };
        let credentials = self.trunk.username.clone().zip(self.trunk.password.clone());
        let credentials = credentials.map(|(username, password)| Credentials { username, password });
        let auth = Authenticator::new(credentials);
        let mut session = Session::new(self.shared.clone(), call.clone(), self.events.clone(), dialog, hop, auth);
        session.local_sdp = self.dial.sdp.clone();
        let mut progress = Progress::default();
        match self.invite(&mut session, &mut progress).await {
            Outcome::Answered(answered) => {
                let (response, transaction) = *answered;
                self.established(session, progress, &response, transaction).await;
            }
            Outcome::Rejected(response) => {
                let status = response.status_code.code();
                let phrase = response.wire_reason.unwrap_or_else(|| response.status_code.text().to_owned());
                info!(%call, sip_call_id = %self.id.call_id, status, "the far end refused");
                session.tell(SipEvent::Rejected { call, status, phrase }).await;
            }
            Outcome::Unreachable(detail) => {
                info!(%call, sip_call_id = %self.id.call_id, %detail, "the trunk is unreachable");
                session.tell(SipEvent::Unreachable { call, detail }).await;
            }
            Outcome::Cancelled => {}
        }
    }

    async fn established(
        &mut self,
        mut session: Session,
        progress: Progress,
        response: &Response,
        transaction: ClientTransaction,
    ) {
        session.confirmed = true;
        session.timer_from_response(response, None);
        if let Some(why) = progress.cancel {
            // The 200 crossed our CANCEL: it is acknowledged, and hung up (RFC 3261 section 15).
            return session.hang_up(&mut self.inbox, why).await;
        }
        let sdp = server::sdp_of(&response.headers.0, &response.body).ok().flatten();
        let sdp = sdp.or(progress.early_sdp).unwrap_or_default();
        session.tell(SipEvent::Answered { call: session.call.clone(), sdp }).await;
        finish(session, &mut self.inbox, Some(transaction)).await;
    }

    /// Sends the INVITE, again with credentials if need be, until it has a final response.
    async fn invite(&mut self, session: &mut Session, progress: &mut Progress) -> Outcome {
        let base = session.dialog.clone();
        session.auth.begin();
        for _ in 0..MAX_ATTEMPTS {
            let mut request = base.request(Method::Invite);
            request.headers.extend(self.headers());
            request.body = self.dial.sdp.clone().into_bytes();
            client::authorize(&mut session.auth, &mut request);
            progress.reliable = Reliable::default();
            let sent = client::send(&self.shared, request, &session.hop);
            let mut transaction = match sent {
                Ok(transaction) => transaction,
                Err(error) => return Outcome::Unreachable(error.to_string()),
            };
            let Some(response) = self.final_response(&base, session, progress, &mut transaction).await else {
                return Outcome::Cancelled;
            };
            let kind = response.status_code.kind();
            if kind == StatusCodeKind::Successful {
                session.dialog = established(&session.dialog, &base, &response);
                return Outcome::Answered(Box::new((response, transaction)));
            }
            if client::is_local(&response) && !progress.provisional && progress.cancel.is_none() {
                let code = response.status_code.code();
                let how = if code == 408 { "nobody answers the INVITE" } else { "the connection broke" };
                return Outcome::Unreachable(format!("{how} at {}", session.hop.address));
            }
            if progress.cancel.is_some() {
                return Outcome::Cancelled;
            }
            if !client::take_challenge(&mut session.auth, &response) {
                return Outcome::Rejected(response);
            }
            debug!(call = %session.call, sip_call_id = %self.id.call_id, "challenged, sending credentials");
        }
        Outcome::Unreachable(format!("{} asks for credentials without end", session.hop.address))
    }

    /// Waits for the final response to one INVITE. `None` when it never came after our CANCEL.
    async fn final_response(
        &mut self,
        base: &Dialog,
        session: &mut Session,
        progress: &mut Progress,
        transaction: &mut ClientTransaction,
    ) -> Option<Response> {
        let mut deadline = Instant::now() + FIRST_RESPONSE_T1 * self.shared.settings.t1;
        loop {
            let response = tokio::select! {
                response = transaction.responses.recv() => Some(response?),
                command = self.inbox.commands.recv() => {
                    progress.cancel.get_or_insert(match command {
                        Some(CallCommand::Release(why)) => why,
                        None => "shutdown".to_owned(),
                        Some(CallCommand::OfferReply(_) | CallCommand::Ring | CallCommand::Answer(_) | CallCommand::Reject(_)) => continue,
                    });
                    None
                }
                request = self.inbox.requests.recv() => {
                    on_early_request(session, request?).await;
                    None
                }
                () = sleep_until(deadline) => {
                    if progress.cancel_sent {
                        return None;
                    }
                    self.on_silence(session, progress).await;
                    deadline = Instant::now() + MAX_RINGING;
                    None
                }
            };
            match response {
                Some(response) if response.status_code.kind() == StatusCodeKind::Provisional => {
                    if !progress.provisional {
                        progress.provisional = true;
                        deadline = Instant::now() + MAX_RINGING;
                    }
                    self.on_provisional(base, session, progress, &response).await;
                }
                Some(response) => return Some(response),
                None => {}
            }
            if let (Some(why), true, false) = (&progress.cancel, progress.provisional, progress.cancel_sent) {
                progress.cancel_sent = true;
                let mut cancel = dialog::cancel(&transaction.request);
                cancel.headers.push(reason(why));
                if let Err(error) = client::send(&self.shared, cancel, &session.hop).map(forget) {
                    debug!(call = %session.call, %error, "CANCEL not sent");
                }
                // RFC 3261 section 9.1: nothing for 64·T1 means that the INVITE is gone.
                deadline = Instant::now() + 64 * self.shared.settings.t1;
            }
        }
    }

    /// Nothing, or nothing more, came in time. The INVITE is given up as if it had been released: a response that comes late
    /// is still cancelled, or acknowledged and hung up, until timer B ends the transaction.
    async fn on_silence(&self, session: &mut Session, progress: &mut Progress) {
        if progress.cancel.is_some() {
            return;
        }
        if progress.provisional {
            progress.cancel = Some("no answer".to_owned());
        } else {
            let detail = format!("nobody answers the INVITE at {}", session.hop.address);
            info!(call = %session.call, sip_call_id = %self.id.call_id, %detail, "the trunk is silent");
            session.tell(SipEvent::Unreachable { call: session.call.clone(), detail }).await;
            progress.cancel = Some("no response".to_owned());
        }
    }

    async fn on_provisional(&self, base: &Dialog, session: &mut Session, progress: &mut Progress, response: &Response) {
        let to = response.to_header().ok();
        let Some(tag) = to.and_then(|to| dialog::tag_of(to.value())).filter(|_| response.status_code.code() != 100)
        else {
            return;
        };
        let rseq = response.rseq_value().filter(|_| response.header_contains_token("Require", "100rel"));
        if rseq.is_some_and(|rseq| !progress.reliable.is_next(tag, rseq)) {
            return;
        }
        session.dialog = established(&session.dialog, base, response);
        if let Some(rseq) = rseq {
            acknowledge(session, response, rseq);
        }
        if progress.cancel.is_some() {
            return;
        }
        let call = session.call.clone();
        match server::sdp_of(&response.headers.0, &response.body).ok().flatten() {
            Some(sdp) if progress.early_sdp.as_ref() != Some(&sdp) => {
                progress.early_sdp = Some(sdp.clone());
                session.tell(SipEvent::Progress { call, sdp }).await;
            }
            None if !progress.ringing && progress.early_sdp.is_none() => {
                progress.ringing = true;
                session.tell(SipEvent::Ringing { call }).await;
            }
            Some(_) | None => {}
        }
    }

    fn dialog(&self, hop: &Hop) -> Option<Dialog> {
        let own = self.shared.own_address(hop.peer);
        let target = request_uri(&self.trunk, &self.dial.address)?;
        let user = self.trunk.from_user.as_deref().or(self.trunk.username.as_deref()).unwrap_or(DEFAULT_USER);
        let domain = self.trunk.from_domain.clone().unwrap_or_else(|| own.ip().to_string());
        let from = Uri::try_from(format!("sip:{user}@{domain}").as_str()).ok()?;
        let name = self.dial.caller_name.as_deref().or(self.trunk.from_name.as_deref());
        let local = match name.map(display_name).filter(|name| !name.is_empty()) {
            Some(name) => format!("{} <{from}>", super::digest::quote(&name)),
            None => format!("<{from}>"),
        };
        Some(Dialog::outgoing(self.id.clone(), &local, target, contact(user, own, hop.transport())))
    }

    fn headers(&self) -> Vec<Header> {
        let mut headers = vec![
            Header::Allow(Allow::new(server::ALLOW)),
            Header::Supported(Supported::new("100rel, timer")),
            Header::ContentType(ContentType::new("application/sdp")),
        ];
        for (name, value) in &self.dial.headers {
            let token =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b));
            let reserved = RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str());
            if token && !reserved && !value.contains(char::is_control) {
                headers.push(Header::Other(name.clone(), value.clone()));
            } else {
                debug!(call = %self.dial.call, header = %name, "header left out: not a name, reserved, or control letters");
            }
        }
        headers
    }
}

/// Serves an established call and ends it.
pub(super) async fn finish(mut session: Session, inbox: &mut Inbox, transaction: Option<ClientTransaction>) {
    let call: CallId = session.call.clone();
    match session.serve(inbox, transaction).await {
        Over::Released(why) => session.hang_up(inbox, why).await,
        Over::ByeReceived => session.tell(SipEvent::Bye { call }).await,
        Over::Broken(detail) => {
            info!(%call, sip_call_id = %session.dialog.id.call_id, %detail, "the dialog broke");
            session.tell(SipEvent::Bye { call }).await;
            session.hang_up(inbox, detail).await;
        }
    }
}

/// Our Contact towards a peer.
pub(super) fn contact(user: &str, own: SocketAddr, transport: Transport) -> String {
    match transport {
        Transport::Udp => format!("<sip:{user}@{own}>"),
        Transport::Tcp => format!("<sip:{user}@{own};transport=tcp>"),
    }
}

/// The dialog after a response: the same as before if its tag is, so that the CSeq of the far end is remembered.
fn established(current: &Dialog, base: &Dialog, response: &Response) -> Dialog {
    let mut next = base.established(response);
    if current.is_of(response) {
        next.keep_remote_seq(current);
    }
    next
}

/// Acknowledges a reliable provisional response with PRACK (RFC 3262 section 4).
fn acknowledge(session: &Session, response: &Response, rseq: u32) {
    let seq = response.cseq_header().and_then(|cseq| cseq.seq()).unwrap_or_default();
    let rack = Header::RAck(RAck::new(format!("{rseq} {seq} INVITE")));
    let (shared, dialog, hop, mut auth) =
        (session.shared.clone(), session.dialog.clone(), session.hop.clone(), session.auth.clone());
    tokio::spawn(async move {
        if let Err(error) = client::request(&shared, &dialog, &hop, &mut auth, Method::PRack, &[rack], &[]).await {
            debug!(sip_call_id = %dialog.id.call_id, %error, "PRACK unanswered");
        }
    });
}

/// A request in an early dialog: nothing there can end the call.
async fn on_early_request(session: &mut Session, request: Transaction) {
    let _ = session.on_request(request).await;
}

/// Lets a transaction run without waiting for it.
fn forget(transaction: ClientTransaction) {
    tokio::spawn(transaction.final_response());
}

/// Waits for a release; other commands mean nothing before the INVITE.
async fn released(inbox: &mut Inbox) {
    loop {
        match inbox.commands.recv().await {
            Some(CallCommand::Release(_)) | None => return,
            Some(CallCommand::OfferReply(_) | CallCommand::Ring | CallCommand::Answer(_) | CallCommand::Reject(_)) => {}
        }
    }
}

/// A name without what would break a header or a display.
fn display_name(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(MAX_DISPLAY_NAME).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_a_request_uri() {
        let trunk = Trunk::new("pbx", "pbx.example", 5080);
        let uri = |trunk: &Trunk, address| request_uri(trunk, address).map(|uri| uri.to_string());
        assert_eq!(uri(&trunk, "+43123456").as_deref(), Some("sip:+43123456@pbx.example:5080"));
        assert_eq!(uri(&trunk, "*43#").as_deref(), Some("sip:*43%23@pbx.example:5080"));
        assert_eq!(uri(&trunk, "12;ext=3").as_deref(), Some("sip:12;ext=3@pbx.example:5080"));
        assert_eq!(uri(&trunk, "*21").as_deref(), Some("sip:*21@pbx.example:5080"));
        assert_eq!(uri(&trunk, "sip:desk@other.example").as_deref(), Some("sip:desk@other.example"));
        let tcp = Trunk { transport: Transport::Tcp, ..Trunk::new("pbx", "2001:db8::1", 5060) };
        assert_eq!(uri(&tcp, "100").as_deref(), Some("sip:100@[2001:db8::1]:5060;transport=TCP"));
        for bad in ["", "a b", "1\r\nX: y", "a@b", "sip:", "sip:x@y>\r\n", "ö"] {
            assert_eq!(uri(&trunk, bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_name_for_the_display_breaks_no_header() {
        assert_eq!(display_name(" Ann\r\nVia: x\t "), "AnnVia: x");
        assert_eq!(display_name(&"x".repeat(1000)).len(), MAX_DISPLAY_NAME);
    }

    #[test]
    fn reliable_responses_count_by_one_in_each_early_dialog() {
        let mut reliable = Reliable::default();
        let taken = [("a", 7), ("b", 3), ("a", 7), ("a", 9), ("a", 8), ("b", 2), ("b", 4)]
            .map(|(tag, rseq)| reliable.is_next(tag, rseq));
        assert_eq!(taken, [true, true, false, false, true, false, true]);
        let more = (0..100).filter(|nth| reliable.is_next(&format!("c{nth}"), 1)).count();
        assert_eq!(more, MAX_EARLY_DIALOGS - 2);
    }
}
