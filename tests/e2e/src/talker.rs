//! An RTP peer with a tone and a stopwatch, for the far end of calls that SIPp answers: it talks back to where sound comes
//! from, and notes when it heard the first. It speaks PCMU and knows no SIP.

use anyhow::Result;
use dsp::g711::Law;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval};

/// 20 ms at 8 kHz.
const SAMPLES: usize = 160;

/// The header of RFC 3550 without extensions.
const HEADER: usize = 12;

/// What counts as sound, as a mean of magnitudes: some −40 dB below full scale.
const AUDIBLE: u32 = 300;

/// A running talker.
#[derive(Clone, Debug)]
pub struct Talker(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    first: Option<SystemTime>,
    last: Option<SystemTime>,
    longest_gap: Duration,
    from: Option<SocketAddr>,
}

impl Talker {
    /// Binds the address; runs as long as the runtime.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let talker = Self(Arc::default());
        let heard = Arc::clone(&talker.0);
        tokio::spawn(async move { run(&socket, &heard).await });
        Ok(talker)
    }

    /// Forgets the last call.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Heard::default();
    }

    /// The longest time between two packets with sound since this was asked last, or since [`forget`](Self::forget).
    /// The time since the last one counts too, as long as it is the longest.
    pub fn take_longest_gap(&self) -> Duration {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = heard.last.and_then(|last| last.elapsed().ok()).unwrap_or_default();
        std::mem::take(&mut heard.longest_gap).max(open)
    }

    /// When it last heard sound.
    pub fn last_sound(&self) -> Option<SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// When it first heard sound since [`forget`](Self::forget).
    pub fn first_sound(&self) -> Option<SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).first
    }
}

async fn run(socket: &UdpSocket, heard: &Mutex<Heard>) -> Result<()> {
    // 400 Hz: 8 whole periods a packet.
    let tone: Vec<i16> =
        (0..SAMPLES).map(|n| ((n as f64 * std::f64::consts::TAU * 400.0 / 8000.0).sin() * 8000.0) as i16).collect();
    let mut codes = [0; SAMPLES];
    Law::Mu.encode(&tone, &mut codes);
    let (mut sequence, mut timestamp) = (0_u16, 0_u32);
    let mut tick = interval(Duration::from_millis(20));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut datagram = [0; 2048];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                let Ok((length, from)) = received else { continue };
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.from = Some(from);
                if datagram.get(HEADER..length).is_some_and(is_audible) {
                    let now = SystemTime::now();
                    let gap = heard.last.replace(now).and_then(|last| now.duration_since(last).ok());
                    heard.longest_gap = heard.longest_gap.max(gap.unwrap_or_default());
                    heard.first.get_or_insert(now);
                }
            }
            _ = tick.tick() => {
                let Some(to) = heard.lock().unwrap_or_else(PoisonError::into_inner).from else { continue };
                let mut packet = vec![0x80, 0];
                packet.extend(sequence.to_be_bytes());
                packet.extend(timestamp.to_be_bytes());
                packet.extend(0x7a11_c0de_u32.to_be_bytes());
                packet.extend(codes);
                let _ = socket.send_to(&packet, to).await;
                sequence = sequence.wrapping_add(1);
                timestamp = timestamp.wrapping_add(SAMPLES as u32);
            }
        }
    }
}

fn is_audible(payload: &[u8]) -> bool {
    let mut pcm = [0; SAMPLES];
    let count = Law::Mu.decode(payload, &mut pcm);
    let sum: u32 = pcm.iter().take(count).map(|sample| u32::from(sample.unsigned_abs())).sum();
    count == SAMPLES && sum / SAMPLES as u32 > AUDIBLE
}
