//! `/ws/check`: the socket between a check page and the hub. It names its legs, carries frames, and lives a short while.

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::frames::{Allowance, FrameQueue, VISITOR_FRAMES};
use crate::hub::{self, CheckLink, CheckMessage, Message, ToCheck};
use crate::metrics::Counted;
use crate::problem::Problem;
use crate::visitor;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use protocol::check::{CheckEvent, CheckPath, CheckRequest, Finding, MAX_SECONDS, VERSION};
use protocol::error::ErrorCode;
use protocol::frame::MAX_FRAME_BYTES;
use protocol::gateway::CallFrame;
use protocol::visitor::MAX_MESSAGE_BYTES;
use protocol::{CallId, TrunkName};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// From the upgrade to `hello`: the page sends it at once.
const HELLO: Duration = Duration::from_secs(5);

/// The longest check: two legs one after the other, and time to say so.
const LIFE: Duration = Duration::from_secs(2 * MAX_SECONDS as u64 + 5);

/// How long a message may take to leave.
const SEND: Duration = Duration::from_secs(5);

/// Texts in a socket's life: `hello`, two offers, and the candidates of both.
const MAX_MESSAGES: usize = 2 * (switchboard::MAX_CANDIDATES + 1) + 1;

/// Messages that may wait for the socket: an answer and an end of each leg.
const QUEUE: usize = 8;

/// `GET /ws/check`.
pub(crate) async fn upgrade(
    State(app): State<App>,
    client: ClientAddress,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !visitor::is_ours(&headers, &app) {
        return Problem::foreign_origin(&app.public_origin).into_response();
    }
    let Some(place) = app.limits.count_waiting(client) else {
        return Problem::unavailable("too many sockets wait for their first message").into_response();
    };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let tasks = app.tasks.clone();
    upgrade.on_upgrade(async move |mut socket| {
        let session = async move {
            let _counted = Counted::task();
            let closing = app.closing.clone();
            let check = async {
                let admitted = timeout(HELLO, admit(&app, client, &mut socket)).await;
                drop(place);
                match admitted.unwrap_or(Err(ErrorCode::MessageInvalid.word())) {
                    Ok(trunk) => {
                        let mut check = Check::new(&app, trunk);
                        let ended = timeout(LIFE, check.run(&mut socket)).await;
                        check.leave().await;
                        ended.unwrap_or(None)
                    }
                    Err(code) => Some(code),
                }
            };
            let code = tokio::select! {
                () = closing.cancelled() => Some(ErrorCode::ServerStopping.word()),
                code = check => code,
            };
            close(&mut socket, code).await;
        };
        drop(tasks.spawn(session).await);
    })
}

/// Reads `hello`: whether a check may begin, and over which trunk the link's calls go.
async fn admit(app: &App, client: ClientAddress, socket: &mut WebSocket) -> Result<Option<TrunkName>, &'static str> {
    let first = match socket.recv().await {
        Some(Ok(Frame::Text(text))) => serde_json::from_str(&text).ok(),
        _ => None,
    };
    let Some(CheckRequest::Hello { version, token }) = first else { return Err(ErrorCode::MessageInvalid.word()) };
    if version != VERSION {
        return Err(ErrorCode::VersionUnknown.word());
    }
    let claims = app.panel_tokens.verify(&token).ok_or(ErrorCode::TokenInvalid.word())?;
    if !app.limits.count_check(client) {
        return Err(Finding::TooManyChecks.word());
    }
    metrics::counter!("ringlet_checks_total").increment(1);
    if claims.merchant.as_str().is_empty() {
        return Ok(None);
    }
    let admission = app.store.admission(&claims.merchant, &claims.link).await.map_err(|error| {
        tracing::error!(%error, "the store failed while a check waited");
        ErrorCode::NoGateway.word()
    })?;
    Ok(Some(admission.ok_or(ErrorCode::LinkUnknown.word())?.route.trunk))
}

struct Check<'a> {
    app: &'a App,
    trunk: Option<TrunkName>,
    link: CheckLink,
    events: mpsc::Receiver<ToCheck>,
    legs: Vec<(CheckPath, CallId)>,
    /// The leg that frames go to, and where that is.
    sink: Option<(CallId, FrameQueue<CallFrame>)>,
    allowance: Allowance,
}

impl<'a> Check<'a> {
    fn new(app: &'a App, trunk: Option<TrunkName>) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let link = CheckLink { events: sender, frames: FrameQueue::new(VISITOR_FRAMES) };
        Self { app, trunk, link, events, legs: Vec::new(), sink: None, allowance: Allowance::default() }
    }

    /// Until the browser is content, or says what it must not: then the code.
    async fn run(&mut self, socket: &mut WebSocket) -> Option<&'static str> {
        if !send(socket, &CheckEvent::Welcome { version: VERSION }).await {
            return None;
        }
        let mut texts = 0;
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let event = self.take(event?)?;
                    if !send(socket, &event).await {
                        return None;
                    }
                }
                bytes = self.link.frames.pop() => if !write(socket, Frame::Binary(bytes)).await {
                    return None;
                },
                frame = socket.recv() => match frame?.ok()? {
                    Frame::Text(text) => {
                        texts += 1;
                        let request = serde_json::from_str(&text).ok().filter(|_| texts <= MAX_MESSAGES);
                        if !self.obey(request).await {
                            return Some(ErrorCode::MessageInvalid.word());
                        }
                    }
                    Frame::Binary(bytes) if bytes.len() > MAX_FRAME_BYTES => {
                        return Some(ErrorCode::MessageInvalid.word());
                    }
                    Frame::Binary(bytes) => if let Some((leg, sink)) = self.sink.as_ref()
                        && self.allowance.admits(Instant::now())
                    {
                        sink.push(CallFrame { call: leg.clone(), bytes: bytes.into() });
                    },
                    Frame::Close(_) => return None,
                    Frame::Ping(_) | Frame::Pong(_) => {}
                },
            }
        }
    }

    /// What the page is told; `None` for what concerns a leg that it has not.
    fn take(&mut self, event: ToCheck) -> Option<CheckEvent> {
        let path = |id: &CallId| self.legs.iter().find(|(_, leg)| leg == id).map(|(path, _)| *path);
        Some(match event {
            ToCheck::Answer { leg, sdp, sink } => {
                let path = path(&leg)?;
                self.sink = self.sink.take().or(sink.map(|sink| (leg, sink)));
                CheckEvent::Answer { path, sdp }
            }
            ToCheck::Ended { leg, code } => {
                let path = Some(path(&leg)?);
                self.sink.take_if(|(it, _)| *it == leg);
                CheckEvent::Ended { path, code: code.map(str::to_owned) }
            }
        })
    }

    /// Returns whether the page may say such a thing now.
    async fn obey(&mut self, request: Option<CheckRequest>) -> bool {
        let leg = |path| self.legs.iter().find(|(it, _)| *it == path).map(|(_, leg)| leg.clone());
        let message = match request {
            Some(CheckRequest::Offer { path, sdp }) if leg(path).is_none() => {
                let leg = hub::fresh_call();
                self.legs.push((path, leg.clone()));
                CheckMessage::Offer { leg, trunk: self.trunk.clone(), sdp, link: self.link.clone() }
            }
            Some(CheckRequest::Candidate { path, candidate }) => match leg(path) {
                Some(leg) => CheckMessage::Candidate { leg, candidate },
                None => return false,
            },
            _ => return false,
        };
        self.app.hub.tell(Message::Check(message)).await
    }

    async fn leave(self) {
        for (_, leg) in self.legs {
            self.app.hub.tell(Message::Check(CheckMessage::Over { leg })).await;
        }
    }
}

async fn close(socket: &mut WebSocket, code: Option<&'static str>) {
    if let Some(code) = code {
        tracing::info!(code, "a check is refused");
        send(socket, &CheckEvent::Ended { path: None, code: Some(code.to_owned()) }).await;
    }
    let reason = Utf8Bytes::from_static(code.unwrap_or_default());
    let code = if code.is_some() { close_code::POLICY } else { close_code::NORMAL };
    write(socket, Frame::Close(Some(CloseFrame { code, reason }))).await;
}

async fn send(socket: &mut WebSocket, event: &CheckEvent) -> bool {
    match serde_json::to_string(event) {
        Ok(text) => write(socket, Frame::Text(text.into())).await,
        Err(error) => {
            tracing::error!(%error, "a message for a check cannot be written");
            false
        }
    }
}

async fn write(socket: &mut WebSocket, frame: Frame) -> bool {
    matches!(timeout(SEND, socket.send(frame)).await, Ok(Ok(())))
}
