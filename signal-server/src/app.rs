//! What every request handler can reach, and which handler answers what.

use crate::assets::{self, Assets};
use crate::card::{self, CardTokens};
use crate::hub::HubHandle;
use crate::limits::Limits;
use crate::problem::Problem;
use crate::store::Store;
use crate::token::{PanelTokens, ResumeTokens};
use crate::{Config, Origin, check, controllers, gateway, panel, visitor};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::classify::ServerErrorsFailureClass;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

/// The longest body of a REST request; a merchant with a hundred origins has some 10 KiB.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a request without WebSocket may take.
const REQUEST: Duration = Duration::from_secs(15);

/// The server's shared parts; clones share them.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

/// See [`App`].
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) public_origin: Origin,
    pub(crate) store: Store,
    pub(crate) hub: HubHandle,
    pub(crate) limits: Limits,
    pub(crate) panel_tokens: PanelTokens,
    pub(crate) resume_tokens: ResumeTokens,
    pub(crate) card_tokens: CardTokens,
    pub(crate) assets: Assets,
    pub(crate) metrics: PrometheusHandle,
    /// The tasks that serve WebSockets.
    pub(crate) tasks: TaskTracker,
    /// Asks for the end: no new call.
    pub(crate) shutdown: CancellationToken,
    /// The end: every WebSocket closes.
    pub(crate) closing: CancellationToken,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Logs answers of 500 and above. That a server which stops says 503 is no error: a load balancer asks it every few seconds.
fn failure_log(shutdown: CancellationToken) -> impl Fn(ServerErrorsFailureClass, Duration, &Span) + Clone {
    move |class: ServerErrorsFailureClass, latency: Duration, _: &Span| {
        let is_stopping = shutdown.is_cancelled()
            && matches!(class, ServerErrorsFailureClass::StatusCode(StatusCode::SERVICE_UNAVAILABLE));
        if is_stopping {
            tracing::debug!(%class, ?latency, "refused while stopping");
        } else {
            tracing::error!(%class, ?latency, "a request failed");
        }
    }
}

/// Everything that the server answers.
pub(crate) fn router(app: App) -> Router {
    let pages = Router::new()
        .route("/panel", get(panel::show))
        .route("/check", get(check::page::show))
        .route("/errors", get(check::errors::show))
        .route("/card", get(card::show))
        .route("/card.css", get(card::style))
        .route("/healthz", get(controllers::health::show))
        .route("/metrics", get(controllers::metrics::show))
        .route("/openapi.json", get(controllers::openapi::show))
        .nest("/v1", controllers::v1())
        .merge(app.assets.router())
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST));
    let sockets = Router::new()
        .route("/ws/visitor", any(visitor::upgrade))
        .route("/ws/check", any(check::socket::upgrade))
        .route("/ws/gateway", any(gateway::upgrade));
    let mut router = pages.merge(sockets);
    if app.config.demo_shop {
        router = router.merge(app.assets.shop(app.public_origin.as_str()));
    }
    let encrypted = app.config.public_url.scheme() == "https";
    let router = router
        .fallback(async || Problem::not_found("resource").into_response())
        .method_not_allowed_fallback(async || Problem::method_not_allowed().into_response())
        .layer(assets::nosniff())
        .layer(TraceLayer::new_for_http().on_failure(failure_log(app.shutdown.clone())))
        .with_state(app);
    if !encrypted {
        return router;
    }
    // RFC 6797: half a year, of this host only.
    let hsts = HeaderValue::from_static("max-age=15552000");
    router.layer(SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, hsts))
}
