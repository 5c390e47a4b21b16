//! One call: what each message, loss and deadline means to it, from the visitor's arrival to the end of its record.
//! Not here: other calls, the choice of the gateway, the order of deadlines between calls.

use crate::certificates::Certificates;
use crate::commands::{Commanded, Question};
use crate::ears::{Ears, key_of};
use crate::gateways::Gateways;
use crate::keys::Keys;
use crate::offers::OfferRate;
use crate::resume::{Contender, Epoch, Page, Visitor, refuse_as_over};
use crate::said::Said;
use crate::session::{Conversation, Word};
use crate::status::{reason_for_code, reason_for_failure, reason_for_status};
use crate::timers::{Timer, TimerTable};
use crate::{
    Change, Config, Ending, MAX_CANDIDATE_BYTES, MAX_CANDIDATES, MAX_DETAIL_CHARS, MAX_NO_ANSWER, MIN_NO_ANSWER,
    Output, Plan,
};
use protocol::error::ErrorCode;
use protocol::gateway::{CallStats, Command, Event, Side, Transport};
use protocol::settings::State;
use protocol::visitor::{CallState, EndReason, FrameCodec, MAX_KEYS, Quality, VERSION, VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId};
use std::collections::VecDeque;
use std::time::Instant;

/// What a call may touch besides itself.
pub(crate) struct Effects<'a> {
    pub(crate) now: Instant,
    pub(crate) config: &'a Config,
    pub(crate) gateways: &'a mut Gateways,
    pub(crate) outputs: &'a mut VecDeque<Output>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) plan: Box<Plan>,
    pub(crate) stage: Stage,
    pub(crate) visitor: Visitor,
    /// What the page that has the call has said.
    pub(crate) said: Said,
    /// What was said to it, and how much it said, over all its sockets.
    pub(crate) conversation: Conversation,
    /// Another page that asks for the call.
    pub(crate) contender: Option<Contender>,
    /// Which `resume` token was sent last.
    pub(crate) epoch: Epoch,
    /// Which counts still: the last that a page must have had the time to keep.
    pub(crate) oldest: Epoch,
    /// Those of pages that were told the call is elsewhere, at most [`MAX_ASIDE`](crate::resume::MAX_ASIDE): good for a takeover.
    pub(crate) aside: Vec<Epoch>,
    /// Those of its pages.
    pub(crate) certificates: Certificates,
    /// Who carries the call, from the first offer on.
    gateway: Option<GatewayId>,
    /// There is no connection to the gateway; see `adrift.rs`.
    pub(crate) is_adrift: bool,
    /// What carries the audio, as the page has said while no gateway could be told.
    pub(crate) waiting_frames: Option<Option<FrameCodec>>,
    /// Offers that the gateway has not answered. What it says of the audio path before is about an earlier page's.
    unanswered: usize,
    /// How many more it may make.
    pub(crate) offer_rate: OfferRate,
    /// Audio can flow to the browser.
    pub(crate) media_up: bool,
    /// What carries the browser's audio, as the record has it.
    transport: Option<Transport>,
    /// The far end has rung or sent early media.
    pub(crate) rang: bool,
    pub(crate) answered_at: Option<Instant>,
    /// What the far end keys.
    pub(crate) keys: Keys,
    pub(crate) ears: Ears,
    /// What of it is to be carried out, and what a desk asks for.
    pub(crate) commanded: Commanded,
    /// The last question to a resolver.
    pub(crate) question: Question,
    /// What is set on the shopper's side.
    pub(crate) settings: State,
    /// How often it was placed again; see `again.rs`.
    pub(crate) again: u32,
    /// What its record tells already.
    pub(crate) written: Written,
    pub(crate) timers: TimerTable,
}

/// What a record tells once, however often a call is placed.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) dialed: bool,
    pub(crate) rang: bool,
    pub(crate) answered: bool,
}

/// How far the call is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It goes on.
    Live(CallState),
    /// The visitor knows that it is over; the gateway has been told to release it.
    Releasing { since: Instant, ending: Ending },
    /// Its record is closed; the switchboard forgets it.
    Over,
}

impl Call {
    /// A call that nobody has been told of yet.
    pub(crate) fn new(id: CallId, page: Page, plan: Box<Plan>) -> Self {
        Self {
            id,
            plan,
            stage: Stage::Live(CallState::Connecting),
            visitor: Visitor::Here(page),
            said: Said::default(),
            conversation: Conversation::first(),
            contender: None,
            epoch: Epoch::default(),
            oldest: Epoch::default(),
            aside: Vec::new(),
            certificates: Certificates::default(),
            gateway: None,
            is_adrift: false,
            waiting_frames: None,
            unanswered: 0,
            offer_rate: OfferRate::default(),
            media_up: false,
            transport: None,
            rang: false,
            answered_at: None,
            keys: Keys::default(),
            ears: Ears::default(),
            commanded: Commanded::default(),
            question: Question::default(),
            settings: State::default(),
            again: 0,
            written: Written::default(),
            timers: TimerTable::default(),
        }
    }

    /// Opens the record; welcomes the visitor, or refuses.
    pub(crate) fn start(&mut self, refused: Option<EndReason>, fx: &mut Effects<'_>) {
        self.record(Change::Started { plan: self.plan.clone() }, fx.now, fx);
        if let Some(reason) = refused {
            return self.end(reason, fx);
        }
        self.welcome(fx);
        self.arm(Timer::Setup, fx.config.setup, fx);
    }

    /// The page that has the call said something.
    pub(crate) fn handle_request(&mut self, request: VisitorRequest, fx: &mut Effects<'_>) {
        let Stage::Live(state) = self.stage else { return };
        match request {
            VisitorRequest::Offer { sdp, quality } if self.takes_offer(&sdp, fx.now) => {
                self.offer(sdp, quality.unwrap_or(Quality::Standard), fx);
            }
            VisitorRequest::Candidate { candidate } if self.takes(&candidate) => self.candidate(candidate, fx),
            VisitorRequest::Ready {} if !self.said.ready => {
                self.said.ready = true;
                self.spend_tokens(fx);
                self.dial_if_possible(fx);
                self.carry_out_kept(fx);
            }
            VisitorRequest::Frames { codec } if self.said.offers > 0 => self.carry_frames(codec, fx),
            VisitorRequest::Keys { digits } if self.said.offers > 0 && digits.len() <= MAX_KEYS => {
                self.press(digits, fx);
            }
            VisitorRequest::Heard { digit } if let Some(key) = key_of(&digit) => self.key_heard(state, key, fx),
            VisitorRequest::Hangup {} if state == CallState::Answered => self.end(EndReason::VisitorHungUp, fx),
            VisitorRequest::Hangup {} => self.end(EndReason::Cancelled, fx),
            VisitorRequest::Failed { code, detail } => {
                self.end_as(Ending { code: Some(code), detail, ..Ending::of(reason_for_code(code)) }, fx);
            }
            VisitorRequest::Next { fingerprint } if self.awaits(&fingerprint, fx) => {}
            report @ (VisitorRequest::Shown { .. } | VisitorRequest::Settings { .. }) => self.handle_report(report, fx),
            VisitorRequest::Hello { .. }
            | VisitorRequest::Offer { .. }
            | VisitorRequest::Candidate { .. }
            | VisitorRequest::Ping { .. }
            | VisitorRequest::Ready {}
            | VisitorRequest::Frames { .. }
            | VisitorRequest::Next { .. }
            | VisitorRequest::Keys { .. }
            | VisitorRequest::Heard { .. } => {
                let code = ErrorCode::MessageInvalid;
                self.tell(VisitorEvent::Error { code, message: code.shopper().to_owned() }, fx);
            }
        }
    }

    /// A gateway reported something about this call.
    pub(crate) fn handle_event(&mut self, from: &GatewayId, event: Event, fx: &mut Effects<'_>) {
        if self.gateway.as_ref() != Some(from) {
            return;
        }
        match (&self.stage, event) {
            (Stage::Live(_), Event::Closed { stats, .. }) => self.closed_unasked(stats, fx),
            (Stage::Releasing { .. }, Event::Closed { stats, .. }) => self.finish(Some(stats), fx),
            (Stage::Live(state), event) => self.handle_live_event(*state, event, fx),
            (Stage::Releasing { .. } | Stage::Over, _) => {}
        }
    }

    /// Ends the call, unless it is ending already.
    pub(crate) fn end(&mut self, reason: EndReason, fx: &mut Effects<'_>) {
        self.end_as(Ending::of(reason), fx);
    }

    /// Whether the switchboard may forget the call.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    pub(crate) fn handle_live_event(&mut self, state: CallState, event: Event, fx: &mut Effects<'_>) {
        match event {
            Event::Answer { sdp, .. } if self.unanswered > 0 => {
                self.unanswered -= 1;
                if self.has_path() {
                    self.tell(VisitorEvent::Answer { sdp }, fx);
                }
            }
            Event::Prepared { fingerprint, sdp, .. } => self.tell(VisitorEvent::Prepared { fingerprint, sdp }, fx),
            Event::MediaUp { .. } if self.has_path() => {
                self.media_up = true;
                self.timers.disarm(Timer::Media);
            }
            Event::MediaDown { .. } if self.has_path() => self.lose_path(fx),
            Event::Transport { transport, .. } if self.has_path() => {
                if self.transport.replace(transport) != Some(transport) {
                    self.record(Change::Transport { transport }, fx.now, fx);
                }
                self.tell(VisitorEvent::Transport { transport }, fx);
            }
            Event::Ringing { .. } if state == CallState::Dialing => self.progress(CallState::Ringing, fx),
            Event::EarlyMedia { .. } if matches!(state, CallState::Dialing | CallState::Ringing) => {
                self.progress(CallState::EarlyMedia, fx);
            }
            Event::Answered { .. } if state != CallState::Connecting && state != CallState::Answered => {
                self.answered(fx);
            }
            Event::Rejected { status, phrase, .. } => {
                let reason = reason_for_status(status, self.rang);
                self.end_as(Ending { sip_status: Some(status), detail: Some(phrase), ..Ending::of(reason) }, fx);
            }
            Event::TrunkUnreachable { detail, .. } => {
                self.end_as(Ending { detail: Some(detail), ..Ending::of(EndReason::TrunkUnreachable) }, fx);
            }
            Event::FarEndHungUp { .. } if state == CallState::Answered => self.end(EndReason::AgentHungUp, fx),
            // A dialog that breaks before the answer: the far end did not want the call.
            Event::FarEndHungUp { .. } => self.end(EndReason::Refused, fx),
            Event::Digit { from: Side::Agent, digit, duration_ms, .. } => self.key_told(state, digit, duration_ms, fx),
            // It went out with the audio.
            Event::Digit { from: Side::Visitor, digit, .. } => self.ears.press(digit, fx.now),
            Event::Failed { failure, detail, .. } => {
                self.end_as(Ending { detail: Some(detail), ..Ending::of(reason_for_failure(failure)) }, fx);
            }
            // Repeated or late: the call is further already.
            Event::Registered { .. }
            | Event::Answer { .. }
            | Event::MediaUp { .. }
            | Event::MediaDown { .. }
            | Event::Ringing { .. }
            | Event::EarlyMedia { .. }
            | Event::Answered { .. }
            | Event::Transport { .. }
            | Event::Closed { .. } => {}
        }
    }

    /// Has keys sent on to the far end; by a gateway that is out of reach when it is back.
    fn press(&mut self, digits: String, fx: &mut Effects<'_>) {
        if !self.is_adrift {
            self.command(Command::Press { call: self.id.clone(), digits }, fx);
        } else if self.said.waiting_keys.len() + digits.len() <= MAX_KEYS {
            self.said.waiting_keys.push_str(&digits);
        }
    }

    pub(crate) fn offer(&mut self, sdp: String, quality: Quality, fx: &mut Effects<'_>) {
        if self.is_adrift {
            self.said.waiting = Some((sdp, quality));
            return self.doubt_gateway(fx);
        }
        if self.gateway.is_none() {
            let Some(gateway) = fx.gateways.assign(&self.id, &self.plan.trunk) else {
                return self.end(EndReason::NoCapacity, fx);
            };
            self.record(Change::Carried { gateway: gateway.clone() }, fx.now, fx);
            self.gateway = Some(gateway);
        }
        (self.said.offers, self.said.candidates) = (self.said.offers + 1, self.said.early_candidates.len());
        self.unanswered += 1;
        self.command(Command::Offer { call: self.id.clone(), sdp, quality }, fx);
        self.send_candidates(fx);
        self.dial_if_possible(fx);
    }

    fn send_candidates(&mut self, fx: &mut Effects<'_>) {
        for candidate in std::mem::take(&mut self.said.early_candidates) {
            self.command(Command::Candidate { call: self.id.clone(), candidate }, fx);
        }
    }

    /// The gateway is back: what the page has said to it meanwhile.
    pub(crate) fn say_what_waited(&mut self, fx: &mut Effects<'_>) {
        if let Some(codec) = self.waiting_frames.take() {
            // They need the page's socket.
            self.carry_frames(codec.filter(|_| matches!(self.visitor, Visitor::Here(_))), fx);
        } else if let (true, Visitor::Here(page), Some(gateway)) =
            (self.said.frames.is_some(), self.visitor, self.gateway.clone())
        {
            // Over the gateway's new connection.
            fx.outputs.push_back(Output::Frames { call: self.id.clone(), gateway, page: Some(page) });
        }
        let digits = std::mem::take(&mut self.said.waiting_keys);
        if !digits.is_empty() {
            self.press(digits, fx);
        }
        if let Some((sdp, quality)) = self.said.waiting.take() {
            return self.offer(sdp, quality, fx);
        }
        if self.said.offers > 0 {
            self.send_candidates(fx);
        }
        self.dial_if_possible(fx);
    }

    /// Forgets what was said to a gateway that is gone; gives back the offer that it had not got.
    pub(crate) fn begin_anew(&mut self) -> Option<(String, Quality)> {
        self.unanswered = 0;
        let next = Said { ready: self.said.ready, ..Said::default() };
        std::mem::replace(&mut self.said, next).waiting
    }

    fn takes(&self, candidate: &str) -> bool {
        self.said.candidates < MAX_CANDIDATES && candidate.len() <= MAX_CANDIDATE_BYTES
    }

    fn candidate(&mut self, candidate: String, fx: &mut Effects<'_>) {
        self.said.candidates += 1;
        if self.said.offers > 0 && !self.is_adrift {
            self.command(Command::Candidate { call: self.id.clone(), candidate }, fx);
        } else {
            self.said.early_candidates.push(candidate);
        }
    }

    /// Whether the gateway's leg is that of the page that has the call.
    pub(crate) fn has_path(&self) -> bool {
        self.said.offers > 0 && self.unanswered == 0 && self.visitor != Visitor::Away
    }

    /// The audio path broke. Whose socket is broken as well is gone for now; whether a socket is, the page shall show.
    fn lose_path(&mut self, fx: &mut Effects<'_>) {
        let was_up = std::mem::replace(&mut self.media_up, false);
        self.arm_sooner(Timer::Media, fx.config.media_lost, fx);
        match self.visitor {
            _ if !self.outlives_pages() => {}
            Visitor::Here(page) if was_up => {
                // The browser notices by itself, but seconds later.
                let code = ErrorCode::AudioPathBroken;
                self.tell(VisitorEvent::Error { code, message: code.shopper().to_owned() }, fx);
                fx.outputs.push_back(Output::ProbeVisitor { call: self.id.clone(), page });
            }
            Visitor::Unreached if self.contender.is_some() || self.timers.get(Timer::Visitor).is_none() => {
                self.leave(fx);
            }
            Visitor::Here(_) | Visitor::Unreached | Visitor::Away => {}
        }
    }

    /// Rings the far end once there is both a leg to bridge to and a shopper who can talk; not again for a later page.
    fn dial_if_possible(&mut self, fx: &mut Effects<'_>) {
        let Stage::Live(CallState::Connecting) = self.stage else { return };
        let is_away = self.visitor == Visitor::Away;
        if self.said.ready && !is_away && !self.is_adrift && self.gateway.is_some() {
            self.dial(fx);
            self.dialed(fx);
        }
    }

    /// The far end has been rung.
    pub(crate) fn dialed(&mut self, fx: &mut Effects<'_>) -> CallState {
        self.said.ready = true;
        if !std::mem::replace(&mut self.written.dialed, true) {
            self.record(Change::Dialed, fx.now, fx);
        }
        self.enter(CallState::Dialing, fx);
        self.timers.disarm(Timer::Setup);
        self.arm(Timer::TrunkResponse, fx.config.trunk_response, fx);
        CallState::Dialing
    }

    pub(crate) fn dial(&mut self, fx: &mut Effects<'_>) {
        let dial = Command::Dial {
            call: self.id.clone(),
            trunk: self.plan.trunk.clone(),
            address: self.plan.address.clone(),
            caller_name: self.plan.caller_name.clone(),
            headers: self.plan.headers.clone(),
        };
        self.command(dial, fx);
    }

    fn progress(&mut self, state: CallState, fx: &mut Effects<'_>) {
        if !self.rang {
            self.rang = true;
            // What was answered without ringing once does not ring after its answer.
            if !std::mem::replace(&mut self.written.rang, true) && !self.written.answered {
                self.record(Change::Ringing, fx.now, fx);
            }
            self.timers.disarm(Timer::TrunkResponse);
            self.await_answer(fx);
        }
        self.enter(state, fx);
    }

    pub(crate) fn await_answer(&mut self, fx: &Effects<'_>) {
        self.arm(Timer::NoAnswer, self.plan.no_answer.clamp(MIN_NO_ANSWER, MAX_NO_ANSWER), fx);
    }

    fn answered(&mut self, fx: &mut Effects<'_>) {
        self.answered_at = Some(fx.now);
        let is_first = !std::mem::replace(&mut self.written.answered, true);
        if is_first {
            self.record(Change::Answered, fx.now, fx);
        }
        self.enter(CallState::Answered, fx);
        if is_first {
            self.send_token(fx);
            self.spend_tokens(fx);
        } else {
            self.repeat_token(fx);
        }
        self.timers.disarm(Timer::TrunkResponse);
        self.timers.disarm(Timer::NoAnswer);
        self.arm(Timer::Duration, fx.config.max_duration, fx);
        if !self.media_up && !self.is_adrift && self.visitor != Visitor::Away {
            self.arm_sooner(Timer::Media, fx.config.media_setup, fx);
        }
    }

    pub(crate) fn enter(&mut self, state: CallState, fx: &mut Effects<'_>) {
        self.stage = Stage::Live(state);
        self.tell(VisitorEvent::State { state }, fx);
    }

    pub(crate) fn end_as(&mut self, ending: Ending, fx: &mut Effects<'_>) {
        let Stage::Live(_) = self.stage else { return };
        (self.keys, self.commanded) = (Keys::default(), Commanded::default());
        let detail = ending.detail.map(|detail| detail.chars().take(MAX_DETAIL_CHARS).collect());
        self.stage = Stage::Releasing { since: fx.now, ending: Ending { detail, ..ending } };
        self.tell_end(fx);
        if let Visitor::Here(page) = self.visitor {
            fx.outputs.push_back(Output::CloseVisitor { call: self.id.clone(), page });
        }
        if let Some(contender) = self.contender.take() {
            refuse_as_over(&self.id, contender.page, fx.outputs);
        }
        self.timers.clear();
        if self.gateway.is_none() {
            return self.finish(None, fx);
        }
        self.release(fx);
        self.arm(Timer::Release, fx.config.release, fx);
    }

    /// Tells the page why the call is over, once it is.
    pub(crate) fn tell_end(&mut self, fx: &mut Effects<'_>) {
        let Stage::Releasing { ending: Ending { reason, code, .. }, .. } = self.stage else { return };
        let message = code.map_or_else(|| reason.shopper(), ErrorCode::shopper).to_owned();
        self.tell(VisitorEvent::Ended { reason, code, message }, fx);
    }

    pub(crate) fn release(&self, fx: &mut Effects<'_>) {
        let Stage::Releasing { ending, .. } = &self.stage else { return };
        self.command(Command::Release { call: self.id.clone(), why: ending.reason.word().to_owned() }, fx);
    }

    /// The gateway dropped the call by itself: there is nothing left to release.
    fn closed_unasked(&mut self, stats: CallStats, fx: &mut Effects<'_>) {
        if let Some(gateway) = self.gateway.take() {
            fx.gateways.unassign(&self.id, &gateway);
        }
        if self.call_again(fx) {
            return;
        }
        let detail = Some("the gateway closed the call by itself".to_owned());
        self.end_as(Ending { detail, stats: Some(stats), ..Ending::of(EndReason::GatewayGone) }, fx);
    }

    /// Closes the record.
    pub(crate) fn finish(&mut self, stats: Option<CallStats>, fx: &mut Effects<'_>) {
        let Stage::Releasing { since, ending } = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        self.timers.clear();
        if let Some(gateway) = self.gateway.take() {
            fx.gateways.unassign(&self.id, &gateway);
        }
        self.record(Change::Ended(Ending { stats: stats.or(ending.stats), ..ending }), since, fx);
    }

    pub(crate) fn welcome(&mut self, fx: &mut Effects<'_>) {
        let welcome = VisitorEvent::Welcome {
            version: VERSION,
            call: self.id.to_string(),
            merchant: self.plan.merchant_name.clone(),
            link: self.plan.link_label.clone(),
        };
        self.tell(welcome, fx);
        self.say(Word::Session, fx);
    }

    pub(crate) fn tell(&mut self, event: VisitorEvent, fx: &mut Effects<'_>) {
        self.say(Word::Event(event), fx);
    }

    /// Lets the visitor's audio go as frames over the page's socket, or over WebRTC.
    pub(crate) fn carry_frames(&mut self, codec: Option<FrameCodec>, fx: &mut Effects<'_>) {
        let Some(gateway) = self.gateway.clone() else { return };
        self.said.frames = codec;
        if self.is_adrift {
            self.waiting_frames = Some(codec);
            return;
        }
        let page = if let (Some(_), Visitor::Here(page)) = (codec, self.visitor) { Some(page) } else { None };
        fx.outputs.push_back(Output::Frames { call: self.id.clone(), gateway, page });
        self.command(Command::Frames { call: self.id.clone(), codec }, fx);
    }

    /// Who carries the call.
    pub(crate) fn gateway(&self) -> Option<&GatewayId> {
        self.gateway.as_ref()
    }

    pub(crate) fn set_gateway(&mut self, gateway: Option<GatewayId>) {
        self.gateway = gateway;
    }

    /// Tells the gateway, if it can be told.
    pub(crate) fn command(&self, command: Command, fx: &mut Effects<'_>) {
        if let Some(gateway) = self.gateway.clone().filter(|_| !self.is_adrift) {
            fx.outputs.push_back(Output::Gateway { gateway, command });
        }
    }

    pub(crate) fn record(&self, change: Change, at: Instant, fx: &mut Effects<'_>) {
        fx.outputs.push_back(Output::Record { call: self.id.clone(), at, change });
    }
}
