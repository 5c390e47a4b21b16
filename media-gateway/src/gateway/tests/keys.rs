//! Keys of a far end that sends each in every way there is.

use dsp::Digit;
use dsp::dtmf::{Generator, Shape};
use dsp::g711::Law;
use dsp::telephone_event::Payload;
use protocol::gateway::Side;
use rtp_types::RtpPacketBuilder;

use super::*;

const KEY: char = '7';
const KEY_MS: u32 = 100;

/// A far end on two bare sockets: our own stack sends no INFO.
struct BareFarEnd {
    sip: tokio::net::UdpSocket,
    rtp: tokio::net::UdpSocket,
    invite: String,
}

impl BareFarEnd {
    async fn new() -> TestResult<Self> {
        let (sip, rtp) = (tokio::net::UdpSocket::bind(LOOPBACK).await?, tokio::net::UdpSocket::bind(LOOPBACK).await?);
        Ok(Self { sip, rtp, invite: String::new() })
    }

    async fn receive(&self) -> TestResult<String> {
        let mut buffer = [0; 8192];
        let (length, source) = timeout(PATIENCE, self.sip.recv_from(&mut buffer)).await??;
        self.sip.connect(source).await?;
        Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
    }

    /// Takes the INVITE, answers it, and finds out where RTP goes.
    async fn answer(&mut self) -> TestResult {
        self.invite = self.receive().await?;
        let (_, offer) = self.invite.split_once("\r\n\r\n").ok_or("no offer")?;
        let local = Local { rtp: self.rtp.local_addr()?, session_id: 7, version: 1 };
        let (remote, answer) = sdp::answer(offer, &local)?;
        self.rtp.connect(remote.rtp.ok_or("no address")?).await?;
        let head = ["Via", "From", "Call-ID", "CSeq"].map(|name| self.header(name)).join("\r\n");
        let (to, port, length) = (self.header("To"), self.sip.local_addr()?.port(), answer.len());
        let reply = format!(
            "SIP/2.0 200 OK\r\n{head}\r\n{to};tag=far\r\nContact: <sip:far@127.0.0.1:{port}>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
        self.sip.send(reply.as_bytes()).await?;
        while !self.receive().await?.starts_with("ACK ") {}
        Ok(())
    }

    /// A header of the INVITE, with its name.
    fn header(&self, name: &str) -> String {
        let is_it = |line: &&str| line.split_once(':').is_some_and(|(it, _)| it.eq_ignore_ascii_case(name));
        self.invite.lines().find(is_it).unwrap_or_default().to_owned()
    }

    async fn inform(&self, nth: u32) -> TestResult {
        let value =
            |name| self.header(name).split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default();
        let [from, to, call_id, contact] = ["From", "To", "Call-ID", "Contact"].map(value);
        let uri = contact.split(['<', '>']).nth(1).ok_or("no contact")?;
        let port = self.sip.local_addr()?.port();
        let body = format!("Signal={KEY}\r\nDuration={KEY_MS}\r\n");
        let info = format!(
            "INFO {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKinfo{nth};rport\r\nFrom: {to};tag=far\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {nth} INFO\r\nMax-Forwards: 70\r\nContent-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.sip.send(info.as_bytes()).await?;
        Ok(())
    }

    async fn rtp(&self, sequence: u16, timestamp: u32, payload_type: u8, payload: &[u8]) -> TestResult {
        let packet = RtpPacketBuilder::<&[u8], &[u8]>::new()
            .payload_type(payload_type)
            .sequence_number(sequence)
            .timestamp(timestamp)
            .ssrc(4711)
            .payload(payload);
        self.rtp.send(&packet.write_vec()?).await?;
        Ok(())
    }

    /// Presses the key so many times, a second apart: as an event, by INFO and as a tone.
    async fn press(&self, times: u32) -> TestResult {
        let key = Digit::from_char(KEY).ok_or("no key")?;
        let (mut sequence, mut cadence) = (0, tokio::time::interval(Duration::from_millis(20)));
        for nth in 1..=times {
            let shape = Shape { on_ms: KEY_MS, off_ms: 500, ..Shape::default() };
            let silence = std::iter::repeat_n(0.0, 400 * 8);
            let samples: Vec<f32> = silence.chain(Generator::new(SampleRate::HZ_8000, key, shape)).collect();
            let first = (nth - 1) * 8_000;
            for (piece, at) in samples.chunks_exact(160).zip(0_u32..) {
                cadence.tick().await;
                let linear: Vec<i16> = piece.iter().map(|sample| units::to_i16(*sample)).collect();
                let mut codes = [0; 160];
                Law::Mu.encode(&linear, &mut codes);
                self.rtp(sequence, first + at * 160, 0, &codes).await?;
                sequence += 1;
                if let Some(since) = at.checked_sub(20).filter(|since| *since < 8) {
                    let (end, duration) = (since >= 5, ((since + 1).min(5) * 160) as u16);
                    let payload = Payload { event: key.event(), end, volume: 10, duration }.to_bytes();
                    self.rtp(sequence, first + 3_200, 101, &payload).await?;
                    sequence += 1;
                }
                if at == 25 {
                    self.inform(nth).await?;
                }
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_comes_as_event_by_info_and_as_a_tone_is_told_once() -> TestResult {
    let mut far_end = BareFarEnd::new().await?;
    let port = far_end.sip.local_addr()?.port();
    let mut bench = Bench::with(FarEnd::new().await?, port).await?;
    let mut browser = bench.browser().await?;
    bench.tell(bench.dial_command("pbx")).await?;
    far_end.answer().await?;
    assert!(matches!(bench.event().await?, Event::Answered { .. }));
    let keys = tokio::spawn(async move {
        let pressed = far_end.press(2).await.map_err(|error| error.to_string());
        (far_end, pressed)
    });
    block_in_place(|| browser.live(Duration::from_millis(2_500), |_| false))?;
    // Its sockets stay open until the end.
    let (_far_end, pressed) = keys.await?;
    pressed?;
    let mut told = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(300), bench.event()).await {
        told.push(event?);
    }
    let is_key = |event: &Event| matches!(event, Event::Digit { from: Side::Agent, digit: KEY, .. });
    assert!(told.len() == 2 && told.iter().all(is_key), "{told:?}");
    Ok(())
}
