//! A switchboard under a virtual clock, with its outputs written down as short lines.

use crate::{
    Act, Change, CommandTable, Config, Ending, Epoch, Input, Output, Page, Plan, Question, Session, Switchboard,
};
use crate::{ResolveRequest, Step as SettingStep};
use protocol::error::ErrorCode;
use protocol::gateway::{CallStats, Carried, Command, Event, Failure, Side, Transport, TrunkLeg, VERSION};
use protocol::rest::GatewayLoss;
use protocol::visitor::{VisitorEvent, VisitorRequest};
use protocol::{CallId, DestinationId, GatewayId, LinkId, MerchantId, TrunkName};
use std::time::{Duration, Instant};

/// Far above the timers that a call can start one after the other.
pub(super) const MAX_TURNS_PER_CALL: usize = 16;

/// The page of a call's first visitor.
pub(super) const PAGE: Page = Page(1);

pub(super) struct Bench {
    pub(super) board: Switchboard,
    pub(super) now: Instant,
    epoch: Instant,
}

/// What a walkthrough does.
#[expect(clippy::large_enum_variant, reason = "a handful in a test")]
pub(super) enum Step {
    Do(Input),
    /// Lets seconds pass, each deadline at its time.
    Wait(u64),
}

impl From<Input> for Step {
    fn from(input: Input) -> Self {
        Self::Do(input)
    }
}

impl Bench {
    pub(super) fn new(config: Config) -> Self {
        let epoch = Instant::now();
        Self { board: Switchboard::new(config), now: epoch, epoch }
    }

    pub(super) fn drain(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.board.poll_output()).collect()
    }

    pub(super) fn send(&mut self, input: Input) -> Vec<Output> {
        self.board.handle_input(input, self.now);
        self.drain()
    }

    /// Lets time pass, each deadline at its time.
    pub(super) fn pass(&mut self, time: Duration) -> Vec<Output> {
        let until = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.board.poll_timeout().filter(|at| *at <= until) {
            outputs.extend(self.fire(at));
        }
        self.now = until;
        outputs
    }

    /// Goes from deadline to deadline until there is none; fails when that does not come to an end.
    pub(super) fn drive_bounded(&mut self) -> Vec<Output> {
        let turns = self.board.calls() * MAX_TURNS_PER_CALL;
        let mut outputs = Vec::new();
        for _ in 0..turns {
            let Some(at) = self.board.poll_timeout() else { break };
            outputs.extend(self.fire(at));
        }
        assert_eq!(self.board.poll_timeout(), None, "not idle after {turns} deadlines");
        outputs
    }

    fn fire(&mut self, at: Instant) -> Vec<Output> {
        self.now = self.now.max(at);
        self.board.handle_timeout(self.now);
        assert!(self.board.poll_timeout().is_none_or(|next| next > self.now), "a deadline stays in the past");
        self.drain()
    }

    /// Takes each step and compares what came of it: `" · "` between outputs, `""` for nothing.
    pub(super) fn walk<S: Into<Step>>(&mut self, steps: impl IntoIterator<Item = (S, &'static str)>) {
        for (n, (step, expected)) in steps.into_iter().enumerate() {
            let outputs = match step.into() {
                Step::Do(input) => self.send(input),
                Step::Wait(seconds) => self.pass(Duration::from_secs(seconds)),
            };
            // A `welcome` never comes without the token of the session, nor a token without its record; see sessions.rs and
            // restarts.rs.
            let outputs = outputs.iter().filter(|output| {
                let is_silent = matches!(
                    output,
                    Output::Record {
                        change: Change::Tokens { .. } | Change::Certificates { .. } | Change::Carried { .. },
                        ..
                    }
                );
                !is_silent && !matches!(output, Output::SessionToken { .. })
            });
            let lines: Vec<_> = outputs.map(|output| self.line(output)).collect();
            assert_eq!(lines.join(" · "), expected, "step {}", n + 1);
        }
    }

    /// Goes where a walkthrough starts.
    pub(super) fn prepare(&mut self, inputs: impl IntoIterator<Item = Input>) {
        for input in inputs {
            self.send(input);
        }
    }

    fn line(&self, output: &Output) -> String {
        match output {
            Output::Visitor { page, event, .. } => format!("{} {}", page_line(*page), visitor_line(event)),
            Output::ResumeToken { page, epoch, origin, .. } => {
                assert_eq!(origin, "https://shop.example");
                format!("{} token {}", page_line(*page), epoch.0)
            }
            Output::SessionToken { page, session, .. } => format!("{} session {}", page_line(*page), session.0),
            Output::ProbeVisitor { page, .. } => format!("{} probed", page_line(*page)),
            Output::CloseVisitor { page, .. } => format!("{} closed", page_line(*page)),
            Output::Frames { gateway, page: Some(page), .. } => {
                format!("frames between {} and {gateway}", page_line(*page))
            }
            Output::Frames { page: None, .. } => "no frames".to_owned(),
            Output::Gateway { gateway, command } => format!("{gateway} {}", command_line(command)),
            Output::RefuseGateway { gateway, refusal } => format!("{gateway} refused: {refusal}"),
            Output::FindCommands { merchant, origin, .. } => {
                assert_eq!((merchant.as_str(), origin.as_str()), ("acme", "https://shop.example"));
                "commands?".to_owned()
            }
            Output::Resolve { question, request: ResolveRequest { url, sequence, customer, page }, .. } => {
                let (customer, page) = (customer.as_deref().unwrap_or("-"), page.as_deref().unwrap_or("-"));
                format!("resolve {} {sequence} at {url} for {customer} on {page}", question.0)
            }
            Output::Commanded { sequence, outcome, .. } => format!("{sequence} {outcome:?}"),
            Output::Record { at, change, .. } => {
                format!("record {} at {}", change_line(change), (*at - self.epoch).as_secs())
            }
        }
    }
}

/// The first page of a call is its visitor.
fn page_line(page: Page) -> String {
    if page == PAGE { "visitor".to_owned() } else { format!("page {}", page.0) }
}

fn visitor_line(event: &VisitorEvent) -> String {
    match event {
        VisitorEvent::Welcome { merchant, link, .. } => format!("welcome {merchant}/{link}"),
        VisitorEvent::Answer { sdp } => format!("answer {sdp}"),
        VisitorEvent::State { state } => state.to_string(),
        VisitorEvent::Resumed { state, answered_ms } => format!("resumed {state} {answered_ms}"),
        VisitorEvent::Resume { token } => format!("the switchboard signs nothing: {token}"),
        VisitorEvent::Transport { transport } => format!("transport {transport}"),
        VisitorEvent::Session { token } => format!("the switchboard signs nothing: {token}"),
        VisitorEvent::Reconnected { received, sent } => {
            format!("reconnected {} {sent}", received.map_or("?".to_owned(), |received| received.to_string()))
        }
        VisitorEvent::Pong { received } => format!("pong {received}"),
        VisitorEvent::Digit { digit, duration_ms } => format!("digit {digit} {duration_ms}"),
        VisitorEvent::Error { code, .. } => format!("error {code}"),
        VisitorEvent::Ended { reason, code, message } => {
            assert_eq!(message, code.map_or(reason.shopper(), ErrorCode::shopper));
            format!("ended {reason}{}", code.map(|code| format!(" {code}")).unwrap_or_default())
        }
        VisitorEvent::Prepared { fingerprint, sdp } => format!("prepared {sdp} for {}", short(fingerprint)),
        VisitorEvent::Page { url, by } => format!("page {url} by {by}"),
        VisitorEvent::Set { by, microphone_db, muted, speaker_db, echo, quality_test, .. } => {
            let mut line = format!("set by {by}");
            line.extend(microphone_db.map(|db| format!(" microphone {db}")));
            line.extend(speaker_db.map(|db| format!(" speaker {db}")));
            line.extend(echo.map(|layer| format!(" echo {layer}")));
            line.extend(muted.map(|muted| format!(" muted {muted}")));
            line.extend(quality_test.map(|test| format!(" test {test}")));
            line
        }
    }
}

/// The end of a fingerprint.
fn short(fingerprint: &str) -> &str {
    fingerprint.rsplit(':').next().unwrap_or_default()
}

fn command_line(command: &Command) -> String {
    match command {
        Command::Offer { sdp, .. } => format!("offer {sdp}"),
        Command::Candidate { candidate, .. } => format!("candidate {candidate}"),
        Command::Dial { trunk, address, .. } => format!("dial {trunk} {address}"),
        Command::VisitorAway { call } => format!("away {call}"),
        Command::Prepare { call, fingerprint } => format!("prepare {call} for {}", short(fingerprint)),
        Command::Frames { codec: Some(codec), .. } => format!("frames {codec}"),
        Command::Frames { codec: None, .. } => "frames off".to_owned(),
        Command::Press { digits, .. } => format!("press {digits}"),
        Command::Release { call, why } => format!("release {call} {why}"),
        Command::Tone { tone, .. } => format!("tone {tone:?}"),
        Command::Echo { call, sdp } => format!("echo {call} {sdp}"),
    }
}

fn change_line(change: &Change) -> String {
    match change {
        Change::Started { plan } => format!("started {}", plan.link),
        Change::Carried { gateway } => format!("carried {gateway}"),
        Change::Dialed => "dialed".to_owned(),
        Change::Ringing => "ringing".to_owned(),
        Change::Answered => "answered".to_owned(),
        Change::Tokens { epoch, oldest } => format!("tokens {}–{}", oldest.0, epoch.0),
        Change::Certificates { known } => format!("{} certificates", known.len()),
        Change::Transport { transport } => format!("transport {transport}"),
        Change::Ended(Ending { reason, code, sip_status, detail, stats }) => {
            let mut line = format!("ended {reason}");
            line.extend(code.map(|code| format!(" {code}")));
            line.extend(sip_status.map(|status| format!(" {status}")));
            line.extend(detail.as_ref().map(|detail| format!(" ({detail})")));
            line.extend(stats.as_ref().map(|stats| format!(" {} packets", stats.visitor_packets)));
            line
        }
    }
}

pub(super) fn plan(trunk: &str) -> Box<Plan> {
    Box::new(Plan {
        merchant: MerchantId::from("acme"),
        merchant_name: "Acme".to_owned(),
        link: LinkId::from("sales"),
        link_label: "Sales".to_owned(),
        destination: DestinationId::from("desk"),
        trunk: TrunkName::from(trunk),
        address: "1001".to_owned(),
        caller_name: Some("Web shop".to_owned()),
        headers: vec![("X-Ringlet-Page".to_owned(), "/shoes".to_owned())],
        origin: "https://shop.example".to_owned(),
        page: Some("https://shop.example/shoes".to_owned()),
        customer: None,
        no_answer: Plan::NO_ANSWER,
        // So that random schedules have both.
        on_gateway_loss: if trunk == "pbx" { GatewayLoss::CallAgain } else { GatewayLoss::End },
    })
}

/// A page, a page that is a beginning of another code, a resolver and steps of settings.
pub(super) fn table() -> CommandTable {
    let acts = [
        ("*76", Act::Page("https://shop.example/returns?c={customer}&at={page}&x={what}".to_owned())),
        ("*1", Act::Page("https://shop.example/{sequence}/{call}".to_owned())),
        ("*12", Act::Resolve("https://crm.example/page".to_owned())),
        ("*15", Act::Step(SettingStep::Mute)),
        ("*19", Act::Step(SettingStep::QualityTest)),
        ("*22", Act::Step(SettingStep::Speaker(1))),
        ("*80", Act::Step(SettingStep::Microphone(-1))),
        ("*33", Act::Step(SettingStep::Echo { up: true })),
        ("*10", Act::Impossible),
    ];
    let acts = acts.map(|(sequence, act)| (sequence.to_owned(), act)).into_iter().collect();
    CommandTable { acts, pause: Duration::from_millis(1_500) }
}

pub(super) fn commands() -> Input {
    Input::Commands { call: call(), table: Some(table()) }
}

pub(super) fn resolved(question: u32, page: Option<&str>) -> Input {
    Input::Resolved { call: call(), question: Question(question), page: page.map(str::to_owned) }
}

pub(super) fn call() -> CallId {
    CallId::from("c1")
}

pub(super) fn arrived(call: &str) -> Input {
    Input::Arrived { call: CallId::from(call), page: PAGE, plan: plan("pstn") }
}

pub(super) fn says(request: VisitorRequest) -> Input {
    says_at(PAGE, request)
}

pub(super) fn says_at(page: Page, request: VisitorRequest) -> Input {
    Input::Visitor { call: call(), page, request }
}

pub(super) fn resumes(page: u64, epoch: u32) -> Input {
    Input::Resume { call: call(), page: Page(page), epoch: Epoch(epoch), takeover: false, fingerprint: None }
}

pub(super) fn certified(page: u64, epoch: u32, fingerprint: &str) -> Input {
    let fingerprint = Some(fingerprint.to_owned());
    Input::Resume { call: call(), page: Page(page), epoch: Epoch(epoch), takeover: false, fingerprint }
}

pub(super) fn takes_over(page: u64, epoch: u32) -> Input {
    Input::Resume { call: call(), page: Page(page), epoch: Epoch(epoch), takeover: true, fingerprint: None }
}

pub(super) fn broken(page: u64) -> Input {
    Input::VisitorBroken { call: call(), page: Page(page) }
}

pub(super) fn reconnects(page: u64, session: u32, seen: u32) -> Input {
    Input::Reconnect { call: call(), page: Page(page), session: Session(session), seen }
}

pub(super) fn offer_of(page: u64) -> Input {
    says_at(Page(page), VisitorRequest::Offer { sdp: format!("O{page}"), quality: None })
}

pub(super) fn ready_of(page: u64) -> Input {
    says_at(Page(page), VisitorRequest::Ready {})
}

pub(super) fn lost(page: u64) -> Input {
    Input::VisitorLost { call: call(), page: Page(page) }
}

pub(super) fn offer() -> Input {
    says(VisitorRequest::Offer { sdp: "O".to_owned(), quality: None })
}

pub(super) fn candidate(candidate: &str) -> Input {
    says(VisitorRequest::Candidate { candidate: candidate.to_owned() })
}

pub(super) fn ready() -> Input {
    says(VisitorRequest::Ready {})
}

pub(super) fn hangup() -> Input {
    says(VisitorRequest::Hangup {})
}

pub(super) fn gives_up(code: ErrorCode) -> Input {
    says(VisitorRequest::Failed { code, detail: Some("as the browser put it".to_owned()) })
}

pub(super) fn visitor_lost() -> Input {
    Input::VisitorLost { call: call(), page: PAGE }
}

pub(super) fn registered(gateway: &str, capacity: u32, calls: &[&str]) -> Input {
    let carried = |call: &&str| carried(call, TrunkLeg::Answered, true);
    registers(gateway, capacity, calls.iter().map(carried).collect())
}

pub(super) fn carried(call: &str, far_end: TrunkLeg, media_up: bool) -> Carried {
    Carried { call: CallId::from(call), far_end, media_up, away: false }
}

pub(super) fn registers(gateway: &str, capacity: u32, calls: Vec<Carried>) -> Input {
    let (id, trunks) = (GatewayId::from(gateway), vec![TrunkName::from("pstn")]);
    reports(gateway, Event::Registered { version: VERSION, gateway: id, capacity, trunks, calls })
}

pub(super) fn reports(gateway: &str, event: Event) -> Input {
    Input::Gateway { gateway: GatewayId::from(gateway), event }
}

pub(super) fn sdp_answer() -> Input {
    reports("g1", Event::Answer { call: call(), sdp: "A".to_owned() })
}

pub(super) fn over(transport: Transport) -> Input {
    reports("g1", Event::Transport { call: call(), transport })
}

pub(super) fn media_up() -> Input {
    reports("g1", Event::MediaUp { call: call() })
}

pub(super) fn media_down() -> Input {
    reports("g1", Event::MediaDown { call: call(), detail: "ICE".to_owned() })
}

pub(super) fn ringing() -> Input {
    reports("g1", Event::Ringing { call: call() })
}

pub(super) fn early_media() -> Input {
    reports("g1", Event::EarlyMedia { call: call() })
}

pub(super) fn answered() -> Input {
    reports("g1", Event::Answered { call: call() })
}

pub(super) fn rejected(status: u16) -> Input {
    reports("g1", Event::Rejected { call: call(), status, phrase: "phrase".to_owned() })
}

pub(super) fn trunk_unreachable() -> Input {
    reports("g1", Event::TrunkUnreachable { call: call(), detail: "timer B".to_owned() })
}

pub(super) fn far_end_hung_up() -> Input {
    reports("g1", Event::FarEndHungUp { call: call() })
}

pub(super) fn digit(from: Side, digit: char) -> Input {
    reports("g1", Event::Digit { call: call(), from, digit, duration_ms: 100 })
}

pub(super) fn failed(failure: Failure) -> Input {
    reports("g1", Event::Failed { call: call(), failure, detail: "why".to_owned() })
}

pub(super) fn closed() -> Input {
    reports("g1", Event::Closed { call: call(), stats: CallStats { visitor_packets: 7, ..CallStats::default() } })
}

pub(super) fn gateway_lost(gateway: &str) -> Input {
    Input::GatewayLost { gateway: GatewayId::from(gateway) }
}
