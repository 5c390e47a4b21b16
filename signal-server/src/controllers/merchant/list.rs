//! `GET /v1/merchants`.

use crate::app::App;
use crate::controllers::{Caller, Parameters, page, page_size};
use crate::problem::Problem;
use crate::store::Reach;
use axum::Json;
use axum::extract::State;
use protocol::rest::{Merchant, Page, PageQuery};

/// The merchants that the key reaches, by id.
#[utoipa::path(get, operation_id = "list_merchants", path = "/v1/merchants", tag = "merchants", params(PageQuery), responses(
    (status = 200, body = Page<Merchant>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<PageQuery>,
) -> Result<Json<Page<Merchant>>, Problem> {
    let size = page_size(query.limit)?;
    let items = match caller.reach() {
        Reach::Everything => app.store.merchants(query.cursor.as_deref().unwrap_or_default(), size + 1).await?,
        Reach::Merchant(own) => app.store.merchant(own).await?.into_iter().collect(),
    };
    Ok(Json(page(items, size, |it| it.id.to_string())))
}
