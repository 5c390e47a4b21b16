//! Serves `tests/pages`: each page one way of embedding the button, with the response headers of its `.headers` file.

use anyhow::{Context as _, Result};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::post;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::TcpListener;

/// The origin that the tests' merchant allows.
pub const ALLOWED_ORIGIN: &str = "http://127.0.0.1:8090";

/// An origin that it does not.
pub const STRANGE_ORIGIN: &str = "http://127.0.0.1:8091";

/// A page with a button, which nothing but a form that is posted leads to.
pub const POSTED: &str = "/posted";

/// Serves the pages at both origins until the runtime ends.
///
/// # Errors
/// When a port is taken.
pub async fn serve(ringlet_url: &str) -> Result<()> {
    for port in [8090, 8091] {
        let router = axum::Router::new().route(POSTED, post(posted)).fallback(page).with_state(ringlet_url.to_owned());
        let listener =
            TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.context("serving tests/pages")?;
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    Ok(())
}

/// The names of all pages, sorted.
///
/// # Errors
/// When the folder cannot be read.
pub fn names() -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(folder())?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".html").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../pages"))
}

async fn posted(state: State<String>) -> Response {
    page(state, Uri::from_static("/plain.html")).await
}

async fn page(State(ringlet_url): State<String>, uri: Uri) -> Response {
    let name = uri.path().trim_start_matches('/');
    if name == "favicon.ico" {
        return StatusCode::NO_CONTENT.into_response();
    }
    let fill = |file: String| {
        std::fs::read_to_string(folder().join(file)).map(|text| text.replace("{{RINGLET_URL}}", &ringlet_url))
    };
    if name.contains("..") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Ok(text) = fill(name.to_owned()) else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = match name.rsplit_once('.') {
        Some((_, "css")) => ([(header::CONTENT_TYPE, "text/css")], text).into_response(),
        Some((_, "js")) => ([(header::CONTENT_TYPE, "text/javascript")], text).into_response(),
        _ => Html(text).into_response(),
    };
    let headers = fill(name.replace(".html", ".headers")).unwrap_or_default();
    for (name, value) in headers.lines().filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.trim()), HeaderValue::try_from(value.trim())) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
