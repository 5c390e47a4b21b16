//! What random schedules are made of: the turns that they may take, and how often.

use proptest::prelude::*;
use protocol::CallId;
use protocol::error::ErrorCode;
use protocol::gateway::{CallStats, Event, Failure, Side, Transport, VERSION};
use protocol::visitor::{FrameCodec, VisitorRequest};
use std::fmt;
use std::time::Duration;

pub(super) const SLOTS: usize = 4;
pub(super) const GATEWAYS: usize = 3;
pub(super) const TRUNKS: [&str; 2] = ["pstn", "pbx"];

/// That of the visitor's browser, as SDP writes it.
pub(super) const FINGERPRINT: &str = "sha-256 \
    4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF";

/// What the visitor's browser offers.
pub(super) fn offer() -> VisitorRequest {
    VisitorRequest::Offer { sdp: format!("a=fingerprint:{FINGERPRINT}"), quality: None }
}

/// One turn of a schedule. Slots hold the latest call of a line; `Progress` takes it the ordinary next step.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Progress {
        slot: usize,
    },
    Arrive {
        slot: usize,
        trunk: usize,
    },
    Say {
        slot: usize,
        from: Which,
        request: VisitorRequest,
    },
    LoseVisitor {
        slot: usize,
        which: Which,
    },
    BreakVisitor {
        slot: usize,
        which: Which,
    },
    /// A page comes back over another socket: the one that has the call, or one so many before it. The last so many events
    /// have not reached it.
    Reconnect {
        slot: usize,
        older: u32,
        lost: usize,
    },
    /// A new page asks with the newest token but so many.
    Resume {
        slot: usize,
        older: u32,
        takeover: bool,
        /// Of the visitor's own browser.
        certified: bool,
    },
    /// Another tab moves the call to itself; one that was told so before moves it back: which of those, from the last.
    MoveBack(usize, usize),
    Report {
        slot: usize,
        stranger: Option<usize>,
        event: EventOf,
    },
    Register {
        gateway: usize,
        version: u32,
        capacity: u32,
        trunks: usize,
        carries: Option<usize>,
    },
    LoseGateway {
        gateway: usize,
    },
    /// The ordinary steps up to the answer, as far as they lead there.
    Answer {
        slot: usize,
    },
    /// An answered call's gateway dies while there is another. Then it goes so many ordinary steps, a page at a time.
    PlaceAgain {
        slot: usize,
        turns: [usize; 2],
    },
    /// A code is keyed whole, with its table at hand, and perhaps the pause passes and the page reports.
    Code {
        slot: usize,
        code: &'static str,
        then: Option<VisitorRequest>,
    },
    /// The table that was asked for comes, or cannot be had.
    Find {
        slot: usize,
        found: bool,
    },
    /// A resolver answers the question of that number.
    Resolve {
        slot: usize,
        question: u32,
        page: bool,
    },
    Stop,
    /// The same input once more.
    Again,
    Wait(Duration),
    /// Time passes, the switchboard is told only afterwards.
    Oversleep(Duration),
    /// Time passes, an input comes before the timeout.
    Jump(Duration),
}

/// Which of a call's pages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Current,
    Contender,
    /// One that the call has never had, or has no more.
    Other,
}

fn pages() -> impl Strategy<Value = Which> {
    prop_oneof![8 => Just(Which::Current), 2 => Just(Which::Contender), 1 => Just(Which::Other)]
}

/// An event of whichever call.
#[derive(Clone, Copy)]
pub(super) struct EventOf(pub(super) fn(CallId) -> Event);

impl fmt::Debug for EventOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(CallId::new("")).fmt(f)
    }
}

fn events() -> impl Strategy<Value = EventOf> {
    let events: Vec<fn(CallId) -> Event> = vec![
        |call| Event::Answer { call, sdp: String::new() },
        |call| Event::MediaUp { call },
        |call| Event::Transport { call, transport: Transport::Udp },
        |call| Event::Transport { call, transport: Transport::Tcp },
        |call| Event::MediaDown { call, detail: String::new() },
        |call| Event::Ringing { call },
        |call| Event::EarlyMedia { call },
        |call| Event::Answered { call },
        |call| Event::Rejected { call, status: 486, phrase: String::new() },
        |call| Event::Rejected { call, status: 603, phrase: String::new() },
        |call| Event::Rejected { call, status: 404, phrase: String::new() },
        |call| Event::Rejected { call, status: 500, phrase: String::new() },
        |call| Event::TrunkUnreachable { call, detail: String::new() },
        |call| Event::FarEndHungUp { call },
        |call| Event::Digit { call, from: Side::Agent, digit: '1', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '*', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '#', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Visitor, digit: '2', duration_ms: 80 },
        |call| Event::Failed { call, failure: Failure::OfferUnusable, detail: String::new() },
        |call| Event::Failed { call, failure: Failure::Full, detail: String::new() },
        |call| Event::Failed { call, failure: Failure::FarEndSilent, detail: String::new() },
        |call| Event::Closed { call, stats: CallStats::default() },
    ];
    prop::sample::select(events).prop_map(EventOf)
}

fn requests() -> impl Strategy<Value = VisitorRequest> {
    let failed = |code| VisitorRequest::Failed { code, detail: None };
    prop::sample::select(vec![
        offer(),
        VisitorRequest::Next { fingerprint: FINGERPRINT.to_owned() },
        VisitorRequest::Next { fingerprint: "none".to_owned() },
        VisitorRequest::Candidate { candidate: String::new() },
        VisitorRequest::Candidate { candidate: "host".to_owned() },
        VisitorRequest::Ready {},
        VisitorRequest::Ready {},
        VisitorRequest::Frames { codec: Some(FrameCodec::G711) },
        VisitorRequest::Frames { codec: Some(FrameCodec::Opus) },
        VisitorRequest::Frames { codec: None },
        VisitorRequest::Keys { digits: "*7".to_owned() },
        VisitorRequest::Hangup {},
        VisitorRequest::Ping { seen: 0 },
        VisitorRequest::Shown { done: true },
        settings(None, None),
        tests(true),
        tests(false),
        failed(ErrorCode::MicrophoneDenied),
        failed(ErrorCode::PhoneNotLoaded),
    ])
}

fn settings(muted: Option<bool>, refused: Option<bool>) -> VisitorRequest {
    VisitorRequest::Settings {
        microphone_db: None,
        muted,
        speaker_db: None,
        echo: None,
        noise_suppression: None,
        input_device: None,
        output_device: None,
        input_devices: None,
        output_devices: None,
        quality_test: None,
        quality_score: None,
        round_trip_ms: None,
        jitter_ms: None,
        said_lost_percent: None,
        heard_lost_percent: None,
        concealed_percent: None,
        refused,
    }
}

fn reports() -> impl Strategy<Value = VisitorRequest> {
    let shown = |done| VisitorRequest::Shown { done };
    prop::sample::select(vec![
        shown(true),
        shown(false),
        settings(Some(true), None),
        settings(None, Some(true)),
        tests(true),
        tests(false),
    ])
}

fn tests(runs: bool) -> VisitorRequest {
    let mut report = settings(None, None);
    if let VisitorRequest::Settings { quality_test, quality_score, .. } = &mut report {
        (*quality_test, *quality_score) = (Some(runs), (!runs).then_some(3));
    }
    report
}

/// A key of a code that the table has.
fn keys() -> impl Strategy<Value = EventOf> {
    let keys: Vec<fn(CallId) -> Event> = vec![
        |call| Event::Digit { call, from: Side::Agent, digit: '*', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '1', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '2', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '5', duration_ms: 80 },
        |call| Event::Digit { call, from: Side::Agent, digit: '0', duration_ms: 80 },
    ];
    prop::sample::select(keys).prop_map(EventOf)
}

fn times() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..3_000_u64).prop_map(Duration::from_millis),
        3 => (0..50_u64).prop_map(Duration::from_secs),
        1 => (0..900_u64).prop_map(Duration::from_secs),
    ]
}

fn registrations() -> impl Strategy<Value = Op> {
    (0..GATEWAYS, 0..10_u32, 0..4_u32, 1..4_usize, prop::option::weighted(0.3, 0..SLOTS)).prop_map(
        |(gateway, luck, capacity, trunks, carries)| {
            let version = if luck == 0 { VERSION + 1 } else { VERSION };
            Op::Register { gateway, version, capacity, trunks, carries }
        },
    )
}

pub(super) fn schedules() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        80 => (0..SLOTS).prop_map(|slot| Op::Progress { slot }),
        4 => (0..SLOTS, 0..TRUNKS.len()).prop_map(|(slot, trunk)| Op::Arrive { slot, trunk }),
        8 => (0..SLOTS, pages(), requests()).prop_map(|(slot, from, request)| Op::Say { slot, from, request }),
        4 => (0..SLOTS, pages()).prop_map(|(slot, which)| Op::LoseVisitor { slot, which }),
        6 => (0..SLOTS, pages()).prop_map(|(slot, which)| Op::BreakVisitor { slot, which }),
        6 => (0..SLOTS, prop_oneof![6 => Just(0), 1 => 0..3_u32], 0..5_usize)
            .prop_map(|(slot, older, lost)| Op::Reconnect { slot, older, lost }),
        6 => (0..SLOTS, prop_oneof![6 => Just(0), 1 => 0..3_u32], prop::bool::weighted(0.8))
            .prop_map(|(slot, older, certified)| Op::Resume { slot, older, takeover: false, certified }),
        2 => (0..SLOTS).prop_map(|slot| Op::Say {
            slot,
            from: Which::Current,
            request: VisitorRequest::Next { fingerprint: FINGERPRINT.to_owned() },
        }),
        4 => (0..SLOTS, 0..3_usize).prop_map(|(slot, which)| Op::MoveBack(slot, which)),
        4 => (0..SLOTS, 0..3_u32, prop::bool::weighted(0.8))
            .prop_map(|(slot, older, certified)| Op::Resume { slot, older, takeover: true, certified }),
        12 => (0..SLOTS, prop::option::weighted(0.1, 0..GATEWAYS), events())
            .prop_map(|(slot, stranger, event)| Op::Report { slot, stranger, event }),
        16 => (0..SLOTS).prop_map(|slot| Op::Answer { slot }),
        6 => (0..SLOTS, [0..6_usize, 0..6_usize]).prop_map(|(slot, turns)| Op::PlaceAgain { slot, turns }),
        20 => (0..SLOTS, prop::sample::select(vec!["*1", "*12", "*15", "*10", "*18", "*19"]), prop::option::weighted(0.8, reports()))
            .prop_map(|(slot, code, then)| Op::Code { slot, code, then }),
        10 => (0..SLOTS, keys()).prop_map(|(slot, event)| Op::Report { slot, stranger: None, event }),
        12 => (0..SLOTS, prop::bool::weighted(0.9)).prop_map(|(slot, found)| Op::Find { slot, found }),
        6 => (0..SLOTS, 1..4_u32, any::<bool>()).prop_map(|(slot, question, page)| Op::Resolve { slot, question, page }),
        4 => registrations(),
        1 => (0..GATEWAYS).prop_map(|gateway| Op::LoseGateway { gateway }),
        1 => prop::bool::weighted(0.2).prop_map(|stop| if stop { Op::Stop } else { Op::Wait(Duration::ZERO) }),
        8 => Just(Op::Again),
        12 => times().prop_map(Op::Wait),
        3 => times().prop_map(Op::Oversleep),
        3 => times().prop_map(Op::Jump),
    ];
    let opening = prop::collection::vec(registrations(), 0..4);
    (opening, prop::collection::vec(op, 0..120)).prop_map(|(opening, ops)| opening.into_iter().chain(ops).collect())
}
