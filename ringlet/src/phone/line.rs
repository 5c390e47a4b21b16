//! One call of the phone: its RTP socket, what is said in SDP, and the task that sends and receives.

use super::{PhoneArgs, audio::Voice, say, say_key, sdp};
use anyhow::Context as _;
use dsp::{
    Digit, SampleRate,
    telephone_event::{Output, Packet, Receiver, Sender},
};
use media_gateway::sip::OfferReply;
use rtp_types::{RtpPacket, RtpPacketBuilder};
use sdp::{Local, Remote};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::trace;

/// What a packet holds.
const PACKET_TIME: Duration = Duration::from_millis(20);

/// The same in samples, which are bytes here.
pub(super) const SAMPLES: usize = 160;

/// How long a typed key sounds: RFC 4733's usual 100 ms.
const KEY_TICKS: u64 = 800;

/// News that may wait for the media task, which looks every 20 ms.
const NEWS: usize = 64;

/// Larger than any datagram of one packet time.
const MAX_DATAGRAM: usize = 2048;

/// What the media task is told.
enum News {
    Remote(Remote),
    Key(Digit),
}

/// One call.
pub(super) struct Line {
    pub(super) answer_at: Option<Instant>,
    pub(super) hang_up_at: Option<Instant>,
    socket: Arc<UdpSocket>,
    local: Local,
    remote: Option<Remote>,
    sdp: String,
    /// The media task; it ends when this goes.
    media: Option<mpsc::Sender<News>>,
}

impl Line {
    /// Takes a port, and meets the caller's offer, or makes one.
    pub(super) async fn open(ip: IpAddr, offer: Option<String>) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).await.context("no port for audio")?;
        let local = Local { rtp: socket.local_addr()?, session_id: 1, version: 1 };
        let (remote, sdp) = match offer {
            Some(offer) => {
                let (remote, answer) = sdp::answer(&offer, &local)?;
                (Some(remote), answer)
            }
            None => (None, sdp::offer(&local)),
        };
        Ok(Self { answer_at: None, hang_up_at: None, socket: Arc::new(socket), local, remote, sdp, media: None })
    }

    /// What the 200 says.
    pub(super) fn sdp(&self) -> &str {
        &self.sdp
    }

    /// Audio begins. `answer` is the caller's when the offer was ours, else empty.
    pub(super) fn start(&mut self, args: &PhoneArgs, answer: &str) {
        if !answer.is_empty() {
            match sdp::parse_answer(answer) {
                Ok(remote) => self.meet(remote),
                Err(error) => say(&format!("the caller's answer is of no use: {error}")),
            }
        }
        let (Some(remote), None) = (self.remote, &self.media) else { return };
        let (sender, news) = mpsc::channel(NEWS);
        let task = MediaTask::new(self.socket.clone(), remote, Voice::new(args.tone));
        tokio::spawn(task.run(news));
        self.media = Some(sender);
        for digit in args.keys.iter().flat_map(|keys| &keys.0) {
            self.press(*digit);
        }
    }

    /// Sends a key.
    pub(super) fn press(&mut self, digit: Digit) {
        let sent = self.media.as_ref().is_some_and(|media| media.try_send(News::Key(digit)).is_ok());
        if !sent {
            say("the key was not sent: there is no audio yet, or too many keys wait");
        }
    }

    /// Meets a new offer of the caller, or makes one.
    pub(super) fn renegotiate(&mut self, offer: Option<&str>) -> OfferReply {
        self.local.version += 1;
        let Some(offer) = offer else { return Ok(sdp::offer(&self.local)) };
        // RFC 3261 section 21.4.26.
        let (remote, answer) = sdp::answer(offer, &self.local).map_err(|_| 488_u16)?;
        self.meet(remote);
        Ok(answer)
    }

    fn meet(&mut self, remote: Remote) {
        self.remote = Some(remote);
        if let Some(media) = &self.media {
            // The queue holds more than a second of news.
            let _ = media.try_send(News::Remote(remote));
        }
    }
}

struct MediaTask {
    socket: Arc<UdpSocket>,
    remote: Remote,
    voice: Voice,
    keys_out: Sender,
    keys_in: Receiver,
    ssrc: u32,
    sequence: u16,
    /// The RTP timestamp, extended to 64 bits.
    timestamp: u64,
    /// The next packet of audio begins a talkspurt (RFC 3551 section 4.1).
    marker: bool,
    started: Instant,
}

impl MediaTask {
    fn new(socket: Arc<UdpSocket>, remote: Remote, voice: Voice) -> Self {
        let packet_ms = PACKET_TIME.as_millis() as u32;
        // Random enough for a phone that nobody attacks: the port differs from call to call.
        let ssrc = socket.local_addr().map_or(1, |address| u32::from(address.port()) << 8 | 1);
        Self {
            socket,
            remote,
            voice,
            keys_out: Sender::new(SampleRate::HZ_8000, packet_ms),
            keys_in: Receiver::new(SampleRate::HZ_8000),
            ssrc,
            sequence: 0,
            timestamp: 0,
            marker: true,
            started: Instant::now(),
        }
    }

    async fn run(mut self, mut news: mpsc::Receiver<News>) {
        let socket = self.socket.clone();
        let mut tick = interval(PACKET_TIME);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            tokio::select! {
                news = news.recv() => match news {
                    Some(News::Remote(remote)) => self.remote = remote,
                    Some(News::Key(digit)) => {
                        if self.keys_out.press(digit, KEY_TICKS, self.timestamp).is_err() {
                            say("too many keys wait");
                        }
                    }
                    None => return,
                },
                received = socket.recv(&mut buffer) => {
                    // An ICMP error shows up here; the next packet may fare better.
                    if let Some(datagram) = received.ok().and_then(|length| buffer.get(..length)) {
                        self.on_datagram(datagram);
                    }
                }
                _ = tick.tick() => self.on_tick().await,
            }
        }
    }

    async fn on_tick(&mut self) {
        self.keys_in.handle_timeout(self.now());
        self.tell_keys();
        self.keys_out.handle_timeout(self.timestamp);
        let mut quiet = true;
        while let Some(packet) = self.keys_out.poll_output() {
            quiet = false;
            if let Some(payload_type) = self.remote.telephone_event {
                self.send(payload_type, packet.timestamp, packet.marker, &packet.payload).await;
            }
        }
        let frame = self.voice.next_frame(self.remote.codec);
        if quiet && self.keys_out.is_idle() {
            let marker = std::mem::take(&mut self.marker);
            // RTP timestamps wrap.
            self.send(self.remote.payload_type, self.timestamp as u32, marker, &frame).await;
        } else {
            self.marker = true;
        }
        self.timestamp += SAMPLES as u64;
    }

    async fn send(&mut self, payload_type: u8, timestamp: u32, marker: bool, payload: &[u8]) {
        let Some(to) = self.remote.rtp.filter(|_| self.remote.receives()) else { return };
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .sequence_number(self.sequence)
            .timestamp(timestamp)
            .ssrc(self.ssrc)
            .marker_bit(marker)
            .payload(payload);
        self.sequence = self.sequence.wrapping_add(1);
        if let Ok(packet) = packet.write_vec() {
            let sent = self.socket.send_to(&packet, to).await;
            trace!(%to, sequence = self.sequence, ?sent, "RTP sent");
        }
    }

    fn on_datagram(&mut self, datagram: &[u8]) {
        let Ok(packet) = RtpPacket::parse(datagram) else { return };
        trace!(ssrc = packet.ssrc(), sequence = packet.sequence_number(), "RTP received");
        if packet.payload_type() == self.remote.payload_type {
            self.voice.hear(packet.payload());
        } else if Some(packet.payload_type()) == self.remote.telephone_event {
            let event = Packet {
                ssrc: packet.ssrc(),
                timestamp: packet.timestamp(),
                marker: packet.marker_bit(),
                payload: packet.payload(),
            };
            // A malformed event is no key.
            let _ = self.keys_in.handle_packet(event, self.now());
            self.tell_keys();
        }
    }

    fn tell_keys(&mut self) {
        while let Some(output) = self.keys_in.poll_output() {
            match output {
                Output::Start { .. } => {}
                Output::End { digit, duration } => {
                    let duration_ms = SampleRate::HZ_8000.milliseconds(duration);
                    say_key(digit.as_char(), u32::try_from(duration_ms).unwrap_or(u32::MAX));
                }
            }
        }
    }

    /// In ticks of the RTP clock.
    fn now(&self) -> u64 {
        // 8 ticks a millisecond; a call ends before 64 bits do.
        (self.started.elapsed().as_micros() * 8 / 1000) as u64
    }
}
