//! A network that loses and delays RTP, the same way each time: UDP relays with a seeded generator for each direction. What is not RTP
//! (ICE, DTLS, RTCP) passes unharmed, so that every call begins and every loss is reported.

use anyhow::{Context as _, Result};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Datagrams on their way at once: a second of a hundred calls.
const UNDER_WAY: usize = 20_000;

/// What every RTP packet is delayed by.
const BASE: Duration = Duration::from_millis(10);

/// How a path treats RTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Impairment {
    /// The share of packets that are lost, in percent.
    pub loss: f64,
    /// Each packet is delayed by [`BASE`] and something between nothing and this, each value as likely as any other.
    pub jitter: Duration,
}

impl Impairment {
    /// Neither.
    pub(crate) const NONE: Self = Self { loss: 0.0, jitter: Duration::ZERO };
}

/// Carries datagrams until the process ends. One thread sends them all, each at its time.
#[derive(Clone, Debug)]
pub(crate) struct Network(SyncSender<Waiting>);

/// The two addresses of a relay.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    /// Where the near end sends to.
    pub near: SocketAddr,
    /// Where the far end sends to.
    pub far: SocketAddr,
    near_end: Arc<Mutex<Option<SocketAddr>>>,
}

impl Relay {
    /// The far side's datagrams go there, as long as nothing has come from elsewhere.
    pub(crate) fn set_near_end(&self, address: SocketAddr) {
        self.near_end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(address);
    }
}

impl Network {
    /// Nothing is under way.
    pub(crate) fn start() -> Self {
        let (sender, receiver) = sync_channel(UNDER_WAY);
        thread::spawn(move || carry(&receiver));
        Self(sender)
    }

    /// Binds two ports of `ip`. The near side's datagrams go to `far_end`, or to where the far side's last came from; the far side's the
    /// other way round.
    ///
    /// # Errors
    /// When no port is free.
    pub(crate) fn relay(
        &self,
        ip: IpAddr,
        (near_end, far_end): (Option<SocketAddr>, Option<SocketAddr>),
        impairment: Impairment,
        seed: u64,
    ) -> Result<Relay> {
        let [near, far] = [Arc::new(UdpSocket::bind((ip, 0))?), Arc::new(UdpSocket::bind((ip, 0))?)];
        let [near_end, far_end] = [Arc::new(Mutex::new(near_end)), Arc::new(Mutex::new(far_end))];
        let relay = Relay { near: near.local_addr()?, far: far.local_addr()?, near_end: Arc::clone(&near_end) };
        let ways = [
            Way { from: Arc::clone(&near), to: Arc::clone(&far), ends: [Arc::clone(&near_end), Arc::clone(&far_end)] },
            Way { from: far, to: near, ends: [far_end, near_end] },
        ];
        for (way, seed) in ways.into_iter().zip([seed, seed + 1]) {
            let (network, mut random) = (self.0.clone(), Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1));
            thread::spawn(move || way.run(&network, impairment, &mut random));
        }
        Ok(relay)
    }
}

/// One direction of a relay.
struct Way {
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    ends: [Arc<Mutex<Option<SocketAddr>>>; 2],
}

impl Way {
    fn run(self, network: &SyncSender<Waiting>, impairment: Impairment, random: &mut Random) {
        let mut buffer = [0; 2048];
        let [source, destination] = &self.ends;
        // An error is the far port's, not yet or no longer there.
        loop {
            let Ok((length, from)) = self.from.recv_from(&mut buffer) else { continue };
            let now = Instant::now();
            *source.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            let Some(to) = *destination.lock().unwrap_or_else(PoisonError::into_inner) else { continue };
            let datagram = buffer.get(..length).unwrap_or_default();
            let is_rtp = Rtp::parse(datagram).is_some();
            if is_rtp && random.unit() * 100.0 < impairment.loss {
                continue;
            }
            let delay = if is_rtp { BASE + impairment.jitter.mul_f64(random.unit()) } else { Duration::ZERO };
            let waiting =
                Waiting { at: Reverse(now + delay), to, by: Arc::clone(&self.to), datagram: datagram.to_vec() };
            if network.send(waiting).is_err() {
                return;
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    at: Reverse<Instant>,
    to: SocketAddr,
    by: Arc<UdpSocket>,
    datagram: Vec<u8>,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

fn carry(receiver: &Receiver<Waiting>) {
    let mut waiting = BinaryHeap::<Waiting>::new();
    loop {
        let now = Instant::now();
        let wait = waiting.peek().map_or(Duration::from_secs(1), |next| next.at.0.saturating_duration_since(now));
        match receiver.recv_timeout(wait) {
            Ok(datagram) => waiting.push(datagram),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while waiting.peek().is_some_and(|next| next.at.0 <= Instant::now()) {
            if let Some(Waiting { to, by, datagram, .. }) = waiting.pop() {
                let _ = by.send_to(&datagram, to);
            }
        }
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What a listener looks at in an RTP packet (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rtp<'a> {
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Encrypted still, where it is SRTP.
    pub payload: &'a [u8],
}

impl<'a> Rtp<'a> {
    /// `None` for what is no RTP: another version, or RTCP (RFC 5761 section 4).
    pub(crate) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let [first, second, s1, s0, t3, t2, t1, t0, c3, c2, c1, c0, ..] = *datagram else { return None };
        let payload_type = second & 0x7F;
        if first >> 6 != 2 || (64..96).contains(&payload_type) {
            return None;
        }
        let mut start = 12 + 4 * usize::from(first & 0x0F);
        if first & 0x10 != 0 {
            let length = datagram.get(start + 2..start + 4)?.first_chunk()?;
            start += 4 + 4 * usize::from(u16::from_be_bytes(*length));
        }
        Some(Self {
            payload_type,
            sequence: u16::from_be_bytes([s1, s0]),
            timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
            ssrc: u32::from_be_bytes([c3, c2, c1, c0]),
            payload: datagram.get(start..)?,
        })
    }
}

/// Where an SDP's audio goes to.
///
/// # Errors
/// When it does not say.
pub(crate) fn media_of(sdp: &str) -> Result<SocketAddr> {
    let line = |start: &str| {
        sdp.lines().find_map(|line| line.strip_prefix(start)).with_context(|| format!("no {start} in {sdp}"))
    };
    let port = line("m=audio ")?.split(' ').next().context("no port")?.parse()?;
    Ok(SocketAddr::new(line("c=IN IP4 ")?.trim().parse()?, port))
}
