//! A gateway that a signal-server elsewhere commands, over a WebSocket to its `/ws/gateway`. The gateway keeps its
//! calls while the socket is down, for so long as it is told to; when it is up again it tells how they stand and what happened
//! meanwhile. Deliberately not here: acknowledgements. An event that was on its way when the socket broke is lost, and what
//! the gateway tells at each registration makes up for it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::gateway::{CallFrame, Carried, Command, Event};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_with_config, connect_async_with_config};
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::gateway::{Gateway, GatewayHandle, StartError, start};

/// The first wait after a failure; it doubles.
const MIN_BACK_OFF: Duration = Duration::from_millis(250);
/// The longest wait, a quarter more included: a signal-server that is back shall have its calls within 3 s.
const MAX_BACK_OFF: Duration = Duration::from_millis(1_600);
/// How long a connection may take, TLS and HTTP included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long one message may take to be taken by the network.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How often we ping: a machine that is gone does not close its connections.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How long the signal-server may be silent; it answers pings.
const SILENCE_DEADLINE: Duration = Duration::from_secs(12);
/// The largest message: an SDP and its JSON.
const MAX_MESSAGE: usize = 256 * 1024;
/// What the SIP Reason header says of calls that nobody steers.
const UNSTEERED: &str = "signal_server_gone";
/// Events that are kept while the socket is down. More than that are old news, and the signal-server learns from
/// [`Event::Registered`] which calls there are.
const MAX_KEPT: usize = 4096;

/// Why a remote gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The gateway itself does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The media thread is gone: the process is to be started anew.
    #[error("the media thread is gone")]
    Broken,
    /// The address of the signal-server makes no request.
    #[error("the signal-server's address is unusable: {0}")]
    Address(String),
}

/// How a gateway reaches its signal-server.
#[derive(Clone, Debug)]
pub struct Signal {
    /// The WebSocket: `ws://host/ws/gateway`.
    pub url: String,
    /// A Unix socket where that is served, in place of the host's TCP port.
    pub path: Option<PathBuf>,
    /// The shared secret, shown as bearer token.
    pub secret: String,
    /// How long calls go on while no signal-server can be reached. Nobody can hang them up meanwhile but the far end.
    pub hold: Duration,
}

/// Runs a gateway for a signal-server. Connects again and again; returns only when the gateway has stopped.
///
/// # Errors
/// [`RemoteError`] when the configuration or the address is of no use, or the gateway could not go on. A signal-server that is not there is no error.
pub async fn run_remote(config: Config, signal: &Signal) -> Result<(), RemoteError> {
    request(signal)?;
    run_gateway(start(config).await?, signal).await
}

/// As [`run_remote`], for a gateway that runs already. To stop it, keep a clone of its handle and shut that down.
///
/// # Errors
/// [`RemoteError::Address`] and [`RemoteError::Broken`].
pub async fn run_gateway(mut gateway: Gateway, signal: &Signal) -> Result<(), RemoteError> {
    serve(&mut gateway, signal).await?;
    if gateway.handle.is_broken() { Err(RemoteError::Broken) } else { Ok(()) }
}

/// Returns when the gateway has stopped.
async fn serve(gateway: &mut Gateway, signal: &Signal) -> Result<(), RemoteError> {
    let url = signal.url.as_str();
    let (mut kept, mut back_off) = (VecDeque::new(), MIN_BACK_OFF);
    let mut held_until = Instant::now() + signal.hold;
    loop {
        let connect = timeout(CONNECT_DEADLINE, connect(signal, request(signal)?));
        let Some(connected) = meanwhile(gateway, &mut kept, connect).await else {
            return Ok(());
        };
        match connected {
            Ok(Ok(socket)) => {
                info!(url, "connected to the signal-server");
                let since = Instant::now();
                match pump(gateway, socket, &mut kept).await {
                    Pumped::Stopped => return Ok(()),
                    Pumped::Lost(detail) => warn!(url, detail, "the signal-server is lost: calls go on"),
                }
                held_until = Instant::now() + signal.hold;
                if since.elapsed() > MAX_BACK_OFF {
                    back_off = MIN_BACK_OFF;
                }
            }
            Ok(Err(error)) => warn!(url, %error, "no connection to the signal-server"),
            Err(_) => warn!(url, "no connection to the signal-server in time"),
        }
        if Instant::now() >= held_until && release_all(gateway, &mut kept).await.is_none() {
            return Ok(());
        }
        // Up to a quarter more, so that many gateways do not come all at once.
        let wait = back_off.mul_f64(1.0 + rand::random::<f64>() / 4.0);
        back_off = (back_off * 2).min(MAX_BACK_OFF);
        if meanwhile(gateway, &mut kept, sleep(wait)).await.is_none() {
            return Ok(());
        }
    }
}

/// The connection.
enum Socket {
    Far(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Local(Box<WebSocketStream<UnixStream>>),
}

/// What a WebSocket goes over.
trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

enum Pumped {
    Stopped,
    Lost(String),
}

async fn connect(signal: &Signal, request: Request<()>) -> Result<Socket, Error> {
    let config = Some(web_socket_config());
    if let Some(path) = &signal.path {
        let stream = UnixStream::connect(path).await?;
        let (socket, _) = client_async_with_config(request, stream, config).await?;
        return Ok(Socket::Local(Box::new(socket)));
    }
    let (socket, _) = connect_async_with_config(request, config, true).await?;
    Ok(Socket::Far(Box::new(socket)))
}

async fn pump(gateway: &mut Gateway, socket: Socket, kept: &mut VecDeque<Event>) -> Pumped {
    match socket {
        Socket::Far(socket) => pump_over(gateway, *socket, kept).await,
        Socket::Local(socket) => pump_over(gateway, *socket, kept).await,
    }
}

async fn pump_over<S: Stream>(
    gateway: &mut Gateway,
    mut socket: WebSocketStream<S>,
    kept: &mut VecDeque<Event>,
) -> Pumped {
    let Some(registration) = meanwhile(gateway, kept, registration(&gateway.handle.clone())).await.flatten() else {
        return Pumped::Stopped;
    };
    for event in registration {
        if let Err(lost) = send(&mut socket, &event).await {
            return lost;
        }
    }
    let mut ping = tokio::time::interval(PING_INTERVAL);
    let mut last_heard = Instant::now();
    // Audio that waited for the connection is old.
    while gateway.frames_out.try_recv().is_ok() {}
    loop {
        while let Some(event) = kept.front() {
            if let Err(lost) = send(&mut socket, event).await {
                return lost;
            }
            kept.pop_front();
        }
        tokio::select! {
            event = gateway.events.recv() => match event {
                // Kept until it is sent: a socket that breaks under it does not lose it.
                Some(event) => keep(kept, event),
                None => return Pumped::Stopped,
            },
            Some(frame) = gateway.frames_out.recv() => {
                if let Err(lost) = send_frame(&mut socket, &frame).await {
                    return lost;
                }
            }
            message = socket.next() => {
                last_heard = Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) => match serde_json::from_str::<Command>(&text) {
                        Ok(command) => if hand_over(gateway, kept, command).await.is_none() { return Pumped::Stopped },
                        // A newer signal-server may know more commands than we do.
                        Err(error) => warn!(%error, "a command is not understood"),
                    },
                    Some(Ok(Message::Binary(bytes))) => match frame::read_addressed(&bytes) {
                        Ok((call, bytes)) => {
                            // Full: what is late is of no use.
                            let _ = gateway.frames.try_send(CallFrame { call: call.into(), bytes: bytes.to_vec() });
                        }
                        Err(error) => debug!(%error, "a frame is not understood"),
                    },
                    Some(Ok(Message::Close(frame))) => return Pumped::Lost(format!("closed: {frame:?}")),
                    Some(Ok(other)) => debug!(length = other.len(), "a message of no consequence"),
                    Some(Err(error)) => return Pumped::Lost(error.to_string()),
                    None => return Pumped::Lost("closed".to_owned()),
                }
            }
            _ = ping.tick() => {
                if last_heard.elapsed() > SILENCE_DEADLINE {
                    return Pumped::Lost("silent for too long".to_owned());
                }
                if let Err(lost) = send_message(&mut socket, Message::Ping(Vec::new().into())).await {
                    return lost;
                }
            }
        }
    }
}

/// Gives the gateway a command, and takes its events meanwhile: it takes no commands while its events wait for too long.
/// `None` when it has stopped.
async fn hand_over(gateway: &mut Gateway, kept: &mut VecDeque<Event>, command: Command) -> Option<()> {
    loop {
        tokio::select! {
            permit = gateway.commands.reserve() => {
                permit.ok()?.send(command);
                return Some(());
            }
            event = gateway.events.recv() => keep(kept, event?),
        }
    }
}

/// Ends the calls that nobody can steer any more. `None` when the gateway has stopped.
async fn release_all(gateway: &mut Gateway, kept: &mut VecDeque<Event>) -> Option<()> {
    let registration = meanwhile(gateway, kept, registration(&gateway.handle.clone())).await??;
    let carried = registration
        .into_iter()
        .filter_map(|event| if let Event::Registered { calls, .. } = event { Some(calls) } else { None });
    for Carried { call, .. } in carried.flatten() {
        warn!(%call, "released: no signal-server came back in time");
        hand_over(gateway, kept, Command::Release { call, why: UNSTEERED.to_owned() }).await?;
    }
    Some(())
}

async fn registration(handle: &GatewayHandle) -> Option<Vec<Event>> {
    handle.registration().await
}

/// Keeps events until the future is ready. `None` when the gateway has stopped.
async fn meanwhile<T>(gateway: &mut Gateway, kept: &mut VecDeque<Event>, future: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(future);
    loop {
        tokio::select! {
            done = &mut future => return Some(done),
            event = gateway.events.recv() => {
                let event = event?;
                // Registration is asked for at each connection, with the calls of that moment.
                if !matches!(event, Event::Registered { .. }) {
                    keep(kept, event);
                }
            }
        }
    }
}

fn keep(kept: &mut VecDeque<Event>, event: Event) {
    if kept.len() == MAX_KEPT {
        kept.pop_front();
    }
    kept.push_back(event);
}

async fn send<S: Stream>(socket: &mut WebSocketStream<S>, event: &Event) -> Result<(), Pumped> {
    match serde_json::to_string(event) {
        Ok(text) => send_message(socket, Message::text(text)).await,
        Err(error) => {
            warn!(%error, "an event makes no JSON");
            Ok(())
        }
    }
}

async fn send_frame<S: Stream>(
    socket: &mut WebSocketStream<S>,
    CallFrame { call, bytes }: &CallFrame,
) -> Result<(), Pumped> {
    let mut message = vec![0; frame::MAX_ADDRESSED_BYTES];
    let length = frame::write_addressed(call.as_str(), bytes, &mut message);
    message.truncate(length);
    if length == 0 { Ok(()) } else { send_message(socket, Message::binary(message)).await }
}

async fn send_message<S: Stream>(socket: &mut WebSocketStream<S>, message: Message) -> Result<(), Pumped> {
    match timeout(SEND_DEADLINE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Pumped::Lost(error.to_string())),
        Err(_) => Err(Pumped::Lost("not sent in time".to_owned())),
    }
}

fn request(signal: &Signal) -> Result<Request<()>, RemoteError> {
    let address = |error: &dyn std::fmt::Display| RemoteError::Address(error.to_string());
    let mut request = signal.url.as_str().into_client_request().map_err(|error| address(&error))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", signal.secret)).map_err(|error| address(&error))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    Ok(request)
}

fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}

#[cfg(test)]
mod tests;
