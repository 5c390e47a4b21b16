//! A network between browser and server that loses and delays what passes, the same way each time: a relay for datagrams and
//! connections of the gateway's port, and one for the web server's. It understands nothing of what it carries, and never breaks;
//! that is [`crate::relay`]'s and the firewall's.

use crate::wait::eventually;
use crate::{device, namespace::BRIDGE};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// What the gateway takes for its own address where such a network stands before it. Browsers make no candidates of it.
pub const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 97, 0, 1));

/// How long a relay before this one may take to let go of its address.
const FREE: Duration = Duration::from_secs(5);

/// Pieces on their way at once: of a few calls, a second's worth.
const UNDER_WAY: usize = 1_000;

/// A browser takes two ports for a call.
const MAX_CLIENTS: usize = 64;

/// How long TCP waits at least before it sends again what is lost: Linux's bound below RFC 6298's.
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What a network does to all that passes, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Impairment {
    /// The share of datagrams that are lost, 0 to 1. A piece of a connection is late instead, as when TCP sends it again.
    pub loss: f64,
    /// How long everything takes, one way. Nothing overtakes.
    pub delay: Duration,
    /// Another delay that takes turns with that one, and how long each lasts.
    pub jumps: Option<(Duration, Duration)>,
}

/// A running network. Dropping it ends it.
#[derive(Debug)]
pub struct Impaired {
    counts: Arc<Counts>,
    _relays: JoinSet<()>,
}

/// Datagrams of both directions: to the server, and to the browser.
#[derive(Debug, Default)]
struct Counts {
    carried: [AtomicU64; 2],
    lost: [AtomicU64; 2],
}

impl Impaired {
    /// Stands at `media_port` of [`ADDRESS`] before the same port of the bridge, and at the first address of `web` before the second.
    ///
    /// # Errors
    /// When an address is taken.
    pub async fn start(impairment: Impairment, media_port: u16, web: (SocketAddr, SocketAddr)) -> Result<Self> {
        device::outside(&["ip", "address", "replace", &format!("{ADDRESS}/32"), "dev", "lo"])?;
        let media = (SocketAddr::new(ADDRESS, media_port), SocketAddr::new(BRIDGE, media_port));
        let mut network = Self { counts: Arc::default(), _relays: JoinSet::new() };
        network.relay_datagrams(impairment, media).await?;
        for (seed, (from, to)) in [media, web].into_iter().enumerate() {
            let listener = eventually("the address is free", FREE, async || Ok(TcpListener::bind(from).await?)).await?;
            network._relays.spawn(connections(listener, to, Way::new(impairment, seed as u64 + 3)));
        }
        Ok(network)
    }

    /// How many datagrams were carried and lost: to the server, and to the browser.
    pub fn counts(&self) -> [(u64, u64); 2] {
        [0, 1].map(|way: usize| {
            let of = |counts: &[AtomicU64; 2]| counts.get(way).map_or(0, |count| count.load(Ordering::Relaxed));
            (of(&self.counts.carried), of(&self.counts.lost))
        })
    }

    async fn relay_datagrams(&mut self, impairment: Impairment, (from, to): (SocketAddr, SocketAddr)) -> Result<()> {
        let socket = eventually("the address is free", FREE, async || Ok(UdpSocket::bind(from).await?)).await?;
        let counts = Arc::clone(&self.counts);
        self._relays.spawn(async move {
            if let Err(error) = datagrams(Arc::new(socket), to, impairment, &counts).await {
                eprintln!("the impaired network carries no datagrams any more: {error:#}");
            }
        });
        Ok(())
    }
}

/// One direction: what happens to the next piece. Made of the same seed it does the same.
#[derive(Clone, Debug)]
struct Way {
    impairment: Impairment,
    began: Instant,
    /// The state of a xorshift64* generator.
    random: u64,
}

impl Way {
    fn new(impairment: Impairment, seed: u64) -> Self {
        Self { impairment, began: Instant::now(), random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 }
    }

    fn loses(&mut self) -> bool {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let unit = (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64;
        unit < self.impairment.loss
    }

    /// How long what is sent at this moment is on its way.
    fn delay(&self, now: Instant) -> Duration {
        let Impairment { delay, jumps, .. } = self.impairment;
        let Some((other, every)) = jumps else { return delay };
        let turns = now.duration_since(self.began).as_millis() / every.as_millis().max(1);
        if turns.is_multiple_of(2) { delay } else { other }
    }
}

/// What is on its way, and when it arrives.
type Piece = (Instant, Vec<u8>);

async fn datagrams(near: Arc<UdpSocket>, to: SocketAddr, impairment: Impairment, counts: &Arc<Counts>) -> Result<()> {
    let mut clients = BTreeMap::<SocketAddr, Sender<Piece>>::new();
    let mut running = JoinSet::new();
    let mut way = Way::new(impairment, 1);
    let mut buffer = [0; 2_048];
    loop {
        // An error is that of a browser which has closed its port.
        let Ok((length, from)) = near.recv_from(&mut buffer).await else { continue };
        if !clients.contains_key(&from) && clients.len() < MAX_CLIENTS {
            let far = Arc::new(UdpSocket::bind((ADDRESS, 0)).await?);
            far.connect(to).await?;
            let (queue, waiting) = mpsc::channel(UNDER_WAY);
            clients.insert(from, queue);
            running.spawn(deliver(waiting, Arc::clone(&far), to));
            let (back, waiting) = mpsc::channel(UNDER_WAY);
            running.spawn(deliver(waiting, Arc::clone(&near), from));
            running.spawn(answers(far, back, Way::new(impairment, 2), Arc::clone(counts)));
        }
        let queue = clients.get(&from).context("too many browsers")?;
        take(&mut way, queue, buffer.get(..length).unwrap_or_default(), (&counts.carried[0], &counts.lost[0]));
    }
}

async fn answers(far: Arc<UdpSocket>, queue: Sender<Piece>, mut way: Way, counts: Arc<Counts>) {
    let mut buffer = [0; 2_048];
    loop {
        // An error is that of a server which has closed its port, or has none yet.
        let Ok(length) = far.recv(&mut buffer).await else { continue };
        take(&mut way, &queue, buffer.get(..length).unwrap_or_default(), (&counts.carried[1], &counts.lost[1]));
    }
}

/// Sends a datagram on its way, or loses it.
fn take(way: &mut Way, queue: &Sender<Piece>, datagram: &[u8], (carried, lost): (&AtomicU64, &AtomicU64)) {
    let now = Instant::now();
    let is_lost = way.loses() || queue.try_send((now + way.delay(now), datagram.to_vec())).is_err();
    if is_lost { lost } else { carried }.fetch_add(1, Ordering::Relaxed);
}

async fn deliver(mut waiting: Receiver<Piece>, socket: Arc<UdpSocket>, to: SocketAddr) {
    let is_connected = socket.peer_addr().is_ok();
    while let Some((at, datagram)) = waiting.recv().await {
        sleep_until(at).await;
        let _ = if is_connected { socket.send(&datagram).await } else { socket.send_to(&datagram, to).await };
    }
}

async fn connections(listener: TcpListener, to: SocketAddr, way: Way) {
    let mut running = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        running.spawn(connection(near, to, way.clone()));
        while running.try_join_next().is_some() {}
    }
}

async fn connection(near: TcpStream, to: SocketAddr, way: Way) {
    let Ok(far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // The kernel shakes hands at once; a real network takes a round trip for it.
    let now = Instant::now();
    let open = now + 2 * way.delay(now);
    tokio::join!(pass(near_in, far_out, way.clone(), open), pass(far_in, near_out, way, open));
}

/// Passes on one direction of a connection, to its end.
async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut way: Way, open: Instant) {
    let (queue, mut waiting) = mpsc::channel::<Piece>(UNDER_WAY);
    let reads = async move {
        let mut buffer = vec![0; 16_384];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let now = Instant::now().max(open);
            let delay = way.delay(now);
            let again = if way.loses() { SENT_AGAIN_AFTER + 2 * delay } else { Duration::ZERO };
            let piece = buffer.get(..length).unwrap_or_default().to_vec();
            if queue.send((now + delay + again, piece)).await.is_err() {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((at, piece)) = waiting.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reads, writes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Impairment = Impairment { loss: 0.0, delay: Duration::from_millis(20), jumps: None };

    #[tokio::test(start_paused = true)]
    async fn a_tenth_is_lost_and_it_is_the_same_tenth_each_time() {
        let lossy = Impairment { loss: 0.1, ..GOOD };
        let lost = |seed| {
            let mut way = Way::new(lossy, seed);
            (0..1_000).filter(|_| way.loses()).collect::<Vec<_>>()
        };
        assert!((80..120).contains(&lost(1).len()), "{}", lost(1).len());
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_jumps_there_and_back() {
        let seconds = Duration::from_secs;
        let way = Way::new(Impairment { jumps: Some((seconds(1), seconds(2))), ..GOOD }, 1);
        let delays = [0, 1, 2, 3, 4].map(|second| way.delay(way.began + seconds(second)).as_millis());
        assert_eq!(delays, [20, 20, 1_000, 1_000, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_carried_late_and_in_order_to_its_end() -> Result<()> {
        let (mut near, from) = tokio::io::duplex(64);
        let (to, mut far) = tokio::io::duplex(64);
        let began = Instant::now();
        let open = began + 2 * GOOD.delay;
        let carried = tokio::spawn(pass(from, to, Way::new(GOOD, 1), open));
        near.write_all(b"one").await?;
        near.write_all(b"two").await?;
        drop(near);
        let mut text = String::new();
        far.read_to_string(&mut text).await?;
        assert_eq!((text.as_str(), began.elapsed().as_millis() / 10), ("onetwo", 6));
        carried.await?;
        Ok(())
    }
}
