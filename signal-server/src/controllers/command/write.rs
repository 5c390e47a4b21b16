//! `PUT /v1/merchants/{merchant}/commands/{sequence}`.

use super::check;
use crate::app::App;
use crate::controllers::{Body, Caller};
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::MerchantId;
use protocol::command::{Command, CommandWrite};

/// Makes or replaces a command.
#[utoipa::path(put, operation_id = "write_command", path = "/v1/merchants/{merchant}/commands/{sequence}", tag = "commands",
    params(("merchant" = MerchantId, Path), ("sequence" = String, Path)), request_body = CommandWrite, responses(
    (status = 200, body = Command), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn write(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, sequence)): Path<(MerchantId, String)>,
    Body(body): Body<CommandWrite>,
) -> Result<Json<Command>, Problem> {
    caller.merchant(&merchant)?;
    let command = body.at(sequence);
    check(&app, &merchant, &command).await?;
    app.store.put_command(&merchant, &command, true).await?;
    Ok(Json(command))
}
