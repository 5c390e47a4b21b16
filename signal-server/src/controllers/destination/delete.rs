//! `DELETE /v1/merchants/{merchant}/destinations/{destination}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::{DestinationId, MerchantId};

/// Takes a destination away.
#[utoipa::path(delete, operation_id = "delete_destination", path = "/v1/merchants/{merchant}/destinations/{destination}", tag = "destinations",
    params(("merchant" = MerchantId, Path), ("destination" = DestinationId, Path)), responses(
    (status = 204), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, DestinationId)>,
) -> Result<StatusCode, Problem> {
    caller.merchant(&merchant)?;
    let found = app.store.delete_destination(&merchant, &id).await?;
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(Problem::not_found("destination")) }
}
