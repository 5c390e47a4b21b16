//! A gateway that a signal-server elsewhere commands, over a WebSocket to its `/ws/gateway`. The gateway keeps its
//! calls while the socket is down and tells what happened meanwhile when it is up again; that the signal-server ends them at the
//! loss is its own choice so far. Deliberately not here: acknowledgements. An event that
//! was on its way when the socket broke is lost, and the signal-server's deadlines make up for it.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use protocol::gateway::{CallFrame, Command, Event};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::protocol::{Message, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::gateway::{Gateway, StartError, start};

/// The first wait after a failure; it doubles.
const MIN_BACK_OFF: Duration = Duration::from_millis(250);
/// The longest wait: a signal-server that is back has its gateways soon after.
const MAX_BACK_OFF: Duration = Duration::from_secs(10);
/// How long a connection may take, TLS and HTTP included.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// How long one message may take to be taken by the network.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How often we ping: proxies drop connections that are silent for 60 s.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long the signal-server may be silent; it answers pings.
const SILENCE_DEADLINE: Duration = Duration::from_secs(50);
/// The largest message: an SDP and its JSON.
const MAX_MESSAGE: usize = 256 * 1024;
/// Events that are kept while the socket is down. More than that are old news, and the signal-server learns from
/// [`Event::Registered`] which calls there are.
const MAX_KEPT: usize = 4096;

/// Why a remote gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The gateway itself does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The address of the signal-server makes no request.
    #[error("the signal-server's address is unusable: {0}")]
    Address(String),
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Runs a gateway for the signal-server whose WebSocket is at `signal_url` (`ws://host/ws/gateway`), with the shared secret as
/// bearer token. Connects again and again; returns only when the gateway has stopped.
///
/// # Errors
/// [`RemoteError`] when the configuration or the address is of no use. A signal-server that is not there is no error.
pub async fn run_remote(config: Config, signal_url: &str, secret: &str) -> Result<(), RemoteError> {
    request(signal_url, secret)?;
    run_gateway(start(config).await?, signal_url, secret).await
}

/// As [`run_remote`], for a gateway that runs already. To stop it, keep a clone of its handle and shut that down.
///
/// # Errors
/// [`RemoteError::Address`].
pub async fn run_gateway(mut gateway: Gateway, signal_url: &str, secret: &str) -> Result<(), RemoteError> {
    let mut kept = VecDeque::new();
    let mut back_off = MIN_BACK_OFF;
    loop {
        let connect = connect_async_with_config(request(signal_url, secret)?, Some(web_socket_config()), true);
        match timeout(CONNECT_DEADLINE, connect).await {
            Ok(Ok((socket, _))) => {
                info!(signal_url, "connected to the signal-server");
                let since = Instant::now();
                match pump(&mut gateway, socket, &mut kept).await {
                    Pumped::Stopped => return Ok(()),
                    Pumped::Lost(detail) => warn!(signal_url, detail, "the signal-server is lost"),
                }
                if since.elapsed() > MAX_BACK_OFF {
                    back_off = MIN_BACK_OFF;
                }
            }
            Ok(Err(error)) => warn!(signal_url, %error, "no connection to the signal-server"),
            Err(_) => warn!(signal_url, "no connection to the signal-server in time"),
        }
        // Up to a quarter more, so that many gateways do not come all at once.
        let wait = back_off.mul_f64(1.0 + rand::random::<f64>() / 4.0);
        back_off = (back_off * 2).min(MAX_BACK_OFF);
        if wait_and_keep(&mut gateway, &mut kept, wait).await.is_none() {
            return Ok(());
        }
    }
}

enum Pumped {
    Stopped,
    Lost(String),
}

async fn pump(gateway: &mut Gateway, mut socket: Socket, kept: &mut VecDeque<Event>) -> Pumped {
    let Some(registered) = gateway.handle.registration().await else { return Pumped::Stopped };
    if let Err(lost) = send(&mut socket, &registered).await {
        return lost;
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

/// Keeps events for `wait`. `None` when the gateway has stopped.
async fn wait_and_keep(gateway: &mut Gateway, kept: &mut VecDeque<Event>, wait: Duration) -> Option<()> {
    let over = sleep(wait);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => return Some(()),
            event = gateway.events.recv() => keep(kept, event?),
        }
    }
}

fn keep(kept: &mut VecDeque<Event>, event: Event) {
    // Registration is asked for at each connection, with the calls of that moment.
    if matches!(event, Event::Registered { .. }) {
        return;
    }
    if kept.len() == MAX_KEPT {
        kept.pop_front();
    }
    kept.push_back(event);
}

async fn send(socket: &mut Socket, event: &Event) -> Result<(), Pumped> {
    match serde_json::to_string(event) {
        Ok(text) => send_message(socket, Message::text(text)).await,
        Err(error) => {
            warn!(%error, "an event makes no JSON");
            Ok(())
        }
    }
}

async fn send_frame(socket: &mut Socket, CallFrame { call, bytes }: &CallFrame) -> Result<(), Pumped> {
    let mut message = vec![0; frame::MAX_ADDRESSED_BYTES];
    let length = frame::write_addressed(call.as_str(), bytes, &mut message);
    message.truncate(length);
    if length == 0 { Ok(()) } else { send_message(socket, Message::binary(message)).await }
}

async fn send_message(socket: &mut Socket, message: Message) -> Result<(), Pumped> {
    match timeout(SEND_DEADLINE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Pumped::Lost(error.to_string())),
        Err(_) => Err(Pumped::Lost("not sent in time".to_owned())),
    }
}

fn request(signal_url: &str, secret: &str) -> Result<tokio_tungstenite::tungstenite::http::Request<()>, RemoteError> {
    let address = |error: &dyn std::fmt::Display| RemoteError::Address(error.to_string());
    let mut request = signal_url.into_client_request().map_err(|error| address(&error))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {secret}")).map_err(|error| address(&error))?;
    bearer.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, bearer);
    Ok(request)
}

fn web_socket_config() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE))
}

#[cfg(test)]
mod tests;
