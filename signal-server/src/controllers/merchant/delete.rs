//! `DELETE /v1/merchants/{merchant}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::MerchantId;

/// Takes a merchant away with its links, destinations and keys. Records of calls stay. Only for the operator.
#[utoipa::path(delete, operation_id = "delete_merchant", path = "/v1/merchants/{merchant}", tag = "merchants", params(("merchant" = MerchantId, Path)), responses(
    (status = 204), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
) -> Result<StatusCode, Problem> {
    caller.operator()?;
    let found = app.store.delete_merchant(&merchant).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("merchant")) }
}
