//! `PUT /v1/merchants/{merchant}`.

use crate::Origin;
use crate::app::App;
use crate::controllers::{Body, Caller, check_id, check_name};
use crate::problem::Problem;
use crate::store::Millis;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::MerchantId;
use protocol::command::PAUSE_MS;
use protocol::rest::{Merchant, MerchantWrite};

/// Origins of one merchant: they all stand in the panel's `frame-ancestors`, and proxies cut headers above 8 KiB.
const MAX_ORIGINS: usize = 100;

/// The shortest and the longest key of HS256 that is taken, in bytes.
const SIGNING_SECRET: std::ops::RangeInclusive<usize> = 16..=512;

/// Makes or replaces a merchant. Only for the operator: origins decide who may place calls.
#[utoipa::path(put, operation_id = "write_merchant", path = "/v1/merchants/{merchant}", tag = "merchants", params(("merchant" = MerchantId, Path)),
    request_body = MerchantWrite, responses(
    (status = 200, body = Merchant), (status = 201, body = Merchant),
    (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn write(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<MerchantId>,
    Body(mut body): Body<MerchantWrite>,
) -> Result<(StatusCode, Json<Merchant>), Problem> {
    caller.operator()?;
    check_id("merchant", id.as_str())?;
    check_name("name", &body.name)?;
    body.origins = check_origins(&body.origins)?;
    if body.signing_secret.as_ref().is_some_and(|it| !it.is_empty() && !SIGNING_SECRET.contains(&it.len())) {
        let cure = "Use 16 to 512 random bytes, for example from `openssl rand -hex 32`.";
        return Err(Problem::invalid("signing_secret", "That is too short or too long to sign with.", cure));
    }
    if body.key_pause_ms.is_some_and(|ms| !PAUSE_MS.contains(&ms)) {
        let cure = format!("Use {} to {} milliseconds; 1500 suits most hands.", PAUSE_MS.start(), PAUSE_MS.end());
        return Err(Problem::invalid("key_pause_ms", "That is too short or too long a pause between keys.", cure));
    }
    let new = app.store.put_merchant(&id, &body, Millis::now()).await?;
    let merchant = app.store.merchant(&id).await?.ok_or_else(|| Problem::not_found("merchant"))?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(merchant)))
}

fn check_origins(origins: &[String]) -> Result<Vec<String>, Problem> {
    if origins.len() > MAX_ORIGINS {
        let cure = format!("Name at most {MAX_ORIGINS}; one per shop domain is enough.");
        return Err(Problem::invalid("origins", "Those are too many origins.", cure));
    }
    let parse = |text: &String| match text.parse::<Origin>() {
        Ok(origin) => Ok(origin.to_string()),
        Err(error) => {
            Err(Problem::invalid("origins", error.to_string(), "Copy scheme and host from the browser's address bar."))
        }
    };
    origins.iter().map(parse).collect()
}
