//! `/check`: the page that runs a check, by itself or in a frame of the shop's page. It carries a fresh token like the panel
//! does, or the reason why there is none.

use super::errors;
use crate::app::App;
use crate::panel::{self, Asked};
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use protocol::error::ErrorCode;
use protocol::{LinkId, MerchantId};
use serde::Deserialize;

/// Which link's way is checked; without a merchant, that to any gateway.
#[derive(Debug, Deserialize)]
pub(crate) struct CheckQuery {
    #[serde(default)]
    merchant: String,
    #[serde(default)]
    link: String,
    /// Set by who puts the page into a frame: only then says `Referer` what page is around it.
    framed: Option<String>,
}

/// `GET /check?merchant=&link=`.
pub(crate) async fn show(State(app): State<App>, Query(query): Query<CheckQuery>, headers: HeaderMap) -> Response {
    let Some(template) = app.assets.page("check.html") else { return panel::not_built() };
    let around = query.framed.and_then(|_| panel::page_around(&headers, &app.public_origin));
    let (merchant, link) = (MerchantId::new(query.merchant), LinkId::new(query.link));
    let (asked, name, ancestors) = if merchant.as_str().is_empty() {
        (panel::sign(&app, &merchant, &link, None), String::new(), "'none'".to_owned())
    } else {
        match panel::token(&app, &merchant, &link, around.as_ref()).await {
            Ok(Asked { token, admission }) => {
                let name = format!("{}, {}", admission.merchant_name, admission.link_label);
                (Ok(token), name, admission.origins.join(" "))
            }
            Err(code) => {
                tracing::info!(%code, %merchant, %link, "showing an error in a check");
                (Err(code), String::new(), panel::ANYBODY.to_owned())
            }
        }
    };
    let (token, error) = match &asked {
        Ok(token) => (token.as_str(), ""),
        Err(code) => ("", ErrorCode::word(*code)),
    };
    let page = template
        .replace("{{TOKEN}}", &panel::escape(token))
        .replace("{{ERROR}}", error)
        .replace("{{NAME}}", &panel::escape(&name))
        .replace("{{CATALOGUE}}", &errors::as_json());
    panel::page(&app, page, &ancestors)
}
