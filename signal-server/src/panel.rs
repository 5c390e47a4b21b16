//! `/panel`: the page inside the frame. It carries a fresh token for one link, or the reason why there is none.

use crate::Origin;
use crate::app::App;
use crate::store::Admission;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use protocol::error::ErrorCode;
use protocol::{LinkId, MerchantId};
use serde::Deserialize;
use url::Url;

/// What is said where `cargo xtask build` has not been run.
const NOT_BUILT: &str = "web assets are not built: run `cargo xtask build`\n";

/// A page that only shows an error may be framed by anybody: the person in front of it shall read why.
pub(crate) const ANYBODY: &str = "http: https:";

/// Which link is called.
#[derive(Debug, Deserialize)]
pub(crate) struct PanelQuery {
    #[serde(default)]
    merchant: String,
    #[serde(default)]
    link: String,
}

/// `GET /panel?merchant=&link=`.
pub(crate) async fn show(State(app): State<App>, Query(query): Query<PanelQuery>, headers: HeaderMap) -> Response {
    let Some(template) = app.assets.page("panel.html") else { return not_built() };
    let (merchant, link) = (MerchantId::new(query.merchant), LinkId::new(query.link));
    let around = page_around(&headers, &app.public_origin);
    match token(&app, &merchant, &link, around.as_ref()).await {
        Ok(Asked { token, admission }) => answer(&app, template, &token, None, &admission.origins.join(" ")),
        Err(code) => {
            tracing::info!(%code, %merchant, %link, page = around.as_ref().map(Origin::as_str), "showing an error in the panel");
            answer(&app, template, "", Some(code), ANYBODY)
        }
    }
}

/// What is served where the assets are not embedded.
pub(crate) fn not_built() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response()
}

/// A link that may be called from the page around.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) token: String,
    pub(crate) admission: Admission,
}

/// Signs a token for a link, if the page around may call it.
pub(crate) async fn token(
    app: &App,
    merchant: &MerchantId,
    link: &LinkId,
    around: Option<&Origin>,
) -> Result<Asked, ErrorCode> {
    if merchant.as_str().is_empty() || link.as_str().is_empty() {
        return Err(ErrorCode::LoaderMisconfigured);
    }
    let admission = app.store.admission(merchant, link).await.map_err(|error| {
        tracing::error!(%error, "the store failed while a panel was asked for");
        ErrorCode::NoGateway
    })?;
    let admission = admission.ok_or(ErrorCode::LinkUnknown)?;
    // A shop may keep its address from us (Referrer-Policy); then `frame-ancestors` alone stands guard here.
    if around.is_some_and(|origin| !admission.origins.iter().any(|it| it == origin.as_str())) {
        return Err(ErrorCode::OriginNotAllowed);
    }
    Ok(Asked { token: sign(app, merchant, link, around)?, admission })
}

/// Signs a token for a link, which need not exist.
pub(crate) fn sign(
    app: &App,
    merchant: &MerchantId,
    link: &LinkId,
    around: Option<&Origin>,
) -> Result<String, ErrorCode> {
    app.panel_tokens.issue(merchant.clone(), link.clone(), around).map_err(|error| {
        tracing::error!(%error, "signing a panel's token failed");
        ErrorCode::NoGateway
    })
}

/// The origin of the page around the panel, as far as the browser tells. The panel itself is its own Referer when it
/// reloads: that says nothing.
pub(crate) fn page_around(headers: &HeaderMap, own: &Origin) -> Option<Origin> {
    let url = Url::parse(headers.get(header::REFERER)?.to_str().ok()?).ok()?;
    Origin::of(&url).filter(|origin| origin != own || url.path() != "/panel")
}

fn answer(app: &App, template: &str, token: &str, error: Option<ErrorCode>, ancestors: &str) -> Response {
    // What is filled in is either ours (codes, sentences) or base64url; escaping keeps it so when sentences change.
    let page = template
        .replace("{{TOKEN}}", &escape(token))
        .replace("{{ERROR}}", &escape(error.map(ErrorCode::word).unwrap_or_default()))
        .replace("{{MESSAGE}}", &escape(error.map(ErrorCode::shopper).unwrap_or_default()));
    self::page(app, page, ancestors)
}

/// A page of ours that the ancestors may frame.
pub(crate) fn page(app: &App, page: String, ancestors: &str) -> Response {
    let mut response = Html(page).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, policy(app, ancestors));
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

const HEADERS: [(&str, &str); 6] = [
    ("cache-control", "no-store"),
    (
        "permissions-policy",
        "microphone=(self), autoplay=(self), camera=(), display-capture=(), geolocation=(), payment=()",
    ),
    ("referrer-policy", "no-referrer"),
    // So that shops which isolate themselves (COEP) can embed the panel.
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("x-robots-tag", "noindex"),
];

fn policy(app: &App, ancestors: &str) -> HeaderValue {
    // Not every browser counts its own WebSocket as 'self' (CSP Level 3 says it does).
    let socket = app.public_origin.as_str().replacen("http", "ws", 1);
    // Not 'none': to Firefox that forbids what is prefetched.
    let policy = format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' {socket}; \
         media-src 'self' blob:; worker-src 'self'; img-src 'self' data:; font-src 'none'; frame-src 'none'; \
         object-src 'none'; manifest-src 'none'; frame-ancestors {ancestors}; base-uri 'none'; form-action 'none'"
    );
    // Origins are ASCII by their type; should one not be, nobody may frame the panel.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

/// For HTML, also between quotes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_around_is_told_by_referer_unless_the_panel_reloads_itself() {
        let own: Origin = "https://call.example".parse().expect("an origin");
        let table = [
            ("https://shop.example/cart?x", Some("https://shop.example")),
            ("https://call.example/panel?merchant=acme", None),
            ("https://call.example/", Some("https://call.example")),
            ("about:blank", None),
            ("nonsense", None),
        ];
        for (referer, expected) in table {
            let headers = HeaderMap::from_iter([(header::REFERER, HeaderValue::from_static(referer))]);
            let found = page_around(&headers, &own);
            assert_eq!(found.as_ref().map(Origin::as_str), expected, "{referer}");
        }
    }
}
