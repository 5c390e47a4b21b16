//! What the far end's commands do to a call: pages that are pushed, settings that are changed, and the tone that says whether it
//! came about. Not here: which keys are a command ([`crate::keys`]), and which pages the merchant may name (the shell's).

use crate::Output;
use crate::call::{Call, Effects, Stage};
use crate::keys::{Heard, Key};
use crate::resume::Visitor;
use crate::timers::Timer;
use protocol::gateway::{Command, Tone};
use protocol::settings::{By, Change, MAX_DB, MIN_DB, STEP_DB, State};
use protocol::visitor::{CallState, VisitorEvent, VisitorRequest};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::discriminant;
use std::time::{Duration, Instant};

/// How long what a command asks of others may take: the merchant's resolver has 2 s, the panel less.
const CARRIED_OUT_WITHIN: Duration = Duration::from_secs(3);

/// The same of a layer against echo: its module may have to be fetched, for which the panel takes its time.
const LAYERED_WITHIN: Duration = Duration::from_secs(8);

/// How long a command may wait for the shopper's next page: a page takes less, and who keyed it waits for the tone.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// How long the panel may test the connection: it measures for 4 s, and 4 s more where the gateway's report of loss is still to come.
const TESTED_WITHIN: Duration = Duration::from_secs(12);

/// Commands that may wait at the same time: more than anybody keys within the 8 s that one may take.
const MAX_RUNNING: usize = 16;

/// What each sequence of a merchant means to one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandTable {
    /// By sequence, as [`protocol::command::is_sequence`] has them.
    pub acts: BTreeMap<String, Act>,
    /// What ends a sequence that could go on.
    pub pause: Duration,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The shopper's page goes to this address, absolute and of the call's origin, once its placeholders are filled in.
    Page(String),
    /// The merchant's server at this address is asked for the page.
    Resolve(String),
    /// A step of a setting.
    Step(Step),
    /// The merchant forbids it, or its page cannot be shown to this call's shopper.
    Impossible,
}

/// A step of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What the shopper hears, by so many steps of [`STEP_DB`].
    Speaker(i32),
    /// What the shopper says.
    Microphone(i32),
    /// The next stronger layer against echo, or the next weaker one.
    Echo {
        /// Stronger.
        up: bool,
    },
    /// Mutes the microphone.
    Mute,
    /// Tests the connection's quality.
    QualityTest,
}

/// Which of a call's questions to a resolver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question(pub u32);

/// What is asked of the merchant's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveRequest {
    /// Its address.
    pub url: String,
    /// What was keyed.
    pub sequence: String,
    /// The merchant's own id of the customer.
    pub customer: Option<String>,
    /// The page that the call began on.
    pub page: Option<String>,
}

/// What a command has come to, for log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The far end hears [`Tone::Done`].
    Done,
    /// The connection is tested, with this score: [`Tone::Scored`].
    Scored(u32),
    /// The far end hears [`Tone::Refused`].
    Refused,
}

/// What is to be carried out, and has not been acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Commanded {
    /// In the order in which it was asked of others, at most [`MAX_RUNNING`].
    running: Vec<Running>,
    /// What a desk asks of the next page.
    desk: Option<Change>,
}

/// A command that waits for somebody.
#[derive(Debug)]
struct Running {
    sequence: String,
    wait: Wait,
    /// Refused then.
    until: Instant,
}

#[derive(Debug)]
enum Wait {
    Page,
    Answer(Question),
    Settings(Step, Change),
    /// The score of the connection.
    Score {
        /// The panel has said that it tests.
        begun: bool,
    },
    /// The shopper's next page, to carry this out.
    Visitor(Kept),
}

/// What is kept while the shopper is between two pages.
#[derive(Debug)]
enum Kept {
    Act(Act),
    /// A page that the merchant's server has named.
    Push(String),
}

impl Call {
    /// What is known of the settings on the shopper's side; `None` before the answer and after the end.
    pub(crate) fn settings(&self) -> Option<&State> {
        self.is_answered().then_some(&self.settings)
    }

    /// The far end pressed a key.
    pub(crate) fn key(&mut self, state: CallState, digit: char, duration_ms: u32, fx: &mut Effects<'_>) {
        if state == CallState::Answered {
            self.keys.handle_key(Key { digit, duration_ms, at: fx.now });
            self.act_on_keys(fx);
        } else {
            self.tell(VisitorEvent::Digit { digit: digit.to_string(), duration_ms }, fx);
        }
    }

    /// The table that was asked for.
    pub(crate) fn handle_table(&mut self, table: Option<CommandTable>, fx: &mut Effects<'_>) {
        if self.is_answered() {
            self.keys.handle_table(table, fx.now);
            self.act_on_keys(fx);
        }
    }

    /// Keys have waited long enough.
    pub(crate) fn handle_key_pause(&mut self, fx: &mut Effects<'_>) {
        self.keys.handle_timeout(fx.now);
        self.act_on_keys(fx);
    }

    /// The merchant's server has named a page, or failed to.
    pub(crate) fn handle_resolved(&mut self, question: Question, page: Option<String>, fx: &mut Effects<'_>) {
        let asked = |wait: &Wait| matches!(wait, Wait::Answer(asked) if *asked == question);
        let Some(Running { sequence, .. }) = self.take(asked) else { return };
        match page {
            Some(url) => self.push(sequence, url, fx),
            None => self.conclude(sequence, Outcome::Refused, fx),
        }
    }

    /// A desk sets something. What the panel makes of it, `settings` tells.
    pub(crate) fn handle_change(&mut self, change: Change, fx: &mut Effects<'_>) {
        if !self.is_answered() {
            return;
        }
        if let Visitor::Here(_) = self.visitor {
            return self.tell(change.into_event(By::Desk), fx);
        }
        // What is said to a page that went is lost.
        let before = self.commanded.desk.take().unwrap_or_default();
        self.commanded.desk = Some(change.over(before));
    }

    /// The page tells what has become of a push, or what is set.
    pub(crate) fn handle_report(&mut self, report: VisitorRequest, fx: &mut Effects<'_>) {
        let shown = if let VisitorRequest::Shown { done } = &report { Some(*done) } else { None };
        let settings = if let VisitorRequest::Settings { refused, quality_test, .. } = &report {
            Some((*refused == Some(true), *quality_test))
        } else {
            None
        };
        self.settings.learn(report);
        if let Some(done) = shown {
            let outcome = if done { Outcome::Done } else { Outcome::Refused };
            self.conclude_first(|wait| matches!(wait, Wait::Page), outcome, fx);
        }
        if let Some((refused, quality_test)) = settings {
            // A panel answers in order.
            let is_of_a_setting =
                refused && self.conclude_first(|wait| matches!(wait, Wait::Settings(..)), Outcome::Refused, fx);
            self.conclude_what_is_set(fx);
            self.follow_test(refused && !is_of_a_setting, quality_test, fx);
        }
    }

    /// What a step has asked for is done when it is set, and when a later step of the same setting is.
    fn conclude_what_is_set(&mut self, fx: &mut Effects<'_>) {
        let (mut waiting, mut done, mut set) = (Vec::new(), Vec::new(), Vec::new());
        for running in std::mem::take(&mut self.commanded.running).into_iter().rev() {
            match &running.wait {
                Wait::Settings(step, change)
                    if set.contains(&discriminant(step)) || self.settings.satisfies(change) =>
                {
                    set.push(discriminant(step));
                    done.push(running.sequence);
                }
                Wait::Settings(..) | Wait::Page | Wait::Answer(_) | Wait::Score { .. } | Wait::Visitor(_) => {
                    waiting.push(running);
                }
            }
        }
        waiting.reverse();
        self.commanded.running = waiting;
        self.await_commands();
        for sequence in done.into_iter().rev() {
            self.conclude(sequence, Outcome::Done, fx);
        }
    }

    /// The panel tells whether it tests the connection, or refuses something.
    fn follow_test(&mut self, refused: bool, quality_test: Option<bool>, fx: &mut Effects<'_>) {
        let begun = self.commanded.running.iter_mut().find_map(|it| match &mut it.wait {
            Wait::Score { begun } => Some(begun),
            Wait::Page | Wait::Answer(_) | Wait::Settings(..) | Wait::Visitor(_) => None,
        });
        let Some(begun) = begun else { return };
        let outcome = match quality_test {
            // What is refused while it runs is something else.
            Some(true) => {
                *begun = true;
                return;
            }
            Some(false) | None if refused => Outcome::Refused,
            Some(false) if *begun => self.settings.quality_score.map_or(Outcome::Done, Outcome::Scored),
            Some(false) | None => return,
        };
        self.conclude_first(|wait| matches!(wait, Wait::Score { .. }), outcome, fx);
    }

    /// The page goes: if it was pushed, it is gone where it was sent.
    pub(crate) fn handle_page_gone(&mut self, fx: &mut Effects<'_>) {
        while self.conclude_first(|wait| matches!(wait, Wait::Page), Outcome::Done, fx) {}
        self.end_test(fx);
    }

    /// A test goes with the page that makes it.
    pub(crate) fn end_test(&mut self, fx: &mut Effects<'_>) {
        self.settings.quality_test = self.settings.quality_test.map(|_| false);
        self.conclude_first(|wait| matches!(wait, Wait::Score { .. }), Outcome::Refused, fx);
    }

    /// The shopper's page is there, and can do what was kept for it.
    pub(crate) fn carry_out_kept(&mut self, fx: &mut Effects<'_>) {
        if let (Visitor::Here(_), Some(change)) = (self.visitor, self.commanded.desk.take()) {
            self.tell(change.into_event(By::Desk), fx);
        }
        while !self.is_between_pages() {
            let Some(running) = self.take(|wait| matches!(wait, Wait::Visitor(_))) else { return };
            self.do_kept(running, fx);
        }
    }

    /// A command has waited long enough.
    pub(crate) fn handle_command_timeout(&mut self, fx: &mut Effects<'_>) {
        while let Some(at) = self.commanded.running.iter().position(|it| it.until <= fx.now) {
            let running = self.commanded.running.remove(at);
            // A page whose microphone is not allowed yet, which may take as long as the shopper likes, can do most things.
            if matches!(running.wait, Wait::Visitor(_)) && self.visitor != Visitor::Away {
                self.do_kept(running, fx);
                continue;
            }
            if self.visitor == Visitor::Unreached {
                self.conversation.withdraw_commands(CallState::Answered);
            }
            self.conclude(running.sequence, Outcome::Refused, fx);
        }
        self.await_commands();
    }

    /// Takes the first command that waits so.
    fn take(&mut self, waits: impl Fn(&Wait) -> bool) -> Option<Running> {
        let at = self.commanded.running.iter().position(|it| waits(&it.wait))?;
        let running = self.commanded.running.remove(at);
        self.await_commands();
        Some(running)
    }

    /// Ends the first command that waits so. Whether there was one.
    fn conclude_first(&mut self, waits: impl Fn(&Wait) -> bool, outcome: Outcome, fx: &mut Effects<'_>) -> bool {
        let running = self.take(waits);
        let was_there = running.is_some();
        if let Some(Running { sequence, .. }) = running {
            self.conclude(sequence, outcome, fx);
        }
        was_there
    }

    fn await_commands(&mut self) {
        match self.commanded.running.iter().map(|it| it.until).min() {
            Some(at) => self.timers.arm(Timer::Command, at),
            None => self.timers.disarm(Timer::Command),
        }
    }

    fn act_on_keys(&mut self, fx: &mut Effects<'_>) {
        for heard in self.keys.drain() {
            match heard {
                Heard::AskTable => fx.outputs.push_back(Output::FindCommands {
                    call: self.id.clone(),
                    merchant: self.plan.merchant.clone(),
                    origin: self.plan.origin.clone(),
                }),
                Heard::Digit(Key { digit, duration_ms, .. }) => {
                    self.tell(VisitorEvent::Digit { digit: digit.to_string(), duration_ms }, fx);
                }
                Heard::Command { sequence, act } => self.carry_out(sequence, act, fx),
            }
        }
        match self.keys.deadline() {
            Some(at) => self.timers.arm(Timer::Keys, at),
            None => self.timers.disarm(Timer::Keys),
        }
    }

    fn carry_out(&mut self, sequence: String, act: Act, fx: &mut Effects<'_>) {
        if act == Act::Impossible
            || self.commanded.running.len() >= MAX_RUNNING
            // It goes on.
            || act == Act::Step(Step::QualityTest) && self.is_testing()
        {
            return self.conclude(sequence, Outcome::Refused, fx);
        }
        if matches!(act, Act::Page(_) | Act::Resolve(_)) {
            self.conclude_first(|wait| matches!(wait, Wait::Answer(_)), Outcome::Refused, fx);
        }
        if self.is_between_pages() {
            while self.conclude_first(|wait| matches!(wait, Wait::Visitor(_)), Outcome::Refused, fx) {}
            return self.wait_for(sequence, Wait::Visitor(Kept::Act(act)), KEPT_FOR, fx);
        }
        let pending = self.pending();
        self.act(sequence, act, &pending, fx);
    }

    fn do_kept(&mut self, Running { sequence, wait, .. }: Running, fx: &mut Effects<'_>) {
        match wait {
            Wait::Visitor(Kept::Act(act)) => self.act(sequence, act, &Change::default(), fx),
            Wait::Visitor(Kept::Push(url)) => self.show(sequence, url, fx),
            Wait::Page | Wait::Answer(_) | Wait::Settings(..) | Wait::Score { .. } => {}
        }
    }

    /// What steps have asked for and the panel has not told yet.
    fn pending(&self) -> Change {
        let asked = self.commanded.running.iter().filter_map(|running| match &running.wait {
            Wait::Settings(_, change) => Some(change.clone()),
            Wait::Page | Wait::Answer(_) | Wait::Score { .. } | Wait::Visitor(_) => None,
        });
        asked.fold(Change::default(), |before, change| change.over(before))
    }

    /// Steps go on from what is `pending`.
    fn act(&mut self, sequence: String, act: Act, pending: &Change, fx: &mut Effects<'_>) {
        match act {
            Act::Page(template) => {
                let url = self.fill_in(&template, &sequence);
                self.show(sequence, url, fx);
            }
            Act::Resolve(url) => {
                self.question = Question(self.question.0.wrapping_add(1));
                let (call, question, plan) = (self.id.clone(), self.question, &self.plan);
                let request = ResolveRequest {
                    url,
                    sequence: sequence.clone(),
                    customer: plan.customer.clone(),
                    page: plan.page.clone(),
                };
                let (merchant, origin) = (plan.merchant.clone(), plan.origin.clone());
                fx.outputs.push_back(Output::Resolve { call, merchant, origin, question, request });
                self.wait_for(sequence, Wait::Answer(question), CARRIED_OUT_WITHIN, fx);
            }
            Act::Step(step) => match self.after(step, pending) {
                Some(change) => {
                    let (wait, within) = match step {
                        Step::QualityTest => (Wait::Score { begun: false }, TESTED_WITHIN),
                        Step::Echo { .. } => (Wait::Settings(step, change.clone()), LAYERED_WITHIN),
                        Step::Speaker(_) | Step::Microphone(_) | Step::Mute => {
                            (Wait::Settings(step, change.clone()), CARRIED_OUT_WITHIN)
                        }
                    };
                    self.tell(change.into_event(By::Agent), fx);
                    self.wait_for(sequence, wait, within, fx);
                }
                None => self.conclude(sequence, Outcome::Refused, fx),
            },
            Act::Impossible => self.conclude(sequence, Outcome::Refused, fx),
        }
    }

    fn push(&mut self, sequence: String, url: String, fx: &mut Effects<'_>) {
        if self.is_between_pages() {
            return self.wait_for(sequence, Wait::Visitor(Kept::Push(url)), KEPT_FOR, fx);
        }
        self.show(sequence, url, fx);
    }

    fn show(&mut self, sequence: String, url: String, fx: &mut Effects<'_>) {
        self.tell(VisitorEvent::Page { url, by: By::Agent }, fx);
        self.wait_for(sequence, Wait::Page, CARRIED_OUT_WITHIN, fx);
    }

    fn wait_for(&mut self, sequence: String, wait: Wait, within: Duration, fx: &mut Effects<'_>) {
        self.commanded.running.push(Running { sequence, wait, until: fx.now + within });
        self.await_commands();
    }

    fn conclude(&mut self, sequence: String, outcome: Outcome, fx: &mut Effects<'_>) {
        let tone = match outcome {
            Outcome::Done => Tone::Done,
            Outcome::Scored(score) => Tone::Scored(score),
            Outcome::Refused => Tone::Refused,
        };
        self.command(Command::Tone { call: self.id.clone(), tone }, fx);
        fx.outputs.push_back(Output::Commanded { call: self.id.clone(), sequence, outcome });
    }

    /// Nobody is there to whom anything could be shown, or the next page has not got as far as the microphone.
    fn is_between_pages(&self) -> bool {
        self.visitor == Visitor::Away || !self.said.ready
    }

    fn is_testing(&self) -> bool {
        self.settings.quality_test == Some(true)
            || self.commanded.running.iter().any(|it| matches!(it.wait, Wait::Score { .. }))
    }

    /// What a step comes to from what is set, or about to be; `None` where there is no further one, or where that is not known: a
    /// panel tells it at the answer, and again to a server that has forgotten.
    fn after(&self, step: Step, pending: &Change) -> Option<Change> {
        let level = |now: Option<i32>, steps: i32| {
            let now = now?;
            Some(now.saturating_add(steps * STEP_DB).clamp(MIN_DB, MAX_DB)).filter(|then| *then != now)
        };
        let (settings, none) = (&self.settings, Change::default());
        let (speaker, microphone) =
            (pending.speaker_db.or(settings.speaker_db), pending.microphone_db.or(settings.microphone_db));
        Some(match step {
            Step::Speaker(steps) => Change { speaker_db: Some(level(speaker, steps)?), ..none },
            Step::Microphone(steps) => Change { microphone_db: Some(level(microphone, steps)?), ..none },
            Step::Echo { up } => {
                let layer = pending.echo.or(settings.echo)?.step(up)?;
                Change { echo: Some(layer), ..none }
            }
            Step::Mute => Change { muted: Some(true), ..none },
            Step::QualityTest => Change { quality_test: Some(true), ..none },
        })
    }

    /// Puts what is known of the call in the place of the template's placeholders.
    fn fill_in(&self, template: &str, sequence: &str) -> String {
        let (call, plan) = (self.id.as_str(), &self.plan);
        let values = [
            ("{customer}", plan.customer.as_deref().unwrap_or_default()),
            ("{call}", call),
            ("{sequence}", sequence),
            ("{page}", plan.page.as_deref().unwrap_or_default()),
        ];
        let mut text = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            text.push_str(before);
            match values.iter().find(|(name, _)| after.starts_with(name)) {
                Some((name, value)) => {
                    push_encoded(&mut text, value);
                    rest = after.get(name.len()..).unwrap_or_default();
                }
                None => {
                    text.push('{');
                    rest = after.get(1..).unwrap_or_default();
                }
            }
        }
        text + rest
    }

    fn is_answered(&self) -> bool {
        matches!(self.stage, Stage::Live(CallState::Answered))
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
fn push_encoded(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
}

impl CommandTable {
    /// Whether a longer sequence begins like this.
    pub(crate) fn goes_on(&self, sequence: &str) -> bool {
        let mut longer = self.acts.range::<str, _>((std::ops::Bound::Excluded(sequence), std::ops::Bound::Unbounded));
        longer.next().is_some_and(|(next, _)| next.starts_with(sequence))
    }
}
