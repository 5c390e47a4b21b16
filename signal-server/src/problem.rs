//! Refusals of HTTP requests as `application/problem+json` (RFC 9457), each with its cure.

use crate::Origin;
use crate::store::StoreError;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use protocol::rest::{self, ProblemCode};
use protocol::settings::Setting;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: ProblemCode,
    detail: String,
    cure: String,
    field: Option<&'static str>,
}

impl Problem {
    fn new(status: StatusCode, code: ProblemCode, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), cure: cure.into(), field: None }
    }

    pub(crate) fn unauthorized() -> Self {
        let cure = "Send `Authorization: Bearer …` with an API key of this server.";
        Self::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, "No valid API key came with the request.", cure)
    }

    pub(crate) fn gateway_unauthorized() -> Self {
        let cure = "Send `Authorization: Bearer …` with the `gateway_secret` of this server's configuration.";
        let detail = "The gateway secret is missing or wrong.";
        Self::new(StatusCode::UNAUTHORIZED, ProblemCode::Unauthorized, detail, cure)
    }

    pub(crate) fn forbidden() -> Self {
        let cure = "Use a key of that merchant, or an operator's key.";
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, "The API key does not reach this.", cure)
    }

    pub(crate) fn forbidden_setting(setting: Setting) -> Self {
        let detail = format!("The merchant forbids `{setting}` from afar.");
        let cure = "Take it from `forbidden` of the merchant, if that is wanted.";
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail, cure)
    }

    /// A WebSocket that a page of another origin opens.
    pub(crate) fn foreign_origin(expected: &Origin) -> Self {
        let detail = "This socket is open to the server's own panel only.";
        let cure =
            format!("Let browsers reach this server as {expected}, or correct `public_url` in its configuration.");
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail, cure)
    }

    pub(crate) fn not_for_strangers(client: std::net::IpAddr) -> Self {
        let detail = format!("Metrics are not told to {client}.");
        let cure = "Name the collector's address or network in `http.metrics_from`.";
        Self::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail, cure)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let cure = "Compare the ids in the address with those that the lists show.";
        Self::new(StatusCode::NOT_FOUND, ProblemCode::NotFound, format!("There is no such {what}."), cure)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let cure = "See /openapi.json.";
        let detail = "This method does not exist here.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ProblemCode::MethodNotAllowed, detail, cure)
    }

    pub(crate) fn invalid(field: &'static str, detail: impl Into<String>, cure: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::InvalidField, detail, cure);
        Self { field: Some(field), ..problem }
    }

    pub(crate) fn conflict(detail: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, ProblemCode::Conflict, detail, cure)
    }

    pub(crate) fn unavailable(detail: &str) -> Self {
        let cure = "Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemCode::Internal, detail, cure)
    }

    fn internal() -> Self {
        let cure = "The server's log says what happened.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::Internal, "The server failed.", cure)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = rest::Problem {
            kind: "about:blank".to_owned(),
            title: self.status.canonical_reason().unwrap_or_default().to_owned(),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            cure: self.cure,
            field: self.field.map(str::to_owned),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(%error, "the store failed");
        Self::internal()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoParent => {
                Self::conflict("What it belongs to does not exist.", "Make the merchant, and the destination, first.")
            }
            StoreError::Exists => {
                Self::conflict("There is one already.", "Replace it with PUT, or take another name or sequence.")
            }
            StoreError::InUse => Self::conflict("It is in use.", "Take away, or change, what refers to it first."),
            StoreError::TooMany => Self::conflict("There are too many of these already.", "Take some away first."),
            StoreError::Database(error) => error.into(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let (status, detail) = (rejection.status(), rejection.body_text());
        let code = match status {
            StatusCode::UNPROCESSABLE_ENTITY => ProblemCode::InvalidField,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
            _ => ProblemCode::NotJson,
        };
        Self::new(
            status,
            code,
            detail,
            "Send JSON as /openapi.json describes it, with `Content-Type: application/json`.",
        )
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let cure = "Use the parameters that /openapi.json describes.";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::InvalidField, rejection.body_text(), cure)
    }
}
