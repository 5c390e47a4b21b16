//! `GET /v1/calls`.

use crate::app::App;
use crate::controllers::{Caller, Parameters, page, page_size};
use crate::problem::Problem;
use crate::store::Reach;
use axum::Json;
use axum::extract::State;
use protocol::rest::{Call, CallFilter, Page};

/// The records that the key reaches, newest first.
#[utoipa::path(get, operation_id = "list_calls", path = "/v1/calls", tag = "calls", params(CallFilter), responses(
    (status = 200, body = Page<Call>), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(mut filter): Parameters<CallFilter>,
) -> Result<Json<Page<Call>>, Problem> {
    let size = page_size(filter.limit)?;
    match (caller.reach(), &filter.merchant) {
        (_, Some(merchant)) => caller.merchant(merchant)?,
        (Reach::Merchant(own), None) => filter.merchant = Some(own.clone()),
        (Reach::Everything, None) => {}
    }
    let items = app.store.calls(&filter, size + 1).await?;
    Ok(Json(page(items, size, |it| it.id.to_string())))
}
