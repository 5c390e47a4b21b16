//! `GET /v1/api-keys`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use protocol::rest::{ApiKey, Page};

/// The keys that the key reaches, without the keys themselves. There is one page.
#[utoipa::path(get, operation_id = "list_api_keys", path = "/v1/api-keys", tag = "API keys", responses(
    (status = 200, body = Page<ApiKey>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Page<ApiKey>>, Problem> {
    Ok(Json(Page { items: app.store.api_keys(caller.reach()).await?, next: None }))
}
