//! `GET /v1/calls/{call}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::CallId;
use protocol::rest::Call;

/// One record.
#[utoipa::path(get, operation_id = "read_call", path = "/v1/calls/{call}", tag = "calls", params(("call" = CallId, Path)), responses(
    (status = 200, body = Call), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<CallId>,
) -> Result<Json<Call>, Problem> {
    reached(&app, &caller, &id).await.map(Json)
}

/// The call's record, if the key reaches it. Somebody else's call looks like none: its id would tell that it took place.
pub(super) async fn reached(app: &App, caller: &Caller, id: &CallId) -> Result<Call, Problem> {
    let call = app.store.call(id).await?.ok_or_else(|| Problem::not_found("call"))?;
    caller.merchant(&call.merchant).map_err(|_| Problem::not_found("call"))?;
    Ok(call)
}
