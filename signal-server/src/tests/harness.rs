//! A server to talk to, and the peers that do.

use crate::assets::Assets;
use crate::config::{ApiKeySeed, DestinationSeed, LinkSeed, MerchantSeed, Seed};
use crate::{Config, Inherited, Limits, LocalGateway, Secret, Server};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::CallId;
use protocol::gateway::{CallFrame, CallStats, Command, Event, VERSION};
use protocol::rest::Call;
use protocol::visitor::{self, EndReason, VisitorEvent, VisitorRequest};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

pub(super) const PUBLIC: &str = "http://localhost:8080";
pub(super) const SHOP: &str = "https://shop.example";
pub(super) const OPERATOR: &str = "operator-key-0123456789";
pub(super) const ACME: &str = "acme-key-0123456789";
pub(super) const SIGNING_SECRET: &str = "acme signs with this text";
pub(super) const GATEWAY_SECRET: &str = "gateway-secret-0123456789";

/// Longer than anything takes on a busy machine; only a failing test waits so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct TestApp {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) gateway: FakeGateway,
    pub(super) shutdown: CancellationToken,
    pub(super) http: reqwest::Client,
    pub(super) folder: TempDir,
}

/// What differs from test to test.
pub(super) struct Builder {
    config: Config,
    assets: Assets,
    folder: TempDir,
    registers: bool,
    sockets: Option<mpsc::Sender<std::net::TcpStream>>,
    inherited: Option<Inherited>,
}

impl TestApp {
    /// Two merchants, `acme` and `other`, with a link `sales` each; a gateway in the process with the trunk `pbx`.
    pub(super) fn builder() -> Builder {
        // The tests' own client has TLS compiled in and wants to be told by whom; only the first can tell.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = TempDir::new().unwrap();
        let key = |name: &str, key: &str, merchant: Option<&str>| ApiKeySeed {
            name: name.to_owned(),
            key: Secret::new(key),
            merchant: merchant.map(Into::into),
        };
        let config = Config {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            public_url: PUBLIC.parse().unwrap(),
            database: folder.path().join("ringlet.sqlite"),
            gateway_secret: Some(Secret::new(GATEWAY_SECRET)),
            trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
            seed: Seed {
                merchants: vec![merchant("acme", "pbx", "1001"), merchant("other", "pstn", "+43123456")],
                api_keys: vec![key("operator", OPERATOR, None), key("acme", ACME, Some("acme"))],
            },
            ..Config::default()
        };
        Builder { config, assets: Assets::for_tests(), folder, registers: true, sockets: None, inherited: None }
    }

    pub(super) async fn start() -> Self {
        Self::builder().start().await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) async fn get(&self, path: &str) -> reqwest::Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// A panel as the shop's page embeds it.
    pub(super) async fn panel(&self, merchant: &str, link: &str, referer: Option<&str>) -> reqwest::Response {
        let mut request = self.http.get(self.url(&format!("/panel?merchant={merchant}&link={link}")));
        if let Some(referer) = referer {
            request = request.header("referer", referer);
        }
        request.send().await.unwrap()
    }

    /// A fresh panel's token for acme's sales.
    pub(super) async fn token(&self) -> String {
        let page = self.panel("acme", "sales", None).await.text().await.unwrap();
        attribute(&page, "data-token").to_owned()
    }

    /// `hello` as the panel says it.
    pub(super) async fn hello(&self) -> Value {
        json!({"type": "hello", "version": visitor::VERSION, "token": self.token().await, "origin": SHOP,
            "page": "https://shop.example/shoes?session=secret#size", "customer": "c-1"})
    }

    /// A visitor's socket on which nothing was said.
    pub(super) async fn visitor(&self) -> Client {
        self.visitor_from("203.0.113.1").await
    }

    /// The same from behind a proxy.
    pub(super) async fn visitor_from(&self, client: &str) -> Client {
        let mut request = self.socket_request("/ws/visitor");
        request.headers_mut().insert("origin", PUBLIC.parse().unwrap());
        request.headers_mut().insert("x-forwarded-for", client.parse().unwrap());
        Client::connect(request).await.unwrap()
    }

    pub(super) fn socket_request(&self, path: &str) -> Request {
        format!("ws://{}{path}", self.address).into_client_request().unwrap()
    }

    /// A visitor who was welcomed, and the call.
    pub(super) async fn welcomed(&self) -> (Client, CallId) {
        let mut visitor = self.visitor().await;
        visitor.say(&self.hello().await).await;
        let VisitorEvent::Welcome { call, .. } = visitor.event().await else { panic!("no welcome") };
        let session = serde_json::from_str(&visitor.text().await.expect("a session")).unwrap();
        let VisitorEvent::Session { token } = session else { panic!("{session:?}") };
        visitor.session = Some(token);
        (visitor, CallId::new(call))
    }

    pub(super) async fn rest(&self, method: Method, path: &str, key: &str, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, self.url(path)).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// The record of a call once it is closed.
    pub(super) async fn record(&self, call: &CallId) -> Call {
        let find = async || {
            let (status, body) = self.rest(Method::GET, &format!("/v1/calls/{call}"), OPERATOR, None).await;
            let record: Option<Call> = (status == StatusCode::OK).then(|| serde_json::from_value(body).unwrap());
            record.filter(|record| record.ended_at.is_some())
        };
        eventually("the record is closed", find).await
    }

    pub(super) async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        timeout(PATIENCE, self.server.ended()).await.expect("the server ends").unwrap();
        self.folder
    }
}

impl Builder {
    pub(super) fn configure(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    pub(super) fn limits(self, limits: Limits) -> Self {
        self.configure(|config| config.limits = limits)
    }

    pub(super) fn assets(self, assets: Assets) -> Self {
        Self { assets, ..self }
    }

    /// With the database of an earlier server.
    pub(super) fn folder(self, folder: TempDir) -> Self {
        let database = folder.path().join("ringlet.sqlite");
        Self { folder, ..self }.configure(|config| config.database = database)
    }

    /// With a gateway that takes connections over. What is no audio's has to stay the server's.
    pub(super) fn sockets(self, sockets: mpsc::Sender<std::net::TcpStream>) -> Self {
        Self { sockets: Some(sockets), ..self }
    }

    /// In the place of an earlier server.
    pub(super) fn inherits(self, inherited: Inherited) -> Self {
        Self { inherited: Some(inherited), ..self }
    }

    /// Without a gateway that registers.
    pub(super) fn no_gateway(self) -> Self {
        Self { registers: false, ..self }
    }

    pub(super) async fn start(self) -> TestApp {
        let linked = self.registers || self.sockets.is_some();
        let (commands, command_receiver) = mpsc::channel(64);
        let (events, event_receiver) = mpsc::channel(64);
        let (frames, frame_receiver) = mpsc::channel(64);
        let (frames_out, frames_out_receiver) = mpsc::channel(64);
        let sockets = self.sockets;
        let local = LocalGateway { commands, events: event_receiver, frames, frames_out: frames_out_receiver, sockets };
        let shutdown = CancellationToken::new();
        let local = linked.then_some(local);
        let started = crate::server::start(self.config, local, shutdown.clone(), self.inherited, self.assets).await;
        let server = started.unwrap();
        let gateway = FakeGateway { commands: command_receiver, events, frames: frame_receiver, frames_out };
        if self.registers {
            gateway.say(registered("gateway-1")).await;
        }
        let address = server.addresses()[0];
        let app = TestApp { server, address, gateway, shutdown, http: reqwest::Client::new(), folder: self.folder };
        if self.registers {
            app.gateways(1).await;
        }
        app
    }
}

impl TestApp {
    /// Waits until that many gateways are connected.
    pub(super) async fn gateways(&self, count: u64) {
        eventually("the gateways are connected", async || {
            let health: Value = self.get("/healthz").await.json().await.unwrap();
            (health["gateways"] == count).then_some(())
        })
        .await;
    }
}

/// The far end of the in-process link.
pub(super) struct FakeGateway {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) frames: mpsc::Receiver<CallFrame>,
    pub(super) frames_out: mpsc::Sender<CallFrame>,
}

impl FakeGateway {
    pub(super) async fn say(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    pub(super) async fn command(&mut self) -> Command {
        timeout(PATIENCE, self.commands.recv()).await.expect("a command comes").expect("the link lives")
    }
}

/// A WebSocket of a visitor or a gateway.
pub(super) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The last `session` token.
    pub(super) session: Option<String>,
}

impl Client {
    pub(super) async fn connect(request: Request) -> Result<Self, tungstenite::Error> {
        timeout(PATIENCE, tokio_tungstenite::connect_async(request))
            .await
            .unwrap()
            .map(|(socket, _)| Self { socket, session: None })
    }

    pub(super) async fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string())).await;
    }

    pub(super) async fn request(&mut self, request: &VisitorRequest) {
        self.say(&serde_json::to_value(request).unwrap()).await;
    }

    pub(super) async fn send(&mut self, message: Message) {
        // The server may have closed already; what counts is what it says.
        drop(self.socket.send(message).await);
    }

    /// The next text; `None` when the connection is over.
    pub(super) async fn text(&mut self) -> Option<String> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes") {
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(message)) => panic!("unexpected: {message:?}"),
            }
        }
    }

    /// The next binary message; texts before it are skipped.
    pub(super) async fn binary(&mut self) -> Vec<u8> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes") {
                Some(Ok(Message::Binary(bytes))) => return bytes.to_vec(),
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no binary message: {other:?}"),
            }
        }
    }

    /// The next event but `session`, which is kept.
    pub(super) async fn event(&mut self) -> VisitorEvent {
        loop {
            let event = serde_json::from_str(&self.text().await.expect("a message")).unwrap();
            let VisitorEvent::Session { token } = event else { return event };
            self.session = Some(token);
        }
    }

    /// Goes as pages go, and not as networks do.
    pub(super) async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
    }

    /// Skips to `ended`, after which the connection has to close.
    pub(super) async fn ended(&mut self) -> (EndReason, Option<&'static str>) {
        loop {
            if let VisitorEvent::Ended { reason, code, .. } = self.event().await {
                assert_eq!(self.text().await, None, "nothing comes after `ended`");
                return (reason, code.map(protocol::error::ErrorCode::word));
            }
        }
    }
}

/// What a gateway says first.
pub(super) fn registered(name: &str) -> Event {
    let trunks = vec!["pbx".into()];
    Event::Registered { version: VERSION, gateway: name.into(), capacity: 10, trunks, calls: Vec::new() }
}

/// What a gateway says last.
pub(super) fn closed(call: &CallId) -> Event {
    let sip_call_id = Some("abc@10.0.0.1".to_owned());
    let stats = CallStats { visitor_packets: 500, agent_packets: 400, visitor_lost: 3, agent_lost: 2, sip_call_id };
    Event::Closed { call: call.clone(), stats }
}

/// The value of an attribute of a page.
pub(super) fn attribute<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("{name}=\"")).expect("the attribute is there");
    rest.split_once('"').expect("the attribute ends").0
}

/// Tries until there is a result.
pub(super) async fn eventually<T>(what: &str, find: impl AsyncFn() -> Option<T>) -> T {
    let search = async {
        loop {
            if let Some(found) = find().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

fn merchant(id: &str, trunk: &str, address: &str) -> MerchantSeed {
    MerchantSeed {
        id: id.into(),
        name: format!("The shop {id}"),
        origins: vec![SHOP.parse().unwrap()],
        signing_secret: Some(Secret::new(SIGNING_SECRET)),
        destinations: vec![
            DestinationSeed { id: "desk".into(), trunk: trunk.into(), address: address.to_owned() },
            DestinationSeed { id: "vip".into(), trunk: trunk.into(), address: "2002".to_owned() },
        ],
        links: vec![LinkSeed {
            id: "sales".into(),
            label: "Sales".into(),
            destination: "desk".into(),
            no_answer: None,
        }],
        commands: Vec::new(),
        key_pause: Duration::from_millis(1_500),
        forbidden: Vec::new(),
        on_gateway_loss: Default::default(),
    }
}
