//! The SIP side against an independent peer: SIPp, over real sockets on loopback. The scenarios are in
//! `tests/fixtures/sipp`; each says at its top what it does.

mod answering;
mod calling;
mod sipp;
mod torture;
mod trunks;

use super::{sdp, *};
use crate::config::{Password, Transport};
use sipp::Sipp;
use std::net::Ipv4Addr;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// Longer than any scenario takes.
const PATIENCE: Duration = Duration::from_secs(20);

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A stack of our own on a free port, and its events.
struct Ours {
    handle: SipHandle,
    events: mpsc::Receiver<SipEvent>,
}

impl Ours {
    async fn start(trunks: Vec<Trunk>) -> Self {
        Self::start_with(trunks, |_| {}).await
    }

    async fn start_with(trunks: Vec<Trunk>, adjust: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            listen: SocketAddr::new(LOOPBACK, 0),
            public_ip: None,
            trunks,
            accept_calls: false,
            max_calls: 4,
            t1: DEFAULT_T1,
        };
        adjust(&mut settings);
        let (handle, events) = SipStack::start(settings).await.unwrap();
        Self { handle, events }
    }

    /// A stack with one trunk, which is the scenario, and a call that rings it.
    async fn dial(sipp: &Sipp) -> Self {
        Self::dial_trunk(Trunk { transport: sipp.transport, ..Trunk::new("far", "127.0.0.1", sipp.port) }).await
    }

    async fn dial_trunk(trunk: Trunk) -> Self {
        let ours = Self::start(vec![trunk]).await;
        ours.handle.dial(dial()).unwrap();
        ours
    }

    async fn event(&mut self) -> SipEvent {
        timeout(PATIENCE, self.events.recv()).await.expect("an event in time").expect("the stack runs")
    }

    async fn answered(&mut self) -> String {
        loop {
            match self.event().await {
                SipEvent::Answered { sdp, .. } => return sdp,
                SipEvent::Ringing { .. } | SipEvent::Progress { .. } => {}
                other => panic!("{other:?} instead of the answer"),
            }
        }
    }

    /// Wants `Closed`, and that nothing is left.
    async fn closed(&mut self) {
        let event = self.event().await;
        assert!(matches!(&event, SipEvent::Closed { sip_call_id: Some(_), .. }), "{event:?} instead of Closed");
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.handle.stats() != SipStats::default() {
            assert!(Instant::now() < deadline, "left behind: {:?}", self.handle.stats());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn call() -> CallId {
    CallId::new("01J0000000000000000000CALL")
}

fn local() -> sdp::Local {
    sdp::Local { rtp: SocketAddr::new(LOOPBACK, 20000), session_id: 1, version: 1 }
}

fn dial() -> Dial {
    Dial {
        call: call(),
        trunk: "far".into(),
        address: "100".to_owned(),
        caller_name: Some("Ann \"A\" Shopper".to_owned()),
        headers: vec![("X-Ringlet-Page".to_owned(), "/shoes.html".to_owned())],
        sdp: sdp::offer(&local()),
    }
}
