//! `GET /v1/merchants/{merchant}/links/{link}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::rest::Link;
use protocol::{LinkId, MerchantId};

/// One link.
#[utoipa::path(get, operation_id = "read_link", path = "/v1/merchants/{merchant}/links/{link}", tag = "links",
    params(("merchant" = MerchantId, Path), ("link" = LinkId, Path)), responses(
    (status = 200, body = Link), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, LinkId)>,
) -> Result<Json<Link>, Problem> {
    caller.merchant(&merchant)?;
    let link = app.store.link(&merchant, &id).await?;
    link.map(Json).ok_or_else(|| Problem::not_found("link"))
}
