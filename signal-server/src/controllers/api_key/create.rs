//! `POST /v1/api-keys`.

use crate::app::App;
use crate::controllers::{Body, Caller, check_name};
use crate::id;
use crate::problem::Problem;
use crate::store::{KeyHash, Millis};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use protocol::rest::{ApiKey, ApiKeyCreate, ApiKeyCreated};

/// Makes a key that reaches no further than the one that asks.
#[utoipa::path(post, operation_id = "create_api_key", path = "/v1/api-keys", tag = "API keys", request_body = ApiKeyCreate, responses(
    (status = 201, body = ApiKeyCreated), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<ApiKeyCreate>,
) -> Result<(StatusCode, Json<ApiKeyCreated>), Problem> {
    match &body.merchant {
        Some(merchant) => caller.merchant(merchant)?,
        None => caller.operator()?,
    }
    check_name("name", &body.name)?;
    // The prefix lets scanners of source code find keys that were committed by mistake.
    let key = format!("ringlet_{}", id::secret());
    let ApiKeyCreate { name, merchant } = body;
    let api_key = ApiKey { id: id::short_id(), name, merchant, configured: false, created_at: Millis::now().0 };
    app.store.add_api_key(&api_key, &KeyHash::of(&key)).await?;
    Ok((StatusCode::CREATED, Json(ApiKeyCreated { api_key, key })))
}
