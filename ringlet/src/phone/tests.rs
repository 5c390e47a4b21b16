//! The phone, rung by the gateway's SIP side over loopback. What it says is tested beside `audio`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is a failed test")]

use super::*;
use clap::Parser as _;
use media_gateway::{config::Trunk, sip::Dial};
use rtp_types::RtpPacket;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::atomic::{AtomicU32, Ordering},
};
use tokio::{net::UdpSocket, sync::oneshot, task::JoinHandle, time::timeout};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(clap::Parser)]
struct Args {
    #[command(flatten)]
    phone: PhoneArgs,
}

/// A running phone, and a caller that has dialled it.
struct Rig {
    caller: SipHandle,
    events: mpsc::Receiver<SipEvent>,
    rtp: UdpSocket,
    typed: mpsc::Sender<char>,
    stop: oneshot::Sender<()>,
    phone: JoinHandle<anyhow::Result<()>>,
}

impl Rig {
    async fn dial(args: &[&str]) -> Self {
        let port = free_port();
        let listen = format!("--listen=127.0.0.1:{port}");
        let args = Args::parse_from(["phone", &listen, "--ring=0.1"].iter().chain(args)).phone;
        let (typed, typed_out) = mpsc::channel(TYPED_KEYS);
        let (stop, stopped) = oneshot::channel();
        let phone = tokio::spawn(serve(args, typed_out, async move { stopped.await.unwrap_or(()) }));
        let trunks = vec![Trunk::new("phone", "127.0.0.1", port)];
        let listen = SocketAddr::new(LOOPBACK, 0);
        let settings = Settings { listen, public_ip: None, trunks, accept_calls: false, max_calls: 1, t1: DEFAULT_T1 };
        let (caller, events) = SipStack::start(settings).await.unwrap();
        let rtp = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        let local = sdp::Local { rtp: rtp.local_addr().unwrap(), session_id: 1, version: 1 };
        let dial = Dial {
            call: "call".into(),
            trunk: "phone".into(),
            address: "100".to_owned(),
            caller_name: None,
            headers: Vec::new(),
            sdp: sdp::offer(&local),
        };
        caller.dial(dial).unwrap();
        Self { caller, events, rtp, typed, stop, phone }
    }

    async fn event(&mut self) -> SipEvent {
        timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    async fn answered(&mut self) -> sdp::Remote {
        assert!(matches!(self.event().await, SipEvent::Ringing { .. }));
        let event = self.event().await;
        let SipEvent::Answered { sdp, .. } = event else { panic!("{event:?}") };
        sdp::parse_answer(&sdp).unwrap()
    }

    /// The next RTP packet: payload type and payload.
    async fn packet(&self) -> (u8, Vec<u8>) {
        let mut buffer = [0; 2048];
        let length = timeout(PATIENCE, self.rtp.recv(&mut buffer)).await.unwrap().unwrap();
        let packet = RtpPacket::parse(buffer.get(..length).unwrap()).unwrap();
        (packet.payload_type(), packet.payload().to_vec())
    }

    /// The keys that come as events in the next 3 s of packets.
    async fn keys(&self, remote: &sdp::Remote) -> Vec<u8> {
        let mut keys = Vec::new();
        let mut ended = false;
        for _ in 0..150 {
            let (payload_type, payload) = self.packet().await;
            let event = dsp::telephone_event::Payload::parse(&payload).unwrap();
            let end = Some(payload_type) == remote.telephone_event && event.end;
            if end && !ended {
                keys.push(event.event);
            }
            ended = end;
        }
        keys
    }

    async fn ended(mut self, how: fn(&SipEvent) -> bool) {
        let event = self.event().await;
        assert!(how(&event), "{event:?}");
        if !matches!(event, SipEvent::Closed { .. }) {
            assert!(matches!(self.event().await, SipEvent::Closed { .. }));
        }
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.phone).await.unwrap().unwrap().unwrap();
    }
}

/// A port that is free for UDP and TCP, below those that systems give out by themselves: nobody takes it before the phone.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::new(LOOPBACK, 10_000 + (nth % 10_000) as u16);
        if std::net::TcpListener::bind(address).is_ok() && std::net::UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}

#[tokio::test]
async fn the_phone_rings_answers_and_greets() {
    let mut rig = Rig::dial(&[]).await;
    rig.answered().await;
    let greeting = include_bytes!("../../assets/greeting.ulaw");
    for said in greeting.chunks_exact(160).take(10) {
        assert_eq!(rig.packet().await, (0, said.to_vec()));
    }
    rig.caller.release(&"call".into(), "done").unwrap();
    rig.ended(|event| matches!(event, SipEvent::Closed { .. })).await;
}

#[tokio::test]
async fn keys_go_out_as_events_once_each_and_in_order() {
    let mut rig = Rig::dial(&["--tone=700", "--keys=1#"]).await;
    let remote = rig.answered().await;
    // Audio flows: the phone has seen the ACK, and takes typed keys.
    rig.packet().await;
    rig.typed.send('7').await.unwrap();
    assert_eq!(rig.keys(&remote).await, [1, 11, 7]);
    rig.typed.send('h').await.unwrap();
    rig.ended(|event| matches!(event, SipEvent::Bye { .. })).await;
}

#[tokio::test]
async fn a_p_sends_the_code_of_the_demo_shops_page() {
    let mut rig = Rig::dial(&["--tone=700"]).await;
    let remote = rig.answered().await;
    rig.packet().await;
    rig.typed.send('p').await.unwrap();
    // The star, 7 and 6 (RFC 4733 section 3.2).
    assert_eq!(rig.keys(&remote).await, [10, 7, 6]);
    rig.typed.send('h').await.unwrap();
    rig.ended(|event| matches!(event, SipEvent::Bye { .. })).await;
}

#[tokio::test]
async fn a_phone_that_is_stopped_hangs_up() {
    let mut rig = Rig::dial(&["--tone=700"]).await;
    rig.answered().await;
    rig.stop.send(()).unwrap();
    let event = timeout(PATIENCE, rig.events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SipEvent::Bye { .. }), "{event:?}");
    timeout(PATIENCE, rig.phone).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_phone_can_hang_up_by_itself() {
    let mut rig = Rig::dial(&["--hangup-after=0.2"]).await;
    rig.answered().await;
    rig.ended(|event| matches!(event, SipEvent::Bye { .. })).await;
}

#[tokio::test]
async fn a_phone_can_refuse() {
    let rig = Rig::dial(&["--reject=486"]).await;
    rig.ended(|event| matches!(event, SipEvent::Rejected { status: 486, .. })).await;
}

#[tokio::test]
async fn a_phone_that_never_answers_can_be_cancelled() {
    let mut rig = Rig::dial(&["--no-answer"]).await;
    assert!(matches!(rig.event().await, SipEvent::Ringing { .. }));
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.caller.release(&"call".into(), "done").unwrap();
    rig.ended(|event| matches!(event, SipEvent::Closed { .. })).await;
}

#[test]
fn arguments_that_make_no_sense_are_errors() {
    for bad in [&["--ring=-1"][..], &["--reject=200"], &["--keys=12x"], &["--reject=486", "--no-answer"]] {
        assert!(Args::try_parse_from([&["phone"], bad].concat()).is_err(), "{bad:?}");
    }
}
