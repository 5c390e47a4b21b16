//! How one gateway takes the place of another on the same ports, while the calls of that one run on: it gives its sockets away and
//! keeps its calls ([`GatewayHandle::offer_sockets`], [`GatewayHandle::let_go`]); the other starts with them
//! ([`start_in_place`](crate::start_in_place)) and passes on what is for none of its own calls. RTP ports are per call and stay.
//! Not here: how sockets get from process to process.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::GatewayId;

use crate::config::Config;
use crate::control::Ask;
use crate::gateway::{GatewayHandle, StartError, bind_media, bind_tcp};
use crate::sip::Ports;
use crate::strays;

/// The sockets of a gateway, all non-blocking, and where what they bring for another process's calls goes.
#[derive(Debug)]
pub struct Sockets {
    /// For browsers.
    pub media: UdpSocket,
    /// The same by TCP; `None` when there is none, or somebody else's.
    pub media_tcp: Option<TcpListener>,
    /// SIP over UDP.
    pub sip: UdpSocket,
    /// SIP over TCP.
    pub sip_tcp: TcpListener,
    /// To the process that had them.
    pub predecessor: Option<Strays>,
}

/// Two ways to another process, over which datagrams of its calls go ([`SOCK_SEQPACKET`](socket2::Type::SEQPACKET)).
#[derive(Debug)]
pub struct Strays {
    /// Those of browsers.
    pub media: UnixDatagram,
    /// Those of SIP.
    pub sip: UnixDatagram,
}

impl Sockets {
    pub(crate) fn open(config: &Config) -> Result<Self, StartError> {
        let address = config.media_udp;
        let media = bind_media(address).map_err(|source| StartError::MediaSocket { address, source })?;
        let bound = media.local_addr().map_err(|source| StartError::MediaSocket { address, source })?;
        let media_tcp = bind_tcp(config, bound)?;
        let Ports { udp, tcp, .. } = crate::sip::bind(config.sip_listen)?;
        Ok(Self { media, media_tcp, sip: udp, sip_tcp: tcp, predecessor: None })
    }

    /// Whether these are the sockets that the configuration wants.
    pub(crate) fn fit(&self, config: &Config) -> bool {
        let is = |bound: io::Result<SocketAddr>, wanted: SocketAddr| bound.is_ok_and(|bound| bound == wanted);
        let tcp = match (config.media_tcp.address(config.media_udp), &self.media_tcp) {
            (Some(wanted), Some(listener)) => is(listener.local_addr(), wanted),
            (wanted, listener) => wanted.is_none() && listener.is_none(),
        };
        tcp && is(self.media.local_addr(), config.media_udp) && is(self.sip.local_addr(), config.sip_listen)
    }

    fn twin(&self) -> io::Result<Self> {
        Ok(Self {
            media: self.media.try_clone()?,
            media_tcp: self.media_tcp.as_ref().map(TcpListener::try_clone).transpose()?,
            sip: self.sip.try_clone()?,
            sip_tcp: self.sip_tcp.try_clone()?,
            predecessor: None,
        })
    }
}

/// What a running gateway can give away.
#[derive(Clone, Debug)]
pub(crate) struct Held(Arc<Mutex<Option<Sockets>>>);

impl Held {
    pub(crate) fn of(sockets: &Sockets) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Some(sockets.twin()?)))))
    }

    fn twin(&self) -> io::Result<Sockets> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().ok_or_else(|| io::Error::other("the sockets are another process's already"))?.twin()
    }

    fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl GatewayHandle {
    /// The sockets for a process that is to take this one's place. Nothing changes before [`let_go`](Self::let_go), but that what
    /// that process passes on is read; when it is gone, so are its ways.
    ///
    /// # Errors
    /// What the system says; when the sockets are given away already.
    pub async fn offer_sockets(&self) -> io::Result<Sockets> {
        let sockets = self.held.twin()?;
        let (media_inlet, media) = strays::pair()?;
        let (sip_inlet, sip) = strays::pair()?;
        self.sip().hear_strays(sip_inlet)?;
        let stopped = |_| io::Error::other("the gateway has stopped");
        self.ask(Ask::Strays(media_inlet)).await.map_err(stopped)?;
        Ok(Sockets { predecessor: Some(Strays { media, sip }), ..sockets })
    }

    /// Takes no further call and reads the sockets no more; the gateway ends with its last call. Towards signal-servers it is called
    /// `name` from now on: the old name is its successor's.
    pub async fn let_go(&self, name: GatewayId) {
        self.sip().let_go();
        // One that has stopped has nothing to let go of.
        let _ = self.ask(Ask::LetGo(name)).await;
        self.held.forget();
    }
}
