//! Visitors without a browser: real signalling, WebRTC by str0m, Opus, and nothing of our phone. With more than twenty calls a browser is
//! what breaks on two cores; of these there can be fifty. Every other one says a tone, and listens to what comes back of it; the others
//! are silent, as one side of a conversation mostly is, and only want packets.

use crate::namespace::BRIDGE;
use crate::setup::{PUBLIC_URL, SHOP_URL};
use crate::tone::Recording;
use crate::wait::eventually;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::visitor::VERSION;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, sleep_until};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Many calls that begin at once are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Who comes at the same time comes so much later than the one before.
const ONE_AFTER_THE_OTHER: Duration = Duration::from_millis(50);

/// Between the tries to come back, and what each visitor's are longer by than another's: 1 to 1.5 s, as with the phone.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSES_APART: Duration = Duration::from_millis(10);

/// What a packet holds, as the gateway sends them to who wants it cheap.
const PACKET: Duration = Duration::from_millis(60);
const SAMPLES_A_PACKET: usize = 2_880;
const RATE: u32 = 48_000;

/// The tone that is said, and how much of it is coded: it has no seam there.
const TONE: u32 = 1_000;
const TONE_DBFS: f64 = -12.0;
const TONE_SECONDS: u32 = 3;

/// Root mean square of full scale, from which on something is heard: the far end's echo is a hundred times as loud.
const AUDIBLE: f32 = 0.002;

/// The largest datagram.
const DATAGRAM: usize = 2_000;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What has become of a visitor.
#[derive(Debug, Default)]
pub struct Account {
    /// The call's state, as the server names it.
    pub state: String,
    /// Whether there is a token for the next page.
    pub has_token: bool,
    /// How often the session was taken up again over another socket.
    pub reconnected: u32,
    /// When that was last.
    pub reconnected_at: Option<SystemTime>,
    /// Why the call ended.
    pub ended: Option<String>,
    /// When that was told.
    pub ended_at: Option<SystemTime>,
    /// The types of all messages that came.
    pub events: Vec<String>,
    /// Why it was not let in, each time.
    pub refused: Vec<String>,
    /// Whether its socket is open.
    pub is_open: bool,
    /// Whether it says nothing.
    is_silent: bool,
    /// The last sound, or packet if there is none to be heard, and the longest time between two.
    last_sound: Option<Instant>,
    longest_gap: Duration,
}

impl Account {
    /// Whether the far end has answered and is heard.
    pub fn talks(&self) -> bool {
        self.state == "answered" && self.has_token && self.last_sound.is_some()
    }

    fn heard(&mut self, now: Instant) {
        if let Some(last) = self.last_sound.replace(now) {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(last));
        }
    }

    fn silent_for(&self, now: Instant) -> Duration {
        self.last_sound.map_or(Duration::MAX, |last| now.saturating_duration_since(last))
    }
}

type Shared = Arc<Mutex<Account>>;

/// Packets that can be said over and over.
type Words = Arc<[Vec<u8>]>;

fn lock(account: &Shared) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Visitors who call, and keep to their calls whatever becomes of the sockets.
#[derive(Debug)]
pub struct Visitors {
    accounts: Vec<Shared>,
    tone: Words,
    silence: Words,
    hang_up: watch::Sender<bool>,
    calls: JoinSet<()>,
}

impl Visitors {
    /// Lets so many in, one shortly after the other, and waits until all talk.
    ///
    /// # Errors
    /// When the tone cannot be coded; what those have come to who do not talk.
    pub async fn gather(count: u32) -> Result<Self> {
        let tone = Recording::sine(TONE, TONE_DBFS, TONE_SECONDS).samples;
        let mut visitors = Self {
            accounts: Vec::new(),
            silence: coded(&vec![0.0; tone.len()])?,
            tone: coded(&tone)?,
            hang_up: watch::Sender::new(false),
            calls: JoinSet::new(),
        };
        for place in 0..count {
            visitors.comes(ONE_AFTER_THE_OTHER * place);
        }
        visitors.all("all talk", Account::talks).await?;
        Ok(visitors)
    }

    /// Lets one more in after a while.
    pub fn comes(&mut self, after: Duration) {
        let is_silent = self.accounts.len().is_multiple_of(2);
        let account = Arc::new(Mutex::new(Account { is_silent, ..Account::default() }));
        let pause = PAUSE + PAUSES_APART * self.accounts.len() as u32;
        self.accounts.push(Arc::clone(&account));
        let says = if is_silent { &self.silence } else { &self.tone };
        let (words, hang_up) = (Arc::clone(says), self.hang_up.subscribe());
        self.calls.spawn(async move {
            sleep(after).await;
            if let Err(error) = call(Arc::clone(&account), &words, hang_up, pause).await {
                lock(&account).refused.push(format!("{error:#}"));
            }
        });
    }

    /// Waits until it is true of everybody.
    ///
    /// # Errors
    /// What those have come to of whom it is not.
    pub async fn all(&self, what: &str, is_it: impl Fn(&Account) -> bool) -> Result<()> {
        eventually(what, SOON, async || {
            let others: Vec<_> = self.accounts.iter().map(lock).filter(|account| !is_it(account)).collect();
            ensure!(others.is_empty(), "not true of {} of {}: {others:?}", others.len(), self.accounts.len());
            Ok(())
        })
        .await
    }

    /// Something of everybody.
    pub fn of_all<T>(&self, take: impl Fn(&Account) -> T) -> Vec<T> {
        self.accounts.iter().map(|account| take(&lock(account))).collect()
    }

    /// From now on the longest gaps count.
    pub fn watch_gaps(&self) {
        for account in &self.accounts {
            lock(account).longest_gap = Duration::ZERO;
        }
    }

    /// How long each heard nothing since [`watch_gaps`](Self::watch_gaps), in ms.
    pub fn longest_gaps(&self) -> Vec<u128> {
        let now = Instant::now();
        self.of_all(|account| account.longest_gap.max(account.silent_for(now)).as_millis())
    }

    /// All hang up.
    ///
    /// # Errors
    /// When the server does not end each call for that.
    pub async fn hang_up(&self) -> Result<()> {
        self.hang_up.send_replace(true);
        self.all("all have hung up", |account| account.ended.as_deref() == Some("visitor_hung_up")).await
    }
}

fn coded(samples: &[f32]) -> Result<Words> {
    let mut encoder = opus::Encoder::new(RATE, opus::Channels::Mono, opus::Application::Voip)?;
    let packets = samples.chunks_exact(SAMPLES_A_PACKET).map(|samples| encoder.encode_vec_float(samples, DATAGRAM));
    Ok(packets.collect::<Result<Vec<_>, _>>()?.into())
}

/// Opens the panel; the token that came with it.
pub(crate) async fn open_panel(http: &reqwest::Client) -> Result<String> {
    let panel = http.get(format!("{SHOP_URL}/panel?merchant=acme&link=sales")).send().await?.error_for_status()?;
    let page = panel.text().await?;
    let token = page.split_once("data-token=\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    Ok(token.context("the panel has no token")?.to_owned())
}

/// Opens the panel's socket and says hello; with the session of a socket before this one, and how many events came over that.
pub(crate) async fn greet(token: &str, session: Option<(&str, u32)>) -> Result<Socket> {
    let mut request = format!("{}/ws/visitor", SHOP_URL.replace("http:", "ws:")).into_client_request()?;
    request.headers_mut().insert("Origin", PUBLIC_URL.parse()?);
    let (mut socket, _) = connect_async(request).await.context("no socket")?;
    let mut hello = json!({ "type": "hello", "version": VERSION, "token": token, "origin": SHOP_URL });
    if let (Some((session, seen)), Some(hello)) = (session, hello.as_object_mut()) {
        hello.extend([("session".to_owned(), session.into()), ("seen".to_owned(), seen.into())]);
    }
    // A socket that is closed by then says so to whoever listens next.
    drop(socket.send(Message::text(hello.to_string())).await);
    Ok(socket)
}

/// One call from its beginning to its end.
async fn call(account: Shared, words: &[Vec<u8>], hang_up: watch::Receiver<bool>, pause: Duration) -> Result<()> {
    let (mut audio, offer) = Audio::new(Arc::clone(&account)).await?;
    let (answers, mut answer) = mpsc::channel(1);
    let mut signalling = Signalling { account, session: None, seen: 0, offer, answers, hang_up };
    tokio::select! {
        ended = signalling.run(pause) => ended,
        broken = audio.run(words, &mut answer) => broken,
    }
}

/// A visitor's way to the server over one socket after the other.
struct Signalling {
    account: Shared,
    session: Option<String>,
    seen: u32,
    offer: String,
    answers: mpsc::Sender<String>,
    hang_up: watch::Receiver<bool>,
}

impl Signalling {
    /// Until the call is over.
    async fn run(&mut self, pause: Duration) -> Result<()> {
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).build()?;
        let mut token: Option<String> = None;
        while lock(&self.account).ended.is_none() {
            let session = self.session.as_deref().map(|session| (session, self.seen));
            let socket = match &token {
                Some(token) => greet(token, session).await,
                None => match open_panel(&http).await {
                    Ok(new) => greet(token.insert(new), session).await,
                    Err(error) => Err(error),
                },
            };
            match socket {
                Ok(socket) => self.converse(socket).await,
                // Who has a call knows that the server may be away.
                Err(_) if self.session.is_some() => {}
                Err(error) => lock(&self.account).refused.push(format!("{error:#}")),
            }
            lock(&self.account).is_open = false;
            sleep(pause).await;
        }
        Ok(())
    }

    /// Until the socket is closed.
    async fn converse(&mut self, mut socket: Socket) {
        lock(&self.account).is_open = true;
        if self.session.is_none() {
            self.seen = 0;
            // Where it costs little silence is left out, and who is silent would get no packet for 400 ms at a time.
            let quality = if lock(&self.account).is_silent { "standard" } else { "saver" };
            let offer = json!({ "type": "offer", "sdp": self.offer, "quality": quality });
            for request in [offer, json!({ "type": "ready" })] {
                if socket.send(Message::text(request.to_string())).await.is_err() {
                    return;
                }
            }
        }
        // What was said over a socket before this one may not have come.
        self.hang_up.mark_changed();
        loop {
            tokio::select! {
                message = socket.next() => {
                    let Some(Ok(message)) = message else { return };
                    if let Message::Text(text) = message && self.hear(&text).await.is_err() {
                        return;
                    }
                }
                Ok(()) = self.hang_up.changed() => {
                    let goodbye = json!({ "type": "hangup" }).to_string();
                    if *self.hang_up.borrow_and_update() && socket.send(Message::text(goodbye)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, text: &str) -> Result<()> {
        let event: Value = serde_json::from_str(text)?;
        let word = |field: &str| event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = word("type");
        // The two that are not counted.
        match kind.as_str() {
            "reconnected" => self.seen = event.get("sent").and_then(Value::as_u64).unwrap_or_default() as u32,
            "pong" => {}
            _ => self.seen += 1,
        }
        match kind.as_str() {
            "answer" => self.answers.send(word("sdp")).await?,
            "session" => self.session = Some(word("token")),
            "state" => lock(&self.account).state = word("state"),
            "resume" => lock(&self.account).has_token = true,
            "reconnected" => {
                let mut account = lock(&self.account);
                account.reconnected += 1;
                account.reconnected_at = Some(SystemTime::now());
            }
            "ended" => {
                let mut account = lock(&self.account);
                (account.ended, account.ended_at) = (Some(word("reason")), Some(SystemTime::now()));
            }
            _ => {}
        }
        lock(&self.account).events.push(kind);
        Ok(())
    }
}

/// A visitor's audio.
struct Audio {
    account: Shared,
    rtc: Rtc,
    udp: UdpSocket,
    address: SocketAddr,
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    decoder: opus::Decoder,
    heard: Vec<f32>,
    said: u64,
}

impl Audio {
    /// With its offer.
    async fn new(account: Shared) -> Result<(Self, String)> {
        let udp = UdpSocket::bind((BRIDGE, 0)).await?;
        let address = udp.local_addr()?;
        let mut rtc = Rtc::builder().clear_codecs().enable_opus(true, false).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp)?);
        let mut change = rtc.sdp_api();
        let mid = change.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        let (offer, pending) = change.apply().context("no offer")?;
        let decoder = opus::Decoder::new(RATE, opus::Channels::Mono)?;
        let (pending, heard) = (Some(pending), vec![0.0; SAMPLES_A_PACKET * 2]);
        let audio = Self { account, rtc, udp, address, mid, pending, decoder, heard, said: 0 };
        Ok((audio, offer.to_sdp_string()))
    }

    /// Says the same over and over once there is an answer. Ends when something is wrong.
    async fn run(&mut self, words: &[Vec<u8>], answer: &mut mpsc::Receiver<String>) -> Result<()> {
        let mut packets = words.iter().cycle();
        let mut turn = interval(PACKET);
        let mut datagram = vec![0; DATAGRAM];
        loop {
            let timeout = self.drain().await?;
            tokio::select! {
                received = self.udp.recv_from(&mut datagram) => {
                    let (length, source) = received?;
                    let contents = datagram.get(..length).unwrap_or_default().try_into()?;
                    let receive = Receive { proto: Protocol::Udp, source, destination: self.address, contents };
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive))?;
                }
                () = sleep_until(timeout.into()) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
                _ = turn.tick() => self.say(packets.next().context("nothing to say")?)?,
                Some(answer) = answer.recv() => {
                    let pending = self.pending.take().context("a second answer")?;
                    self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
                }
            }
        }
    }

    fn say(&mut self, packet: &[u8]) -> Result<()> {
        let Some(writer) = self.rtc.writer(self.mid) else { return Ok(()) };
        let Some(pt) = writer.payload_params().find(|it| it.spec().codec == Codec::Opus).map(|it| it.pt()) else {
            return Ok(());
        };
        let time = MediaTime::new(self.said * SAMPLES_A_PACKET as u64, Frequency::FORTY_EIGHT_KHZ);
        self.said += 1;
        Ok(writer.write(pt, Instant::now(), time, packet)?)
    }

    fn hear(&mut self, packet: &[u8]) -> Result<()> {
        let mut account = lock(&self.account);
        let is_heard = account.is_silent || {
            let count = self.decoder.decode_float(packet, &mut self.heard, false)?;
            let samples = self.heard.get(..count).unwrap_or_default();
            let energy: f32 = samples.iter().map(|sample| sample * sample).sum();
            energy > AUDIBLE * AUDIBLE * count as f32
        };
        if is_heard {
            account.heard(Instant::now());
        }
        Ok(())
    }

    /// Sends what is to be sent and hears what has come; until when nothing is to be done.
    async fn drain(&mut self) -> Result<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(packet) => drop(self.udp.send_to(&packet.contents, packet.destination).await),
                Output::Event(Event::MediaData(media)) => self.hear(&media.data)?,
                Output::Event(_) => {}
            }
            if !self.rtc.is_alive() {
                bail!("the audio's path is lost");
            }
        }
    }
}
