//! The media thread as a whole: a browser on one side, RTP on the other, real sockets on loopback.

mod standby;
mod strangers;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dsp::g711::Law;
use dsp::tone::Sine;
use dsp::{Dbm0, Digit, Hertz, SampleRate, spectrum, units};
use protocol::CallId;
use protocol::frame::{Frame, Kind};
use protocol::gateway::{CallFrame, Side, Transport};
use protocol::visitor::{FrameCodec, Quality};
use rtp_types::{RtpPacket, RtpPacketBuilder};
use tokio::sync::mpsc;

use super::own_ports::OwnPorts;
use super::ports::Ports;
use super::webrtc::browser::{Browser, TestResult};
use super::worker::{FrameSink, MediaOutput};
use super::{CallOrder, MediaCommand, MediaEvent, MediaHandle, MediaSettings, start};
use crate::config::{AwayTone, Dtmf, Ringback};
use crate::sip::sdp::{Codec, Direction, Remote};

/// These tests count packets, not time, and wait long: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// The media thread, and one call in it.
struct Bench {
    media: MediaHandle,
    events: mpsc::Receiver<MediaEvent>,
    frames: mpsc::Receiver<CallFrame>,
    sink: FrameSink,
    thread: Option<JoinHandle<()>>,
    runtime: tokio::runtime::Runtime,
    call: CallId,
    browser: Browser,
    rtp_ports: OwnPorts,
    gateway_rtp: SocketAddr,
    far_end: UdpSocket,
}

impl Bench {
    /// A browser that is up, and a far end that has not answered.
    fn new() -> TestResult<Self> {
        Self::over(Transport::Udp)
    }

    /// The same with a browser whose network lets only that pass.
    fn over(over: Transport) -> TestResult<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let candidates = vec![socket.local_addr()?];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let tcp_candidates = vec![listener.local_addr()?];
        let settings = MediaSettings {
            socket,
            candidates,
            listener: Some(listener),
            tcp_candidates,
            ringback: Ringback::Europe,
            away_tone: AwayTone::Soft,
            far_end_silence: Some(Duration::from_millis(500)),
            predecessor: None,
        };
        let (media, output, thread) = start(settings)?;
        let call = CallId::new("call");
        let (browser, sdp) = Browser::over(over)?;
        let rtp_ports = OwnPorts::claim()?;
        let sockets = Ports::new(Ipv4Addr::LOCALHOST.into(), rtp_ports.range()).take()?.0;
        let gateway_rtp = sockets.rtp.local_addr()?;
        let far_end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        far_end.set_nonblocking(true)?;
        let MediaOutput { events, frames, sink } = output;
        let thread = Some(thread);
        let mut bench =
            Self { media, events, frames, sink, thread, runtime, call, browser, rtp_ports, gateway_rtp, far_end };
        bench.tell(|call| MediaCommand::Offer { call, sdp, quality: Quality::Standard });
        let answer = bench.event()?;
        let MediaEvent::Answer { sdp, .. } = answer else { return Err(format!("no answer: {answer:?}").into()) };
        bench.browser.accept(&sdp)?;
        bench.tell(|call| MediaCommand::Attach { call, sockets, dtmf: Dtmf::Auto });
        assert!(bench.browser.live(PATIENCE, Browser::is_up)?, "the browser is not up");
        assert!(matches!(bench.event()?, MediaEvent::Up { .. }));
        let event = bench.event()?;
        assert!(matches!(event, MediaEvent::Transport { transport, .. } if transport == over), "{event:?}");
        Ok(bench)
    }

    fn tell(&self, command: impl FnOnce(CallId) -> MediaCommand) {
        self.runtime.block_on(self.media.send(command(self.call.clone())));
    }

    fn order(&self, order: CallOrder) {
        self.tell(|call| MediaCommand::Call { call, order });
    }

    fn event(&mut self) -> TestResult<MediaEvent> {
        let event = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.events.recv()).await })?;
        Ok(event.ok_or("the media thread is gone")?)
    }

    fn answer(&self, codec: Codec) -> TestResult {
        let rtp = Some(self.far_end.local_addr()?);
        let remote = Remote {
            rtp,
            codec,
            payload_type: codec.static_payload_type(),
            telephone_event: Some(96),
            ptime: Duration::from_millis(20),
            direction: Direction::SendRecv,
            trunk: None,
        };
        self.order(CallOrder::Connect(remote));
        self.order(CallOrder::Answered);
        Ok(())
    }

    /// Lets both ends live until the gateway says that this carries the audio.
    fn live_until_over(&mut self, over: Transport) -> TestResult {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let more = self.browser.heard.len() + 800;
            let until = Instant::now() + Duration::from_millis(200);
            self.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > more || Instant::now() > until)?;
            match self.events.try_recv() {
                Ok(MediaEvent::Transport { transport, .. }) if transport == over => return Ok(()),
                // Between two paths there may be none for a while.
                Ok(MediaEvent::Down { .. } | MediaEvent::Up { .. }) => {}
                Ok(other) => return Err(format!("{other:?}").into()),
                Err(_) => {}
            }
        }
        Err(format!("the audio does not move to {over}").into())
    }

    /// Lets both ends live until `done` says so of what they heard; the far end speaks `tone`. Returns the RTP packets that
    /// the far end got.
    fn live(
        &mut self,
        law: Law,
        tone: Option<f32>,
        done: impl Fn(&Browser, &[Vec<u8>]) -> bool,
    ) -> TestResult<Vec<Vec<u8>>> {
        let mut sine = tone.map(|tone| Sine::new(SampleRate::HZ_8000, Hertz(tone), Dbm0(-10.0)));
        let (mut got, mut buffer) = (Vec::new(), [0; 2048]);
        let mut due = Instant::now();
        let mut sequence = 40_000_u16;
        let (far_end, to) = (self.far_end.try_clone()?, self.gateway_rtp);
        let is_done = self.browser.live(PATIENCE, |browser| {
            while let Ok((length, _)) = far_end.recv_from(&mut buffer) {
                got.push(buffer.get(..length).unwrap_or_default().to_vec());
            }
            if let Some(sine) = sine.as_mut().filter(|_| Instant::now() >= due) {
                due += Duration::from_millis(20);
                sequence = sequence.wrapping_add(1);
                let pcm: [i16; 160] = std::array::from_fn(|_| units::to_i16(sine.next_sample()));
                let mut payload = [0; 160];
                law.encode(&pcm, &mut payload);
                let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
                    .payload_type(law.payload_type())
                    .sequence_number(sequence)
                    .timestamp(u32::from(sequence) * 160)
                    .ssrc(7)
                    .payload(&payload);
                let _ = far_end.send_to(&packet.write_vec().unwrap_or_default(), to);
            }
            done(browser, &got)
        })?;
        if is_done {
            Ok(got)
        } else {
            Err(format!("{} packets, {} samples", got.len(), self.browser.heard.len()).into())
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.runtime.block_on(self.media.send(MediaCommand::Shutdown));
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the media thread panicked");
        }
    }
}

/// The visitor's frames, one each 20 ms of real time.
struct Speaker {
    sink: FrameSink,
    call: CallId,
    sine: Sine,
    due: Instant,
    sequence: u16,
}

impl Speaker {
    fn new(bench: &Bench, tone: f32) -> Self {
        let sine = Sine::new(SampleRate::HZ_8000, Hertz(tone), Dbm0(-10.0));
        Self { sink: bench.sink.clone(), call: bench.call.clone(), sine, due: Instant::now(), sequence: 65_530 }
    }

    fn speak(&mut self) {
        if Instant::now() < self.due {
            return;
        }
        self.due += Duration::from_millis(20);
        let pcm: [i16; 160] = std::array::from_fn(|_| units::to_i16(self.sine.next_sample()));
        let mut payload = [0; 160];
        Law::A.encode(&pcm, &mut payload);
        let timestamp = u32::from(self.sequence).wrapping_mul(160);
        let frame = Frame { kind: Kind::Pcma, marker: false, sequence: self.sequence, timestamp, payload: &payload };
        let mut bytes = vec![0; 200];
        let length = frame.write(&mut bytes);
        bytes.truncate(length);
        self.sink.send(CallFrame { call: self.call.clone(), bytes });
        self.sequence = self.sequence.wrapping_add(1);
    }
}

fn a_law(packets: &[RtpPacket<'_>]) -> Vec<i16> {
    let coded: Vec<u8> = packets.iter().flat_map(|packet| packet.payload().to_vec()).collect();
    let mut pcm = vec![0; coded.len()];
    Law::A.decode(&coded, &mut pcm);
    pcm
}

#[test]
fn audio_goes_as_frames_beside_webrtc_and_moves_up_and_only_one_way_is_heard() -> TestResult {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcma)?;
    bench.order(CallOrder::Frames(Some(FrameCodec::G711)));
    assert!(matches!(bench.event()?, MediaEvent::Up { .. }));
    assert!(matches!(bench.event()?, MediaEvent::Transport { transport: Transport::WebSocket, .. }));
    // WebRTC works all the while, and brings another tone.
    bench.browser.speak(440.0);
    let speaker = std::cell::RefCell::new(Speaker::new(&bench, 700.0));
    let got = bench.live(Law::A, Some(1000.0), |_, got| {
        speaker.borrow_mut().speak();
        got.len() > 70
    })?;
    let packets: Vec<_> = got.iter().flat_map(|bytes| RtpPacket::parse(bytes)).collect();
    let by_frames: Vec<i16> = a_law(&packets).into_iter().skip_while(|sample| sample.unsigned_abs() < 100).collect();
    assert_only_tone(by_frames.get(800..8000).unwrap_or_default(), 700.0, 440.0);
    assert!(bench.browser.heard.is_empty(), "{} samples came over WebRTC", bench.browser.heard.len());
    let mut heard = Vec::new();
    while let Ok(CallFrame { call, bytes }) = bench.frames.try_recv() {
        let frame = Frame::read(&bytes)?;
        assert_eq!((call, frame.kind), (bench.call.clone(), Kind::Pcma), "the far end's law");
        assert_eq!(frame.sequence, heard.len() as u16);
        heard.push(frame.payload.to_vec());
    }
    let mut pcm = vec![0; heard.len() * 160];
    Law::A.decode(&heard.concat(), &mut pcm);
    assert_only_tone(pcm.get(1600..).unwrap_or_default(), 1000.0, 440.0);

    bench.order(CallOrder::Press("7".to_owned()));
    bench.live(Law::A, None, |_, got| ends(got) == 3)?;
    assert!(matches!(bench.event()?, MediaEvent::Digit { from: Side::Visitor, digit: '7', .. }));
    bench.order(CallOrder::Frames(None));
    assert!(matches!(bench.event()?, MediaEvent::Up { .. }));
    assert!(matches!(bench.event()?, MediaEvent::Transport { transport: Transport::Udp, .. }));
    let after = bench.live(Law::A, Some(1000.0), |browser, got| {
        // What is still on its way is nobody's.
        speaker.borrow_mut().speak();
        got.len() > 70 && browser.heard.len() > 9_600
    })?;
    let after: Vec<_> = after.iter().flat_map(|bytes| RtpPacket::parse(bytes)).collect();
    assert_only_tone(a_law(&after).get(3200..9600).unwrap_or_default(), 440.0, 700.0);
    assert_only_tone(bench.browser.heard.get(1600..9600).unwrap_or_default(), 1000.0, 440.0);
    let ssrcs: Vec<_> = packets.iter().chain(&after).map(RtpPacket::ssrc).collect();
    assert!(ssrcs.windows(2).all(|pair| pair.first() == pair.last()), "the far end's stream is one");
    Ok(())
}

#[test]
fn frames_end_with_the_page_and_without_webrtc_the_path_is_down() -> TestResult {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcmu)?;
    bench.order(CallOrder::Frames(Some(FrameCodec::G711)));
    assert!(matches!(bench.event()?, MediaEvent::Up { .. }));
    assert!(matches!(bench.event()?, MediaEvent::Transport { .. }));
    bench.browser.close()?;
    // The browser's goodbye is no news: audio goes as frames.
    bench.live(Law::Mu, None, |_, got| got.len() > 20)?;
    assert!(bench.events.try_recv().is_err());
    bench.order(CallOrder::Frames(None));
    assert!(matches!(bench.event()?, MediaEvent::Down { .. }));
    let mut speaker = Speaker::new(&bench, 700.0);
    bench.order(CallOrder::Frames(None));
    bench.order(CallOrder::Frames(Some(FrameCodec::G711)));
    assert!(matches!(bench.event()?, MediaEvent::Up { .. }));
    assert!(matches!(bench.event()?, MediaEvent::Transport { .. }));
    bench.order(CallOrder::Away);
    speaker.speak();
    assert!(matches!(bench.event()?, MediaEvent::Down { .. }));
    Ok(())
}

/// The far end's audio as samples.
fn heard_by_far_end(got: &[Vec<u8>]) -> Vec<i16> {
    let coded: Vec<u8> =
        got.iter().flat_map(|bytes| RtpPacket::parse(bytes)).flat_map(|packet| packet.payload().to_vec()).collect();
    let mut pcm = vec![0; coded.len()];
    Law::Mu.decode(&coded, &mut pcm);
    pcm
}

/// Asserts it of most 50 ms: where the machine lets this test's thread wait, playout rightly stretches and conceals, and over
/// such a jump of phase a long tone would cancel itself out.
fn assert_only_tone(pcm: &[i16], frequency: f32, other: f32) {
    let samples: Vec<f32> = pcm.iter().copied().map(units::from_i16).collect();
    let level = |hz: f32| {
        let level = |piece| spectrum::tone_level(piece, SampleRate::HZ_8000, Hertz(hz)).0;
        let mut levels: Vec<f32> = samples.chunks_exact(400).map(level).collect();
        levels.sort_by(f32::total_cmp);
        levels.get(levels.len() / 2).copied().unwrap_or(f32::NAN)
    };
    let expected = Dbm0(-10.0).to_dbov().0;
    assert!((level(frequency) - expected).abs() < 3.0, "{frequency} Hz: {} dBov, not {expected}", level(frequency));
    assert!(level(frequency) - level(other) > 30.0, "{other} Hz: {} dBov", level(other));
}

/// How many packets end a key.
fn ends(got: &[Vec<u8>]) -> usize {
    let events = got.iter().flat_map(|bytes| RtpPacket::parse(bytes)).filter(|packet| packet.payload_type() == 96);
    events.filter(|packet| packet.payload().get(1).is_some_and(|flags| flags & 0x80 != 0)).count()
}

#[test]
fn a_tone_passes_each_way_at_its_pitch_and_level() -> TestResult {
    for (codec, law) in [(Codec::Pcmu, Law::Mu), (Codec::Pcma, Law::A)] {
        let mut bench = Bench::new()?;
        bench.answer(codec)?;
        bench.browser.speak(440.0);
        let got = bench.live(law, Some(1000.0), |browser, got| browser.heard.len() > 12_000 && got.len() > 70)?;
        let packets: Vec<_> = got.iter().flat_map(|bytes| RtpPacket::parse(bytes)).collect();
        assert!(packets.iter().all(|packet| packet.payload_type() == law.payload_type()));
        let steps = packets.windows(2).map(|pair| match pair {
            [a, b] => {
                (b.sequence_number().wrapping_sub(a.sequence_number()), b.timestamp().wrapping_sub(a.timestamp()))
            }
            _ => (0, 0),
        });
        assert!(steps.into_iter().all(|step| step == (1, 160)));
        let mut pcm = vec![0; packets.len() * 160];
        let coded: Vec<u8> = packets.iter().flat_map(|packet| packet.payload().to_vec()).collect();
        law.decode(&coded, &mut pcm);
        assert_only_tone(pcm.get(1600..).unwrap_or_default(), 440.0, 1000.0);
        assert_only_tone(bench.browser.heard.get(1600..).unwrap_or_default(), 1000.0, 440.0);
    }
    Ok(())
}

#[test]
fn where_only_tcp_passes_both_hear_each_other_and_nothing_is_left() -> TestResult {
    let mut bench = Bench::over(Transport::Tcp)?;
    bench.answer(Codec::Pcmu)?;
    bench.browser.speak(440.0);
    let got = bench.live(Law::Mu, Some(1000.0), |browser, got| browser.heard.len() > 12_000 && got.len() > 70)?;
    assert_only_tone(bench.browser.heard.get(1600..).unwrap_or_default(), 1000.0, 440.0);
    assert_only_tone(heard_by_far_end(&got).get(1600..).unwrap_or_default(), 440.0, 1000.0);
    bench.tell(|call| MediaCommand::Close { call });
    assert!(matches!(bench.event()?, MediaEvent::Closed { .. }));
    let mut last = bench.browser.tcp()?.try_clone()?;
    last.set_read_timeout(Some(PATIENCE))?;
    std::io::copy(&mut last, &mut std::io::sink())?;
    Ok(())
}

#[test]
fn connections_that_name_no_call_are_closed_at_their_first_datagram() -> TestResult {
    let mut bench = Bench::over(Transport::Tcp)?;
    let address = bench.browser.tcp()?.peer_addr()?;
    let stun_request_without_username: &[u8] = &[
        0, 28, 0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x80, 0x28, 0, 4, 1, 2, 3, 4,
    ];
    for first in [stun_request_without_username, &[0, 3, 0x80, 1, 2], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stranger = TcpStream::connect(address)?;
        stranger.set_read_timeout(Some(PATIENCE))?;
        stranger.write_all(first)?;
        let end = stranger.read(&mut [0; 16]);
        let is_reset = end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        assert!(is_reset || matches!(end, Ok(0)), "{end:?}");
    }
    // The one that has named its call is untouched.
    bench.answer(Codec::Pcmu)?;
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 800)?;
    Ok(())
}

#[test]
fn audio_moves_to_udp_when_that_passes_and_back_when_it_is_cut() -> TestResult {
    let mut bench = Bench::over(Transport::Tcp)?;
    bench.answer(Codec::Pcmu)?;
    bench.browser.speak(440.0);
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 4_000)?;
    bench.browser.open_udp()?;
    bench.live_until_over(Transport::Udp)?;
    bench.browser.cut_udp();
    bench.live_until_over(Transport::Tcp)?;
    let before = bench.browser.heard.len();
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > before + 8_000)?;
    assert_only_tone(bench.browser.heard.get(before + 1600..).unwrap_or_default(), 1000.0, 440.0);
    Ok(())
}

#[test]
fn a_browser_whose_connection_broke_connects_anew_and_is_heard_and_hears() -> TestResult {
    let mut bench = Bench::over(Transport::Tcp)?;
    bench.answer(Codec::Pcmu)?;
    bench.browser.speak(440.0);
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 4_000)?;
    let address = bench.browser.tcp()?.peer_addr()?;
    bench.browser.connect(address)?;
    let before = bench.browser.heard.len();
    bench.live(Law::Mu, Some(1000.0), |browser, got| browser.heard.len() > before + 8_000 && got.len() > 20)?;
    assert_only_tone(bench.browser.heard.get(before + 1600..).unwrap_or_default(), 1000.0, 440.0);
    // str0m alone would send to the broken one for 15 s.
    let missed = bench.browser.sequences.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?));
    let longest = missed.max().unwrap_or_default();
    assert!(longest < 400, "{longest} packets in a row were missed");
    Ok(())
}

#[test]
fn the_visitor_hears_ringback_until_the_far_end_speaks() -> TestResult {
    let mut bench = Bench::new()?;
    bench.order(CallOrder::Ring);
    bench.live(Law::Mu, None, |browser, _| browser.heard.len() >= 6400)?;
    let heard = std::mem::take(&mut bench.browser.heard);
    let samples: Vec<f32> = heard.iter().skip(800).copied().map(units::from_i16).collect();
    assert!(spectrum::tone_level(&samples, SampleRate::HZ_8000, Hertz(425.0)).0 > -25.0);
    bench.answer(Codec::Pcmu)?;
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 6400)?;
    assert_only_tone(bench.browser.heard.get(1600..).unwrap_or_default(), 1000.0, 425.0);
    Ok(())
}

#[test]
fn a_far_end_that_falls_silent_is_reported_once() -> TestResult {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcmu)?;
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 800)?;
    let event = bench.event()?;
    assert!(matches!(event, MediaEvent::FarEndSilent { silence, .. } if silence.as_millis() >= 500), "{event:?}");
    bench.tell(|call| MediaCommand::Close { call });
    assert!(matches!(bench.event()?, MediaEvent::Closed { .. }));
    Ok(())
}

#[test]
fn a_key_of_the_visitor_reaches_the_far_end_once() -> TestResult {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcmu)?;
    bench.browser.speak(440.0);
    bench.live(Law::Mu, None, |_, got| got.len() > 5)?;
    bench.browser.press(Digit::from_char('7').ok_or("no key")?);
    let got = bench.live(Law::Mu, None, |_, got| ends(got) == 3)?;
    let events: Vec<_> =
        got.iter().flat_map(|bytes| RtpPacket::parse(bytes)).filter(|p| p.payload_type() == 96).collect();
    let starts: Vec<u32> = events.iter().map(RtpPacket::timestamp).collect();
    assert!(events.len() >= 5 && starts.windows(2).all(|pair| pair.first() == pair.last()), "{starts:?}");
    assert!(events.iter().all(|packet| packet.payload().first() == Some(&7)));
    let event = bench.event()?;
    assert!(
        matches!(event, MediaEvent::Digit { from: Side::Visitor, digit: '7', duration_ms: 80..=120, .. }),
        "{event:?}"
    );
    Ok(())
}

#[test]
fn a_browser_that_closes_is_reported_at_once_and_nothing_is_left() -> TestResult {
    let mut bench = Bench::new()?;
    bench.browser.close()?;
    let event = bench.event()?;
    assert!(matches!(event, MediaEvent::Down { .. }), "{event:?}");
    bench.tell(|call| MediaCommand::Close { call });
    assert!(matches!(bench.event()?, MediaEvent::Closed { .. }));
    assert!(bench.rtp_ports.are_free(), "RTP ports are held");
    Ok(())
}

#[test]
fn an_offer_that_is_no_sdp_is_refused() -> TestResult {
    let mut bench = Bench::new()?;
    let video = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
    for sdp in ["", "nonsense", video] {
        let command =
            MediaCommand::Offer { call: CallId::new("other"), sdp: sdp.to_owned(), quality: Quality::Standard };
        bench.runtime.block_on(bench.media.send(command));
        assert!(matches!(bench.event()?, MediaEvent::OfferUnusable { .. }));
    }
    Ok(())
}
