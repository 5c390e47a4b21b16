//! `DELETE /v1/merchants/{merchant}/commands/{sequence}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::MerchantId;

/// Takes a command away: its keys pass as plain digits.
#[utoipa::path(delete, operation_id = "delete_command", path = "/v1/merchants/{merchant}/commands/{sequence}", tag = "commands",
    params(("merchant" = MerchantId, Path), ("sequence" = String, Path)), responses(
    (status = 204), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, sequence)): Path<(MerchantId, String)>,
) -> Result<StatusCode, Problem> {
    caller.merchant(&merchant)?;
    let found = app.store.delete_command(&merchant, &sequence).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("command")) }
}
