//! `DELETE /v1/api-keys/{key}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use crate::store::StoreError;
use axum::extract::{Path, State};
use axum::http::StatusCode;

/// Takes a key away, at once.
#[utoipa::path(delete, operation_id = "delete_api_key", path = "/v1/api-keys/{key}", tag = "API keys", params(("key" = String, Path, description = "The key's id.")), responses(
    (status = 204), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    match app.store.delete_api_key(caller.reach(), &id).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Problem::not_found("API key")),
        Err(StoreError::InUse) => {
            let cure = "Take it out of the configuration and restart the server.";
            Err(Problem::conflict("This key stands in the server's configuration.", cure))
        }
        Err(error) => Err(error.into()),
    }
}
