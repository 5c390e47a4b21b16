//! Who may not call does not: pages of strangers, forged messages, numbers that no link names. The far end is a SIPp that
//! plays its scenario only if it is rung, which the record and SIPp's log would tell.

use crate::{Program, resume};
use anyhow::{Context as _, Result, bail, ensure};
use e2e::pages;
use e2e::ringlet::{PUBLIC_URL, SHOP_URL};
use e2e::scene::{FarEnd, Scene, Stage};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::error::ErrorCode;
use protocol::visitor::{VERSION, VisitorEvent, VisitorRequest};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

const SOON: Duration = Duration::from_secs(15);

pub(crate) fn tests(program: &mut Program<'_>) {
    let nobody = || Stage::with(FarEnd::Nobody);
    program.test("a_page_of_an_origin_that_is_not_allowed_gets_no_call", nobody(), strange_page);
    program.test("a_link_that_does_not_exist_cannot_be_called", nobody(), unknown_link);
    program.test("a_forged_hello_reaches_no_number", nobody(), forged_hello);
    program.test("a_socket_from_another_website_is_refused", nobody(), foreign_socket);
    program.test("a_token_taken_from_the_shops_page_takes_no_call", Stage::with(FarEnd::Phone), stolen_token);
}

async fn strange_page(scene: &mut Scene) -> Result<()> {
    scene.browser.show(&format!("{}/plain.html", pages::STRANGE_ORIGIN)).await?;
    scene.browser.click_button().await?;
    scene.browser.says(ErrorCode::OriginNotAllowed.shopper(), SOON).await?;
    scene.browser.says(ErrorCode::OriginNotAllowed.word(), Duration::ZERO).await?;
    no_call(scene).await
}

async fn unknown_link(scene: &mut Scene) -> Result<()> {
    scene.browser.show(&format!("{}/plain.html", pages::ALLOWED_ORIGIN)).await?;
    scene.browser.buttons().await?;
    // A shopper with developer tools writes a number where the link stands.
    let forge = "root.querySelector('button.call').dataset.ringletLink = '+431234567'";
    scene.browser.in_page(&format!("const root = {}; {forge}", e2e::browser::LOADER_ROOT)).await?;
    scene.browser.click_button().await?;
    scene.browser.says(ErrorCode::LinkUnknown.shopper(), SOON).await?;
    no_call(scene).await
}

async fn forged_hello(scene: &mut Scene) -> Result<()> {
    let token = panel_token(scene).await?;
    let unsigned =
        "eyJhbGciOiJub25lIn0.eyJkZXN0aW5hdGlvbiI6Iis0MzEyMzQ1NjciLCJ0cnVuayI6InBieCIsImV4cCI6OTk5OTk5OTk5OX0.";
    let hello = |token: &str, origin: &str, destination_token: Option<&str>| VisitorRequest::Hello {
        version: VERSION,
        token: token.to_owned(),
        origin: origin.to_owned(),
        page: None,
        customer: None,
        destination_token: destination_token.map(str::to_owned),
        resume: None,
        takeover: None,
        session: None,
        seen: None,
        fingerprint: None,
    };
    for (request, expected) in [
        (hello(&token, pages::STRANGE_ORIGIN, None), ErrorCode::OriginNotAllowed),
        (hello(&token, pages::ALLOWED_ORIGIN, Some("+431234567")), ErrorCode::DestinationTokenInvalid),
        (hello(&token, pages::ALLOWED_ORIGIN, Some(unsigned)), ErrorCode::DestinationTokenInvalid),
        (hello(unsigned, pages::ALLOWED_ORIGIN, None), ErrorCode::TokenInvalid),
        (hello("", pages::ALLOWED_ORIGIN, None), ErrorCode::TokenInvalid),
        (VisitorRequest::Ready {}, ErrorCode::MessageInvalid),
    ] {
        let code = refusal(&request).await.with_context(|| format!("after {request:?}"))?;
        ensure!(code == expected, "{request:?} was refused with {code}, not with {expected}");
    }
    no_call(scene).await
}

async fn foreign_socket(scene: &mut Scene) -> Result<()> {
    for origin in [pages::ALLOWED_ORIGIN, pages::STRANGE_ORIGIN, "null"] {
        match connect_async(upgrade(Some(origin))?).await {
            Err(Error::Http(response)) => {
                ensure!(response.status().as_u16() == 403, "{origin} got {}", response.status())
            }
            Err(error) => bail!("{origin} got {error}"),
            Ok(_) => bail!("{origin} got a socket"),
        }
    }
    no_call(scene).await
}

/// What stands in the shop page's storage is read by every script of the shop, and is worth nothing without the key that stands in ours.
async fn stolen_token(scene: &mut Scene) -> Result<()> {
    resume::call(scene).await?;
    // So long the first page is believed without.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let entry = resume::entry_of(&scene.browser).await?.context("nothing is kept")?;
    let kept: serde_json::Value = serde_json::from_str(&entry)?;
    let token = kept.get("token").and_then(serde_json::Value::as_str).context("no token")?;
    for takeover in [None, Some(true)] {
        let request = VisitorRequest::Hello {
            version: VERSION,
            token: String::new(),
            origin: SHOP_URL.to_owned(),
            page: None,
            customer: None,
            destination_token: None,
            resume: Some(token.to_owned()),
            takeover,
            session: None,
            seen: None,
            fingerprint: None,
        };
        let code = refusal(&request).await?;
        ensure!(code == ErrorCode::CallOver, "{takeover:?} was refused with {code}");
    }
    resume::follow(scene, "/returns.html").await?;
    resume::hang_up(scene).await?;
    Ok(())
}

/// No record, and so nothing dialled.
async fn no_call(scene: &Scene) -> Result<()> {
    let calls = scene.server.calls().await?;
    ensure!(calls.is_empty(), "there is a call: {calls:?}");
    let started = scene.server.metric("ringlet_calls_started_total").await?.unwrap_or_default();
    ensure!(started == 0.0, "{started} calls were started");
    Ok(())
}

/// The token of an honest panel.
async fn panel_token(scene: &Scene) -> Result<String> {
    scene.browser.show(&format!("{PUBLIC_URL}/panel?merchant=acme&link=sales")).await?;
    let token = scene.browser.in_page("return document.documentElement.dataset.token").await?;
    let token = token.as_str().context("the panel has no token")?;
    ensure!(!token.is_empty(), "the panel's token is empty");
    Ok(token.to_owned())
}

/// The code with which the server ends the call that `request` asks for.
async fn refusal(request: &VisitorRequest) -> Result<ErrorCode> {
    let (mut socket, _) = connect_async(upgrade(Some(PUBLIC_URL))?).await?;
    socket.send(Message::text(serde_json::to_string(request)?)).await?;
    let message =
        timeout(SOON, socket.next()).await.context("no answer")?.context("the socket closed without a word")??;
    let Message::Text(text) = message else { bail!("the server said {message:?}") };
    match serde_json::from_str(&text)? {
        VisitorEvent::Ended { code: Some(code), .. } | VisitorEvent::Error { code, .. } => Ok(code),
        VisitorEvent::Welcome { .. } => bail!("the server made a call of it"),
        VisitorEvent::Answer { .. }
        | VisitorEvent::State { .. }
        | VisitorEvent::Resume { .. }
        | VisitorEvent::Resumed { .. }
        | VisitorEvent::Transport { .. }
        | VisitorEvent::Digit { .. }
        | VisitorEvent::Session { .. }
        | VisitorEvent::Reconnected { .. }
        | VisitorEvent::Pong { .. }
        | VisitorEvent::Prepared { .. }
        | VisitorEvent::Page { .. }
        | VisitorEvent::Set { .. }
        | VisitorEvent::Ended { .. } => bail!("the server said {text}"),
    }
}

fn upgrade(origin: Option<&str>) -> Result<tokio_tungstenite::tungstenite::handshake::client::Request> {
    let mut request = format!("{}/ws/visitor", PUBLIC_URL.replace("http:", "ws:")).into_client_request()?;
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse()?);
    }
    Ok(request)
}
