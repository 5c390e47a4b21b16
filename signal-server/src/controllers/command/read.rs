//! `GET /v1/merchants/{merchant}/commands/{sequence}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::MerchantId;
use protocol::command::Command;

/// One command.
#[utoipa::path(get, operation_id = "read_command", path = "/v1/merchants/{merchant}/commands/{sequence}", tag = "commands",
    params(("merchant" = MerchantId, Path), ("sequence" = String, Path)), responses(
    (status = 200, body = Command), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, sequence)): Path<(MerchantId, String)>,
) -> Result<Json<Command>, Problem> {
    caller.merchant(&merchant)?;
    let command = app.store.command(&merchant, &sequence).await?;
    command.map(Json).ok_or_else(|| Problem::not_found("command"))
}
