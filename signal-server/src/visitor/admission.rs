//! Who may call, and where the call goes. Every refusal has a code of the catalogue.
//!
//! What the checks are worth: the token shows that the panel was made by us, for this link, a short while ago. The origin is
//! what the panel learnt from the browser about the page around it, so that no other website can place calls, which the
//! panel's `frame-ancestors` enforces as well. A program that is no browser can claim both: against that stand the limits,
//! and that it reaches only what the merchant configured or signed.

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::limits::CallPermit;
use crate::store::{Admission, Route};
use crate::token::{self, PanelClaims};
use crate::{Origin, valid};
use protocol::error::ErrorCode;
use protocol::visitor::{VERSION, VisitorRequest};
use protocol::{CallId, DestinationId, MerchantId, TrunkName};
use switchboard::{Epoch, Plan, Session};
use url::Url;

/// The longest address of a page that goes into a record; the rest is cut away with its path.
const MAX_PAGE_BYTES: usize = 2_048;

/// The longest customer or session id; longer ones are cut.
const MAX_CUSTOMER_CHARS: usize = 128;

/// Where calls of a merchant-signed address are filed.
const SIGNED: &str = "signed";

/// The first message of a visitor.
#[derive(Debug)]
pub(crate) struct Hello {
    token: String,
    origin: String,
    page: Option<String>,
    customer: Option<String>,
    destination_token: Option<String>,
    resume: Option<String>,
    takeover: bool,
    session: Option<String>,
    seen: u32,
    fingerprint: Option<String>,
}

/// A running call that a page asks for.
#[derive(Debug)]
pub(crate) enum Standing {
    /// That of the page before it.
    Resume { call: CallId, epoch: Epoch, takeover: bool, fingerprint: Option<String> },
    /// Its own, over another socket.
    Reconnect { call: CallId, session: Session, seen: u32 },
}

/// Why a visitor may not call.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) merchant: Option<String>,
    pub(crate) detail: Option<String>,
}

impl Refusal {
    pub(crate) fn of(code: ErrorCode) -> Self {
        Self { code, merchant: None, detail: None }
    }

    pub(crate) fn because(code: ErrorCode, detail: String) -> Self {
        Self { code, merchant: None, detail: Some(detail) }
    }
}

impl Hello {
    /// Takes the first message apart.
    pub(crate) fn of(request: VisitorRequest) -> Result<Self, Refusal> {
        match request {
            VisitorRequest::Hello {
                version: VERSION,
                token,
                origin,
                page,
                customer,
                destination_token,
                resume,
                takeover,
                session,
                seen,
                fingerprint,
            } => Ok(Self {
                token,
                origin,
                page,
                customer,
                destination_token,
                resume,
                takeover: takeover.unwrap_or_default(),
                session,
                seen: seen.unwrap_or_default(),
                fingerprint,
            }),
            VisitorRequest::Hello { .. } => Err(Refusal::of(ErrorCode::VersionUnknown)),
            VisitorRequest::Offer { .. }
            | VisitorRequest::Candidate { .. }
            | VisitorRequest::Ready {}
            | VisitorRequest::Frames { .. }
            | VisitorRequest::Keys { .. }
            | VisitorRequest::Heard { .. }
            | VisitorRequest::Hangup {}
            | VisitorRequest::Ping { .. }
            | VisitorRequest::Failed { .. }
            | VisitorRequest::Next { .. }
            | VisitorRequest::Shown { .. }
            | VisitorRequest::Settings { .. } => {
                Err(Refusal::because(ErrorCode::MessageInvalid, "the first message is no `hello`".to_owned()))
            }
        }
    }
}

/// Which running call the page asks for; `None` when it begins a new one. The `session` or `resume` token is all that counts:
/// it shows that the page is of the same origin and has what it, or an earlier page of the call, was given.
pub(crate) fn standing(app: &App, hello: &Hello) -> Result<Option<Standing>, Refusal> {
    let foreign = || Refusal::because(ErrorCode::CallOver, "the token is not ours".to_owned());
    let (origin, standing) = if let Some(token) = &hello.session {
        let claims = app.resume_tokens.verify_session(token).ok_or_else(foreign)?;
        let (session, seen) = (claims.session(), hello.seen);
        (claims.origin, Standing::Reconnect { call: claims.call, session, seen })
    } else if let Some(token) = &hello.resume {
        let claims = app.resume_tokens.verify(token).ok_or_else(foreign)?;
        let (epoch, takeover, fingerprint) = (claims.epoch(), hello.takeover, hello.fingerprint.clone());
        (claims.origin, Standing::Resume { call: claims.call, epoch, takeover, fingerprint })
    } else {
        return Ok(None);
    };
    if hello.origin.parse::<Origin>().is_ok_and(|told| told.as_str() == origin) {
        return Ok(Some(standing));
    }
    Err(Refusal::because(ErrorCode::CallOver, format!("from elsewhere: {standing:?}")))
}

/// Checks in this order: the server stops, token, address limit, link, origin, destination token, merchant limits. What
/// costs nothing comes first; the limit by address stands before everything that asks the store.
pub(crate) async fn admit(app: &App, client: ClientAddress, hello: Hello) -> Result<(Box<Plan>, CallPermit), Refusal> {
    if app.shutdown.is_cancelled() {
        return Err(Refusal::of(ErrorCode::ServerStopping));
    }
    let claims = app.panel_tokens.verify(&hello.token).ok_or(Refusal::of(ErrorCode::TokenInvalid))?;
    let refusal = |code| Refusal { code, merchant: Some(claims.merchant.to_string()), detail: None };
    if !app.limits.count_address(client) {
        return Err(refusal(ErrorCode::TooManyCalls));
    }
    let link = app.store.admission(&claims.merchant, &claims.link).await.map_err(|error| store_failed(&error))?;
    let link = link.ok_or_else(|| refusal(ErrorCode::LinkUnknown))?;
    let origin = check_origin(&hello.origin, &claims, &link)?;
    let (route, signed_customer) = match &hello.destination_token {
        None => (link.route.clone(), None),
        Some(token) => signed_route(app, &claims.merchant, &link, token).await?,
    };
    let permit = app.limits.count_merchant(&claims.merchant).ok_or_else(|| refusal(ErrorCode::TooManyCalls))?;
    let customer = signed_customer.or(hello.customer);
    let plan = Plan {
        merchant: claims.merchant,
        merchant_name: link.merchant_name,
        link: claims.link,
        link_label: link.link_label,
        destination: route.destination,
        trunk: route.trunk,
        address: route.address,
        caller_name: None,
        headers: Vec::new(),
        page: hello.page.and_then(|page| page_of(&origin, &page)),
        origin: origin.to_string(),
        customer: customer.map(|it| it.chars().filter(|it| !it.is_control()).take(MAX_CUSTOMER_CHARS).collect()),
        on_gateway_loss: link.on_gateway_loss,
        no_answer: link.no_answer.unwrap_or(app.config.deadlines.no_answer),
    };
    Ok((Box::new(plan), permit))
}

fn check_origin(told: &str, claims: &PanelClaims, link: &Admission) -> Result<Origin, Refusal> {
    let refusal =
        |code, detail: String| Err(Refusal { code, merchant: Some(claims.merchant.to_string()), detail: Some(detail) });
    let allowed = told.parse::<Origin>().ok().filter(|origin| link.origins.iter().any(|it| it == origin.as_str()));
    let Some(origin) = allowed else {
        return refusal(ErrorCode::OriginNotAllowed, told.chars().take(200).collect());
    };
    match &claims.origin {
        Some(made_for) if made_for != origin.as_str() => {
            refusal(ErrorCode::TokenInvalid, format!("the token was made for {made_for}, the page is {origin}"))
        }
        Some(_) | None => Ok(origin),
    }
}

/// Where a merchant-signed token leads: to one of the merchant's destinations, or to an address on a trunk that one of them
/// uses. Other trunks are somebody else's money.
async fn signed_route(
    app: &App,
    merchant: &MerchantId,
    link: &Admission,
    token: &str,
) -> Result<(Route, Option<String>), Refusal> {
    let refusal = |detail: &str| Refusal {
        code: ErrorCode::DestinationTokenInvalid,
        merchant: Some(merchant.to_string()),
        detail: Some(detail.to_owned()),
    };
    let secret = link.signing_secret.as_ref().ok_or_else(|| refusal("the merchant has no signing_secret"))?;
    let claims = token::verify_destination(token, secret)
        .ok_or_else(|| refusal("the signature, the form or the time does not hold"))?;
    let Some(trunk) = claims.trunk else {
        let route = app.store.route(merchant, &claims.destination).await.map_err(|error| store_failed(&error))?;
        let route = route.ok_or_else(|| refusal("the merchant has no such destination"))?;
        return Ok((route, claims.customer));
    };
    let trunk = TrunkName::new(trunk);
    if !app.store.uses_trunk(merchant, &trunk).await.map_err(|error| store_failed(&error))? {
        return Err(refusal("no destination of the merchant is on that trunk"));
    }
    if !valid::is_address(&claims.destination) {
        return Err(refusal("the destination is neither a number nor a SIP URI"));
    }
    let route = Route { destination: DestinationId::new(SIGNED), trunk, address: claims.destination };
    Ok((route, claims.customer))
}

/// The page's address as the record shows it: of the origin that was checked, without query and fragment, in which secrets
/// of the shop may stand.
fn page_of(origin: &Origin, page: &str) -> Option<String> {
    let mut url = Url::parse(page).ok().filter(|url| Origin::of(url).as_ref() == Some(origin))?;
    url.set_query(None);
    url.set_fragment(None);
    if url.as_str().len() > MAX_PAGE_BYTES {
        url.set_path("/");
    }
    Some(url.into())
}

fn store_failed(error: &sqlx::Error) -> Refusal {
    tracing::error!(%error, "the store failed while a visitor waited");
    Refusal::of(ErrorCode::NoGateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_shows_the_page_without_what_may_be_secret() {
        let origin: Origin = "https://shop.example".parse().expect("an origin");
        let table = [
            ("https://shop.example/cart?token=x#y", Some("https://shop.example/cart")),
            ("https://other.example/cart", None),
            ("no url", None),
        ];
        for (page, expected) in table {
            assert_eq!(page_of(&origin, page).as_deref(), expected, "{page}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(MAX_PAGE_BYTES));
        assert_eq!(page_of(&origin, &long).as_deref(), Some("https://shop.example/"));
    }
}
