//! Server transactions: requests from outside and our responses to them. rsipstack retransmits; each transaction is driven
//! by a task of its own until RFC 3261's timers end it.

use super::stack::Shared;
use rsipstack::{
    sip::{
        Header, Method, Request, Response, SipMessage, StatusCode,
        headers::{Allow, ContentType, Require, Supported, To, Unsupported},
    },
    sip_all_headers, sip_header_opt,
    transaction::transaction::{Transaction, TransactionEvent, TransactionEventSender},
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::debug;

/// The methods that we understand.
pub(super) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// The extensions that we understand as a server: session timers (RFC 4028).
const SUPPORTED_BY_SERVER: &str = "timer";

const SDP: &str = "application/sdp";

/// What becomes of an INVITE from outside after it has come.
#[derive(Debug)]
pub(super) enum ServerEvent {
    /// Our 2xx was acknowledged, with SDP when the offer was ours.
    Acknowledged(Option<String>),
    /// Nobody acknowledged our 2xx for 64·T1 (RFC 3261 section 13.3.1.4).
    Unacknowledged,
    /// The caller gave up (CANCEL).
    Cancelled,
}

/// An open request.
#[derive(Debug)]
pub(super) struct Responder {
    pub(super) request: Request,
    responses: TransactionEventSender,
}

impl Responder {
    /// Sends a response, provisional or final.
    pub(super) fn respond(&self, response: Response) {
        // The transaction has ended when this fails, and nobody waits for a response then.
        let _ = self.responses.send(TransactionEvent::Respond(response));
    }
}

/// Takes a request over. `events` hears what becomes of an INVITE.
pub(super) fn open(shared: &Arc<Shared>, transaction: Transaction, events: mpsc::Sender<ServerEvent>) -> Responder {
    let responder = Responder { request: transaction.original.clone(), responses: transaction.tu_sender.clone() };
    tokio::spawn(drive(shared.clone(), transaction, events));
    responder
}

async fn drive(shared: Arc<Shared>, mut transaction: Transaction, events: mpsc::Sender<ServerEvent>) {
    let invite = transaction.original.method == Method::Invite;
    let mut acknowledged = false;
    loop {
        let message = tokio::select! {
            message = transaction.receive() => message,
            () = shared.closed.cancelled() => return,
        };
        let event = match message {
            Some(SipMessage::Request(request)) if request.method == Method::Ack => {
                acknowledged = true;
                ServerEvent::Acknowledged(sdp_of(&request.headers.0, &request.body).ok().flatten())
            }
            Some(SipMessage::Request(request)) if request.method == Method::Cancel => ServerEvent::Cancelled,
            Some(_) => continue,
            None => break,
        };
        // A call that has gone needs no news.
        let _ = events.send(event).await;
        if acknowledged {
            // Repeated ACKs and INVITEs are absorbed without us for another 64·T1.
            break;
        }
    }
    let succeeded = transaction.last_response.as_ref().is_some_and(|response| response.status_code.code() / 100 == 2);
    if invite && succeeded && !acknowledged {
        let _ = events.send(ServerEvent::Unacknowledged).await;
    }
}

/// Answers a request for good, without a look back.
pub(super) fn reply(shared: &Arc<Shared>, mut transaction: Transaction, status: u16, headers: Vec<Header>) {
    let shared = shared.clone();
    tokio::spawn(async move {
        if let Err(error) = transaction.reply_with(status_code(status), headers, None).await {
            debug!(key = %transaction.key, %error, status, "response not sent");
            return;
        }
        // A refused INVITE stays for its ACK; anything else has ended.
        tokio::select! {
            _ = transaction.receive() => {}
            () = shared.closed.cancelled() => {}
        }
    });
}

/// A response; a body is SDP.
pub(super) fn response(
    shared: &Shared,
    request: &Request,
    status: u16,
    to: Option<&str>,
    headers: Vec<Header>,
    sdp: Option<&str>,
) -> Response {
    let body = sdp.map(|sdp| sdp.as_bytes().to_vec());
    let mut response = shared.endpoint.make_response(request, status_code(status), body);
    if let Some(to) = to {
        response.headers.unique_push(Header::To(To::new(to)));
    }
    if sdp.is_some() {
        response.headers.push(Header::ContentType(ContentType::new(SDP)));
    }
    response.headers.extend(headers);
    response
}

/// `Allow` and `Supported`, for responses that say what we can.
pub(super) fn capabilities() -> Vec<Header> {
    vec![Header::Allow(Allow::new(ALLOW)), Header::Supported(Supported::new(SUPPORTED_BY_SERVER))]
}

/// The Unsupported header for a 420, when the request requires what we do not know (RFC 3261 section 8.2.2.3).
pub(super) fn unsupported(request: &Request) -> Option<Header> {
    let required: Vec<&Require> = sip_all_headers!(request.headers.iter(), Header::Require);
    let unknown: Vec<&str> = required
        .into_iter()
        .flat_map(|value| value.value().split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty() && !tag.eq_ignore_ascii_case(SUPPORTED_BY_SERVER))
        .collect();
    (!unknown.is_empty()).then(|| Header::Unsupported(Unsupported::new(unknown.join(", "))))
}

/// A body is there, and it is no SDP.
#[derive(Debug)]
pub(super) struct NotSdp;

/// The SDP of a message, if it has a body.
pub(super) fn sdp_of(headers: &[Header], body: &[u8]) -> Result<Option<String>, NotSdp> {
    if body.is_empty() {
        return Ok(None);
    }
    let kind = sip_header_opt!(headers.iter(), Header::ContentType).map(ContentType::value);
    // Without a Content-Type, SDP is what everybody means.
    let is_sdp =
        kind.is_none_or(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(SDP)));
    if is_sdp { Ok(Some(String::from_utf8_lossy(body).into_owned())) } else { Err(NotSdp) }
}

/// rsipstack's status for a number. A number without a name of its own gets a neutral phrase.
pub(super) fn status_code(status: u16) -> StatusCode {
    StatusCode::try_from((status, "Refused")).unwrap_or(StatusCode::ServerInternalError)
}
