//! `/ws/visitor`: the socket between a shopper's panel and the hub. Here it is read, written, watched and closed; who may
//! call is decided in [`admission`], what a call does by the switchboard.

mod admission;

use crate::app::App;
use crate::client_address::ClientAddress;
use crate::frames::{Allowance, FrameQueue, VISITOR_FRAMES};
use crate::hub::{self, Loss, Message, PageLink, ToPage, VISITOR_QUEUE};
use crate::limits::WaitingPermit;
use crate::metrics::Counted;
use crate::problem::Problem;
use admission::{Hello, Refusal, Standing};
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use protocol::CallId;
use protocol::error::ErrorCode;
use protocol::frame::MAX_FRAME_BYTES;
use protocol::gateway::CallFrame;
use protocol::visitor::{EndReason, MAX_MESSAGE_BYTES, VisitorEvent, VisitorRequest};
use serde_json::Value;
use std::time::{Duration, Instant};
use switchboard::Page;
use tokio::sync::mpsc;
use tokio::time::{interval, sleep_until, timeout};

/// From the upgrade to `hello`: the panel sends it at once.
const HELLO: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 10 });

/// How often a silent browser is asked whether it is there; below the 60 s after which proxies cut silent connections.
const PING: Duration = Duration::from_secs(20);

/// After this long without a sign of life, two pings included, the visitor is gone.
const SILENCE: Duration = Duration::from_secs(45);

/// How long a browser may take to answer the hub's question whether it is there; below [`switchboard::Config::contest`].
const PROBE: Duration = Duration::from_millis(700);

/// How long a message may take to leave.
const SEND: Duration = Duration::from_secs(10);

/// Messages in a socket's life. A call has few offers, at most [`switchboard::MAX_CANDIDATES`] candidates with each, a `ping`
/// every 15 s and a handful of others; who sends more is not our panel.
const MAX_MESSAGES: usize = 4_096;

/// `GET /ws/visitor`.
pub(crate) async fn upgrade(
    State(app): State<App>,
    client: ClientAddress,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !is_ours(&headers, &app) {
        return Problem::foreign_origin(&app.public_origin).into_response();
    }
    let Some(place) = app.limits.count_waiting(client) else {
        return Problem::unavailable("too many sockets wait for their first message").into_response();
    };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let tasks = app.tasks.clone();
    upgrade.on_upgrade(async move |socket| {
        let session = async move {
            let _counted = (Counted::visitor_socket(), Counted::task());
            let closing = app.closing.clone();
            let mut socket = Socket { socket, heard: Instant::now(), messages: 0 };
            tokio::select! {
                () = closing.cancelled() => socket.close(close_code::AWAY, "").await,
                () = serve(&app, client, &mut socket, place) => {}
            }
        };
        // axum's graceful shutdown knows nothing of upgraded connections: the tracker does.
        drop(tasks.spawn(session).await);
    })
}

/// Whether a page of ours opens the socket. A page of somebody else, even of a merchant, has no business here (RFC 6455
/// section 10.2); a program can claim any origin, and is held by token and limits.
pub(crate) fn is_ours(headers: &HeaderMap, app: &App) -> bool {
    let origin = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok());
    let is_ours = origin == Some(app.public_origin.as_str());
    if !is_ours {
        tracing::info!(origin, expected = %app.public_origin, "refusing a socket of another origin");
    }
    is_ours
}

async fn serve(app: &App, client: ClientAddress, socket: &mut Socket, place: WaitingPermit) {
    let hello = timeout(HELLO, socket.hello()).await.unwrap_or(Err(Refusal::of(ErrorCode::MessageInvalid)));
    let page = hub::fresh_page();
    let (events, queue) = mpsc::channel(VISITOR_QUEUE);
    let link = PageLink { events, frames: FrameQueue::new(VISITOR_FRAMES) };
    let frames = link.frames.clone();
    let entering = match hello {
        Ok(hello) => enter(app, client, hello, page, link).await,
        Err(refusal) => Err(refusal),
    };
    drop(place);
    let (call, message) = match entering {
        Ok(entering) => entering,
        Err(refusal) => return refuse(socket, &refusal).await,
    };
    if app.hub.tell(message).await {
        let loss = relay(app, socket, &call, page, queue, &frames).await;
        app.hub.tell(Message::VisitorLost { call, page, loss }).await;
    }
}

/// What the hub is told of a page that may come in: to a new call, or to one that runs.
async fn enter(
    app: &App,
    client: ClientAddress,
    hello: Hello,
    page: Page,
    link: PageLink,
) -> Result<(CallId, Message), Refusal> {
    match admission::standing(app, &hello)? {
        Some(Standing::Resume { call, epoch, takeover, fingerprint }) => {
            tracing::debug!(%call, client = %client.0, takeover, "a page asks for the call");
            return Ok((call.clone(), Message::Resume { call, page, epoch, takeover, fingerprint, link }));
        }
        Some(Standing::Reconnect { call, session, seen }) => {
            tracing::debug!(%call, client = %client.0, seen, "a page comes back to the call");
            return Ok((call.clone(), Message::Reconnect { call, page, session, seen, link }));
        }
        None => {}
    }
    let (plan, permit) = admission::admit(app, client, hello).await?;
    let call = hub::fresh_call();
    tracing::debug!(%call, client = %client.0, "visitor admitted");
    Ok((call.clone(), Message::Arrived { call, page, plan, link, permit }))
}

/// Carries messages both ways until either side is done.
async fn relay(
    app: &App,
    socket: &mut Socket,
    call: &CallId,
    page: Page,
    mut queue: mpsc::Receiver<ToPage>,
    frames: &FrameQueue<Bytes>,
) -> Loss {
    let mut sink: Option<FrameQueue<CallFrame>> = None;
    let mut allowance = Allowance::default();
    let mut ping = interval(PING);
    let mut probed: Option<Instant> = None;
    loop {
        let probe_ends = probed.map_or_else(Instant::now, |at| at + PROBE);
        tokio::select! {
            message = queue.recv() => match message {
                None => {
                    socket.close(close_code::NORMAL, "").await;
                    return Loss::Broken;
                }
                Some(ToPage::Event(event)) => if !socket.send(&event).await {
                    return Loss::Broken;
                },
                Some(ToPage::Frames(to)) => sink = to,
                Some(ToPage::Probe) => {
                    probed = Some(Instant::now());
                    if !socket.write(Frame::Ping(Default::default())).await {
                        return Loss::Broken;
                    }
                }
            },
            () = sleep_until(probe_ends.into()), if probed.is_some() => {
                if probed.take().is_some_and(|at| socket.heard < at) {
                    tracing::info!(%call, "the visitor's page does not answer");
                    return Loss::Broken;
                }
            }
            bytes = frames.pop() => if !socket.write(Frame::Binary(bytes)).await {
                return Loss::Broken;
            },
            request = socket.request() => match request {
                Received::Frame(bytes) => if let Some(sink) = sink.as_ref().filter(|_| allowance.admits(Instant::now())) {
                    sink.push(CallFrame { call: call.clone(), bytes: bytes.into() });
                },
                Received::Request(request) => {
                    if !app.hub.tell(Message::Visitor { call: call.clone(), page, request }).await {
                        return Loss::Broken;
                    }
                }
                Received::Unknown(kind) => tracing::debug!(%call, kind, "ignoring a message of an unknown type"),
                Received::Invalid(why) => {
                    tracing::info!(%call, "a visitor's message cannot be read");
                    // The reason quotes the message, which may hold a customer's id.
                    tracing::debug!(%call, why, "why the message cannot be read");
                    let code = ErrorCode::MessageInvalid;
                    socket.send(&VisitorEvent::Error { code, message: code.shopper().to_owned() }).await;
                    socket.close(close_code::POLICY, code.word()).await;
                    return Loss::Closed;
                }
                Received::Closed(loss) => return loss,
            },
            _ = ping.tick() => {
                if socket.heard.elapsed() > SILENCE || !socket.write(Frame::Ping(Default::default())).await {
                    tracing::info!(%call, "the visitor is silent");
                    return Loss::Broken;
                }
            }
        }
    }
}

async fn refuse(socket: &mut Socket, refusal: &Refusal) {
    let code = refusal.code;
    metrics::counter!("ringlet_calls_refused_total", "code" => code.word()).increment(1);
    tracing::info!(%code, merchant = refusal.merchant.as_deref(), "visitor refused");
    tracing::debug!(%code, detail = refusal.detail.as_deref(), "why the visitor is refused");
    let reasons =
        [(ErrorCode::ServerStopping, EndReason::ServerStopping), (ErrorCode::CallOver, EndReason::VisitorGone)];
    let reason = reasons.into_iter().find(|it| it.0 == code).map_or(EndReason::Refused, |it| it.1);
    socket.send(&VisitorEvent::Ended { reason, code: Some(code), message: code.shopper().to_owned() }).await;
    socket.close(close_code::POLICY, code.word()).await;
}

/// What came from the browser.
enum Received {
    Request(VisitorRequest),
    Frame(Bytes),
    Unknown(String),
    Invalid(String),
    Closed(Loss),
}

struct Socket {
    socket: WebSocket,
    heard: Instant,
    messages: usize,
}

impl Socket {
    async fn hello(&mut self) -> Result<Hello, Refusal> {
        match self.request().await {
            Received::Request(request) => Hello::of(request),
            // A newer panel's `hello` may not be readable, but its version is.
            Received::Invalid(why) if why == WRONG_VERSION => Err(Refusal::of(ErrorCode::VersionUnknown)),
            Received::Unknown(why) | Received::Invalid(why) => Err(Refusal::because(ErrorCode::MessageInvalid, why)),
            Received::Frame(_) => Err(Refusal::because(ErrorCode::MessageInvalid, "a frame before `hello`".to_owned())),
            Received::Closed(_) => Err(Refusal::because(ErrorCode::MessageInvalid, "closed before `hello`".to_owned())),
        }
    }

    /// The next message; pings and pongs count as signs of life only.
    async fn request(&mut self) -> Received {
        loop {
            let frame = match self.socket.recv().await {
                None => return Received::Closed(Loss::Broken),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a visitor's socket broke");
                    return Received::Closed(Loss::Broken);
                }
                Some(Ok(frame)) => frame,
            };
            self.heard = Instant::now();
            match frame {
                Frame::Text(text) => {
                    self.messages += 1;
                    if self.messages > MAX_MESSAGES {
                        return Received::Invalid(format!("more than {MAX_MESSAGES} messages"));
                    }
                    return parse(&text);
                }
                Frame::Binary(bytes) if bytes.len() > MAX_FRAME_BYTES => {
                    return Received::Invalid(format!("a frame of {} bytes", bytes.len()));
                }
                Frame::Binary(bytes) => return Received::Frame(bytes),
                Frame::Close(_) => return Received::Closed(Loss::Closed),
                Frame::Ping(_) | Frame::Pong(_) => {}
            }
        }
    }

    async fn send(&mut self, event: &VisitorEvent) -> bool {
        match serde_json::to_string(event) {
            Ok(text) => self.write(Frame::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "a message for a visitor cannot be written");
                false
            }
        }
    }

    async fn write(&mut self, frame: Frame) -> bool {
        matches!(timeout(SEND, self.socket.send(frame)).await, Ok(Ok(())))
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        self.write(Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static(reason) }))).await;
    }
}

const WRONG_VERSION: &str = "the version in `hello`";

fn parse(text: &str) -> Received {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Received::Invalid(error.to_string()),
    };
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return Received::Invalid("no `type`".to_owned());
    };
    if !VisitorRequest::SHAPE.iter().any(|shape| shape.tag == kind) {
        return Received::Unknown(kind.chars().take(50).collect());
    }
    let version = value.get("version").and_then(Value::as_u64);
    if kind == "hello" && version.is_some_and(|version| version != u64::from(protocol::visitor::VERSION)) {
        return Received::Invalid(WRONG_VERSION.to_owned());
    }
    match serde_json::from_value(value) {
        Ok(request) => Received::Request(request),
        Err(error) => Received::Invalid(error.to_string()),
    }
}
