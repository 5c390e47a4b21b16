//! The legs of checks: no calls, so that nothing of them reaches a record, a trunk or a merchant's limits. Driven like the
//! [`Switchboard`](crate::Switchboard) beside it, and as bounded: each leg ends by itself.
//!
//! Not here: who may check (token and limits), and what the browser makes of what comes back.

use crate::{MAX_CANDIDATE_BYTES, MAX_CANDIDATES};
use protocol::check::{Finding, MAX_SECONDS};
use protocol::error::ErrorCode;
use protocol::gateway::{Command, Event, Failure};
use protocol::{CallId, GatewayId, offer};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Legs of checks at the same time, those included that wait for their gateway's [`Event::Closed`]. A check has two for some
/// seconds: this many are a check begun every 0.3 s all the time.
pub const MAX_CHECK_LEGS: usize = 64;

/// How long a leg may last.
const LIFE: Duration = Duration::from_secs(MAX_SECONDS as u64);

/// How long a gateway may take to confirm the release; there is no far end that it would have to wait for.
const RELEASE: Duration = Duration::from_secs(5);

/// What happens to the legs of checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckInput {
    /// A browser offers a leg. Answered by [`CheckOutput::Answer`] or [`CheckOutput::Ended`].
    Offer {
        /// A fresh id. An id that is in use is ignored.
        leg: CallId,
        /// Where the leg goes: see [`Switchboard::gateway_for_check`](crate::Switchboard::gateway_for_check).
        gateway: Option<GatewayId>,
        /// SDP.
        sdp: String,
    },
    /// A candidate of the browser. What is too long or too much is ignored.
    Candidate {
        /// Of which leg.
        leg: CallId,
        /// The candidate attribute's value.
        candidate: String,
    },
    /// Nobody listens to the leg any more.
    Over {
        /// Which.
        leg: CallId,
    },
    /// A gateway reported something about a leg for which [`Checks::has`].
    Gateway {
        /// From which connection.
        gateway: GatewayId,
        /// What.
        event: Event,
    },
    /// The connection to a gateway is gone. When it is back, it is told to release what it names and nobody knows.
    GatewayLost {
        /// Which.
        gateway: GatewayId,
    },
    /// End every leg and take no further one.
    Stop,
}

/// Everything that checks do to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOutput {
    /// Send a command to a gateway.
    Gateway {
        /// Which.
        gateway: GatewayId,
        /// The command.
        command: Command,
    },
    /// Tell the browser the gateway's answer, and carry frames between it and the gateway until the leg has ended.
    Answer {
        /// Of which leg.
        leg: CallId,
        /// Where it is.
        gateway: GatewayId,
        /// SDP.
        sdp: String,
    },
    /// Tell the browser that the leg is over, or was never there. The last output about a leg that the browser shall hear of.
    Ended {
        /// Which.
        leg: CallId,
        /// Why; `None`: its time is over.
        code: Option<&'static str>,
    },
}

/// The legs of all checks.
#[derive(Debug, Default)]
pub struct Checks {
    legs: BTreeMap<CallId, Leg>,
    outputs: VecDeque<CheckOutput>,
    stopping: bool,
}

#[derive(Debug)]
struct Leg {
    gateway: GatewayId,
    candidates: usize,
    /// The end of its life, or of the gateway's time to confirm.
    deadline: Instant,
    releasing: bool,
}

impl Checks {
    /// Takes an input. Inputs about legs that are unknown or over have no effect.
    pub fn handle_input(&mut self, input: CheckInput, now: Instant) {
        match input {
            CheckInput::Offer { leg, gateway, sdp } => self.offer(leg, gateway, sdp, now),
            CheckInput::Candidate { leg: id, candidate } => {
                let Some(leg) = self.legs.get_mut(&id).filter(|leg| !leg.releasing) else { return };
                leg.candidates += 1;
                if leg.candidates <= MAX_CANDIDATES && candidate.len() <= MAX_CANDIDATE_BYTES {
                    let (gateway, command) = (leg.gateway.clone(), Command::Candidate { call: id, candidate });
                    self.outputs.push_back(CheckOutput::Gateway { gateway, command });
                }
            }
            CheckInput::Over { leg } => self.release(&leg, now),
            CheckInput::Gateway { gateway, event } => self.report(&gateway, event, now),
            CheckInput::GatewayLost { gateway } => {
                let lost = self.legs.extract_if(.., |_, leg| leg.gateway == gateway);
                let told = lost.filter(|(_, leg)| !leg.releasing);
                let code = Some(ErrorCode::GatewayGone.word());
                self.outputs.extend(told.map(|(leg, _)| CheckOutput::Ended { leg, code }));
            }
            CheckInput::Stop => {
                self.stopping = true;
                let live = self.legs.iter().filter(|(_, leg)| !leg.releasing).map(|(id, _)| id.clone());
                for leg in live.collect::<Vec<_>>() {
                    self.release(&leg, now);
                    self.end(leg, Some(ErrorCode::ServerStopping.word()));
                }
            }
        }
    }

    /// Lets deadlines pass that lie up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<_> = self.legs.iter().filter(|(_, leg)| leg.deadline <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            if self.legs.get(&id).is_some_and(|leg| leg.releasing) {
                self.legs.remove(&id);
            } else {
                self.release(&id, now);
                self.end(id, None);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<CheckOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `Some` as long as there is a leg.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.legs.values().map(|leg| leg.deadline).min()
    }

    /// Whether this is a check's leg, and no call.
    pub fn has(&self, leg: &CallId) -> bool {
        self.legs.contains_key(leg)
    }

    /// Legs that live or wait for their gateway's confirmation; each has one timer.
    pub fn legs(&self) -> usize {
        self.legs.len()
    }

    fn offer(&mut self, id: CallId, gateway: Option<GatewayId>, sdp: String, now: Instant) {
        if self.legs.contains_key(&id) {
            return;
        }
        if self.stopping {
            return self.end(id, Some(ErrorCode::ServerStopping.word()));
        }
        if self.legs.len() >= MAX_CHECK_LEGS {
            return self.end(id, Some(Finding::TooManyChecks.word()));
        }
        if !offer::is_fit(&sdp) {
            return self.end(id, Some(ErrorCode::MessageInvalid.word()));
        }
        let Some(gateway) = gateway else { return self.end(id, Some(ErrorCode::NoGateway.word())) };
        let leg = Leg { gateway: gateway.clone(), candidates: 0, deadline: now + LIFE, releasing: false };
        self.legs.insert(id.clone(), leg);
        self.outputs.push_back(CheckOutput::Gateway { gateway, command: Command::Echo { call: id, sdp } });
    }

    fn report(&mut self, gateway: &GatewayId, event: Event, now: Instant) {
        let Some(leg) = event.call().and_then(|id| self.legs.get(id)).filter(|leg| leg.gateway == *gateway) else {
            return;
        };
        let releasing = leg.releasing;
        match event {
            Event::Answer { call, sdp } if !releasing => {
                self.outputs.push_back(CheckOutput::Answer { leg: call, gateway: gateway.clone(), sdp });
            }
            Event::Failed { call, failure, .. } if !releasing => {
                let code = match failure {
                    Failure::Full => Finding::TooManyChecks.word(),
                    Failure::OfferUnusable => ErrorCode::MessageInvalid.word(),
                    Failure::AnswerUnusable | Failure::Undialable | Failure::FarEndSilent => {
                        ErrorCode::GatewayGone.word()
                    }
                };
                self.release(&call, now);
                self.end(call, Some(code));
            }
            Event::Closed { call, .. } => {
                self.legs.remove(&call);
                if !releasing {
                    self.end(call, None);
                }
            }
            // That a path does not come about is what the check finds out; a leg has no far end.
            Event::Registered { .. }
            | Event::Answer { .. }
            | Event::Prepared { .. }
            | Event::MediaUp { .. }
            | Event::MediaDown { .. }
            | Event::Ringing { .. }
            | Event::EarlyMedia { .. }
            | Event::Answered { .. }
            | Event::Rejected { .. }
            | Event::TrunkUnreachable { .. }
            | Event::FarEndHungUp { .. }
            | Event::Digit { .. }
            | Event::Failed { .. }
            | Event::Transport { .. } => {}
        }
    }

    fn release(&mut self, id: &CallId, now: Instant) {
        let Some(leg) = self.legs.get_mut(id).filter(|leg| !leg.releasing) else { return };
        (leg.releasing, leg.deadline) = (true, now + RELEASE);
        let command = Command::Release { call: id.clone(), why: "check".to_owned() };
        self.outputs.push_back(CheckOutput::Gateway { gateway: leg.gateway.clone(), command });
    }

    fn end(&mut self, leg: CallId, code: Option<&'static str>) {
        self.outputs.push_back(CheckOutput::Ended { leg, code });
    }
}
