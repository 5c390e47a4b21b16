//! `POST /v1/merchants/{merchant}/command-cards`.

use crate::app::App;
use crate::controllers::Caller;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use protocol::MerchantId;
use protocol::rest::CommandCard;

/// A link to the card of all commands, for agents: it prints well, needs no account, and shows the commands as they are when it is
/// opened. Links end by themselves, after seven days.
#[utoipa::path(post, operation_id = "create_command_card", path = "/v1/merchants/{merchant}/command-cards", tag = "commands",
    params(("merchant" = MerchantId, Path)), responses(
    (status = 201, body = CommandCard), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(merchant): Path<MerchantId>,
) -> Result<(StatusCode, Json<CommandCard>), Problem> {
    caller.merchant(&merchant)?;
    if app.store.merchant(&merchant).await?.is_none() {
        return Err(Problem::not_found("merchant"));
    }
    let (token, seconds) = app.card_tokens.issue(merchant).map_err(|error| {
        tracing::error!(%error, "signing a card's link failed");
        Problem::unavailable("The link could not be signed.")
    })?;
    let mut url = app.config.public_url.join("card").unwrap_or_else(|_| app.config.public_url.clone());
    url.query_pairs_mut().append_pair("token", &token);
    let expires_at = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    Ok((StatusCode::CREATED, Json(CommandCard { url: url.into(), expires_at })))
}
