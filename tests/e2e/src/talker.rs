//! An RTP peer with a tone and a stopwatch, for the far end of calls that SIPp answers: it talks back to where sound comes
//! from, and notes when it heard the first. It presses keys, as tones or as events. It speaks PCMU and knows no SIP.

use crate::wait::eventually;
use anyhow::Result;
use dsp::dtmf::{Generator, Shape};
use dsp::g711::Law;
use dsp::telephone_event::Payload;
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

/// How long a key is held, and the pause behind it.
const KEY_PACKETS: u16 = 5;

/// The payload type of events in the tests' scenarios (RFC 4733).
const EVENT_PT: u8 = 101;

/// RFC 4733 section 2.5.1.4: the end of an event is sent three times.
const ENDS: u16 = 3;

/// A volume of −10 dBm0 (RFC 4733 section 2.3).
const EVENT_VOLUME: u8 = 10;

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
    /// Keys that go as events, in packets of 20 ms, sent in the place of audio.
    events: VecDeque<Event>,
    /// When the end of the last key left.
    key_up: Option<SystemTime>,
}

/// One packet of an event, or of the pause behind one.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// The n-th packet of a key with this event code.
    Down(u8, u16),
    /// An end.
    Up(u8, u16),
    /// The talker's own audio.
    Pause,
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
        self.dial_within(keys, 0);
    }

    /// The same from the middle of a packet on: so many samples into it, in the place of which it is silent.
    pub fn dial_within(&self, keys: &str, offset: usize) {
        let digits = keys.chars().filter_map(Digit::from_char);
        let tones = digits.flat_map(|digit| Generator::new(SampleRate::HZ_8000, digit, Shape::default()));
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.key_up = None;
        heard.keys.extend(std::iter::repeat_n(0, offset).chain(tones.map(units::to_i16)));
    }

    /// Presses keys as events (RFC 4733), 100 ms each with pauses as long.
    pub fn press(&self, keys: &str) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.key_up = None;
        for code in keys.chars().filter_map(Digit::from_char).map(Digit::event) {
            heard.events.extend((0..KEY_PACKETS).map(|n| Event::Down(code, n)));
            heard.events.extend((0..ENDS).map(|n| Event::Up(code, n)));
            heard.events.extend((ENDS..KEY_PACKETS).map(|_| Event::Pause));
        }
    }

    /// Whether all keys are dialled or pressed.
    pub fn has_dialled(&self) -> bool {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.keys.is_empty() && heard.events.is_empty()
    }

    /// When the end of the last key left: the packet with the end of its tone, or the first one with an event's end bit.
    pub fn key_up(&self) -> Option<SystemTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).key_up
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
    let mut mouth = Mouth::default();
    let mut tick = interval(Duration::from_millis(20));
    // As a phone does whose packets are late: a tone is not cut short.
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
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
                let (packet, is_key_up, to) = {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    let Some(to) = heard.from else { continue };
                    let (packet, is_key_up) = mouth.next(&mut heard);
                    (packet, is_key_up, to)
                };
                let _ = socket.send_to(&packet, to).await;
                if is_key_up {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).key_up = Some(SystemTime::now());
                }
            }
        }
    }
}

/// Makes the packets that go.
#[derive(Debug, Default)]
struct Mouth {
    sequence: u16,
    timestamp: u32,
    /// When the key that is held began.
    down: u32,
}

impl Mouth {
    /// The next packet, and whether with it the last key is up.
    fn next(&mut self, heard: &mut Heard) -> (Vec<u8>, bool) {
        let event = match heard.events.pop_front() {
            Some(Event::Down(code, n)) => Some((code, n, false)),
            Some(Event::Up(code, n)) => Some((code, n, true)),
            Some(Event::Pause) | None => None,
        };
        if let Some((_, 0, false)) = event {
            self.down = self.timestamp;
        }
        let ticks = |packets: u16| packets * SAMPLES as u16;
        let (payload_type, timestamp, payload, is_key_up) = match event {
            Some((event, n, end)) => {
                let duration = if end { ticks(KEY_PACKETS) } else { ticks(n + 1) };
                let payload = Payload { event, end, volume: EVENT_VOLUME, duration }.to_bytes();
                let marker = if n == 0 && !end { 0x80 } else { 0 };
                // Behind the first end there is nothing but its repetitions and the pause.
                let is_last = end && n == 0 && heard.events.len() < usize::from(KEY_PACKETS);
                (marker | EVENT_PT, self.down, payload.to_vec(), is_last)
            }
            None => {
                let (codes, is_last) = spoken(heard);
                (0, self.timestamp, codes, is_last)
            }
        };
        let mut packet = vec![0x80, payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend(0x7a11_c0de_u32.to_be_bytes());
        packet.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        (packet, is_key_up)
    }
}

/// The next piece of tones of keys, or of the own tone, coded; and whether it has the end of the last key's tone.
fn spoken(heard: &mut Heard) -> (Vec<u8>, bool) {
    const PAUSE: usize = KEY_PACKETS as usize * SAMPLES;
    let before = heard.keys.len();
    // 400 Hz: 8 whole periods a packet.
    let own = |n: usize| ((n as f64 * std::f64::consts::TAU * 400.0 / 8000.0).sin() * 8000.0) as i16;
    let piece: Vec<i16> = (0..SAMPLES).map(|n| heard.keys.pop_front().unwrap_or_else(|| own(n))).collect();
    let mut codes = vec![0; SAMPLES];
    Law::Mu.encode(&piece, &mut codes);
    (codes, before > PAUSE && heard.keys.len() <= PAUSE)
}

fn is_audible(payload: &[u8]) -> bool {
    let mut pcm = [0; SAMPLES];
    let count = Law::Mu.decode(payload, &mut pcm);
    let sum: u32 = pcm.iter().take(count).map(|sample| u32::from(sample.unsigned_abs())).sum();
    count == SAMPLES && sum / SAMPLES as u32 > AUDIBLE
}
