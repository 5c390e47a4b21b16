//! A call within its dialog: what the far end asks for in it, what we ask for, and how it ends. The same for calls that we
//! made and calls that came in.

use super::{
    OfferReply, SipEvent,
    client::{self, ClientTransaction, RequestError},
    dialog::Dialog,
    digest::Authenticator,
    dtmf,
    handle::CallCommand,
    hop::Hop,
    server::{self, NotSdp, Responder, ServerEvent},
    stack::{Inbox, Shared},
    timer::{self, MIN_SE, Refresher, SessionExpires, SessionTimer},
};
use protocol::CallId;
use rsipstack::{
    sip::{
        Header, HeadersExt as _, Method, Response,
        headers::{
            Accept, ContentType, MinSE, Reason, Require, RetryAfter, SessionExpires as SessionExpiresHeader, Supported,
        },
    },
    sip_all_headers, sip_header_opt,
    transaction::transaction::Transaction,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tracing::{debug, info};

/// How long the media side may think about an offer. Before T2 has passed twice, so that the far end does not give up.
const OFFER_DEADLINE: Duration = Duration::from_secs(5);

/// What a server transaction may have to tell before the call listens again: an ACK, a CANCEL, an end.
const SERVER_EVENTS: usize = 8;

/// How long the far end shall wait before it offers again while its last offer is open (RFC 3261 section 14.2 wants 0 to 10).
const RETRY_AFTER_SECONDS: &str = "3";

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// We were told to; the text is for the Reason header.
    Released(String),
    /// The far end sent a BYE.
    ByeReceived,
    /// The far end has vanished, or refuses to go on: it wants a BYE, in case it still hears.
    Broken(String),
}

/// One call in its dialog.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) call: CallId,
    pub(super) events: mpsc::Sender<SipEvent>,
    pub(super) dialog: Dialog,
    pub(super) hop: Hop,
    pub(super) auth: Authenticator,
    /// Whether the INVITE got its 2xx.
    pub(super) confirmed: bool,
    /// The SDP that we sent last.
    pub(super) local_sdp: String,
    pub(super) timer: Option<SessionTimer>,
    /// The shortest interval that the far end bears (RFC 4028 section 7.4), once it has refused a shorter one.
    min_se: Option<Duration>,
    /// Whether the far end understands UPDATE (RFC 3311).
    update_allowed: bool,
    offer: Option<OpenOffer>,
    /// Whether the ACK that comes next brings the answer to an offer of ours.
    pub(super) late_answer: bool,
    refresh: Option<oneshot::Receiver<Result<Response, RequestError>>>,
    server_events: mpsc::Receiver<ServerEvent>,
    pub(super) server_events_in: mpsc::Sender<ServerEvent>,
}

/// An offer that the media side thinks about.
struct OpenOffer {
    responder: Responder,
    deadline: Instant,
    session_expires: Vec<Header>,
}

enum Step {
    Command(Option<CallCommand>),
    Request(Option<Box<Transaction>>),
    Server(ServerEvent),
    Fork(Option<Response>),
    Refreshed(Result<Response, RequestError>),
    Deadline,
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        call: CallId,
        events: mpsc::Sender<SipEvent>,
        dialog: Dialog,
        hop: Hop,
        auth: Authenticator,
    ) -> Self {
        let (server_events_in, server_events) = mpsc::channel(SERVER_EVENTS);
        Self {
            shared,
            call,
            events,
            dialog,
            hop,
            auth,
            confirmed: false,
            local_sdp: String::new(),
            timer: None,
            min_se: None,
            update_allowed: false,
            offer: None,
            late_answer: false,
            refresh: None,
            server_events,
            server_events_in,
        }
    }

    /// Tells the media side. When it has gone, so will the call, by its inbox.
    pub(super) async fn tell(&self, event: SipEvent) {
        let _ = self.events.send(event).await;
    }

    /// What a server transaction of ours has to tell.
    pub(super) async fn server_event(&mut self) -> ServerEvent {
        match self.server_events.recv().await {
            Some(event) => event,
            // Cannot happen: we hold a sender ourselves.
            None => std::future::pending().await,
        }
    }

    /// Serves the dialog until somebody ends it. `invite` is the transaction that made it, when that was ours.
    pub(super) async fn serve(&mut self, inbox: &mut Inbox, mut invite: Option<ClientTransaction>) -> Over {
        loop {
            let deadline = self.deadline();
            let step = tokio::select! {
                command = inbox.commands.recv() => Step::Command(command),
                request = inbox.requests.recv() => Step::Request(request.map(Box::new)),
                event = self.server_events.recv() => event.map_or(Step::Deadline, Step::Server),
                response = next_response(&mut invite) => Step::Fork(response),
                outcome = refreshed(&mut self.refresh) => Step::Refreshed(outcome),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Step::Deadline,
            };
            let over = match step {
                Step::Command(Some(CallCommand::Release(why))) => Some(Over::Released(why)),
                Step::Command(Some(CallCommand::OfferReply(reply))) => self.on_offer_reply(reply),
                Step::Command(Some(CallCommand::Ring | CallCommand::Answer(_) | CallCommand::Reject(_))) => None,
                Step::Command(None) | Step::Request(None) => Some(Over::Released("shutdown".to_owned())),
                Step::Request(Some(request)) => self.on_request(*request).await,
                Step::Server(event) => self.on_server_event(event).await,
                Step::Fork(Some(response)) => self.on_fork(&response),
                Step::Fork(None) => {
                    invite = None;
                    None
                }
                Step::Refreshed(outcome) => self.on_refreshed(outcome),
                Step::Deadline => self.on_deadline(),
            };
            if let Some(over) = over {
                return over;
            }
        }
    }

    /// A request of the far end in this dialog. `Some` when it ends the session.
    pub(super) async fn on_request(&mut self, transaction: Transaction) -> Option<Over> {
        let request = &transaction.original;
        debug!(call = %self.call, method = %request.method, sip_call_id = %self.dialog.id.call_id, "request in dialog");
        if self.dialog.take_request(request).is_err() {
            server::reply(&self.shared, transaction, 500, Vec::new());
            return None;
        }
        if let Some(header) = server::unsupported(request) {
            server::reply(&self.shared, transaction, 420, vec![header]);
            return None;
        }
        match request.method {
            Method::Bye if self.confirmed => {
                server::reply(&self.shared, transaction, 200, Vec::new());
                return Some(Over::ByeReceived);
            }
            Method::Invite | Method::Update => self.on_offer(transaction).await,
            Method::Info => self.on_info(transaction).await,
            Method::Options => server::reply(&self.shared, transaction, 200, server::capabilities()),
            Method::Bye | Method::PRack => server::reply(&self.shared, transaction, 481, Vec::new()),
            Method::Ack
            | Method::Cancel
            | Method::Message
            | Method::Notify
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe => server::reply(&self.shared, transaction, 405, server::capabilities()),
        }
        None
    }

    /// re-INVITE (RFC 3261 section 14.2) and UPDATE (RFC 3311).
    async fn on_offer(&mut self, transaction: Transaction) {
        let request = &transaction.original;
        let invite = request.method == Method::Invite;
        let refuse = |status, headers| (status, headers);
        let (session_expires, timer) = match self.negotiate_timer(&request.headers.0) {
            Ok(negotiated) => negotiated,
            Err(header) => return server::reply(&self.shared, transaction, 422, vec![header]),
        };
        let sdp = match server::sdp_of(&request.headers.0, &request.body) {
            Ok(sdp) => sdp,
            Err(NotSdp) => {
                let accept = Header::Accept(Accept::new("application/sdp"));
                return server::reply(&self.shared, transaction, 415, vec![accept]);
            }
        };
        let refused = if self.offer.is_some() {
            Some(refuse(500, vec![Header::RetryAfter(RetryAfter::new(RETRY_AFTER_SECONDS))]))
        } else if invite && (!self.confirmed || self.refresh.is_some()) {
            Some(refuse(491, Vec::new()))
        } else {
            None
        };
        if let Some((status, headers)) = refused {
            return server::reply(&self.shared, transaction, status, headers);
        }
        if timer.is_some() {
            self.timer = timer;
        }
        if sdp.is_none() && !invite {
            // An UPDATE without an offer only refreshes.
            return server::reply(&self.shared, transaction, 200, [server::capabilities(), session_expires].concat());
        }
        let responder = server::open(&self.shared, transaction, self.server_events_in.clone());
        self.offer = Some(OpenOffer { responder, deadline: Instant::now() + OFFER_DEADLINE, session_expires });
        self.tell(SipEvent::ReInvite { call: self.call.clone(), sdp }).await;
    }

    /// The media side has met the open offer, or refuses it.
    fn on_offer_reply(&mut self, reply: OfferReply) -> Option<Over> {
        // It came too late, or nobody had asked.
        let open = self.offer.take()?;
        let request = &open.responder.request;
        match reply {
            Ok(sdp) => {
                self.late_answer = request.method == Method::Invite && request.body.is_empty();
                let mut headers = server::capabilities();
                headers.push(Header::Contact(self.dialog.contact.clone().into()));
                headers.extend(open.session_expires);
                open.responder.respond(server::response(&self.shared, request, 200, None, headers, Some(&sdp)));
                self.local_sdp = sdp;
            }
            Err(status) => {
                open.responder.respond(server::response(&self.shared, request, status, None, Vec::new(), None));
            }
        }
        None
    }

    async fn on_info(&mut self, transaction: Transaction) {
        let request = &transaction.original;
        let kind = request.header_value("Content-Type").unwrap_or_default();
        let key = dtmf::parse(&kind, &request.body);
        let known = request.body.is_empty() || key.is_some();
        server::reply(&self.shared, transaction, if known { 200 } else { 415 }, Vec::new());
        if let Some(key) = key {
            let (digit, duration_ms) = (key.digit, key.duration_ms);
            self.tell(SipEvent::Info { call: self.call.clone(), digit, duration_ms }).await;
        }
    }

    async fn on_server_event(&mut self, event: ServerEvent) -> Option<Over> {
        match event {
            ServerEvent::Acknowledged(answer) => {
                if std::mem::take(&mut self.late_answer) {
                    // Without an answer the media side sees empty SDP, and refuses it.
                    let sdp = answer.unwrap_or_default();
                    self.tell(SipEvent::LateAnswer { call: self.call.clone(), sdp }).await;
                }
                None
            }
            ServerEvent::Unacknowledged => Some(Over::Broken("our 2xx was never acknowledged".to_owned())),
            ServerEvent::Cancelled => {
                // A re-INVITE that is withdrawn leaves the session as it was.
                if let Some(open) = self.offer.take() {
                    let request = &open.responder.request;
                    open.responder.respond(server::response(&self.shared, request, 487, None, Vec::new(), None));
                }
                None
            }
        }
    }

    /// A further 2xx to our INVITE: a retransmission, which rsipstack has acknowledged, or the answer of another branch of a
    /// forking proxy, which gets a BYE (RFC 3261 section 13.2.2.4).
    pub(super) fn on_fork(&self, response: &Response) -> Option<Over> {
        if response.status_code.code() / 100 == 2 && !self.dialog.is_of(response) {
            info!(call = %self.call, sip_call_id = %self.dialog.id.call_id, "a second far end answered, hanging it up");
            let fork = self.dialog.established(response);
            tokio::spawn(bye(
                self.shared.clone(),
                fork,
                self.hop.clone(),
                self.auth.clone(),
                "answered elsewhere".to_owned(),
            ));
        }
        None
    }

    fn deadline(&self) -> Option<Instant> {
        // A refresh that is under way may take as long as the session has.
        let due = |timer: SessionTimer| if self.refresh.is_some() { timer.end } else { timer.due };
        let timer = self.timer.map(due);
        self.offer.as_ref().map(|open| open.deadline).into_iter().chain(timer).min()
    }

    fn on_deadline(&mut self) -> Option<Over> {
        let now = Instant::now();
        if self.offer.as_ref().is_some_and(|open| open.deadline <= now) {
            debug!(call = %self.call, "the media side gave no answer to an offer");
            return self.on_offer_reply(Err(500));
        }
        match self.timer {
            Some(timer) if timer.end <= now => Some(Over::Broken("the session timer ran out".to_owned())),
            Some(timer) if timer.due <= now && self.refresh.is_none() => {
                self.send_refresh(timer.interval);
                None
            }
            Some(_) | None => None,
        }
    }

    /// What we ask for instead of `interval`: not less than the far end bears.
    fn asked(&self, interval: Duration) -> Duration {
        self.min_se.map_or(interval, |min_se| min_se.max(interval))
    }

    fn send_refresh(&mut self, interval: Duration) {
        let expires = format!("{};refresher=uac", self.asked(interval).as_secs());
        let mut headers = vec![
            Header::SessionExpires(SessionExpiresHeader::new(expires)),
            Header::Supported(Supported::new("timer")),
        ];
        headers.extend(self.min_se.map(min_se));
        let (method, body) = if self.update_allowed {
            (Method::Update, Vec::new())
        } else {
            // The same SDP with the same version: nothing changes (RFC 3264 section 8).
            headers.push(Header::ContentType(ContentType::new("application/sdp")));
            (Method::Invite, self.local_sdp.clone().into_bytes())
        };
        let (sender, receiver) = oneshot::channel();
        self.refresh = Some(receiver);
        let (shared, dialog, hop, mut auth) =
            (self.shared.clone(), self.dialog.clone(), self.hop.clone(), self.auth.clone());
        tokio::spawn(async move {
            let outcome = client::request(&shared, &dialog, &hop, &mut auth, method, &headers, &body).await;
            // The call may have ended meanwhile.
            let _ = sender.send(outcome);
        });
    }

    fn on_refreshed(&mut self, outcome: Result<Response, RequestError>) -> Option<Over> {
        self.refresh = None;
        let interval = self.asked(self.timer?.interval);
        match outcome {
            Ok(response) if response.status_code.code() / 100 == 2 => {
                self.dialog.refresh_target(&response.headers);
                self.timer_from_response(&response, Some(interval));
                None
            }
            // RFC 4028 section 10: the dialog is gone.
            Ok(response) if matches!(response.status_code.code(), 408 | 481) => {
                Some(Over::Broken(format!("a session refresh got {}", response.status_code.code())))
            }
            Ok(response) => {
                // Refused for now, such as 491: again while there is time.
                let said = response.header_value("Min-SE").as_deref().and_then(timer::seconds);
                let wanted = said.filter(|wanted| response.status_code.code() == 422 && *wanted > interval);
                self.min_se = wanted.or(self.min_se);
                if let Some(timer) = &mut self.timer {
                    timer.refuse(wanted.is_some(), Instant::now());
                }
                None
            }
            Err(error) => Some(Over::Broken(error.to_string())),
        }
    }

    /// Takes over what a 2xx of the far end says about session timers and methods. `kept` goes on when it says nothing.
    pub(super) fn timer_from_response(&mut self, response: &Response, kept: Option<Duration>) {
        if let Some(allow) = response.header_value("Allow") {
            self.update_allowed = allow.split(',').any(|method| method.trim().eq_ignore_ascii_case("UPDATE"));
        }
        let said = response.header_value("Session-Expires").as_deref().and_then(SessionExpires::parse);
        self.timer = match (said, kept) {
            (Some(said), _) => {
                let us = said.refresher_is_uac.unwrap_or(true);
                let refresher = if us { Refresher::Us } else { Refresher::Them };
                Some(SessionTimer::start(said.interval, refresher, Instant::now()))
            }
            (None, Some(interval)) => Some(SessionTimer::start(interval, Refresher::Us, Instant::now())),
            (None, None) => None,
        };
    }

    /// What a request says about session timers, and the headers of our 2xx that agree; or the Min-SE of a 422.
    pub(super) fn negotiate_timer(&self, headers: &[Header]) -> Result<(Vec<Header>, Option<SessionTimer>), Header> {
        let wanted = sip_header_opt!(headers.iter(), Header::SessionExpires);
        let Some(wanted) = wanted.and_then(|wanted| SessionExpires::parse(wanted.value())) else {
            return Ok((Vec::new(), None));
        };
        if wanted.interval < MIN_SE {
            return Err(min_se(MIN_SE));
        }
        // RFC 4028 section 9, table 2: who does not know session timers refreshes nothing, whatever stands in the request.
        let supported: Vec<&Supported> = sip_all_headers!(headers.iter(), Header::Supported);
        let them = supported.into_iter().any(names_timer) && wanted.refresher_is_uac.unwrap_or(true);
        let (refresher, word) = if them { (Refresher::Them, "uac") } else { (Refresher::Us, "uas") };
        let value = format!("{};refresher={word}", wanted.interval.as_secs());
        let mut agreed = vec![Header::SessionExpires(SessionExpiresHeader::new(value))];
        if them {
            // RFC 4028 section 9: the far end has to refresh, and must know that.
            agreed.push(Header::Require(Require::new("timer")));
        }
        Ok((agreed, Some(SessionTimer::start(wanted.interval, refresher, Instant::now()))))
    }

    /// Sends the BYE and waits for what becomes of it, while the far end's own requests still get responses.
    pub(super) async fn hang_up(&mut self, inbox: &mut Inbox, why: String) {
        if let Some(open) = self.offer.take() {
            let request = &open.responder.request;
            open.responder.respond(server::response(&self.shared, request, 487, None, Vec::new(), None));
        }
        let mut bye =
            std::pin::pin!(bye(self.shared.clone(), self.dialog.clone(), self.hop.clone(), self.auth.clone(), why));
        loop {
            tokio::select! {
                () = &mut bye => return,
                Some(request) = inbox.requests.recv() => {
                    // Both hang up at once: each BYE is answered (RFC 3261 section 15.1.2).
                    let status = if request.original.method == Method::Bye { 200 } else { 481 };
                    server::reply(&self.shared, request, status, Vec::new());
                }
            }
        }
    }
}

/// Ends a dialog. Whatever the response is, or if there is none, the dialog is over (RFC 3261 section 15.1.1).
async fn bye(shared: Arc<Shared>, dialog: Dialog, hop: Hop, mut auth: Authenticator, why: String) {
    let outcome = client::request(&shared, &dialog, &hop, &mut auth, Method::Bye, &[reason(&why)], &[]).await;
    match outcome {
        Ok(response) => debug!(sip_call_id = %dialog.id.call_id, status = response.status_code.code(), "BYE answered"),
        Err(error) => debug!(sip_call_id = %dialog.id.call_id, %error, "BYE unanswered"),
    }
}

fn min_se(interval: Duration) -> Header {
    Header::MinSE(MinSE::new(interval.as_secs().to_string()))
}

fn names_timer(supported: &Supported) -> bool {
    supported.value().split(',').any(|tag| tag.trim().eq_ignore_ascii_case("timer"))
}

/// RFC 3326; cause 16 of Q.850 is normal call clearing.
pub(super) fn reason(why: &str) -> Header {
    let text: String = why.chars().filter(|letter| !letter.is_control()).collect();
    Header::Reason(Reason::new(format!("Q.850;cause=16;text={}", super::digest::quote(&text))))
}

async fn next_response(invite: &mut Option<ClientTransaction>) -> Option<Response> {
    match invite {
        Some(invite) => invite.responses.recv().await,
        None => std::future::pending().await,
    }
}

async fn refreshed(
    refresh: &mut Option<oneshot::Receiver<Result<Response, RequestError>>>,
) -> Result<Response, RequestError> {
    match refresh {
        Some(refresh) => {
            refresh.await.unwrap_or_else(|_| Err(RequestError::Unsendable("the refresh was dropped".to_owned())))
        }
        None => std::future::pending().await,
    }
}
