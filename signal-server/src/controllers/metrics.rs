//! `GET /metrics`, in Prometheus' text format.

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::problem::Problem;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// Everything that this process counts, for those who may know.
pub(crate) async fn show(State(app): State<App>, client: ClientAddress) -> Result<impl IntoResponse, Problem> {
    if !app.config.metrics_from.iter().any(|network| network.contains(&client.0)) {
        return Err(Problem::not_for_strangers(client.0));
    }
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()))
}
