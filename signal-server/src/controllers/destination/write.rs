//! `PUT /v1/merchants/{merchant}/destinations/{destination}`.

use crate::app::App;
use crate::controllers::{Body, Caller, check_id};
use crate::problem::Problem;
use crate::valid;
use axum::Json;
use axum::extract::{Path, State};
use protocol::rest::{Destination, DestinationWrite};
use protocol::{DestinationId, MerchantId};

/// Makes or replaces a destination. A merchant's key may choose among the trunks that the merchant uses already; a new one
/// is the operator's to give.
#[utoipa::path(put, operation_id = "write_destination", path = "/v1/merchants/{merchant}/destinations/{destination}", tag = "destinations",
    params(("merchant" = MerchantId, Path), ("destination" = DestinationId, Path)), request_body = DestinationWrite, responses(
    (status = 200, body = Destination), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn write(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, DestinationId)>,
    Body(body): Body<DestinationWrite>,
) -> Result<Json<Destination>, Problem> {
    caller.merchant(&merchant)?;
    check_id("destination", id.as_str())?;
    check_id("trunk", body.trunk.as_str())?;
    if !valid::is_address(&body.address) {
        let cure = "Write a number or user part (`1001`, `+43123456`) or a SIP URI (`sip:1001@pbx.example`).";
        return Err(Problem::invalid("address", "That can be neither dialled nor called.", cure));
    }
    if caller.operator().is_err() && !app.store.uses_trunk(&merchant, &body.trunk).await? {
        let cure = "Use a trunk of the merchant's other destinations, or let the operator make this one.";
        return Err(Problem::invalid("trunk", "The merchant does not use that trunk.", cure));
    }
    app.store.put_destination(&merchant, &id, &body).await?;
    Ok(Json(Destination { id, trunk: body.trunk, address: body.address }))
}
