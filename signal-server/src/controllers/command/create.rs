//! `POST /v1/merchants/{merchant}/commands`.

use super::check;
use crate::app::App;
use crate::controllers::{Body, Caller};
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::MerchantId;
use protocol::command::Command;

/// Makes a command. One that is there already is not touched: 409.
#[utoipa::path(post, operation_id = "create_command", path = "/v1/merchants/{merchant}/commands", tag = "commands",
    params(("merchant" = MerchantId, Path)), request_body = Command, responses(
    (status = 201, body = Command), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
    Body(command): Body<Command>,
) -> Result<(StatusCode, Json<Command>), Problem> {
    caller.merchant(&merchant)?;
    check(&app, &merchant, &command).await?;
    app.store.put_command(&merchant, &command, false).await?;
    Ok((StatusCode::CREATED, Json(command)))
}
