//! `GET /v1/api-keys`.

use crate::app::App;
use crate::controllers::{Caller, Parameters, page, page_size};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use protocol::rest::{ApiKey, Page, PageQuery};

/// The keys that the key reaches, without the keys themselves, by id.
#[utoipa::path(get, operation_id = "list_api_keys", path = "/v1/api-keys", tag = "API keys", params(PageQuery), responses(
    (status = 200, body = Page<ApiKey>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<ApiKey>>, Problem> {
    let size = page_size(query.limit)?;
    let after = query.cursor.as_deref().unwrap_or_default();
    let items = app.store.api_keys(caller.reach(), after, size + 1).await?;
    Ok(Json(page(items, size, |it| it.id.clone())))
}
