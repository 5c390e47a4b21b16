//! The HTTP API, a file for each thing that can be done: `controllers/noun/verb`. Here is what they share: who asks, and how
//! bodies, lists and problems look.

pub(crate) mod api_key;
pub(crate) mod call;
pub(crate) mod command;
pub(crate) mod destination;
pub(crate) mod health;
pub(crate) mod link;
pub(crate) mod merchant;
pub(crate) mod metrics;
pub(crate) mod openapi;

use crate::app::App;
use crate::id::is_id;
use crate::problem::Problem;
use crate::store::{KeyHash, Reach};
use crate::valid;
use axum::Router;
use axum::extract::{FromRequestParts, Query};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::routing::{delete, get, post};
use protocol::MerchantId;
use protocol::rest::Page;
use serde::de::DeserializeOwned;

/// Items on a page when nothing is asked for.
const DEFAULT_LIMIT: u32 = 50;

/// Items on a page at most.
const MAX_LIMIT: u32 = 200;

/// The REST API under `/v1`.
pub(crate) fn v1() -> Router<App> {
    Router::new()
        .route("/merchants", get(merchant::list::list))
        .route(
            "/merchants/{merchant}",
            get(merchant::read::read).put(merchant::write::write).delete(merchant::delete::delete),
        )
        .route("/merchants/{merchant}/destinations", get(destination::list::list))
        .route(
            "/merchants/{merchant}/destinations/{destination}",
            get(destination::read::read).put(destination::write::write).delete(destination::delete::delete),
        )
        .route("/merchants/{merchant}/links", get(link::list::list))
        .route(
            "/merchants/{merchant}/links/{link}",
            get(link::read::read).put(link::write::write).delete(link::delete::delete),
        )
        .route("/merchants/{merchant}/commands", get(command::list::list).post(command::create::create))
        .route("/merchants/{merchant}/command-cards", post(command::card::create))
        .route(
            "/merchants/{merchant}/commands/{sequence}",
            get(command::read::read).put(command::write::write).delete(command::delete::delete),
        )
        .route("/api-keys", get(api_key::list::list).post(api_key::create::create))
        .route("/api-keys/{key}", delete(api_key::delete::delete))
        .route("/calls", get(call::list::list))
        .route("/calls/{call}", get(call::read::read))
        .route("/calls/{call}/settings", get(call::settings::read).patch(call::settings::change))
}

/// Who asks: the holder of a valid API key.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Reach);

impl Caller {
    /// Lets only an operator's key pass.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        if self.0 == Reach::Everything { Ok(()) } else { Err(Problem::forbidden()) }
    }

    /// Lets keys pass that reach this merchant.
    pub(crate) fn merchant(&self, id: &MerchantId) -> Result<(), Problem> {
        match &self.0 {
            Reach::Everything => Ok(()),
            Reach::Merchant(own) if own == id => Ok(()),
            Reach::Merchant(_) => Err(Problem::forbidden()),
        }
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.0
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let key = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let reach = app.store.reach(&KeyHash::of(key)).await?;
        reach.map(Self).ok_or_else(Problem::unauthorized)
    }
}

/// The bearer token of a request (RFC 6750 section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A request's body.
#[derive(Debug, axum::extract::FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Body<T>(pub(crate) T);

/// A request's parameters.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Query(parameters) = Query::from_request_parts(parts, app).await?;
        Ok(Self(parameters))
    }
}

/// How many items a page shall have.
pub(crate) fn page_size(limit: Option<u32>) -> Result<u32, Problem> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
        Some(limit) => {
            let cure = format!("Ask for 1 to {MAX_LIMIT} and follow `next`.");
            Err(Problem::invalid("limit", format!("A page cannot have {limit} items."), cure))
        }
    }
}

/// Makes a page of `size` from a list that was asked for with one item more.
pub(crate) fn page<T>(mut items: Vec<T>, size: u32, id: impl Fn(&T) -> String) -> Page<T> {
    let size = size as usize;
    let more = items.len() > size;
    items.truncate(size);
    let next = if more { items.last().map(id) } else { None };
    Page { items, next }
}

/// Checks an id that the request chooses.
pub(crate) fn check_id(field: &'static str, id: &str) -> Result<(), Problem> {
    if is_id(id) {
        return Ok(());
    }
    let cure = "Use 1 to 64 letters, digits, hyphens, underscores and dots.";
    Err(Problem::invalid(field, "That is no id.", cure))
}

/// Checks a name or label.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Problem> {
    if valid::is_name(name) {
        return Ok(());
    }
    let cure = format!("Use 1 to {} characters, no line break, no blank at either end.", valid::MAX_NAME_CHARS);
    Err(Problem::invalid(field, "That is no name that could be shown.", cure))
}
