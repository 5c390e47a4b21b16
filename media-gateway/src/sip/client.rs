//! Client transactions: a request goes out, its responses come in, challenges are met on the way.
//!
//! Each transaction is driven by a task of its own, because rsipstack's `receive` must not be cancelled half-way.

use super::{
    dialog::Dialog,
    digest::{Authenticator, Challenger},
    hop::{Hop, HopError},
    stack::Shared,
};
use rsipstack::{
    sip::{
        Header, HeadersExt as _, Method, Request, Response, SipMessage, StatusCodeKind,
        headers::{Authorization, ProxyAuthorization, UserAgent},
    },
    transaction::{
        key::{TransactionKey, TransactionRole},
        random_text,
        transaction::Transaction,
    },
    transport::SipAddr,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::debug;

/// Responses that may wait for their reader: it does nothing else, and a transaction sees a handful.
const RESPONSE_QUEUE: usize = 16;

/// Challenges to one request: a proxy, the far end, and stale nonces of both.
const MAX_ATTEMPTS: usize = 5;

const CNONCE_LETTERS: usize = 16;

/// A request on its way.
pub(super) struct ClientTransaction {
    /// As it went out.
    pub(super) request: Request,
    /// Provisional responses, then the final one; for an INVITE then also 2xx of forks and retransmitted ones.
    pub(super) responses: mpsc::Receiver<Response>,
}

/// How a request ended that got no response from the far end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error(transparent)]
    Hop(#[from] HopError),
    /// The message could not be built, or the stack has ended.
    #[error("the request could not be sent: {0}")]
    Unsendable(String),
    /// Timer B or F, or the connection broke.
    #[error("no response from {0}")]
    NoResponse(String),
}

/// Sends a request; the Via is added here. Authentication is the caller's.
pub(super) fn send(shared: &Arc<Shared>, mut request: Request, hop: &Hop) -> Result<ClientTransaction, RequestError> {
    let unsendable = |error: rsipstack::Error| RequestError::Unsendable(error.to_string());
    if request.via_header().is_err() {
        let own = SipAddr { addr: shared.own_address(hop.peer).into(), ..hop.address.clone() };
        let via = shared.endpoint.get_via(Some(own), None).map_err(unsendable)?;
        request.headers.push_front(via.into());
    }
    request.headers.unique_push(Header::UserAgent(UserAgent::new(super::stack::USER_AGENT)));
    let key = TransactionKey::from_request(&request, TransactionRole::Client).map_err(unsendable)?;
    let mut transaction =
        Transaction::new_client(key, request.clone(), shared.endpoint.clone(), Some(hop.connection.clone()));
    transaction.destination = Some(hop.address.clone());
    let (sender, responses) = mpsc::channel(RESPONSE_QUEUE);
    tokio::spawn(drive(shared.clone(), transaction, sender));
    Ok(ClientTransaction { request, responses })
}

/// Runs a transaction to its end. An INVITE that was answered stays as long as its call, so that forks are seen; when the
/// call has gone, rsipstack goes on acknowledging retransmitted answers for 64·T1.
async fn drive(shared: Arc<Shared>, mut transaction: Transaction, responses: mpsc::Sender<Response>) {
    if let Err(error) = transaction.send().await {
        debug!(key = %transaction.key, %error, "request not sent");
        return;
    }
    let invite = transaction.original.method == Method::Invite;
    let mut answered = false;
    loop {
        // Dropping `receive` may lose the ACK of a retransmission at most, and the next one brings it back.
        let message = tokio::select! {
            message = transaction.receive() => message,
            () = responses.closed(), if answered => return,
            () = shared.closed.cancelled() => return,
        };
        let Some(SipMessage::Response(response)) = message else { return };
        let kind = response.status_code.kind();
        // A reader that has gone away still needs the final response to be acknowledged.
        let gone = responses.send(response).await.is_err();
        match kind {
            StatusCodeKind::Provisional => {}
            StatusCodeKind::Successful if invite && !gone => answered = true,
            StatusCodeKind::Successful
            | StatusCodeKind::Redirection
            | StatusCodeKind::RequestFailure
            | StatusCodeKind::ServerFailure
            | StatusCodeKind::GlobalFailure
            | StatusCodeKind::Other => return,
        }
    }
}

impl ClientTransaction {
    /// The final response of a request that is no INVITE.
    pub(super) async fn final_response(mut self) -> Option<Response> {
        while let Some(response) = self.responses.recv().await {
            if response.status_code.kind() != StatusCodeKind::Provisional {
                return (!is_local(&response)).then_some(response);
            }
        }
        None
    }
}

/// Whether rsipstack made the response up: 408 for timer B or F, 503 for a broken connection. Such a response is signed as
/// ours, and its Via is still the one that we wrote, whose `rport` a peer of our make would have filled in (RFC 3581).
pub(super) fn is_local(response: &Response) -> bool {
    let ours = response.user_agent_header().is_some_and(|agent| agent.value() == super::stack::USER_AGENT);
    let filled = response.via_header().is_ok_and(|via| via.value().contains("rport="));
    ours && !filled && matches!(response.status_code.code(), 408 | 503)
}

/// Whether a response is a challenge that was taken up: the request goes out once more then.
pub(super) fn take_challenge(auth: &mut Authenticator, response: &Response) -> bool {
    let challenger = match response.status_code.code() {
        401 => Challenger::UserAgent,
        407 => Challenger::Proxy,
        _ => return false,
    };
    let headers: Vec<&str> = response.headers.iter().filter_map(|header| challenge_value(header, challenger)).collect();
    auth.take(challenger, &headers)
}

fn challenge_value(header: &Header, challenger: Challenger) -> Option<&str> {
    match (header, challenger) {
        (Header::WwwAuthenticate(value), Challenger::UserAgent) => Some(value.value()),
        (Header::ProxyAuthenticate(value), Challenger::Proxy) => Some(value.value()),
        _ => None,
    }
}

/// Puts the credentials into a request, as far as challenges are known.
pub(super) fn authorize(auth: &mut Authenticator, request: &mut Request) {
    let (method, uri) = (request.method.to_string(), request.uri.to_string());
    for (challenger, value) in auth.answers(&method, &uri, &random_text(CNONCE_LETTERS)) {
        request.headers.push(match challenger {
            Challenger::UserAgent => Header::Authorization(Authorization::new(value)),
            Challenger::Proxy => Header::ProxyAuthorization(ProxyAuthorization::new(value)),
        });
    }
}

/// Sends a request within a dialog, meets its challenges, and waits for the final response.
///
/// # Errors
/// When there was none.
pub(super) async fn request(
    shared: &Arc<Shared>,
    dialog: &Dialog,
    hop: &Hop,
    auth: &mut Authenticator,
    method: Method,
    extra: &[Header],
    body: &[u8],
) -> Result<Response, RequestError> {
    let hop = shared.hop_to_uri(dialog.next_hop(), hop).await?;
    auth.begin();
    let mut refused = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut request = dialog.request(method);
        request.headers.extend(extra.to_vec());
        request.body = body.to_vec();
        authorize(auth, &mut request);
        let sent = send(shared, request, &hop)?;
        let response = sent.final_response().await.ok_or_else(|| RequestError::NoResponse(hop.address.to_string()))?;
        if !take_challenge(auth, &response) {
            return Ok(response);
        }
        refused = Some(response);
    }
    refused.ok_or_else(|| RequestError::NoResponse(hop.address.to_string()))
}
