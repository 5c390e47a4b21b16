//! A gateway and a signal-server that goes and comes, over real WebSockets on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::CallId;
use protocol::gateway::{Carried, Command, Event, TrunkLeg, VERSION};
use protocol::visitor::Quality;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use super::{Signal, run_gateway};
use crate::config::Config;
use crate::gateway::{GatewayHandle, start};
use crate::media::browser::{Browser, TestResult};

const PATIENCE: Duration = Duration::from_secs(20);
const HOLD: Duration = Duration::from_secs(600);
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

struct SignalServer(TcpListener);

impl SignalServer {
    /// The next connection of the gateway, its secret checked.
    async fn accept(&self) -> TestResult<WebSocketStream<TcpStream>> {
        let (stream, _) = timeout(PATIENCE, self.0.accept()).await??;
        let mut bearer = None;
        #[expect(clippy::result_large_err, reason = "tungstenite's signature")]
        let callback = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            bearer = request.headers().get("authorization").cloned();
            Ok(response)
        };
        let socket = accept_hdr_async(stream, callback).await?;
        assert_eq!(bearer.as_ref().map(|value| value.as_bytes()), Some(b"Bearer secret".as_slice()));
        Ok(socket)
    }
}

async fn event(socket: &mut WebSocketStream<TcpStream>) -> TestResult<Event> {
    loop {
        if let Message::Text(text) = timeout(PATIENCE, socket.next()).await?.ok_or("closed")?? {
            return Ok(serde_json::from_str(&text)?);
        }
    }
}

async fn tell(socket: &mut WebSocketStream<TcpStream>, command: &Command) -> TestResult {
    Ok(socket.send(Message::text(serde_json::to_string(command)?)).await?)
}

async fn remote_gateway(hold: Duration) -> TestResult<(SignalServer, GatewayHandle)> {
    let server = SignalServer(TcpListener::bind(LOOPBACK).await?);
    let url = format!("ws://{}/ws/gateway", server.0.local_addr()?);
    let signal = Signal { url, path: None, secret: "secret".to_owned(), hold };
    let config = Config { media_udp: LOOPBACK, sip_listen: LOOPBACK, ..Config::default() };
    let gateway = start(config).await?;
    let handle = gateway.handle.clone();
    tokio::spawn(async move { run_gateway(gateway, &signal).await });
    Ok((server, handle))
}

#[tokio::test]
async fn a_call_outlives_the_socket_and_is_named_when_it_is_back() -> TestResult {
    let (server, handle) = remote_gateway(HOLD).await?;
    let mut socket = server.accept().await?;
    assert!(matches!(event(&mut socket).await?, Event::Registered { version: VERSION, calls, .. } if calls.is_empty()));
    let (mut browser, sdp) = Browser::new()?;
    let call = CallId::new("01CALL");
    tell(&mut socket, &Command::Offer { call: call.clone(), sdp, quality: Quality::Standard }).await?;
    let Event::Answer { sdp, .. } = event(&mut socket).await? else { return Err("no answer".into()) };
    socket.close(None).await?;
    while let Ok(Some(Ok(_))) = timeout(PATIENCE, socket.next()).await {}
    browser.accept(&sdp)?;
    assert!(browser.live(PATIENCE, Browser::is_up)?, "the call died with the socket");

    let mut socket = server.accept().await?;
    let carried = Carried { call: call.clone(), far_end: TrunkLeg::Idle, media_up: true, away: false };
    assert!(matches!(event(&mut socket).await?, Event::Registered { calls, .. } if calls == [carried]));
    assert_eq!(event(&mut socket).await?, Event::MediaUp { call: call.clone() }, "what happened meanwhile");
    assert!(matches!(event(&mut socket).await?, Event::Transport { .. }));
    tell(&mut socket, &Command::Release { call: call.clone(), why: "test".to_owned() }).await?;
    assert!(matches!(event(&mut socket).await?, Event::Closed { call: closed, .. } if closed == call));
    handle.shutdown(PATIENCE).await;
    Ok(())
}

#[tokio::test]
async fn what_is_no_command_does_no_harm() -> TestResult {
    let (server, handle) = remote_gateway(HOLD).await?;
    let mut socket = server.accept().await?;
    assert!(matches!(event(&mut socket).await?, Event::Registered { .. }));
    for text in ["", "{}", "{\"type\":\"fly\"}", "[[[["] {
        socket.send(Message::text(text)).await?;
    }
    socket.send(Message::binary(vec![1, 2, 3])).await?;
    let call = CallId::new("unknown");
    tell(&mut socket, &Command::Release { call: call.clone(), why: String::new() }).await?;
    assert!(matches!(event(&mut socket).await?, Event::Closed { call: closed, .. } if closed == call));
    handle.shutdown(PATIENCE).await;
    Ok(())
}

/// A gateway with the leg of a browser, and the browser.
async fn in_call(server: &SignalServer) -> TestResult<(WebSocketStream<TcpStream>, Browser, CallId)> {
    let mut socket = server.accept().await?;
    assert!(matches!(event(&mut socket).await?, Event::Registered { .. }));
    let (browser, sdp) = Browser::new()?;
    let call = CallId::new("01CALL");
    tell(&mut socket, &Command::Offer { call: call.clone(), sdp, quality: Quality::Standard }).await?;
    assert!(matches!(event(&mut socket).await?, Event::Answer { .. }));
    Ok((socket, browser, call))
}

#[tokio::test]
async fn a_call_ends_when_no_signal_server_comes_back_within_the_window() -> TestResult {
    let (server, handle) = remote_gateway(Duration::from_millis(500)).await?;
    let (socket, _browser, call) = in_call(&server).await?;
    drop(socket);
    // Whoever answers without being a signal-server is none.
    let closed = async {
        loop {
            let (stream, _) = server.0.accept().await?;
            drop(stream);
            let registered = handle.registration().await.ok_or("the gateway is gone")?;
            if matches!(registered.first(), Some(Event::Registered { calls, .. }) if calls.is_empty()) {
                return TestResult::Ok(());
            }
        }
    };
    timeout(PATIENCE, closed).await??;
    let mut socket = server.accept().await?;
    assert!(matches!(event(&mut socket).await?, Event::Registered { calls, .. } if calls.is_empty()));
    assert!(matches!(event(&mut socket).await?, Event::Closed { call: closed, .. } if closed == call));
    handle.shutdown(PATIENCE).await;
    Ok(())
}

#[tokio::test]
async fn a_draining_gateway_says_so_and_ends_with_its_last_call() -> TestResult {
    let (server, handle) = remote_gateway(HOLD).await?;
    let (mut socket, _browser, call) = in_call(&server).await?;
    handle.drain();
    assert!(matches!(event(&mut socket).await?, Event::Registered { capacity: 0, calls, .. } if calls.len() == 1));
    tell(&mut socket, &Command::Offer { call: CallId::new("late"), sdp: String::new(), quality: Quality::Standard })
        .await?;
    assert!(matches!(event(&mut socket).await?, Event::Failed { .. }));
    assert!(timeout(Duration::from_millis(200), handle.stopped()).await.is_err(), "it left its call");
    tell(&mut socket, &Command::Release { call: call.clone(), why: "test".to_owned() }).await?;
    assert!(matches!(event(&mut socket).await?, Event::Closed { call: closed, .. } if closed == call));
    timeout(PATIENCE, handle.stopped()).await?;
    Ok(())
}
