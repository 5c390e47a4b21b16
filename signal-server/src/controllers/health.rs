//! `GET /healthz`, for load balancers and supervisors.

use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// 200 when calls can be taken as far as this server is concerned; 503 when it stops or its store does not answer. A missing
/// gateway is shown, and is no reason to restart this process.
pub(crate) async fn show(State(app): State<App>) -> Response {
    let status = app.hub.status();
    let (code, word) = if app.shutdown.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if app.store.ping().await.is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "store failed")
    } else {
        (StatusCode::OK, "ok")
    };
    (code, Json(json!({"status": word, "calls": status.calls, "gateways": status.gateways}))).into_response()
}
