//! `PUT /v1/merchants/{merchant}/links/{link}`.

use crate::app::App;
use crate::controllers::{Body, Caller, check_id, check_name};
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State};
use protocol::rest::{Link, LinkWrite};
use protocol::{LinkId, MerchantId};
use std::time::Duration;
use switchboard::{MAX_NO_ANSWER, MIN_NO_ANSWER};

/// Makes or replaces a link.
#[utoipa::path(put, operation_id = "write_link", path = "/v1/merchants/{merchant}/links/{link}", tag = "links",
    params(("merchant" = MerchantId, Path), ("link" = LinkId, Path)), request_body = LinkWrite, responses(
    (status = 200, body = Link), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn write(
    State(app): State<App>,
    caller: Caller,
    Path((merchant, id)): Path<(MerchantId, LinkId)>,
    Body(body): Body<LinkWrite>,
) -> Result<Json<Link>, Problem> {
    caller.merchant(&merchant)?;
    check_id("link", id.as_str())?;
    check_name("label", &body.label)?;
    let seconds = body.no_answer_seconds.map(|it| Duration::from_secs(it.into()));
    if seconds.is_some_and(|it| !(MIN_NO_ANSWER..=MAX_NO_ANSWER).contains(&it)) {
        let cure = format!("Use {} to {} seconds.", MIN_NO_ANSWER.as_secs(), MAX_NO_ANSWER.as_secs());
        return Err(Problem::invalid("no_answer_seconds", "That is too short or too long to let it ring.", cure));
    }
    app.store.put_link(&merchant, &id, &body).await?;
    let LinkWrite { label, destination, no_answer_seconds } = body;
    Ok(Json(Link { id, label, destination, no_answer_seconds }))
}
