//! What browsers fetch: the panel with its headers, the assets, the demo shop; and what supervisors fetch.

use super::harness::{SHOP, TestApp, attribute};
use crate::assets::Assets;
use serde_json::Value;

#[tokio::test]
async fn a_panel_carries_a_token_and_lets_only_the_merchants_pages_frame_it() {
    let app = TestApp::start().await;
    let response = app.panel("acme", "sales", Some("https://shop.example/")).await;
    assert_eq!(response.status(), 200);
    let mut headers: Vec<String> = response
        .headers()
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "content-length"))
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    headers.sort();
    insta::assert_snapshot!(headers.join("\n"), @r"
    cache-control: no-store
    content-security-policy: default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self' ws://localhost:8080; media-src 'self' blob:; worker-src 'self'; img-src 'self' data:; font-src 'none'; frame-src 'none'; object-src 'none'; manifest-src 'none'; frame-ancestors https://shop.example; base-uri 'none'; form-action 'none'
    content-type: text/html; charset=utf-8
    cross-origin-embedder-policy: require-corp
    cross-origin-resource-policy: cross-origin
    permissions-policy: microphone=(self), autoplay=(self), camera=(), display-capture=(), geolocation=(), payment=()
    referrer-policy: no-referrer
    x-content-type-options: nosniff
    x-robots-tag: noindex
    ");
    let page = response.text().await.unwrap();
    assert_eq!(attribute(&page, "data-token").split('.').count(), 3);
    assert_eq!((attribute(&page, "data-error"), attribute(&page, "data-message")), ("", ""));
}

#[tokio::test]
async fn a_panel_that_cannot_call_says_why_to_whoever_frames_it() {
    let app = TestApp::start().await;
    let table = [
        ("acme", "sales", Some("https://evil.example/x"), "RL-201"),
        ("acme", "nothing", Some(SHOP), "RL-202"),
        ("nobody", "sales", None, "RL-202"),
        ("", "sales", None, "RL-206"),
        ("acme", "", None, "RL-206"),
        ("%22%3E%3Cscript%3E", "%22%3E%3Cscript%3E", None, "RL-202"),
    ];
    for (merchant, link, referer, code) in table {
        let response = app.panel(merchant, link, referer).await;
        let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("frame-ancestors http: https:;"), "{policy}");
        let page = response.text().await.unwrap();
        assert_eq!((attribute(&page, "data-token"), attribute(&page, "data-error")), ("", code), "{page}");
        assert!(!attribute(&page, "data-message").is_empty() && !page.contains("<script>"), "{page}");
    }
}

#[tokio::test]
async fn assets_are_cached_for_as_long_as_their_names_allow() {
    let app = TestApp::start().await;
    let loader = app.get("/ringlet.js").await;
    let header = |response: &reqwest::Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header(&loader, "cache-control"), "public, max-age=300, stale-while-revalidate=86400");
    assert_eq!(header(&loader, "cross-origin-resource-policy"), "cross-origin");
    assert_eq!(header(&loader, "content-type"), "text/javascript");
    let etag = header(&loader, "etag");
    let again = app.http.get(app.url("/ringlet.js")).header("if-none-match", etag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let hashed = app.get("/a/panel-0123abcd.js").await;
    assert_eq!(header(&hashed, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(app.get("/a/panel-ffffffff.js").await.status(), 404);
}

#[tokio::test]
async fn the_demo_shop_is_there_only_when_it_is_wanted() {
    let app = TestApp::builder().configure(|config| config.demo_shop = true).start().await;
    let page = app.get("/").await.text().await.unwrap();
    assert_eq!(page, "<script async src=\"http://localhost:8080/ringlet.js\"></script>");
    assert_eq!(app.get("/index.html").await.status(), 200);
    assert_eq!(app.get("/shop.css").await.text().await.unwrap(), "shop");
    assert_eq!(app.get("/panel.html").await.status(), 404);

    let plain = TestApp::start().await;
    assert_eq!(plain.get("/").await.status(), 404);
}

#[tokio::test]
async fn a_server_without_built_assets_says_what_to_do() {
    let app = TestApp::builder().assets(Assets::not_built()).configure(|config| config.demo_shop = true).start().await;
    let response = app.panel("acme", "sales", None).await;
    assert_eq!(response.status(), 503);
    assert_eq!(response.text().await.unwrap(), "web assets are not built: run `cargo xtask build`\n");
}

#[tokio::test]
async fn metrics_are_told_to_named_networks_only() {
    let app = TestApp::start().await;
    for (client, status) in [("127.0.0.1", 200), ("203.0.113.9", 403)] {
        // The peer is a trusted proxy of these tests.
        let request = app.http.get(app.url("/metrics")).header("x-forwarded-for", client);
        assert_eq!(request.send().await.unwrap().status(), status, "{client}");
    }
}

#[tokio::test]
async fn health_and_metrics_tell_of_calls_and_gateways() {
    let app = TestApp::start().await;
    let (_visitor, _) = app.welcomed().await;
    let health: Value = app.get("/healthz").await.json().await.unwrap();
    assert_eq!(health, serde_json::json!({"status": "ok", "calls": 1, "gateways": 1}));
    let metrics = app.get("/metrics").await.text().await.unwrap();
    for name in [
        "ringlet_calls ",
        "ringlet_timers{of=\"calls\"} ",
        "ringlet_visitor_sockets ",
        "ringlet_tasks{of=\"signal\"} ",
        "ringlet_calls_started_total ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{metrics}");
    }
}
