//! `DELETE /v1/merchants/{merchant}/links/{link}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::{LinkId, MerchantId};

/// Takes a link away.
#[utoipa::path(delete, operation_id = "delete_link", path = "/v1/merchants/{merchant}/links/{link}", tag = "links",
    params(("merchant" = MerchantId, Path), ("link" = LinkId, Path)), responses(
    (status = 204), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, LinkId)>,
) -> Result<StatusCode, Problem> {
    caller.merchant(&merchant)?;
    let found = app.store.delete_link(&merchant, &id).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("link")) }
}
