//! An RTP peer with a tone and a stopwatch, for the far end of calls that SIPp answers: it talks back to where sound comes
//! from, and notes when it heard the first. It speaks PCMU and knows no SIP.

use crate::wait::eventually;
use anyhow::Result;
use dsp::dtmf::{Generator, Shape};
use dsp::g711::Law;
use dsp::{Digit, SampleRate, units};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// 20 ms at 8 kHz.
const SAMPLES: usize = 160;

/// The header of RFC 3550 without extensions.
const HEADER: usize = 12;

/// What counts as sound, as a mean of magnitudes: half of the tests' tone, far above the noise that stands in for what is lost.
const AUDIBLE: u32 = 2_500;

/// How long a talker before this one may take to let go of the address.
const FREE: Duration = Duration::from_secs(5);

/// A running talker. Dropping it ends it.
#[derive(Debug)]
pub struct Talker(Arc<Mutex<Heard>>, JoinHandle<Result<()>>);

#[derive(Debug, Default)]
struct Heard {
    first: Option<SystemTime>,
    last: Option<SystemTime>,
    longest_gap: Duration,
    from: Option<SocketAddr>,
    /// Tones of keys, said in the place of its own.
    keys: VecDeque<i16>,
}

impl Talker {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        let socket =
            eventually("the talker's address is free", FREE, async || Ok(UdpSocket::bind(address).await?)).await?;
        let heard = Arc::default();
        let shared = Arc::clone(&heard);
        Ok(Self(heard, tokio::spawn(async move { run(&socket, &shared).await })))
    }

    /// Dials keys as tones in the audio, 100 ms each with pauses as long.
    pub fn dial(&self, keys: &str) {
        let digits = keys.chars().filter_map(Digit::from_char);
        let tones = digits.flat_map(|digit| Generator::new(SampleRate::HZ_8000, digit, Shape::default()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.extend(tones.map(units::to_i16));
    }

    /// Whether all keys are dialled.
    pub fn has_dialled(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.is_empty()
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

impl Drop for Talker {
    fn drop(&mut self) {
        self.1.abort();
    }
}

async fn run(socket: &UdpSocket, heard: &Mutex<Heard>) -> Result<()> {
    // 400 Hz: 8 whole periods a packet.
    let tone: Vec<i16> =
        (0..SAMPLES).map(|n| ((n as f64 * std::f64::consts::TAU * 400.0 / 8000.0).sin() * 8000.0) as i16).collect();
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
                let mut codes = [0; SAMPLES];
                let to = {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(to) = heard.from else { continue };
                    let piece: Vec<i16> = tone.iter().map(|own| heard.keys.pop_front().unwrap_or(*own)).collect();
                    Law::Mu.encode(&piece, &mut codes);
                    to
                };
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
