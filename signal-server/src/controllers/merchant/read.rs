//! `GET /v1/merchants/{merchant}`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::MerchantId;
use protocol::rest::Merchant;

/// One merchant.
#[utoipa::path(get, operation_id = "read_merchant", path = "/v1/merchants/{merchant}", tag = "merchants", params(("merchant" = MerchantId, Path)), responses(
    (status = 200, body = Merchant), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
) -> Result<Json<Merchant>, Problem> {
    caller.merchant(&merchant)?;
    Ok(Json(app.store.merchant(&merchant).await?.ok_or_else(|| Problem::not_found("merchant"))?))
}
