//! `GET` and `PATCH /v1/calls/{call}/settings`: what is set on the shopper's side of a running call, for a desk with sliders.

use crate::app::App;
use crate::controllers::{Body, Caller};
use crate::hub::Message;
use crate::problem::Problem;
use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use protocol::CallId;
use protocol::settings::{Change, MAX_DB, MAX_DEVICE_BYTES, MIN_DB, State};
use tokio::sync::oneshot;

/// What is really set, as the shopper's panel told last.
#[utoipa::path(get, operation_id = "read_settings", path = "/v1/calls/{call}/settings", tag = "calls", params(("call" = CallId, Path)), responses(
    (status = 200, body = State), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn read(
    Shared(app): Shared<App>,
    caller: Caller,
    Path(call): Path<CallId>,
) -> Result<Json<State>, Problem> {
    super::read::reached(&app, &caller, &call).await?;
    now(&app, call).await.map(Json)
}

/// Asks the shopper's panel to set something. What becomes of it shows when the settings are read again: the shopper sees it
/// and can undo it.
#[utoipa::path(patch, operation_id = "change_settings", path = "/v1/calls/{call}/settings", tag = "calls", params(("call" = CallId, Path)),
    request_body = Change, responses(
    (status = 202, body = State), (status = "4XX", body = protocol::rest::Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn change(
    Shared(app): Shared<App>,
    caller: Caller,
    Path(call): Path<CallId>,
    Body(change): Body<Change>,
) -> Result<(StatusCode, Json<State>), Problem> {
    let record = super::read::reached(&app, &caller, &call).await?;
    check(&change)?;
    let keypad = app.store.keypad(&record.merchant).await?.ok_or_else(|| Problem::not_found("merchant"))?;
    if let Some(setting) = change.touches().find(|setting| keypad.forbidden.contains(setting)) {
        return Err(Problem::forbidden_setting(setting));
    }
    let state = now(&app, call.clone()).await?;
    if change.quality_test.is_some() && state.quality_test == Some(true) {
        return Err(Problem::conflict("A test runs already.", "Read the settings again until it is over."));
    }
    app.hub.tell(Message::Set { call, change }).await;
    Ok((StatusCode::ACCEPTED, Json(state)))
}

async fn now(app: &App, call: CallId) -> Result<State, Problem> {
    let (reply, told) = oneshot::channel();
    app.hub.tell(Message::Settings { call, reply }).await;
    let state = told.await.ok().flatten();
    state.ok_or_else(|| {
        Problem::conflict(
            "The call is not answered, or is over.",
            "Set things while somebody talks: see the call's record.",
        )
    })
}

fn check(change: &Change) -> Result<(), Problem> {
    for (field, db) in [("microphone_db", change.microphone_db), ("speaker_db", change.speaker_db)] {
        if db.is_some_and(|db| !(MIN_DB..=MAX_DB).contains(&db)) {
            return Err(Problem::invalid(
                field,
                "That is too soft or too loud.",
                format!("Use {MIN_DB} to {MAX_DB} dB."),
            ));
        }
    }
    if change.muted == Some(false) {
        let cure = "Ask the shopper to speak: only the shopper opens the microphone.";
        return Err(Problem::invalid("muted", "A microphone is not opened from afar.", cure));
    }
    if change.quality_test == Some(false) {
        return Err(Problem::invalid("quality_test", "A test ends by itself.", "Leave the field out."));
    }
    for (field, name) in [("input_device", &change.input_device), ("output_device", &change.output_device)] {
        if name.as_ref().is_some_and(|name| name.is_empty() || name.len() > MAX_DEVICE_BYTES) {
            return Err(Problem::invalid(
                field,
                "That is no device's name.",
                "Use one of the names that the settings list.",
            ));
        }
    }
    Ok(())
}
