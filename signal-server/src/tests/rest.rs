//! The REST API: what each key may do, what is refused and with which cure.

use super::harness::{ACME, OPERATOR, TestApp, eventually};
use protocol::visitor::VisitorRequest;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn an_operator_makes_a_shop_that_can_call_at_once() {
    let app = TestApp::start().await;
    let put = async |path: &str, body: Value| app.rest(Method::PUT, path, OPERATOR, Some(body)).await;
    let merchant =
        json!({"name": "Shoes", "origins": ["https://Shoes.example:443"], "signing_secret": "0123456789abcdef"});
    let (status, made) = put("/v1/merchants/shoes", merchant).await;
    assert_eq!(status, 201);
    let _sorted = sorted();
    insta::assert_json_snapshot!(made, {".created_at" => 0, ".updated_at" => 0}, @r#"
    {
      "created_at": 0,
      "forbidden": [],
      "has_signing_secret": true,
      "id": "shoes",
      "key_pause_ms": 1500,
      "name": "Shoes",
      "on_gateway_loss": "end",
      "origins": [
        "https://shoes.example"
      ],
      "updated_at": 0
    }
    "#);
    let (status, destination) =
        put("/v1/merchants/shoes/destinations/desk", json!({"trunk": "pbx", "address": "1001"})).await;
    assert_eq!((status.as_u16(), &destination), (200, &json!({"id": "desk", "trunk": "pbx", "address": "1001"})));
    let (status, link) =
        put("/v1/merchants/shoes/links/help", json!({"label": "Help", "destination": "desk", "no_answer_seconds": 20}))
            .await;
    assert_eq!(status, 200);
    assert_eq!(link, json!({"id": "help", "label": "Help", "destination": "desk", "no_answer_seconds": 20}));
    let (_, links) = app.rest(Method::GET, "/v1/merchants/shoes/links", OPERATOR, None).await;
    assert_eq!(links, json!({"items": [link]}));
    let get = async |path: &str| app.rest(Method::GET, path, OPERATOR, None).await.1;
    assert_eq!(get("/v1/merchants/shoes/links/help").await, link);
    assert_eq!(get("/v1/merchants/shoes/destinations/desk").await, destination);
    assert_eq!(get("/v1/merchants/shoes/destinations").await, json!({"items": [destination]}));
    let panel = app.panel("shoes", "help", Some("https://shoes.example/")).await.text().await.unwrap();
    assert!(panel.contains("data-error=\"\""), "{panel}");

    // Without `signing_secret` it stays; the empty text takes it away.
    let (_, kept) = put("/v1/merchants/shoes", json!({"name": "Shoes", "origins": []})).await;
    assert_eq!((&kept["has_signing_secret"], &kept["origins"]), (&json!(true), &json!([])));
    let (_, gone) = put("/v1/merchants/shoes", json!({"name": "Shoes", "origins": [], "signing_secret": ""})).await;
    assert_eq!(gone["has_signing_secret"], false);

    let (status, problem) = app.rest(Method::DELETE, "/v1/merchants/shoes/destinations/desk", OPERATOR, None).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("conflict")));
    let (status, _) = app.rest(Method::DELETE, "/v1/merchants/shoes", OPERATOR, None).await;
    assert_eq!(status, 204);
    let (status, _) = app.rest(Method::GET, "/v1/merchants/shoes/links", OPERATOR, None).await;
    assert_eq!(status, 404);
}

/// Keys in order of the alphabet, whatever order another crate of the build makes `serde_json` keep.
fn sorted() -> impl Drop {
    let mut settings = insta::Settings::clone_current();
    settings.set_sort_maps(true);
    settings.bind_to_scope()
}

/// Request, body, status, code, field.
const REFUSED: &[(&str, &str, u16, &str, Option<&str>)] = &[
    ("PUT /v1/merchants/acme", r#"{"name": "A", "origins": [], "colour": 1}"#, 422, "invalid_field", None),
    ("PUT /v1/merchants/acme", r#"{"name": "A"}"#, 422, "invalid_field", None),
    ("PUT /v1/merchants/acme", r#"{"name": "", "origins": []}"#, 422, "invalid_field", Some("name")),
    ("PUT /v1/merchants/acme", r#"{"name": "A", "origins": ["x.example"]}"#, 422, "invalid_field", Some("origins")),
    (
        "PUT /v1/merchants/acme",
        r#"{"name": "A", "origins": [], "signing_secret": "short"}"#,
        422,
        "invalid_field",
        Some("signing_secret"),
    ),
    ("PUT /v1/merchants/a%20b", r#"{"name": "A", "origins": []}"#, 422, "invalid_field", Some("merchant")),
    (
        "PUT /v1/merchants/acme/destinations/d",
        r#"{"trunk": "pbx", "address": "1 2"}"#,
        422,
        "invalid_field",
        Some("address"),
    ),
    ("PUT /v1/merchants/nobody/destinations/d", r#"{"trunk": "pbx", "address": "1"}"#, 409, "conflict", None),
    ("PUT /v1/merchants/acme/links/l", r#"{"label": "L", "destination": "none"}"#, 409, "conflict", None),
    (
        "PUT /v1/merchants/acme/links/l",
        r#"{"label": "L", "destination": "desk", "no_answer_seconds": 1}"#,
        422,
        "invalid_field",
        Some("no_answer_seconds"),
    ),
    ("POST /v1/api-keys", r#"{"name": "x", "merchant": "nobody"}"#, 409, "conflict", None),
    ("PUT /v1/merchants/acme", "", 415, "not_json", None),
    ("GET /v1/calls?limit=0", "", 422, "invalid_field", Some("limit")),
    ("GET /v1/calls?colour=red", "", 422, "invalid_field", None),
    ("GET /v1/calls/none", "", 404, "not_found", None),
    ("GET /v1/nothing", "", 404, "not_found", None),
    ("POST /v1/calls", "", 405, "method_not_allowed", None),
    ("GET /v1/merchants/nobody", "", 404, "not_found", None),
];

#[tokio::test]
async fn a_refused_request_is_told_field_and_cure() {
    let app = TestApp::start().await;
    for (request, body, status, code, field) in REFUSED {
        let what = format!("{request} {body}");
        let (method, path) = request.split_once(' ').unwrap();
        let body = (!body.is_empty()).then(|| serde_json::from_str(body).unwrap());
        let (found, problem) = app.rest(method.parse().unwrap(), path, OPERATOR, body).await;
        assert_eq!(
            (found.as_u16(), &problem["code"], problem["field"].as_str()),
            (*status, &json!(code), *field),
            "{what}: {problem}"
        );
        let told = ["detail", "cure", "title"].iter().all(|it| !problem[it].as_str().unwrap().is_empty());
        assert!(told, "{what}: {problem}");
    }
}

#[tokio::test]
async fn a_request_without_a_key_is_told_how_to_show_one() {
    let app = TestApp::start().await;
    let response = app.http.get(app.url("/v1/calls")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let _sorted = sorted();
    insta::assert_json_snapshot!(response.json::<Value>().await.unwrap(), @r#"
    {
      "code": "unauthorized",
      "cure": "Send `Authorization: Bearer …` with an API key of this server.",
      "detail": "No valid API key came with the request.",
      "status": 401,
      "title": "Unauthorized",
      "type": "about:blank"
    }
    "#);
}

#[tokio::test]
async fn a_merchants_key_reaches_that_merchant_only() {
    let app = TestApp::start().await;
    let destination = |trunk: &str| Some(json!({"trunk": trunk, "address": "1"}));
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let table = [
        (get.clone(), "/v1/merchants/acme", None, 200),
        (get.clone(), "/v1/merchants/other", None, 403),
        (put.clone(), "/v1/merchants/acme", Some(json!({"name": "A", "origins": []})), 403),
        (delete.clone(), "/v1/merchants/acme", None, 403),
        (put.clone(), "/v1/merchants/acme/destinations/d", destination("pbx"), 200),
        // Somebody else's trunk is somebody else's money.
        (put.clone(), "/v1/merchants/acme/destinations/d", destination("pstn"), 422),
        (put, "/v1/merchants/other/destinations/d", destination("pstn"), 403),
        (get.clone(), "/v1/merchants/other/links", None, 403),
        (delete.clone(), "/v1/merchants/other/links/sales", None, 403),
        (get.clone(), "/v1/calls?merchant=other", None, 403),
        (post.clone(), "/v1/api-keys", Some(json!({"name": "all"})), 403),
        (post, "/v1/api-keys", Some(json!({"name": "theirs", "merchant": "other"})), 403),
        (delete.clone(), "/v1/api-keys/configured-operator", None, 404),
        (delete, "/v1/api-keys/configured-acme", None, 409),
    ];
    for (method, path, body, status) in table {
        let what = format!("{method} {path} {body:?}");
        assert_eq!(app.rest(method, path, ACME, body).await.0, status, "{what}");
    }
    let (_, merchants) = app.rest(get.clone(), "/v1/merchants", ACME, None).await;
    assert_eq!(merchants["items"].as_array().unwrap().len(), 1);
    let (_, keys) = app.rest(get, "/v1/api-keys", ACME, None).await;
    assert_eq!(keys["items"][0]["id"], "configured-acme");
}

#[tokio::test]
async fn a_made_key_works_until_it_is_taken_away_and_is_shown_once() {
    let app = TestApp::start().await;
    let body = json!({"name": "shop system", "merchant": "acme"});
    let (status, made) = app.rest(Method::POST, "/v1/api-keys", ACME, Some(body)).await;
    assert_eq!(status, 201);
    let (key, id) = (made["key"].as_str().unwrap(), made["api_key"]["id"].as_str().unwrap());
    assert_eq!(app.rest(Method::GET, "/v1/merchants/acme", key, None).await.0, 200);
    let (_, list) = app.rest(Method::GET, "/v1/api-keys", ACME, None).await;
    assert!(list.to_string().contains("shop system") && !list.to_string().contains(key));
    let database = std::fs::read(app.folder.path().join("ringlet.sqlite-wal")).unwrap();
    assert!(!database.windows(key.len()).any(|window| window == key.as_bytes()), "the key itself is stored");
    assert_eq!(app.rest(Method::DELETE, &format!("/v1/api-keys/{id}"), ACME, None).await.0, 204);
    assert_eq!(app.rest(Method::GET, "/v1/merchants/acme", key, None).await.0, 401);
}

#[tokio::test]
async fn calls_are_listed_newest_first_page_by_page() {
    let app = TestApp::start().await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let (mut visitor, call) = app.welcomed().await;
        visitor.request(&VisitorRequest::Hangup {}).await;
        visitor.ended().await;
        app.record(&call).await;
        calls.insert(0, call.to_string());
    }
    calls.sort_by(|a, b| b.cmp(a));
    let list = async |query: &str| app.rest(Method::GET, &format!("/v1/calls{query}"), ACME, None).await.1;
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = list("?limit=2").await;
    assert_eq!(ids(&first), calls[..2]);
    let second = list(&format!("?limit=2&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((ids(&second), &second["next"]), (calls[2..].to_vec(), &Value::Null));
    assert_eq!(ids(&list("?reason=cancelled&link=sales&customer=c-1").await).len(), 3);
    assert_eq!(ids(&list("?reason=busy").await).len(), 0);
    let last = first["items"][0]["started_at"].as_i64().unwrap();
    assert_eq!(ids(&list(&format!("?since={}", last + 1)).await).len(), 0);
    assert_eq!(ids(&list(&format!("?until={}", last + 1)).await).len(), 3);
}

#[tokio::test]
async fn merchants_are_listed_page_by_page() {
    let app = TestApp::start().await;
    let (_, first) = app.rest(Method::GET, "/v1/merchants?limit=1", OPERATOR, None).await;
    assert_eq!((&first["items"][0]["id"], &first["next"]), (&json!("acme"), &json!("acme")));
    let (_, second) = app.rest(Method::GET, "/v1/merchants?limit=1&cursor=acme", OPERATOR, None).await;
    assert_eq!(second["items"][0]["id"], "other");
    assert_eq!(second["items"][0]["origins"], json!(["https://shop.example"]));
}

#[tokio::test]
async fn an_open_call_is_listed_without_an_end() {
    let app = TestApp::start().await;
    let (_visitor, call) = app.welcomed().await;
    let path = format!("/v1/calls/{call}");
    let record = eventually("the record is begun", async || {
        let (status, record) = app.rest(Method::GET, &path, ACME, None).await;
        (status == 200).then_some(record)
    })
    .await;
    assert_eq!((&record["ended_at"], &record["reason"]), (&Value::Null, &Value::Null));
}
