//! What the far end has keyed, and what of that waits for somebody.

use super::Facts;
use crate::keys::Heard;
use crate::{Act, Config, Question};
use protocol::visitor::EndReason;
use std::time::{Duration, Instant};

/// What a command waits for.
#[derive(PartialEq)]
pub(super) enum Running {
    Page,
    Answer(Question),
    Mute,
}

/// What passes without ending a call.
pub(super) enum Harmless {
    Judgement,
    Contest,
    Keys,
    Command,
}

/// From a command to the refusal for want of an answer.
pub(super) const COMMAND: Duration = Duration::from_secs(3);

impl Facts {
    /// The next deadline up to now that does not end the call, and does not lie behind one that does.
    pub(super) fn harmless(&self, config: &Config, now: Instant) -> Option<Harmless> {
        let ends = self.deadlines(config);
        let before = |at: Instant| ends.iter().all(|(end, _)| *end > at);
        // Of what falls together, the loss of the audio path comes first.
        let judged = |at| ends.iter().all(|(end, why)| *end > at || (*end == at && *why != EndReason::MediaFailed));
        let due = [
            (self.judgement().filter(|at| judged(*at)), Harmless::Judgement),
            (self.contest(), Harmless::Contest),
            (self.keys.deadline().filter(|at| before(*at)), Harmless::Keys),
            (self.command().filter(|at| before(*at)), Harmless::Command),
        ];
        let due = due.into_iter().filter_map(|(at, what)| Some((at.filter(|at| *at <= now)?, what)));
        due.min_by_key(|(at, _)| *at).map(|(_, what)| what)
    }

    pub(super) fn command(&self) -> Option<Instant> {
        self.running.as_ref().map(|(_, since)| *since + COMMAND)
    }

    /// What the far end has keyed takes effect.
    pub(super) fn act_on_keys(&mut self, now: Instant) {
        for heard in self.keys.drain() {
            let act = match heard {
                Heard::Command { act, .. } => act,
                Heard::Digit(_) => {
                    self.digits += 1;
                    continue;
                }
                Heard::AskTable => continue,
            };
            self.running = None;
            match act {
                _ if self.away.is_some() => self.tones.1 += 1,
                Act::Page(_) => self.running = Some((Running::Page, now)),
                Act::Resolve(_) => {
                    self.questions += 1;
                    self.running = Some((Running::Answer(Question(self.questions)), now));
                }
                Act::Step(_) => self.running = Some((Running::Mute, now)),
                Act::Impossible => self.tones.1 += 1,
            }
        }
    }

    pub(super) fn conclude(&mut self, what: &Running, done: bool) {
        if self.running.take_if(|(running, _)| running == what).is_some() {
            *(if done { &mut self.tones.0 } else { &mut self.tones.1 }) += 1;
        }
    }
}
