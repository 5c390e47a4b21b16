//! What the far end has keyed, and what of that waits for somebody.

use super::Facts;
use crate::keys::{Heard, Keys};
use crate::{Act, Config, Question, Step};
use protocol::visitor::{EndReason, VisitorRequest};
use std::time::{Duration, Instant};

/// What the far end has keyed.
#[derive(Default)]
pub(super) struct Keyed {
    /// Proven against a reference of its own in `keys.rs`.
    pub(super) keys: Keys,
    /// What is commanded and not yet done, and since when.
    running: Vec<(Running, Instant)>,
    questions: u32,
    muted: bool,
    /// A test of the connection runs, as the page says.
    testing: bool,
    /// The page that has the call has said `ready`.
    pub(super) page_ready: bool,
    /// Commands that were done, and that were refused.
    tones: (usize, usize),
}

/// What a command waits for.
#[derive(PartialEq)]
enum Running {
    Page,
    Answer(Question),
    Mute,
    /// A test, and whether the page has said that it makes one.
    Test(bool),
    /// The next page.
    Back(Kept),
}

/// What the next page is to do.
#[derive(PartialEq)]
enum Kept {
    Act(Act),
    Push,
}

/// What passes without ending a call.
pub(super) enum Harmless {
    Judgement,
    Contest,
    Keys,
    Command,
}

/// From a command to the refusal for want of an answer.
const COMMAND: Duration = Duration::from_secs(3);

/// From the begin of a test.
const TEST: Duration = Duration::from_secs(12);

/// When a command is refused.
fn ends((running, since): &(Running, Instant)) -> Instant {
    *since + if matches!(running, Running::Test(_)) { TEST } else { COMMAND }
}

impl Keyed {
    /// The call is over, or begins anew.
    pub(super) fn end(&mut self) {
        (self.keys, self.running) = (Keys::default(), Vec::new());
    }
}

impl Facts {
    /// The next deadline up to now that does not end the call, and does not lie behind one that does.
    pub(super) fn harmless(&self, config: &Config, now: Instant) -> Option<Harmless> {
        let ends = self.deadlines(config);
        let before = |at: Instant| ends.iter().all(|(end, _)| *end > at);
        // Of what falls together, this comes first but for the longest call.
        let judged = |at| ends.iter().all(|(end, why)| *end > at || (*end == at && *why == EndReason::TooLong));
        let due = [
            (self.judgement().filter(|at| judged(*at)), Harmless::Judgement),
            (self.contest(), Harmless::Contest),
            (self.keyed.keys.deadline().filter(|at| before(*at)), Harmless::Keys),
            (self.command().filter(|at| before(*at)), Harmless::Command),
        ];
        let due = due.into_iter().filter_map(|(at, what)| Some((at.filter(|at| *at <= now)?, what)));
        due.min_by_key(|(at, _)| *at).map(|(_, what)| what)
    }

    /// Commands that were done, and that were refused.
    pub(in crate::tests) fn tones(&self) -> (usize, usize) {
        self.keyed.tones
    }

    pub(super) fn command(&self) -> Option<Instant> {
        self.keyed.running.iter().map(ends).min()
    }

    /// What the far end has keyed takes effect.
    pub(super) fn act_on_keys(&mut self, now: Instant) {
        for heard in self.keyed.keys.drain() {
            let act = match heard {
                Heard::Command { act, .. } => act,
                Heard::Digit(_) => {
                    self.digits += 1;
                    continue;
                }
                Heard::AskTable => continue,
            };
            let tests = self.keyed.testing || self.keyed.running.iter().any(|(it, _)| matches!(it, Running::Test(_)));
            let full = self.keyed.running.len() == 16;
            if act == Act::Impossible || full || act == Act::Step(Step::QualityTest) && tests {
                self.keyed.tones.1 += 1;
                continue;
            }
            if matches!(act, Act::Page(_) | Act::Resolve(_)) {
                self.conclude(|it| matches!(it, Running::Answer(_)), false);
            }
            if self.is_between_pages() {
                while self.conclude(|it| matches!(it, Running::Back(_)), false) {}
                self.keyed.running.push((Running::Back(Kept::Act(act)), now));
            } else {
                self.act(act, now);
            }
        }
    }

    fn act(&mut self, act: Act, now: Instant) {
        let running = match act {
            Act::Page(_) => Running::Page,
            Act::Resolve(_) => {
                self.keyed.questions += 1;
                Running::Answer(Question(self.keyed.questions))
            }
            Act::Step(Step::QualityTest) => Running::Test(false),
            Act::Step(_) => Running::Mute,
            Act::Impossible => {
                self.keyed.tones.1 += 1;
                return;
            }
        };
        self.keyed.running.push((running, now));
    }

    fn is_between_pages(&self) -> bool {
        self.away.is_some() || !self.keyed.page_ready
    }

    /// The merchant's server has named a page, or none.
    pub(super) fn resolved(&mut self, question: Question, page: bool, now: Instant) {
        let asked = |it: &Running| *it == Running::Answer(question);
        if !page {
            self.conclude(asked, false);
        } else if self.take(asked).is_some() {
            let next = if self.is_between_pages() { Running::Back(Kept::Push) } else { Running::Page };
            self.keyed.running.push((next, now));
        }
    }

    /// The page that has the call says `ready`.
    pub(super) fn page_is_ready(&mut self, now: Instant) {
        self.keyed.page_ready = true;
        self.do_kept(now);
    }

    /// Another page has the call.
    pub(super) fn page_is_new(&mut self) {
        self.keyed.page_ready = false;
        self.end_test();
    }

    /// The page that has the call is gone.
    pub(super) fn page_goes(&mut self) {
        while self.conclude(|it| *it == Running::Page, true) {}
        self.end_test();
    }

    fn end_test(&mut self) {
        self.keyed.testing = false;
        self.conclude(|it| matches!(it, Running::Test(_)), false);
    }

    /// What was kept for a page is done by it, if there is one.
    pub(super) fn do_kept(&mut self, now: Instant) {
        while !self.is_between_pages() {
            let Some(Running::Back(kept)) = self.take(|it| matches!(it, Running::Back(_))) else { return };
            self.do_it(kept, now);
        }
    }

    fn do_it(&mut self, kept: Kept, now: Instant) {
        match kept {
            Kept::Act(act) => self.act(act, now),
            Kept::Push => self.keyed.running.push((Running::Page, now)),
        }
    }

    /// A command has waited long enough; a page that is there does what was kept for it.
    pub(super) fn give_up(&mut self, now: Instant) {
        while let Some(at) = self.keyed.running.iter().position(|it| ends(it) <= now) {
            match self.keyed.running.remove(at) {
                (Running::Back(kept), _) if self.away.is_none() => self.do_it(kept, now),
                _ => self.keyed.tones.1 += 1,
            }
        }
    }

    /// The page tells of a page that was pushed, or of its settings.
    pub(super) fn report(&mut self, report: &VisitorRequest) {
        if let VisitorRequest::Shown { done } = report {
            self.conclude(|it| *it == Running::Page, *done);
        }
        let VisitorRequest::Settings { muted, quality_test, refused, .. } = report else { return };
        let refused = *refused == Some(true);
        self.keyed.muted |= *muted == Some(true);
        self.keyed.testing = quality_test.unwrap_or(self.keyed.testing);
        let refused = refused && !self.conclude(|it| *it == Running::Mute, false);
        while self.keyed.muted && self.conclude(|it| *it == Running::Mute, true) {}
        if *quality_test == Some(true) {
            for (running, _) in &mut self.keyed.running {
                if let Running::Test(begun) = running {
                    *begun = true;
                }
            }
        } else if refused {
            self.conclude(|it| matches!(it, Running::Test(_)), false);
        } else if *quality_test == Some(false) {
            self.conclude(|it| *it == Running::Test(true), true);
        }
    }

    fn take(&mut self, is_it: impl Fn(&Running) -> bool) -> Option<Running> {
        let at = self.keyed.running.iter().position(|(it, _)| is_it(it))?;
        Some(self.keyed.running.remove(at).0)
    }

    /// Whether there was one.
    fn conclude(&mut self, is_it: impl Fn(&Running) -> bool, done: bool) -> bool {
        let was_there = self.take(is_it).is_some();
        if was_there {
            *(if done { &mut self.keyed.tones.0 } else { &mut self.keyed.tones.1 }) += 1;
        }
        was_there
    }
}
