//! `GET /v1/merchants/{merchant}/commands`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::MerchantId;
use protocol::command::Command;
use protocol::rest::Page;

/// All commands of a merchant, by sequence. There is one page.
#[utoipa::path(get, operation_id = "list_commands", path = "/v1/merchants/{merchant}/commands", tag = "commands", params(("merchant" = MerchantId, Path)), responses(
    (status = 200, body = Page<Command>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
) -> Result<Json<Page<Command>>, Problem> {
    caller.merchant(&merchant)?;
    let items = app.store.commands(&merchant).await?;
    if items.is_empty() && app.store.merchant(&merchant).await?.is_none() {
        return Err(Problem::not_found("merchant"));
    }
    Ok(Json(Page { items, next: None }))
}
