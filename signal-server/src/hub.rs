//! The one task that owns the switchboard. It carries inputs in and side effects out, and decides nothing: what becomes of
//! a call is the switchboard's business, who may call was settled before.

mod checks;

pub(crate) use checks::{CheckLink, CheckMessage, ToCheck};

use crate::frames::{FrameQueue, Listeners};
use crate::id;
use crate::limits::{CallPermit, Limits};
use crate::lookup::Lookup;
use crate::store::{CallChange, Millis, OpenCall, Records};
use crate::token::ResumeTokens;
use bytes::Bytes;
use metrics::{counter, gauge, histogram};
use protocol::gateway::{CallFrame, Command, Event};
use protocol::settings;
use protocol::visitor::{VisitorEvent, VisitorRequest};
use protocol::{CallId, GatewayId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};
use switchboard::{
    Change, CheckInput, Checks, CommandTable, Epoch, Input, Outcome, Output, Page, Plan, Question, Session, Switchboard,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// Messages that may wait for the hub: a burst of the largest configuration. Whoever has more to say waits.
const QUEUE: usize = 4_096;

/// Messages that may wait for one visitor's socket: all that is said again at once to a page that is back, and as much that comes
/// meanwhile. A call has some twenty in all, and one a key.
pub(crate) const VISITOR_QUEUE: usize = 2 * switchboard::MAX_REPLAY;

/// Commands that may wait for one gateway: a release for each call of the largest gateway, with room for set-ups.
pub(crate) const GATEWAY_QUEUE: usize = 16_384;

/// How long gateways may take to confirm the releases when the server stops. A BYE to a living trunk takes a round trip; a
/// dead one shall not hold the process.
const RELEASE: Duration = Duration::from_secs(3);

/// How long the hub sleeps when no deadline is set.
const IDLE: Duration = Duration::from_secs(3600);

/// What the hub is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// An admitted visitor.
    Arrived { call: CallId, page: Page, plan: Box<Plan>, link: PageLink, permit: CallPermit },
    /// A page with a `resume` token.
    Resume { call: CallId, page: Page, epoch: Epoch, takeover: bool, fingerprint: Option<String>, link: PageLink },
    /// A page's message.
    Visitor { call: CallId, page: Page, request: VisitorRequest },
    /// A page with a `session` token.
    Reconnect { call: CallId, page: Page, session: Session, seen: u32, link: PageLink },
    /// A page's socket is gone: it was closed by either side, or it broke.
    VisitorLost { call: CallId, page: Page, loss: Loss },
    /// What a merchant's sequences mean to a call.
    Commands { call: CallId, table: Option<CommandTable> },
    /// The page that a merchant's server names.
    Resolved { call: CallId, question: Question, page: Option<String> },
    /// What a desk wants set.
    Set { call: CallId, change: settings::Change },
    /// Something of a check, which is no call.
    Check(CheckMessage),
    /// What is set, if the call is answered.
    Settings { call: CallId, reply: oneshot::Sender<Option<settings::State>> },
    /// A gateway's connection is there; `registered` was its first message.
    GatewayConnected { gateway: GatewayId, link: GatewayLink, registered: Event },
    /// A gateway's message.
    Gateway { gateway: GatewayId, connection: Connection, event: Event },
    /// A gateway's connection is gone.
    GatewayLost { gateway: GatewayId, connection: Connection },
    /// Another process is there, and goes on with every call; to it the gateway in this process is called `heir`.
    HandOver { heir: GatewayId },
}

/// How a page's socket came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// With a closing handshake (RFC 6455 section 7.1.4): the page is gone, or was told to go.
    Closed,
    /// Without a word.
    Broken,
}

/// What a page's socket is told.
#[derive(Debug)]
pub(crate) enum ToPage {
    /// To be sent.
    Event(VisitorEvent),
    /// End unless the browser gives a sign of life soon.
    Probe,
    /// Where its binary messages go from now on; `None`: nowhere.
    Frames(Option<FrameQueue<CallFrame>>),
}

/// How the hub reaches a page.
#[derive(Clone, Debug)]
pub(crate) struct PageLink {
    pub(crate) events: mpsc::Sender<ToPage>,
    /// Audio for it.
    pub(crate) frames: FrameQueue<Bytes>,
}

/// Tells a gateway's connections apart, so that the last words of an old one do not count for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection(u64);

impl Connection {
    /// One that no other has.
    pub(crate) fn fresh() -> Self {
        Self(rand::random())
    }
}

/// How the hub reaches a gateway.
#[derive(Clone, Debug)]
pub(crate) struct GatewayLink {
    pub(crate) connection: Connection,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Visitors' audio for it.
    pub(crate) frames: FrameQueue<CallFrame>,
    /// Ends the connection.
    pub(crate) close: CancellationToken,
    /// The gateway goes on with its calls when this process ends.
    pub(crate) outlives: bool,
}

/// What others may know of the hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) calls: usize,
    pub(crate) gateways: usize,
}

/// How others reach the hub; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct HubHandle {
    messages: mpsc::Sender<Message>,
    status: watch::Receiver<Status>,
    listeners: Listeners,
}

impl HubHandle {
    /// Hands a gateway's frame over to the visitor, past the hub's own queue.
    pub(crate) fn deliver_frame(&self, call: &CallId, bytes: Bytes) {
        self.listeners.deliver(call, bytes);
    }

    /// Tells the hub; `false` when it has ended.
    pub(crate) async fn tell(&self, message: Message) -> bool {
        self.messages.send(message).await.is_ok()
    }

    pub(crate) fn status(&self) -> Status {
        *self.status.borrow()
    }
}

/// When the hub has to end.
#[derive(Debug)]
pub(crate) struct Stopping {
    /// Asks for the end.
    pub(crate) shutdown: CancellationToken,
    /// How long calls may go on after that.
    pub(crate) drain: Duration,
}

/// The task.
#[derive(Debug)]
pub(crate) struct Hub {
    switchboard: Switchboard,
    checks: Checks,
    check_links: BTreeMap<CallId, CheckLink>,
    messages: mpsc::Receiver<Message>,
    calls: BTreeMap<CallId, Line>,
    /// The sockets of visitors' pages; those that were told to close are not here any more.
    pages: BTreeMap<Page, PageLink>,
    listeners: Listeners,
    gateways: BTreeMap<GatewayId, GatewayLink>,
    resume_tokens: ResumeTokens,
    records: Records,
    lookup: Lookup,
    status: watch::Sender<Status>,
}

/// What the hub keeps of a call.
#[derive(Debug)]
struct Line {
    started: Instant,
    _permit: Option<CallPermit>,
}

impl Hub {
    pub(crate) fn new(
        config: switchboard::Config,
        resume_tokens: ResumeTokens,
        records: Records,
        lookup: impl FnOnce(mpsc::WeakSender<Message>) -> Lookup,
    ) -> (HubHandle, Self) {
        let (sender, messages) = mpsc::channel(QUEUE);
        let (status, watching) = watch::channel(Status::default());
        let switchboard = Switchboard::new(config);
        let (calls, pages, gateways) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let lookup = lookup(sender.downgrade());
        let listeners = Listeners::default();
        let handle = HubHandle { messages: sender, status: watching, listeners: listeners.clone() };
        let hub = Self {
            switchboard,
            checks: Checks::default(),
            check_links: BTreeMap::new(),
            messages,
            calls,
            pages,
            listeners,
            gateways,
            resume_tokens,
            records,
            lookup,
            status,
        };
        (handle, hub)
    }

    /// Goes on with the calls of an earlier server. Before [`run`](Self::run).
    pub(crate) async fn restore(&mut self, open: Vec<OpenCall>, limits: &Limits) {
        if !open.is_empty() {
            tracing::info!(calls = open.len(), "going on with the calls of an earlier run");
            counter!("ringlet_calls_restored_total").increment(open.len() as u64);
        }
        for OpenCall { call, started, restored } in open {
            let _permit = limits.count_running(&restored.plan.merchant);
            self.calls.insert(call.clone(), Line { started, _permit });
            self.input(Input::Restored { call, restored }).await;
        }
    }

    /// Runs until the shutdown is asked for, then until nothing is left or the deadlines have passed.
    pub(crate) async fn run(mut self, stopping: Stopping) {
        loop {
            let next = tokio::select! {
                biased;
                () = stopping.shutdown.cancelled() => break,
                next = self.next() => next,
            };
            if let Some(Message::HandOver { heir }) = next {
                return self.hand_over(&heir).await;
            }
            self.act(next).await;
        }
        // What a gateway elsewhere carries is not for us to end: the next server goes on with it.
        self.leave(false).await;
        self.checks.handle_input(CheckInput::Stop, Instant::now());
        let drained = Instant::now() + stopping.drain;
        self.run_until(drained, |hub| hub.switchboard.calls() == 0).await;
        self.leave(self.gateways.values().all(|link| link.outlives)).await;
        self.input(Input::Stop).await;
        let released = Instant::now() + RELEASE;
        self.run_until(released, |hub| hub.switchboard.is_empty() && hub.checks.legs() == 0).await;
        self.lose_gateways().await;
    }

    /// Ends at once. Of calls that are ending the record is closed; what the gateway counted of them is lost.
    async fn hand_over(&mut self, heir: &GatewayId) {
        let name = |(gateway, link): (&GatewayId, &GatewayLink)| {
            (gateway.clone(), if link.outlives { gateway.clone() } else { heir.clone() })
        };
        let outliving = self.gateways.iter().map(name).collect();
        self.checks.handle_input(CheckInput::Stop, Instant::now());
        self.input(Input::Leave { outliving, all: true }).await;
        self.input(Input::Stop).await;
        self.lose_gateways().await;
    }

    async fn lose_gateways(&mut self) {
        // Who has not confirmed by now counts as lost, so that every record is closed.
        for gateway in self.gateways.keys().cloned().collect::<Vec<_>>() {
            tracing::info!(%gateway, calls = self.switchboard.calls(), "leaving the gateway");
            self.input(Input::GatewayLost { gateway }).await;
        }
    }

    async fn leave(&mut self, all: bool) {
        let before = self.switchboard.calls();
        let outliving = self.gateways.iter().filter(|(_, link)| link.outlives);
        let outliving = outliving.map(|(gateway, _)| (gateway.clone(), gateway.clone())).collect();
        self.input(Input::Leave { outliving, all }).await;
        let left = before.saturating_sub(self.switchboard.calls());
        if left > 0 {
            tracing::info!(calls = left, "left to the next server");
        }
    }

    async fn run_until(&mut self, deadline: Instant, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            match timeout_at(deadline.into(), self.next()).await {
                Ok(next) => self.act(next).await,
                Err(_) => break,
            }
        }
    }

    /// Waits for a message, or until a deadline has come. Nothing is lost when the wait is cut short.
    async fn next(&mut self) -> Option<Message> {
        // Without a call there is no deadline; then only a message can come.
        let deadlines = [self.switchboard.poll_timeout(), self.checks.poll_timeout()];
        let deadline = deadlines.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            // 1. Deadlines first: a flood of messages does not put them off.
            biased;
            () = sleep_until(deadline.into()) => None,
            // 2. Messages in the order in which they came. There are senders as long as the server lives.
            message = self.messages.recv() => message,
        }
    }

    async fn act(&mut self, next: Option<Message>) {
        match next {
            None => {
                let now = Instant::now();
                self.switchboard.handle_timeout(now);
                self.checks.handle_timeout(now);
            }
            Some(message) => self.take(message),
        }
        self.drain().await;
    }

    async fn input(&mut self, input: Input) {
        self.switchboard.handle_input(input, Instant::now());
        self.drain().await;
    }

    fn take(&mut self, message: Message) {
        let input = match message {
            Message::Arrived { call, page, plan, link, permit } => {
                counter!("ringlet_calls_started_total").increment(1);
                self.calls.insert(call.clone(), Line { started: Instant::now(), _permit: Some(permit) });
                self.pages.insert(page, link);
                Input::Arrived { call, page, plan }
            }
            Message::Resume { call, page, epoch, takeover, fingerprint, link } => {
                self.pages.insert(page, link);
                Input::Resume { call, page, epoch, takeover, fingerprint }
            }
            Message::Visitor { call, page, request } => Input::Visitor { call, page, request },
            Message::Reconnect { call, page, session, seen, link } => {
                self.pages.insert(page, link);
                Input::Reconnect { call, page, session, seen }
            }
            Message::VisitorLost { call, page, loss } => {
                self.pages.remove(&page);
                match loss {
                    Loss::Closed => Input::VisitorLost { call, page },
                    Loss::Broken => Input::VisitorBroken { call, page },
                }
            }
            Message::Commands { call, table } => Input::Commands { call, table },
            Message::Resolved { call, question, page } => Input::Resolved { call, question, page },
            Message::Set { call, change } => Input::Set { call, change },
            Message::Check(message) => return self.take_check(message),
            Message::Settings { call, reply } => {
                // Who asked may have gone.
                let _ = reply.send(self.switchboard.settings(&call).cloned());
                return;
            }
            Message::GatewayConnected { gateway, link, registered } => {
                if let Some(old) = self.gateways.insert(gateway.clone(), link) {
                    tracing::warn!(%gateway, "the gateway has connected anew: closing its old connection");
                    old.close.cancel();
                    self.lose(gateway.clone());
                }
                Input::Gateway { gateway, event: registered }
            }
            Message::Gateway { gateway, connection, event } if self.is_current(&gateway, connection) => {
                if event.call().is_some_and(|call| self.checks.has(call)) {
                    return self.checks.handle_input(CheckInput::Gateway { gateway, event }, Instant::now());
                }
                Input::Gateway { gateway, event }
            }
            Message::GatewayLost { gateway, connection } if self.is_current(&gateway, connection) => {
                self.gateways.remove(&gateway);
                return self.lose(gateway);
            }
            // Where calls are ended already there is nothing to hand over.
            Message::Gateway { .. } | Message::GatewayLost { .. } | Message::HandOver { .. } => return,
        };
        self.switchboard.handle_input(input, Instant::now());
    }

    fn lose(&mut self, gateway: GatewayId) {
        let now = Instant::now();
        self.checks.handle_input(CheckInput::GatewayLost { gateway: gateway.clone() }, now);
        self.switchboard.handle_input(Input::GatewayLost { gateway }, now);
    }

    fn is_current(&self, gateway: &GatewayId, connection: Connection) -> bool {
        self.gateways.get(gateway).is_some_and(|link| link.connection == connection)
    }

    async fn drain(&mut self) {
        self.drain_checks();
        while let Some(output) = self.switchboard.poll_output() {
            match output {
                Output::Visitor { call, page, event } => {
                    if matches!(event, VisitorEvent::Resumed { .. }) {
                        tracing::info!(%call, "taken up again");
                        counter!("ringlet_calls_resumed_total").increment(1);
                    } else if let VisitorEvent::Reconnected { received, sent } = event {
                        tracing::info!(%call, received, sent, "the visitor's page has another socket");
                        counter!("ringlet_visitor_reconnects_total").increment(1);
                    }
                    self.tell_page(&call, page, ToPage::Event(event));
                }
                Output::ResumeToken { call, page, epoch, origin } => {
                    match self.resume_tokens.issue(call.clone(), epoch, origin) {
                        Ok(token) => self.tell_page(&call, page, ToPage::Event(VisitorEvent::Resume { token })),
                        Err(error) => tracing::error!(%call, %error, "signing a resume token failed"),
                    }
                }
                Output::SessionToken { call, page, session, origin } => {
                    match self.resume_tokens.issue_session(call.clone(), session, origin) {
                        Ok(token) => self.tell_page(&call, page, ToPage::Event(VisitorEvent::Session { token })),
                        Err(error) => tracing::error!(%call, %error, "signing a session token failed"),
                    }
                }
                Output::ProbeVisitor { call, page } => self.tell_page(&call, page, ToPage::Probe),
                // The socket closes when it has sent what is queued.
                Output::CloseVisitor { page, .. } => drop(self.pages.remove(&page)),
                Output::Frames { call, gateway, page } => self.carry_frames(&call, &gateway, page),
                Output::Gateway { gateway, command } => self.tell_gateway(&gateway, command),
                Output::RefuseGateway { gateway, refusal } => {
                    tracing::error!(%gateway, %refusal, "the gateway cannot be used");
                    if let Some(link) = self.gateways.remove(&gateway) {
                        link.close.cancel();
                    }
                }
                Output::FindCommands { call, merchant, origin } => self.lookup.commands(call, merchant, origin),
                Output::Resolve { call, merchant, origin, question, request } => {
                    self.lookup.resolve(call, merchant, origin, question, request);
                }
                Output::Commanded { call, sequence, outcome } => {
                    tracing::info!(%call, sequence, ?outcome, "an agent's command");
                    let outcome = match outcome {
                        Outcome::Done | Outcome::Scored(_) => "done",
                        Outcome::Refused => "refused",
                    };
                    counter!("ringlet_commands_total", "outcome" => outcome).increment(1);
                }
                Output::Record { call, at, change } => self.record(call, at, change).await,
            }
        }
        let status = Status { calls: self.switchboard.calls(), gateways: self.switchboard.gateways() };
        gauge!("ringlet_calls").set(status.calls as f64);
        gauge!("ringlet_gateways").set(status.gateways as f64);
        gauge!("ringlet_timers", "of" => "calls").set(self.switchboard.timers() as f64);
        self.status.send_if_modified(|old| std::mem::replace(old, status) != status);
    }

    fn tell_page(&mut self, call: &CallId, page: Page, message: ToPage) {
        if self.pages.get(&page).is_some_and(|link| link.events.try_send(message).is_err()) {
            tracing::info!(%call, "the visitor's socket does not keep up: closing it");
            self.pages.remove(&page);
        }
    }

    fn carry_frames(&mut self, call: &CallId, gateway: &GatewayId, page: Option<Page>) {
        let ends = page.and_then(|page| Some((page, self.pages.get(&page)?, self.gateways.get(gateway)?)));
        let Some((page, visitor, gateway)) = ends else { return self.listeners.set(call, None) };
        let sink = gateway.frames.clone();
        self.listeners.set(call, Some(visitor.frames.clone()));
        self.tell_page(call, page, ToPage::Frames(Some(sink)));
    }

    fn tell_gateway(&self, gateway: &GatewayId, command: Command) {
        let Some(link) = self.gateways.get(gateway) else { return };
        if let Err(error) = link.commands.try_send(command) {
            tracing::error!(%gateway, call = %error.into_inner().call(), "the gateway does not keep up: closing its connection");
            link.close.cancel();
        }
    }

    async fn record(&mut self, call: CallId, at: Instant, change: Change) {
        let since_start = self.calls.get(&call).map(|line| at.saturating_duration_since(line.started).as_secs_f64());
        match &change {
            Change::Started { plan } => {
                tracing::info!(%call, merchant = %plan.merchant, link = %plan.link, "call started");
            }
            Change::Carried { gateway } => tracing::info!(%call, %gateway, "carried"),
            Change::Dialed => tracing::info!(%call, "dialling"),
            Change::Ringing => histogram!("ringlet_call_ringing_seconds").record(since_start.unwrap_or_default()),
            Change::Answered => {
                tracing::info!(%call, "answered");
                histogram!("ringlet_call_answer_seconds").record(since_start.unwrap_or_default());
            }
            Change::Tokens { .. } | Change::Certificates { .. } => {}
            Change::Transport { transport } => {
                tracing::info!(%call, %transport, "the audio goes over");
                counter!("ringlet_calls_transport_total", "transport" => transport.word()).increment(1);
            }
            Change::Ended(ending) => {
                counter!("ringlet_calls_ended_total", "reason" => ending.reason.word()).increment(1);
                let sip_call_id = ending.stats.as_ref().and_then(|stats| stats.sip_call_id.as_deref());
                tracing::info!(%call, reason = %ending.reason, sip_status = ending.sip_status, sip_call_id, "call ended");
                tracing::debug!(%call, detail = ending.detail, "why the call ended");
                self.listeners.set(&call, None);
                self.calls.remove(&call);
            }
        }
        self.records.put(CallChange { call, at: wall_clock(at), change }).await;
    }
}

/// An id for a call that begins now.
pub(crate) fn fresh_call() -> CallId {
    id::call_id(Millis::now(), rand::random())
}

/// A page that no other is.
pub(crate) fn fresh_page() -> Page {
    Page(rand::random())
}

fn wall_clock(at: Instant) -> Millis {
    Millis::from(SystemTime::now() - at.elapsed())
}
