//! `ringlet gateway`, the product's own process, and its signal-server's side of the control protocol.

use crate::child::Process;
use anyhow::{Context as _, Result, bail, ensure};
use protocol::CallId;
use protocol::gateway::{Command, Event};
use protocol::visitor::Quality;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, accept};

/// Where the gateway's far ends are.
const TRUNK_PORT: u16 = 5_070;

/// Commands that wait for the socket: a few for each call.
const COMMANDS: usize = 256;

/// How long anything may take that the gateway is told to do.
const DEADLINE: Duration = Duration::from_secs(15);

/// How often the socket is left to look for commands.
const LOOK: Duration = Duration::from_millis(10);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// To be asked what it costs.
    pub process: Process,
    commands: SyncSender<Command>,
    events: Arc<Mutex<BTreeMap<CallId, Vec<Event>>>>,
}

impl Gateway {
    /// Starts `RINGLET_BIN` on `ip`, and waits until it has registered.
    ///
    /// # Errors
    /// When it does not come up.
    pub(crate) fn start(ip: IpAddr, directory: &Path) -> Result<Self> {
        let binary = PathBuf::from(std::env::var_os("RINGLET_BIN").context("RINGLET_BIN names no server")?);
        let listener = TcpListener::bind((ip, 0))?;
        std::fs::write(directory.join("ringlet.toml"), configuration(ip, listener.local_addr()?))?;
        let process = Process::start("gateway", directory, &binary, &["gateway".to_owned()])?;
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + DEADLINE;
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if Instant::now() > deadline => return Err(error).context("the gateway does not come"),
                Err(_) => thread::sleep(LOOK),
            }
        };
        stream.set_nonblocking(false)?;
        let mut socket = accept(stream).map_err(|error| anyhow::anyhow!("no WebSocket: {error}"))?;
        let registered = socket.read()?.into_text()?;
        ensure!(matches!(serde_json::from_str(&registered)?, Event::Registered { .. }), "{registered}");
        socket.get_ref().set_read_timeout(Some(LOOK))?;
        let (commands, receiver) = sync_channel(COMMANDS);
        let events = Arc::default();
        let gateway = Self { process, commands, events: Arc::clone(&events) };
        thread::spawn(move || {
            if let Err(error) = converse(&mut socket, &receiver, &events) {
                eprintln!("the gateway's connection: {error:#}");
            }
        });
        Ok(gateway)
    }

    /// Where its trunk is to listen.
    pub(crate) fn trunk(ip: IpAddr) -> SocketAddr {
        SocketAddr::new(ip, TRUNK_PORT)
    }

    /// Gives the answer to a browser's offer.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn offer(&self, call: &CallId, sdp: &str) -> Result<String> {
        self.command(Command::Offer { call: call.clone(), sdp: sdp.to_owned(), quality: Quality::Standard })?;
        self.wait(
            call,
            "an answer",
            |event| if let Event::Answer { sdp, .. } = event { Some(sdp.clone()) } else { None },
        )
    }

    /// Rings `user`, and waits for the answer.
    ///
    /// # Errors
    /// When nobody answers.
    pub(crate) fn dial(&self, call: &CallId, user: &str) -> Result<()> {
        self.command(Command::Dial {
            call: call.clone(),
            trunk: "pbx".into(),
            address: user.to_owned(),
            caller_name: None,
            headers: Vec::new(),
        })?;
        self.wait(call, "somebody", |event| matches!(event, Event::Answered { .. }).then_some(()))
    }

    /// Ends a call.
    ///
    /// # Errors
    /// When something of it is left.
    pub(crate) fn release(&self, call: &CallId) -> Result<()> {
        self.command(Command::Release { call: call.clone(), why: "done".to_owned() })?;
        self.wait(call, "the end", |event| matches!(event, Event::Closed { .. }).then_some(()))
    }

    fn command(&self, command: Command) -> Result<()> {
        self.commands.send(command).ok().context("the gateway is gone")
    }

    fn wait<T>(&self, call: &CallId, what: &str, find: impl Fn(&Event) -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let events =
                self.events.lock().unwrap_or_else(PoisonError::into_inner).get(call).cloned().unwrap_or_default();
            if let Some(found) = events.iter().find_map(&find) {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("{call} waited in vain for {what}; there was {events:?}");
            }
            thread::sleep(LOOK);
        }
    }
}

fn converse(
    socket: &mut WebSocket<TcpStream>,
    commands: &Receiver<Command>,
    events: &Mutex<BTreeMap<CallId, Vec<Event>>>,
) -> Result<()> {
    loop {
        for command in commands.try_iter() {
            socket.send(Message::text(serde_json::to_string(&command)?))?;
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                let event: Event = serde_json::from_str(&text)?;
                if let Some(call) = event.call().cloned() {
                    events.lock().unwrap_or_else(PoisonError::into_inner).entry(call).or_default().push(event);
                }
            }
            // Pings are answered by the library.
            Ok(_) => {}
            Err(Error::Io(error))
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(Error::ConnectionClosed | Error::Io(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn configuration(ip: IpAddr, signal: SocketAddr) -> String {
    format!(
        "[gateway]\nsignal_url = \"ws://{signal}/ws/gateway\"\nsecret = \"speech-bench-0123456789\"\n\
         [gateway.media]\nlisten = \"{ip}:4433\"\npublic_ips = [\"{ip}\"]\nrtp_ip = \"{ip}\"\n\
         [gateway.sip]\nlisten = \"{ip}:5060\"\n\
         [log]\nfilter = \"warn\"\n\
         [[trunk]]\nname = \"pbx\"\nhost = \"{ip}\"\nport = {TRUNK_PORT}\nkeepalive_seconds = 0\n"
    )
}
