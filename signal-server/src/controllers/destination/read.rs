//! `GET /v1/merchants/{merchant}/destinations/{destination}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::rest::Destination;
use protocol::{DestinationId, MerchantId};

/// One destination.
#[utoipa::path(get, operation_id = "read_destination", path = "/v1/merchants/{merchant}/destinations/{destination}", tag = "destinations",
    params(("merchant" = MerchantId, Path), ("destination" = DestinationId, Path)), responses(
    (status = 200, body = Destination), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, DestinationId)>,
) -> Result<Json<Destination>, Problem> {
    caller.merchant(&merchant)?;
    let destination = app.store.destination(&merchant, &id).await?;
    destination.map(Json).ok_or_else(|| Problem::not_found("destination"))
}
