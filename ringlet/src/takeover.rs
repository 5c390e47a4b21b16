//! `ringlet run --take-over`: how a process gets the sockets of the one that runs, which then leaves it everything but its running
//! calls. They speak over a Unix socket beside the database, a line each way at a time; the sockets come with the second.
//!
//! Not here: what either does with it ([`media_gateway::Sockets`], [`signal_server::Handover`]).

use anyhow::{Context as _, anyhow, bail, ensure};
use media_gateway::{GatewayHandle, Sockets, Strays};
use protocol::GatewayId;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use signal_server::{Handover, Inherited, LocalGateway};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::{JoinHandle, spawn_blocking};

/// The two speak the same language when this is the same.
const VERSION: u32 = 2;

/// How long either may take to its next line. The newcomer opens its store meanwhile, the other writes its last records.
const LINE: Duration = Duration::from_secs(30);

/// The longest line.
const MAX_LINE: usize = 1_024;

/// Listeners of the web server; the kernel passes up to 253 descriptors at once (`SCM_MAX_FD`).
const MAX_LISTENERS: usize = 64;

/// What comes beside the listeners.
const OTHERS: usize = 6;

/// Where the process that runs listens for one that takes over, and where gateways of this machine connect.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) takeover: PathBuf,
    pub(crate) gateways: PathBuf,
}

impl Paths {
    /// Beside the database: who shares it shares them.
    pub(crate) fn beside(database: &Path) -> Self {
        let with = |suffix: &str| {
            let mut path = database.as_os_str().to_owned();
            path.push(suffix);
            PathBuf::from(path)
        };
        Self { takeover: with("-takeover"), gateways: with("-gateways") }
    }
}

/// What the newcomer says first.
#[derive(Debug, Deserialize, Serialize)]
struct Hello {
    version: u32,
}

/// What comes with the descriptors: how many there are of each kind, in the order of [`Parcel::descriptors`].
#[derive(Debug, Deserialize, Serialize)]
struct Manifest {
    version: u32,
    listeners: usize,
    media_tcp: bool,
}

/// What goes from process to process.
struct Parcel {
    listeners: Vec<TcpListener>,
    sockets: Sockets,
}

/// The process that runs, asked to let go.
pub(crate) struct Predecessor {
    parcel: Parcel,
    stream: UnixStream,
}

impl Predecessor {
    /// Asks the process that runs for its sockets. `None` when there is none.
    pub(crate) async fn find(paths: &Paths) -> anyhow::Result<Option<Self>> {
        let path = paths.takeover.clone();
        let found = spawn_blocking(move || Self::ask(&path)).await?;
        found.with_context(|| format!("the process that runs does not hand over ({})", paths.takeover.display()))
    }

    fn ask(path: &Path) -> anyhow::Result<Option<Self>> {
        let mut stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        stream.set_read_timeout(Some(LINE))?;
        stream.set_write_timeout(Some(LINE))?;
        say(&mut stream, &serde_json::to_string(&Hello { version: VERSION })?)?;
        let parcel = receive(&stream)?;
        Ok(Some(Self { parcel, stream }))
    }

    /// The gateway's part, and the signal-server's, which has the other process let go when it is ready; and what tells that process
    /// that this one has its own door.
    pub(crate) fn open(self) -> io::Result<(Sockets, Inherited, Arrival)> {
        let Self { parcel: Parcel { listeners, sockets }, mut stream } = self;
        let arrival = Arrival(stream.try_clone()?);
        let let_go = async move {
            spawn_blocking(move || {
                say(&mut stream, "ready")?;
                let word = line(&mut stream)?;
                if word == "yours" { Ok(()) } else { Err(io::Error::other(format!("it says {word:?}"))) }
            })
            .await?
        };
        Ok((sockets, Inherited { listeners, let_go: Box::pin(let_go) }, arrival))
    }
}

/// To the process that has let go, which looks whether this one lives.
pub(crate) struct Arrival(UnixStream);

impl Arrival {
    /// Another process can take over from this one: the place is taken.
    pub(crate) fn tell(mut self) {
        if let Err(error) = say(&mut self.0, "here") {
            tracing::warn!(%error, "the process before this one does not hear that this one is here");
        }
    }
}

/// What a process has left that has let go.
pub(crate) struct Given {
    /// The gateway with which it goes on.
    pub(crate) local: Option<LocalGateway>,
    /// Whether the other process has come to its own door, once that is known.
    pub(crate) arrived: JoinHandle<bool>,
}

/// Where this process waits for one that takes over.
#[derive(Debug)]
pub(crate) struct Door {
    listener: tokio::net::UnixListener,
    path: PathBuf,
}

impl Door {
    /// Takes the path, which an earlier process may have left behind.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: tokio::net::UnixListener::from_std(listener)?, path: path.to_owned() })
    }

    /// Waits for a process that takes over, and lets go. Gives the gateway back with which this one goes on, known as `heir`. One that
    /// does not come to its end changes nothing.
    pub(crate) async fn given(&self, gateway: &GatewayHandle, server: &Handover, heir: &GatewayId) -> Given {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => match give(stream, gateway, server, heir).await {
                    Ok(given) => return given,
                    Err(error) => tracing::warn!("a process that wanted to take over did not: {error:#}"),
                },
                Err(error) => {
                    tracing::warn!(%error, "nobody can take over from this process");
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Nobody can take over any more.
    pub(crate) fn close(self) {
        // Whoever binds it next would take it away as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn give(
    stream: tokio::net::UnixStream,
    gateway: &GatewayHandle,
    server: &Handover,
    heir: &GatewayId,
) -> anyhow::Result<Given> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LINE))?;
    stream.set_write_timeout(Some(LINE))?;
    let (hello, mut stream) = spawn_blocking(move || line(&mut stream).map(|hello| (hello, stream))).await??;
    let Hello { version } = serde_json::from_str(&hello)?;
    ensure!(version == VERSION, "it speaks version {version}, this process {VERSION}");
    tracing::info!("another process wants to take over");
    let parcel = Parcel { listeners: server.listeners()?, sockets: gateway.offer_sockets().await? };
    let (word, mut stream) = spawn_blocking(move || -> anyhow::Result<_> {
        send(&stream, &parcel)?;
        // Ours close here: when the newcomer goes, so do its ways.
        drop(parcel);
        Ok((line(&mut stream)?, stream))
    })
    .await??;
    ensure!(word == "ready", "it says {word:?}");
    // Until the last call has been given to it, the gateway takes them.
    let local = server.let_go(heir.clone()).await;
    gateway.let_go(heir.clone()).await;
    // Told or not: what it does not take up, this process cannot take back.
    let arrived = spawn_blocking(move || {
        let word = say(&mut stream, "yours").and_then(|()| line(&mut stream));
        word.inspect_err(|error| tracing::error!(%error, "the process that takes over is gone")).is_ok()
    });
    Ok(Given { local, arrived })
}

impl Parcel {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let Sockets { media, media_tcp, sip, sip_tcp, predecessor } = &self.sockets;
        let mut list = vec![media.as_fd(), sip.as_fd(), sip_tcp.as_fd()];
        list.extend(predecessor.iter().flat_map(|strays| [strays.media.as_fd(), strays.sip.as_fd()]));
        list.extend(media_tcp.iter().map(|listener| listener.as_fd()));
        list.extend(self.listeners.iter().map(|listener| listener.as_fd()));
        list
    }

    fn of(manifest: &Manifest, descriptors: Vec<OwnedFd>) -> anyhow::Result<Self> {
        let mut rest = descriptors.into_iter();
        let mut next = || rest.next().ok_or_else(|| anyhow!("descriptors are missing"));
        let (media, sip, sip_tcp) = (next()?.into(), next()?.into(), next()?.into());
        let predecessor = Some(Strays { media: next()?.into(), sip: next()?.into() });
        let media_tcp = if manifest.media_tcp { Some(next()?.into()) } else { None };
        let listeners = (0..manifest.listeners).map(|_| next().map(Into::into)).collect::<anyhow::Result<_>>()?;
        Ok(Self { listeners, sockets: Sockets { media, media_tcp, sip, sip_tcp, predecessor } })
    }
}

fn send(stream: &UnixStream, parcel: &Parcel) -> anyhow::Result<()> {
    ensure!(parcel.listeners.len() <= MAX_LISTENERS, "http.listen names more than {MAX_LISTENERS} addresses");
    let media_tcp = parcel.sockets.media_tcp.is_some();
    let manifest = Manifest { version: VERSION, listeners: parcel.listeners.len(), media_tcp };
    let text = serde_json::to_string(&manifest)? + "\n";
    let descriptors = parcel.descriptors();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LISTENERS + OTHERS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&descriptors)), "too many sockets");
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty())?;
    ensure!(sent == text.len(), "sent in part");
    Ok(())
}

fn receive(stream: &UnixStream) -> anyhow::Result<Parcel> {
    let mut text = [0; MAX_LINE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_LISTENERS + OTHERS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received =
        rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let descriptors = control.drain().flat_map(|message| {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message { descriptors.collect() } else { Vec::new() }
    });
    let descriptors: Vec<OwnedFd> = descriptors.collect();
    let text = std::str::from_utf8(text.get(..received.bytes).unwrap_or_default())?;
    let Some(line) = text.strip_suffix('\n') else { bail!("it refuses; its log tells why") };
    let manifest: Manifest = serde_json::from_str(line)?;
    ensure!(manifest.version == VERSION, "it speaks version {}, this process {VERSION}", manifest.version);
    Parcel::of(&manifest, descriptors)
}

fn say(stream: &mut UnixStream, line: &str) -> io::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes())
}

fn line(stream: &mut UnixStream) -> io::Result<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while text.len() < MAX_LINE {
        if stream.read(&mut byte)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if byte == *b"\n" {
            return String::from_utf8(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        }
        text.extend(byte);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"))
}
