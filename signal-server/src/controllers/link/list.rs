//! `GET /v1/merchants/{merchant}/links`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::MerchantId;
use protocol::rest::{Link, Page};

/// All links of a merchant, by id. There is one page.
#[utoipa::path(get, operation_id = "list_links", path = "/v1/merchants/{merchant}/links", tag = "links", params(("merchant" = MerchantId, Path)), responses(
    (status = 200, body = Page<Link>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
) -> Result<Json<Page<Link>>, Problem> {
    caller.merchant(&merchant)?;
    let items = app.store.links(&merchant).await?;
    if items.is_empty() && app.store.merchant(&merchant).await?.is_none() {
        return Err(Problem::not_found("merchant"));
    }
    Ok(Json(Page { items, next: None }))
}
