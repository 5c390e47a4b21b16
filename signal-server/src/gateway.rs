//! The links to media gateways: `/ws/gateway` for those on other machines, a pair of channels for the one in this process.
//! Here messages are carried and links are watched; which gateway gets a call is the switchboard's choice.

use crate::LocalGateway;
use crate::app::App;
use crate::frames::{FrameQueue, GATEWAY_FRAMES};
use crate::handover::Gateways;
use crate::hub::{Connection, GATEWAY_QUEUE, GatewayLink, HubHandle, Message};
use crate::metrics::Counted;
use crate::problem::Problem;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use protocol::gateway::{CallFrame, Command, Event};
use protocol::{CallId, GatewayId, frame};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// From the upgrade to `registered`: the gateway sends it at once.
const REGISTERED: Duration = Duration::from_secs(10);

/// How often a silent gateway is asked whether it is there.
const PING: Duration = Duration::from_secs(5);

/// After this long without a sign of life, two pings included, the connection is gone.
const SILENCE: Duration = Duration::from_secs(12);

/// How long a command may take to leave.
const SEND: Duration = Duration::from_secs(5);

/// The longest message of a gateway: an SDP answer, or `registered` with the ids of ten thousand calls.
const MAX_MESSAGE_BYTES: usize = 512 * 1024;

/// `GET /ws/gateway`.
pub(crate) async fn upgrade(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let token = crate::controllers::bearer(&headers);
    let admitted = match (&app.config.gateway_secret, token) {
        // Digests are compared, so that the time it takes says nothing about the secret.
        (Some(secret), Some(token)) => Sha256::digest(secret.reveal()) == Sha256::digest(token),
        (None, _) | (_, None) => false,
    };
    if !admitted || headers.contains_key(header::ORIGIN) {
        tracing::warn!("refusing a gateway without the gateway secret");
        return Problem::gateway_unauthorized().into_response();
    }
    open(app, upgrade)
}

/// Serves `/ws/gateway` to gateways of this machine: who can reach the socket need not show a secret.
pub(crate) async fn serve_on(listener: Gateways, app: App) {
    let closing = app.closing.clone();
    let router = Router::new().route("/ws/gateway", any(upgrade_local)).with_state(app);
    let served = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "gateways of this machine are not served any more");
    }
}

async fn upgrade_local(State(app): State<App>, upgrade: WebSocketUpgrade) -> Response {
    open(app, upgrade)
}

fn open(app: App, upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade.max_message_size(MAX_MESSAGE_BYTES).max_frame_size(MAX_MESSAGE_BYTES);
    let tasks = app.tasks.clone();
    upgrade.on_upgrade(async move |socket| {
        let session = async move {
            let _counted = Counted::task();
            let closing = app.closing.clone();
            let mut socket = Socket { socket, heard: Instant::now() };
            tokio::select! {
                () = closing.cancelled() => socket.close(close_code::AWAY).await,
                () = serve(&app.hub, &mut socket) => {}
            }
        };
        drop(tasks.spawn(session).await);
    })
}

async fn serve(hub: &HubHandle, socket: &mut Socket) {
    let Ok(Some(registered)) = timeout(REGISTERED, socket.event_or_frame(hub)).await else {
        return socket.close(close_code::POLICY).await;
    };
    let Some(gateway) = registered_as(&registered) else {
        tracing::warn!("a gateway's first message is not `registered`");
        return socket.close(close_code::POLICY).await;
    };
    let (commands, queue) = mpsc::channel(GATEWAY_QUEUE);
    let frames = FrameQueue::new(GATEWAY_FRAMES);
    let link = GatewayLink {
        connection: Connection::fresh(),
        commands,
        frames: frames.clone(),
        close: CancellationToken::new(),
        outlives: true,
    };
    let (connection, close) = (link.connection, link.close.clone());
    tracing::info!(%gateway, "gateway connected");
    if !hub.tell(Message::GatewayConnected { gateway: gateway.clone(), link, registered }).await {
        return;
    }
    tokio::select! {
        () = close.cancelled() => {}
        () = relay(hub, socket, &gateway, connection, queue, &frames) => {}
    }
    socket.close(close_code::NORMAL).await;
    tracing::info!(%gateway, "gateway disconnected");
    hub.tell(Message::GatewayLost { gateway, connection }).await;
}

async fn relay(
    hub: &HubHandle,
    socket: &mut Socket,
    gateway: &GatewayId,
    connection: Connection,
    mut commands: mpsc::Receiver<Command>,
    frames: &FrameQueue<CallFrame>,
) {
    let mut ping = interval(PING);
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(command) = command else { return };
                if !socket.send(&command).await {
                    return;
                }
            }
            frame = frames.pop() => {
                if !socket.send_frame(&frame).await {
                    return;
                }
            }
            event = socket.event_or_frame(hub) => {
                let Some(event) = event else { return };
                if !hub.tell(Message::Gateway { gateway: gateway.clone(), connection, event }).await {
                    return;
                }
            }
            _ = ping.tick() => {
                if socket.heard.elapsed() > SILENCE || !socket.write(Frame::Ping(Default::default())).await {
                    tracing::warn!(%gateway, "the gateway is silent");
                    return;
                }
            }
        }
    }
}

/// Serves the gateway in this process until it, or the hub, ends. When it is told to stop, it gives the gateway back, and nothing
/// that was under way is lost.
pub(crate) async fn serve_local(
    hub: HubHandle,
    mut local: LocalGateway,
    stop: CancellationToken,
) -> Option<LocalGateway> {
    let _counted = Counted::task();
    let registered = local.events.recv().await;
    let Some((gateway, registered)) = registered.and_then(|event| registered_as(&event).zip(Some(event))) else {
        tracing::error!("the gateway of this process has ended before it registered");
        return None;
    };
    let (commands, mut queue) = mpsc::channel(GATEWAY_QUEUE);
    let frames = FrameQueue::new(GATEWAY_FRAMES);
    let link = GatewayLink {
        connection: Connection::fresh(),
        commands,
        frames: frames.clone(),
        close: CancellationToken::new(),
        outlives: false,
    };
    let (connection, close) = (link.connection, link.close.clone());
    if !hub.tell(Message::GatewayConnected { gateway: gateway.clone(), link, registered }).await {
        return None;
    }
    tokio::select! {
        () = carry(&hub, &mut local, (&gateway, connection), (&mut queue, &frames), &stop) => {}
        () = close.cancelled() => {}
    }
    if stop.is_cancelled() {
        return Some(local);
    }
    if hub.tell(Message::GatewayLost { gateway: gateway.clone(), connection }).await {
        tracing::error!(%gateway, "the gateway of this process is lost");
    }
    None
}

/// Carries what either says to the other.
async fn carry(
    hub: &HubHandle,
    local: &mut LocalGateway,
    (gateway, connection): (&GatewayId, Connection),
    (queue, frames): (&mut mpsc::Receiver<Command>, &FrameQueue<CallFrame>),
    stop: &CancellationToken,
) {
    let LocalGateway { commands: gateway_commands, events, frames: sink, frames_out, .. } = local;
    let audio = async {
        loop {
            tokio::select! {
                // A gateway that does not keep up loses the newest, which is no worse.
                frame = frames.pop() => drop(sink.try_send(frame)),
                Some(frame) = frames_out.recv() => hub.deliver_frame(&frame.call, frame.bytes.into()),
            }
        }
    };
    // Two loops, each of which may wait for the other side: the hub never waits for a gateway, so no circle closes.
    let down = async {
        while let Some(command) = next(stop, queue.recv()).await.or_else(|| queue.try_recv().ok()) {
            if gateway_commands.send(command).await.is_err() {
                break;
            }
        }
    };
    let up = async {
        while let Some(event) = next(stop, events.recv()).await {
            if !hub.tell(Message::Gateway { gateway: gateway.clone(), connection, event }).await {
                break;
            }
        }
    };
    tokio::pin!(down, up);
    tokio::select! {
        () = audio => {}
        () = &mut down => if stop.is_cancelled() { up.await },
        () = &mut up => if stop.is_cancelled() { down.await },
    }
}

/// What comes next, unless it is to stop.
async fn next<T>(stop: &CancellationToken, next: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        next = next => next,
    }
}

fn registered_as(event: &Event) -> Option<GatewayId> {
    if let Event::Registered { gateway, .. } = event { Some(gateway.clone()) } else { None }
}

struct Socket {
    socket: WebSocket,
    heard: Instant,
}

impl Socket {
    /// The next message; `None` when the connection is over or says what cannot be read. Frames that come before it are handed over.
    async fn event_or_frame(&mut self, hub: &HubHandle) -> Option<Event> {
        loop {
            let frame = self.socket.recv().await?;
            self.heard = Instant::now();
            match frame {
                Ok(Frame::Text(text)) => match serde_json::from_str(&text) {
                    Ok(event) => return Some(event),
                    Err(error) => {
                        // One unreadable report must not cost all calls of the gateway; a call that waits for it has a deadline.
                        tracing::error!(%error, "ignoring a gateway's message that cannot be read");
                    }
                },
                Ok(Frame::Binary(bytes)) => match frame::read_addressed(&bytes) {
                    Ok((call, frame)) => hub.deliver_frame(&CallId::from(call), bytes.slice_ref(frame)),
                    Err(error) => tracing::debug!(%error, "a gateway's frame is not understood"),
                },
                Ok(Frame::Ping(_) | Frame::Pong(_)) => {}
                Ok(Frame::Close(_)) => return None,
                Err(error) => {
                    tracing::warn!(%error, "a gateway's socket broke");
                    return None;
                }
            }
        }
    }

    async fn send(&mut self, command: &Command) -> bool {
        match serde_json::to_string(command) {
            Ok(text) => self.write(Frame::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "a command cannot be written");
                false
            }
        }
    }

    async fn send_frame(&mut self, CallFrame { call, bytes }: &CallFrame) -> bool {
        let mut message = vec![0; frame::MAX_ADDRESSED_BYTES];
        let length = frame::write_addressed(call.as_str(), bytes, &mut message);
        message.truncate(length);
        length == 0 || self.write(Frame::Binary(message.into())).await
    }

    async fn write(&mut self, frame: Frame) -> bool {
        matches!(timeout(SEND, self.socket.send(frame)).await, Ok(Ok(())))
    }

    async fn close(&mut self, code: u16) {
        self.write(Frame::Close(Some(CloseFrame { code, reason: Utf8Bytes::from_static("") }))).await;
    }
}
