//! The task between the signal-server and the two planes: it turns [`Command`]s into orders for the media thread and the SIP
//! side, and what those report into [`Event`]s. It keeps one entry for each call, for as long as anything of it is left.
//!
//! Deliberately not here: what a call should do next. The signal-server decides that; here is only what it takes.

mod echo;
mod entry;
mod loss;
mod orders;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

pub(crate) use entry::Call;
use metrics::gauge;
use protocol::gateway::{CallStats, Command, Event, Failure, Side, VERSION};
use protocol::visitor::Quality;
use protocol::{CallId, GatewayId, TrunkName};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::Dtmf;
use crate::media::ports::Ports;
use crate::media::{CallOrder, MediaCommand, MediaEvent, MediaHandle};
use crate::once::Way;
use crate::sip::sdp::{self, Local, Remote};
use crate::sip::{Dial, SipError, SipEvent, SipHandle};

/// Events that wait for the signal-server. Beyond that no commands are taken, so that a signal-server that does not listen
/// makes no more work.
const MAX_PENDING: usize = 4096;

/// How long a call whose leg is gone waits for [`Command::Release`]. The signal-server releases at once; it may be restarting.
const ORPHAN_DEADLINE: Duration = Duration::from_secs(60);

/// How long a released call may take: RFC 3261's timers B and F are 32 s.
const RELEASE_DEADLINE: Duration = Duration::from_secs(45);

/// How often the deadlines are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// The parts that the task connects.
pub(crate) struct Controller {
    /// The gateway's name.
    pub name: GatewayId,
    /// How many calls at the same time.
    pub capacity: usize,
    /// The trunks' names.
    pub trunks: Vec<TrunkName>,
    /// How keys travel on them.
    pub dtmf: BTreeMap<TrunkName, Dtmf>,
    /// The address in our SDP.
    pub rtp_public_ip: IpAddr,
    /// The RTP ports.
    pub ports: Ports,
    /// The media thread.
    pub media: MediaHandle,
    /// The SIP side.
    pub sip: SipHandle,
    /// One entry for each call.
    pub calls: BTreeMap<CallId, Call>,
    /// Events that wait.
    pub pending: VecDeque<Event>,
}

/// The channels of the task.
pub(crate) struct Channels {
    /// From the signal-server.
    pub commands: mpsc::Receiver<Command>,
    /// To the signal-server.
    pub events: mpsc::Sender<Event>,
    /// From the media thread.
    pub media: mpsc::Receiver<MediaEvent>,
    /// From the SIP side.
    pub sip: mpsc::Receiver<SipEvent>,
    /// Connections of browsers that somebody else has accepted.
    pub sockets: mpsc::Receiver<std::net::TcpStream>,
    /// Questions and orders that are no signal-server's.
    pub questions: mpsc::Receiver<Ask>,
    /// Ask for the end.
    pub ends: Ends,
}

/// What others want of the task than the signal-server.
#[derive(Debug)]
pub(crate) enum Ask {
    /// [`Event::Registered`] and what must follow it.
    Registration(oneshot::Sender<Vec<Event>>),
    /// Another process is to take this one's place, and passes on what is ours.
    Strays(std::os::unix::net::UnixDatagram),
    /// It has the sockets: no further call. The name is what signal-servers know us by from now on.
    LetGo(GatewayId),
}

/// The ways in which the task is asked to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    /// Takes no further call; ends the task when the last one has ended.
    pub drain: CancellationToken,
    /// Ends the task: calls are released first.
    pub stop: CancellationToken,
    /// Ends the task at once: what is not over is given up.
    pub abandon: CancellationToken,
    /// Nobody asked: the task says that it ends because the media thread is gone.
    pub broken: CancellationToken,
}

impl Controller {
    /// Runs until `stop` is cancelled or the signal-server's end of a channel is gone, and all calls have ended.
    pub(crate) async fn run(mut self, mut channels: Channels) {
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_draining, mut is_stopping, sip) = (false, false, self.sip.clone());
        let (predecessor_gone, mut is_alone) = (sip.predecessor_gone(), false);
        tokio::pin!(predecessor_gone);
        self.pending.push_back(self.registered());
        self.show();
        while !(is_stopping || is_draining && is_alone && self.pending.is_empty()) || !self.calls.is_empty() {
            tokio::select! {
                permit = channels.events.reserve(), if !self.pending.is_empty() => match permit {
                    Ok(permit) => if let Some(event) = self.pending.pop_front() { permit.send(event) },
                    // Nobody listens: what waits is for nobody, and calls cannot be steered any more.
                    Err(_) => {
                        self.pending.clear();
                        is_stopping = self.stop(is_stopping, "nobody listens to the gateway").await;
                    }
                },
                command = channels.commands.recv(), if !is_stopping && self.pending.len() < MAX_PENDING => match command {
                    Some(command) => self.handle_command(command).await,
                    None => is_stopping = self.stop(is_stopping, "the signal-server is gone").await,
                },
                event = channels.media.recv(), if !channels.ends.broken.is_cancelled() => match event {
                    Some(event) => self.handle_media(event).await,
                    None => is_stopping = self.lose_media(is_stopping, &channels.ends).await,
                },
                Some(event) = channels.sip.recv() => self.handle_sip(event).await,
                Some(socket) = channels.sockets.recv() => self.media.send(MediaCommand::Adopt { socket }).await,
                Some(question) = channels.questions.recv() => is_draining |= self.answer(question).await,
                // What comes for its calls comes to us.
                () = &mut predecessor_gone, if !is_alone => is_alone = true,
                _ = sweep.tick() => self.sweep().await,
                () = channels.ends.drain.cancelled(), if !is_draining => {
                    info!(calls = self.calls.len(), "no further calls");
                    (is_draining, self.capacity) = (true, 0);
                    self.pending.push_back(self.registered());
                }
                () = channels.ends.stop.cancelled(), if !is_stopping => {
                    is_stopping = self.stop(is_stopping, "the gateway is stopping").await;
                }
                () = channels.ends.abandon.cancelled() => break,
            }
        }
        for id in self.calls.keys().cloned().collect::<Vec<_>>() {
            self.give_up(&id);
        }
        for event in self.pending.drain(..) {
            // Whoever still listens gets the last events; nobody is waited for.
            let _ = channels.events.try_send(event);
        }
        self.media.send(MediaCommand::Shutdown).await;
    }

    /// Returns whether no further call is to be taken.
    async fn answer(&mut self, question: Ask) -> bool {
        match question {
            // Whoever asked may have gone.
            Ask::Registration(reply) => drop(reply.send(self.registration())),
            Ask::Strays(inlet) => self.media.send(MediaCommand::Strays { inlet }).await,
            Ask::LetGo(name) => {
                info!(calls = self.calls.len(), %name, "no further calls: another process has the ports");
                (self.name, self.capacity) = (name, 0);
                self.media.send(MediaCommand::LetGo).await;
                return true;
            }
        }
        false
    }

    async fn stop(&mut self, is_stopping: bool, why: &str) -> bool {
        if !is_stopping {
            info!(calls = self.calls.len(), why, "the gateway stops");
            for call in self.calls.keys().cloned().collect::<Vec<_>>() {
                self.release(&call, why).await;
            }
        }
        true
    }

    fn registered(&self) -> Event {
        Event::Registered {
            version: VERSION,
            gateway: self.name.clone(),
            capacity: u32::try_from(self.capacity).unwrap_or(u32::MAX),
            trunks: self.trunks.clone(),
            calls: self.calls.iter().map(|(id, call)| call.carried(id)).collect(),
        }
    }

    fn registration(&self) -> Vec<Event> {
        let last_words = self.calls.values().filter_map(|call| call.last_word.clone());
        std::iter::once(self.registered()).chain(last_words).collect()
    }

    async fn handle_command(&mut self, command: Command) {
        match command {
            Command::Offer { call, sdp, quality } => self.offer(call, sdp, quality).await,
            Command::Echo { call, sdp } => self.echo(call, sdp).await,
            Command::Candidate { call, candidate } => {
                if self.calls.contains_key(&call) {
                    self.order(&call, CallOrder::Candidate(candidate)).await;
                }
            }
            Command::Dial { call, trunk, address, caller_name, headers } => {
                let sdp = String::new();
                self.dial(Dial { call, trunk, address, caller_name, headers, sdp }).await;
            }
            Command::VisitorAway { call } => self.visitor_leaves(&call).await,
            Command::Prepare { call, fingerprint } => self.prepare_if_live(call, fingerprint).await,
            Command::Frames { call, codec } => self.order_if_live(&call, CallOrder::Frames(codec)).await,
            Command::Press { call, digits } => self.order_if_live(&call, CallOrder::Press(digits)).await,
            Command::Tone { call, tone } => {
                if self.calls.get(&call).is_some_and(|entry| entry.is_answered && entry.released.is_none()) {
                    self.order(&call, CallOrder::Tone(tone)).await;
                }
            }
            Command::Release { call, why } => {
                if self.calls.contains_key(&call) {
                    self.release(&call, &why).await;
                } else {
                    self.pending.push_back(Event::Closed { call, stats: CallStats::default() });
                }
            }
        }
    }

    async fn offer(&mut self, call: CallId, sdp: String, quality: Quality) {
        if let Some(entry) = self.calls.get_mut(&call) {
            if entry.released.is_some() || !entry.media_is_open {
                return warn!(%call, "an offer for a call that ends is ignored");
            }
            (entry.is_away, entry.media_is_up) = (false, false);
            return self.media.send(MediaCommand::Offer { call, sdp, quality }).await;
        }
        let calls = self.calls.len() - self.echoes();
        if calls >= self.capacity {
            let detail = format!("{calls} calls");
            return self.fail(&call, Failure::Full, detail);
        }
        self.calls.insert(call.clone(), Call { media_is_open: true, ..Call::default() });
        self.show();
        self.media.send(MediaCommand::Offer { call, sdp, quality }).await;
    }

    async fn dial(&mut self, dial: Dial) {
        let id = dial.call.clone();
        let is_dialable = |call: &&mut Call| call.media_is_open && call.released.is_none() && call.echo.is_none();
        let Some(call) = self.calls.get_mut(&id).filter(is_dialable) else {
            return self.fail(&id, Failure::Undialable, "there is no visitor's leg".to_owned());
        };
        if call.local.is_some() {
            return warn!(call = %id, "dialled already");
        }
        let (sockets, port) = match self.ports.take() {
            Ok(taken) => taken,
            Err(error) => return self.fail(&id, Failure::Full, format!("no RTP port: {error}")),
        };
        let rtp = SocketAddr::new(self.rtp_public_ip, port);
        let local = Local { rtp, session_id: u64::from(rand::random::<u32>()), version: 1 };
        call.local = Some(local);
        let dtmf = self.dtmf.get(&dial.trunk).copied().unwrap_or_default();
        self.media.send(MediaCommand::Attach { call: id.clone(), sockets, dtmf }).await;
        match self.sip.dial(Dial { sdp: sdp::offer(&local), ..dial }) {
            Ok(()) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.sip_is_open = true;
                }
                self.show();
            }
            Err(error) => {
                let failure = match error {
                    SipError::NoSuchTrunk(_) | SipError::BadAddress | SipError::Listen { .. } => Failure::Undialable,
                    SipError::Full | SipError::Ended => Failure::Full,
                };
                self.fail(&id, failure, error.to_string());
            }
        }
    }

    /// Ends both legs. [`Event::Closed`] follows when nothing is left.
    async fn release(&mut self, id: &CallId, why: &str) {
        let Some(call) = self.calls.get_mut(id).filter(|call| call.released.is_none()) else { return };
        call.released = Some(Instant::now());
        if call.is_away && call.is_answered && call.sip_is_open && call.media_is_open {
            // The far end shall know why nobody speaks any more; the legs end when it has heard it.
            call.farewell = Some(why.to_owned());
            return self.order(id, CallOrder::Farewell).await;
        }
        self.end_legs(id, why).await;
    }

    async fn end_legs(&mut self, id: &CallId, why: &str) {
        if self.calls.get(id).is_some_and(|call| call.sip_is_open) {
            self.hang_up(id, why);
        }
        if self.calls.get(id).is_some_and(|call| call.media_is_open) {
            self.media.send(MediaCommand::Close { call: id.clone() }).await;
        }
        self.finish(id);
    }

    fn hang_up(&mut self, id: &CallId, why: &str) {
        if let Err(error) = self.sip.release(id, why) {
            error!(call = %id, %error, "the SIP leg is not released");
            if let Some(call) = self.calls.get_mut(id) {
                call.sip_is_open = false;
            }
        }
    }

    fn finish(&mut self, id: &CallId) {
        let is_over = |call: &Call| call.released.is_some() && !call.media_is_open && !call.sip_is_open;
        if !self.calls.get(id).is_some_and(is_over) {
            return;
        }
        let Some(call) = self.calls.remove(id) else { return };
        if let Some(local) = call.local {
            self.ports.give_back(local.rtp.port());
        }
        let stats = CallStats { sip_call_id: call.sip_call_id, ..call.stats };
        info!(call = %id, ?stats, "call closed");
        self.pending.push_back(Event::Closed { call: id.clone(), stats });
        self.show();
    }

    async fn handle_media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Answer { call, sdp } => {
                // What broke was an earlier leg of the visitor.
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.visitor_goes_on();
                }
                self.tell(&call, |call| Event::Answer { call, sdp });
            }
            MediaEvent::Prepared { call, fingerprint, sdp } => {
                self.tell(&call, |call| Event::Prepared { call, fingerprint, sdp });
            }
            MediaEvent::FarewellSaid { call } => self.farewell_said(&call).await,
            MediaEvent::OfferUnusable { call, detail } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.media_is_open = false;
                    entry.broken = Some(Instant::now());
                }
                self.fail(&call, Failure::OfferUnusable, detail);
                self.finish(&call);
            }
            // What the path does over which nobody is to be heard any more is nothing to report.
            MediaEvent::Up { call } | MediaEvent::Down { call, .. }
                if self.calls.get(&call).is_some_and(|entry| entry.is_away) => {}
            MediaEvent::Up { call } => {
                self.media_is_up(&call, true);
                // A path that broke is made up for.
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.visitor_goes_on();
                }
                self.tell(&call, |call| Event::MediaUp { call });
            }
            MediaEvent::Transport { call, transport } => {
                self.tell(&call, |call| Event::Transport { call, transport });
            }
            MediaEvent::FarEndSilent { call, silence } => {
                if self.calls.get(&call).is_some_and(|entry| entry.is_answered && entry.released.is_none()) {
                    let detail = format!("neither RTP nor RTCP of the far end for {} s", silence.as_secs());
                    self.fail(&call, Failure::FarEndSilent, detail);
                }
            }
            MediaEvent::Down { call, detail } => {
                self.media_is_up(&call, false);
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.broken.get_or_insert_with(Instant::now);
                }
                self.tell(&call, |call| Event::MediaDown { call, detail });
            }
            MediaEvent::Digit { call, from, way, digit, duration_ms } => self.key(&call, from, way, digit, duration_ms),
            MediaEvent::KeyUp { call, way, digit, duration_ms } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.keys.up(way, digit, Duration::from_millis(duration_ms.into()), Instant::now());
                }
            }
            MediaEvent::Closed { call, stats } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.media_is_open = false;
                    entry.stats = stats;
                }
                self.farewell_said(&call).await;
                self.finish(&call);
            }
        }
    }

    async fn handle_sip(&mut self, event: SipEvent) {
        match event {
            SipEvent::Ringing { call } => {
                let Some(entry) = self.calls.get_mut(&call) else { return };
                if !std::mem::replace(&mut entry.is_ringing, true) && !entry.is_answered {
                    self.order(&call, CallOrder::Ring).await;
                    self.tell(&call, |call| Event::Ringing { call });
                }
            }
            SipEvent::Progress { call, sdp } => {
                if self.connect(&call, sdp::parse_answer(&sdp)).await
                    && self.calls.get_mut(&call).is_some_and(|entry| !std::mem::replace(&mut entry.is_early, true))
                {
                    self.tell(&call, |call| Event::EarlyMedia { call });
                }
            }
            SipEvent::Answered { call, sdp } => {
                // Empty when the far end never said where it is and what it talks: unusable, like any other SDP without audio.
                if self.connect(&call, sdp::parse_answer(&sdp)).await {
                    self.far_end_answers(&call).await;
                }
            }
            SipEvent::Rejected { call, status, phrase } => {
                self.tell_last(&call, |call| Event::Rejected { call, status, phrase });
            }
            SipEvent::Unreachable { call, detail } => {
                self.tell_last(&call, |call| Event::TrunkUnreachable { call, detail });
            }
            SipEvent::Bye { call } => {
                self.tell_last(&call, |call| Event::FarEndHungUp { call });
            }
            SipEvent::ReInvite { call, sdp } => self.reinvited(&call, sdp).await,
            SipEvent::LateAnswer { call, sdp } => {
                self.connect(&call, sdp::parse_answer(&sdp)).await;
            }
            SipEvent::Info { call, digit, duration_ms } => {
                self.key(&call, Side::Agent, Way::Info, digit, duration_ms);
            }
            SipEvent::Incoming { call, .. } => {
                // The gateway does not take calls (`accept_calls` is off); should one come, it is not ours.
                if let Err(error) = self.sip.reject(&call, 404) {
                    debug!(%call, %error, "a call from outside is not refused");
                }
            }
            SipEvent::Closed { call, sip_call_id } => {
                if let Some(entry) = self.calls.get_mut(&call) {
                    entry.sip_is_open = false;
                    entry.sip_call_id = sip_call_id;
                    entry.broken.get_or_insert_with(Instant::now);
                }
                self.finish(&call);
                self.show();
            }
        }
    }

    /// Tells of a key, unless it is the far end's and was told when it came another way.
    fn key(&mut self, id: &CallId, from: Side, way: Way, digit: char, duration_ms: u32) {
        let Some(entry) = self.calls.get_mut(id) else { return };
        let held = Duration::from_millis(duration_ms.into());
        if from == Side::Agent && !entry.keys.is_new(way, digit, held, Instant::now()) {
            return debug!(call = %id, ?way, "a key that came another way before");
        }
        self.tell(id, |call| Event::Digit { call, from, digit, duration_ms });
    }

    /// The far end has heard the farewell, or cannot hear it any more.
    async fn farewell_said(&mut self, id: &CallId) {
        if let Some(why) = self.calls.get_mut(id).and_then(|call| call.farewell.take()) {
            self.end_legs(id, &why).await;
        }
    }

    /// Tells the media thread what was agreed on; a call whose SDP is of no use loses its SIP leg. Returns whether it was.
    async fn connect(&mut self, id: &CallId, remote: Result<Remote, sdp::SdpError>) -> bool {
        match remote {
            Ok(remote) => {
                self.order_connect(id, remote).await;
                true
            }
            Err(error) => {
                self.breaks(id);
                self.fail(id, Failure::AnswerUnusable, error.to_string());
                self.hang_up(id, "unusable SDP");
                false
            }
        }
    }

    async fn reinvited(&mut self, id: &CallId, offer: Option<String>) {
        let Some(local) = self.calls.get_mut(id).and_then(|call| call.local.as_mut()) else { return };
        local.version += 1;
        let reply = match offer {
            None => Ok(sdp::offer(local)),
            Some(offer) => match sdp::answer(&offer, local) {
                Ok((remote, answer)) => {
                    self.order_connect(id, remote).await;
                    Ok(answer)
                }
                Err(error) => {
                    // RFC 3261 section 14.2: the session stays as it was.
                    info!(call = %id, %error, "the far end's new offer is refused");
                    Err(488)
                }
            },
        };
        if let Err(error) = self.sip.answer_reinvite(id, reply) {
            warn!(call = %id, %error, "a re-INVITE is not answered");
        }
    }

    async fn sweep(&mut self) {
        let now = Instant::now();
        let is_past = |since: Option<Instant>, deadline| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= deadline)
        };
        let orphans =
            self.calls.iter().filter(|(_, call)| call.released.is_none() && is_past(call.broken, ORPHAN_DEADLINE));
        for id in orphans.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            warn!(call = %id, "nobody released the call");
            self.release(&id, "abandoned").await;
        }
        self.sweep_echoes(now).await;
        let stuck = self.calls.iter().filter(|(_, call)| is_past(call.released, RELEASE_DEADLINE));
        for id in stuck.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            error!(call = %id, entry = ?self.calls.get(&id), "a released call did not end in time");
            self.give_up(&id);
        }
    }

    fn give_up(&mut self, id: &CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            (call.media_is_open, call.sip_is_open) = (false, false);
            call.released.get_or_insert_with(Instant::now);
        }
        self.finish(id);
    }

    fn media_is_up(&mut self, id: &CallId, is_up: bool) {
        if let Some(call) = self.calls.get_mut(id) {
            call.media_is_up = is_up;
        }
    }

    fn breaks(&mut self, id: &CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.broken.get_or_insert_with(Instant::now);
        }
    }

    /// Reports something of a call that exists and was not released: nobody asks after the others.
    fn tell(&mut self, id: &CallId, event: impl FnOnce(CallId) -> Event) {
        if self.calls.get(id).is_some_and(|call| call.released.is_none()) {
            self.pending.push_back(event(id.clone()));
        }
    }

    /// [`tell`](Self::tell) of what leaves the call without its far end.
    fn tell_last(&mut self, id: &CallId, event: impl FnOnce(CallId) -> Event) {
        self.breaks(id);
        if let Some(call) = self.calls.get_mut(id).filter(|call| call.released.is_none()) {
            let event = event(id.clone());
            call.last_word = Some(event.clone());
            self.pending.push_back(event);
        }
    }

    fn fail(&mut self, id: &CallId, failure: Failure, detail: String) {
        info!(call = %id, ?failure, detail, "a command failed");
        self.breaks(id);
        let event = Event::Failed { call: id.clone(), failure, detail };
        if let Some(call) = self.calls.get_mut(id) {
            call.last_word = Some(event.clone());
        }
        self.pending.push_back(event);
    }

    fn show(&self) {
        gauge!("ringlet_gateway_calls").set(self.calls.len() as f64);
        let sip_legs = self.calls.values().filter(|call| call.sip_is_open).count();
        gauge!("ringlet_legs", "kind" => "sip").set(sip_legs as f64);
    }
}
