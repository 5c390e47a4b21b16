//! `ringlet phone`: a small SIP phone for trying things out. It answers, says a greeting, gives back what it hears, prints
//! the keys of the caller and sends those that are typed.
//!
//! It is no softphone: no microphone, no loudspeaker, no registration. It shares the gateway's SIP side, not its media side,
//! so that a demo call crosses real RTP between two implementations.

mod audio;
mod line;

use anyhow::{Context as _, bail};
use dsp::Digit;
use line::Line;
use media_gateway::sip::{DEFAULT_T1, Settings, SipEvent, SipHandle, SipStack, sdp};
use protocol::CallId;
use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// More calls at once than anybody tries out on one machine.
const MAX_CALLS: usize = 32;

/// Typed keys that wait for the phone.
const TYPED_KEYS: usize = 64;

/// What `p` sends: in the demo's configuration it puts a page before the shopper.
const PAGE: &str = "*76";

/// How long the BYEs of the last calls may take.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the phone does with a call.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PhoneArgs {
    /// Where it takes calls, over UDP and TCP.
    #[arg(long, default_value = "127.0.0.1:5070", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// How long it rings before it answers, in seconds.
    #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS")]
    pub(crate) ring: Duration,
    /// Refuses every call with this SIP status, such as 486 or 603.
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(300..=699))]
    pub(crate) reject: Option<u16>,
    /// Rings and never answers.
    #[arg(long, conflicts_with = "reject")]
    pub(crate) no_answer: bool,
    /// Sends a tone of this frequency instead of the greeting and the echo.
    #[arg(long, value_name = "HERTZ")]
    pub(crate) tone: Option<f32>,
    /// Hangs up this long after the answer, in seconds.
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    pub(crate) hangup_after: Option<Duration>,
    /// Sends these keys (RFC 4733) right after the answer.
    #[arg(long, value_name = "KEYS", value_parser = digits)]
    pub(crate) keys: Option<Keys>,
}

/// Keys of a telephone.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Vec<Digit>);

/// Runs the phone until Ctrl-C or SIGTERM, or until its port cannot be had.
pub(crate) async fn run(args: PhoneArgs) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let (typed_in, typed) = mpsc::channel(TYPED_KEYS);
    // A thread of its own: tokio's stdin would hold up the end of the program until somebody presses Enter.
    std::thread::spawn(move || read_keys(&typed_in));
    serve(args, typed, async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    })
    .await
}

async fn serve(args: PhoneArgs, mut typed: mpsc::Receiver<char>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    if args.listen.ip().is_unspecified() {
        bail!("--listen needs an address that callers can send audio to, not {}", args.listen.ip());
    }
    let settings = Settings {
        listen: args.listen,
        public_ip: None,
        trunks: Vec::new(),
        accept_calls: true,
        max_calls: MAX_CALLS,
        t1: DEFAULT_T1,
    };
    let (sip, mut events) = SipStack::start(settings).await.context("the phone cannot start")?;
    say(&format!(
        "phone at sip:{} — keys 0-9*#A-D and Enter send, p sends {PAGE} (the demo shop's page changes), h hangs up, Ctrl-C ends",
        sip.local_addr()
    ));
    let mut phone = Phone { args, sip, lines: BTreeMap::new(), newest: None };
    let mut stop = std::pin::pin!(stop);
    loop {
        let due = phone.due();
        tokio::select! {
            () = &mut stop => break,
            event = events.recv() => phone.on_event(event.context("the SIP side has ended")?).await,
            Some(key) = typed.recv() => phone.on_typed(key),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => phone.on_due(),
        }
    }
    phone.sip.shutdown(GOODBYE).await;
    Ok(())
}

/// The phone and its calls.
struct Phone {
    args: PhoneArgs,
    sip: SipHandle,
    lines: BTreeMap<CallId, Line>,
    /// The call that typed keys go to.
    newest: Option<CallId>,
}

impl Phone {
    async fn on_event(&mut self, event: SipEvent) {
        match event {
            SipEvent::Incoming { call, from, to, sdp } => {
                say(&format!("{from} calls {to}"));
                self.on_call(call, sdp).await;
            }
            SipEvent::Answered { call, sdp } => {
                say("answered");
                if let Some(line) = self.lines.get_mut(&call) {
                    line.hang_up_at = self.args.hangup_after.map(|after| Instant::now() + after);
                    line.start(&self.args, &sdp);
                }
            }
            SipEvent::ReInvite { call, sdp } => {
                let Some(line) = self.lines.get_mut(&call) else { return };
                // The call may have ended meanwhile.
                let _ = self.sip.answer_reinvite(&call, line.renegotiate(sdp.as_deref()));
            }
            SipEvent::LateAnswer { call, sdp } => {
                if let Some(line) = self.lines.get_mut(&call) {
                    line.start(&self.args, &sdp);
                }
            }
            SipEvent::Info { digit, duration_ms, .. } => say_key(digit, duration_ms),
            SipEvent::Bye { .. } => say("the caller hung up"),
            SipEvent::Closed { call, .. } => {
                self.lines.remove(&call);
                if self.newest.as_ref() == Some(&call) {
                    self.newest = self.lines.keys().next_back().cloned();
                }
                say("call ended");
            }
            // Only calls that we make.
            SipEvent::Ringing { .. }
            | SipEvent::Progress { .. }
            | SipEvent::Rejected { .. }
            | SipEvent::Unreachable { .. } => {}
        }
    }

    async fn on_call(&mut self, call: CallId, offer: Option<String>) {
        let refusal = match (self.args.reject, Line::open(self.args.listen.ip(), offer).await) {
            (Some(status), _) => status,
            (None, Err(error)) => {
                say(&format!("cannot take the call: {error:#}"));
                488
            }
            (None, Ok(mut line)) => {
                let _ = self.sip.ring(&call);
                line.answer_at = (!self.args.no_answer).then(|| Instant::now() + self.args.ring);
                self.lines.insert(call.clone(), line);
                self.newest = Some(call);
                return;
            }
        };
        let _ = self.sip.reject(&call, refusal);
    }

    fn on_typed(&mut self, key: char) {
        let line = self.newest.as_ref().and_then(|call| Some((call, self.lines.get_mut(call)?)));
        match (line, Digit::from_char(key.to_ascii_uppercase())) {
            (Some((call, _)), _) if key.eq_ignore_ascii_case(&'h') => {
                let _ = self.sip.release(call, "hung up");
            }
            (Some((_, line)), _) if key.eq_ignore_ascii_case(&'p') => {
                PAGE.chars().filter_map(Digit::from_char).for_each(|digit| line.press(digit));
            }
            (Some((_, line)), Some(digit)) => line.press(digit),
            (Some(_), None) => say("keys are 0-9*#A-D, p sends *76, h hangs up"),
            (None, _) => say("there is no call"),
        }
    }

    /// When something is to be done without anybody asking.
    fn due(&self) -> Option<Instant> {
        self.lines.values().flat_map(|line| [line.answer_at, line.hang_up_at]).flatten().min()
    }

    fn on_due(&mut self) {
        let now = Instant::now();
        for (call, line) in &mut self.lines {
            if line.answer_at.take_if(|at| *at <= now).is_some() {
                let _ = self.sip.answer(call, line.sdp().to_owned());
            }
            if line.hang_up_at.take_if(|at| *at <= now).is_some() {
                let _ = self.sip.release(call, "hung up");
            }
        }
    }
}

fn read_keys(typed: &mpsc::Sender<char>) {
    for text in std::io::stdin().lock().lines().map_while(Result::ok) {
        for key in text.chars().filter(|key| !key.is_whitespace()) {
            if typed.blocking_send(key).is_err() {
                return;
            }
        }
    }
}

/// One line to whoever watches; the phone has no other face.
fn say(text: &str) {
    // Nobody watches when this fails.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn say_key(digit: char, duration_ms: u32) {
    say(&format!("key {digit} ({duration_ms} ms)"));
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "not a number of seconds".to_owned())
}

fn digits(text: &str) -> Result<Keys, String> {
    let digit = |key: char| Digit::from_char(key.to_ascii_uppercase()).ok_or_else(|| format!("{key:?} is no key"));
    text.chars().map(digit).collect::<Result<_, _>>().map(Keys)
}

#[cfg(test)]
mod tests;
