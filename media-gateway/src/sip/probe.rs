//! Is a trunk there? OPTIONS out of dialog (RFC 3261 section 11), for `ringlet check` and for trunks with a keepalive.

use super::{
    SipError,
    client::{self, RequestError},
    dialog::{Dialog, DialogId},
    digest::{Authenticator, Credentials},
    hop::HopError,
    outgoing::contact,
    stack::Shared,
};
use crate::config::{Transport, Trunk};
use protocol::TrunkName;
use rsipstack::sip::{Header, HeadersExt as _, Host, Method, Response, Uri, headers::Accept};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// How long a keepalive waits; a trunk that needs longer cannot be talked over.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Challenges to one OPTIONS.
const MAX_ATTEMPTS: usize = 3;

/// A trunk that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionsOutcome {
    /// Where it is.
    pub peer: SocketAddr,
    /// The SIP status. Anything but 5xx and 401, 407 shows a trunk in working order: some answer 404 or 405 by policy.
    pub status: u16,
    /// Its reason phrase.
    pub phrase: String,
    /// What it calls itself (`Server` or `User-Agent`).
    pub product: Option<String>,
    /// How long it took, challenges included.
    pub took: Duration,
}

/// What is wrong with a trunk, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// No trunk of that name.
    #[error(transparent)]
    Unknown(SipError),
    /// The name has no address, or the connection was refused.
    #[error("{0}")]
    NoWay(HopError),
    /// Nothing came back.
    #[error(
        "{transport} {peer} did not answer OPTIONS within {} s: wrong host, port or transport, a firewall in between, or a \
         trunk that ignores unknown addresses", waited.as_secs_f32()
    )]
    Silent {
        /// How.
        transport: Transport,
        /// Who.
        peer: SocketAddr,
        /// How long we waited.
        waited: Duration,
    },
    /// 401 or 407, and there is no `username` and `password`, or not for an algorithm that we know.
    #[error("{peer} wants credentials ({status}): set username and password of the trunk")]
    CredentialsMissing {
        /// Who.
        peer: SocketAddr,
        /// 401 or 407.
        status: u16,
    },
    /// 401, 403 or 407 to our credentials.
    #[error("{peer} refused the credentials ({status}): check username and password of the trunk")]
    CredentialsRefused {
        /// Who.
        peer: SocketAddr,
        /// The status.
        status: u16,
    },
    /// 5xx.
    #[error("{peer} is in trouble itself: it answered {status} {phrase}")]
    Failing {
        /// Who.
        peer: SocketAddr,
        /// The status.
        status: u16,
        /// The reason phrase.
        phrase: String,
    },
}

/// Asks a trunk, with credentials if it wants them.
pub(super) async fn options(
    shared: &Arc<Shared>,
    name: &TrunkName,
    limit: Duration,
) -> Result<OptionsOutcome, ProbeError> {
    let trunk = shared.trunk(name).map_err(ProbeError::Unknown)?;
    let started = Instant::now();
    let hop = shared.hop_to_trunk(trunk).await.map_err(ProbeError::NoWay)?;
    let peer = hop.peer;
    let silent = || ProbeError::Silent { transport: trunk.transport, peer, waited: limit };
    let credentials = trunk.username.clone().zip(trunk.password.clone());
    let has_credentials = credentials.is_some();
    let mut auth = Authenticator::new(credentials.map(|(username, password)| Credentials { username, password }));
    let user = trunk.from_user.as_deref().or(trunk.username.as_deref()).unwrap_or("ringlet");
    let dialog = dialog(DialogId::new(&shared.process), trunk, user, shared.own_address(peer)).ok_or_else(silent)?;
    let mut challenged = false;
    let mut last = None;
    for _ in 0..MAX_ATTEMPTS {
        let mut request = dialog.request(Method::Options);
        request.headers.push(Header::Contact(dialog.contact.clone().into()));
        request.headers.push(Header::Accept(Accept::new("application/sdp")));
        client::authorize(&mut auth, &mut request);
        let left = limit.saturating_sub(started.elapsed());
        let sent = client::send(shared, request, &hop).map_err(|error| match error {
            RequestError::Hop(error) => ProbeError::NoWay(error),
            RequestError::Unsendable(_) | RequestError::NoResponse(_) => silent(),
        })?;
        let response = timeout(left, sent.final_response()).await.ok().flatten().ok_or_else(silent)?;
        let retry = client::take_challenge(&mut auth, &response);
        last = Some(response);
        if !retry {
            break;
        }
        challenged = true;
    }
    judge(&last.ok_or_else(silent)?, peer, challenged, has_credentials, started.elapsed())
}

fn judge(
    response: &Response,
    peer: SocketAddr,
    challenged: bool,
    credentials: bool,
    took: Duration,
) -> Result<OptionsOutcome, ProbeError> {
    let status = response.status_code.code();
    let phrase = response.wire_reason.clone().unwrap_or_else(|| response.status_code.text().to_owned());
    match status {
        401 | 407 if !credentials || !challenged => Err(ProbeError::CredentialsMissing { peer, status }),
        401 | 407 => Err(ProbeError::CredentialsRefused { peer, status }),
        403 if challenged => Err(ProbeError::CredentialsRefused { peer, status }),
        500..=599 => Err(ProbeError::Failing { peer, status, phrase }),
        _ => {
            let product = response.header_value("Server").or_else(|| response.header_value("User-Agent"));
            Ok(OptionsOutcome { peer, status, phrase, product, took })
        }
    }
}

/// OPTIONS is no dialog, but its headers are made alike.
fn dialog(id: DialogId, trunk: &Trunk, user: &str, own: SocketAddr) -> Option<Dialog> {
    let host: Host = trunk.host.trim_matches(['[', ']']).parse().ok()?;
    let target = Uri::try_from(format!("sip:{host}:{}", trunk.port).as_str()).ok()?;
    let domain = trunk.from_domain.clone().unwrap_or_else(|| own.ip().to_string());
    Some(Dialog::outgoing(id, &format!("<sip:{user}@{domain}>"), target, contact(user, own, trunk.transport)))
}

/// Asks the trunks that want it, until the stack ends; tells when one comes or goes, and keeps the gauge
/// `ringlet_trunk_up`.
pub(super) async fn keep_alive(shared: Arc<Shared>) {
    let watched = shared.settings.trunks.iter().filter_map(|trunk| Some((trunk.name.clone(), trunk.keepalive?)));
    let watches = watched.map(|(trunk, every)| watch(shared.clone(), trunk, every));
    tokio::select! {
        _ = futures_util::future::join_all(watches) => {}
        () = shared.closed.cancelled() => {}
        // Its successor asks.
        () = shared.port.let_go.cancelled() => {}
    }
}

async fn watch(shared: Arc<Shared>, trunk: TrunkName, every: Duration) {
    let mut was_up = None;
    loop {
        let outcome = options(&shared, &trunk, KEEPALIVE_TIMEOUT).await;
        let up = outcome.is_ok();
        metrics::gauge!("ringlet_trunk_up", "trunk" => trunk.as_str().to_owned()).set(if up { 1.0 } else { 0.0 });
        match outcome {
            _ if was_up == Some(up) => {}
            Ok(_) => info!(%trunk, "the trunk answers"),
            Err(error) => warn!(%trunk, %error, "the trunk is down"),
        }
        was_up = Some(up);
        sleep(every).await;
    }
}
