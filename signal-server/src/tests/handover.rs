//! A server that takes the place of one that runs, with calls up.

use super::harness::{Client, PATIENCE, SHOP, TestApp, closed, eventually};
use crate::{Config, Inherited, LocalGateway, Tls};
use futures_util::{SinkExt as _, StreamExt as _};
use protocol::CallId;
use protocol::gateway::{Carried, Command, Event, TrunkLeg, VERSION};
use protocol::visitor::{CallState, EndReason, VisitorEvent, VisitorRequest};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// The gateway of the earlier process, as it comes to the later one.
struct Heir(WebSocketStream<UnixStream>);

impl Heir {
    async fn connect(path: &std::path::Path, calls: Vec<Carried>) -> Self {
        let stream = eventually("the gateway's socket", async || UnixStream::connect(path).await.ok()).await;
        let (socket, _) = tokio_tungstenite::client_async("ws://localhost/ws/gateway", stream).await.unwrap();
        let mut heir = Self(socket);
        let (gateway, trunks) = ("gateway-1~1".into(), vec!["pbx".into()]);
        heir.say(&Event::Registered { version: VERSION, gateway, capacity: 0, trunks, calls }).await;
        heir
    }

    async fn say(&mut self, event: &Event) {
        self.0.send(Message::text(serde_json::to_string(event).unwrap())).await.unwrap();
    }

    async fn command(&mut self) -> Command {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a command comes") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no command: {other:?}"),
            }
        }
    }
}

async fn calls(app: &mut TestApp, ready: bool) -> (Client, CallId) {
    let (mut visitor, call) = app.welcomed().await;
    visitor.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert!(matches!(app.gateway.command().await, Command::Offer { .. }));
    app.gateway.say(Event::Answer { call: call.clone(), sdp: "answer".to_owned() }).await;
    if ready {
        visitor.request(&VisitorRequest::Ready {}).await;
        assert!(matches!(app.gateway.command().await, Command::Dial { .. }));
    }
    (visitor, call)
}

/// The page finds its socket closed, and comes back as it would.
async fn comes_back(app: &TestApp, mut before: Client) -> Client {
    while before.text().await.is_some() {}
    let mut hello = app.hello().await;
    (hello["session"], hello["seen"], hello["origin"]) = (json!(before.session), json!(1), json!(SHOP));
    let mut visitor = app.visitor().await;
    visitor.say(&hello).await;
    let event = visitor.event().await;
    assert!(matches!(event, VisitorEvent::Reconnected { received: None, .. }), "{event:?}");
    visitor
}

async fn reaches(visitor: &mut Client, wanted: CallState) {
    while !matches!(visitor.event().await, VisitorEvent::State { state } if state == wanted) {}
}

/// Somebody comes all the time, each over a connection of its own.
struct Guests {
    answered: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Guests {
    fn come(url: String) -> Self {
        let (answered, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counts = (answered.clone(), refused.clone());
        tokio::spawn(async move {
            let guest = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
            loop {
                let answer = guest.get(&url).send().await.and_then(reqwest::Response::error_for_status);
                let count = if answer.is_ok() { &counts.0 } else { &counts.1 };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { answered, refused }
    }

    async fn more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("somebody came", async || (self.answered.load(Ordering::Relaxed) > before + 2).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_takes_the_place_of_another_and_no_call_drops_and_nobody_is_refused() {
    let mut first = TestApp::start().await;
    let (talking, talks) = calls(&mut first, true).await;
    first.gateway.say(Event::Answered { call: talks.clone() }).await;
    let (ringing, rings) = calls(&mut first, true).await;
    first.gateway.say(Event::Ringing { call: rings.clone() }).await;
    let (waiting, waits) = calls(&mut first, false).await;
    let (fresh, _) = first.welcomed().await;

    let guests = Guests::come(first.url("/healthz"));
    guests.more().await;

    let handover = first.server.handover();
    let listeners = handover.listeners().unwrap();
    let (give, given) = oneshot::channel::<Option<LocalGateway>>();
    let let_go = Box::pin(async move {
        let _ = give.send(handover.let_go("gateway-1~1".into()).await);
        Ok(())
    });
    let (database, address) = (first.folder.path().join("ringlet.sqlite"), first.address);
    let socket = first.folder.path().join("gateways");
    let path = socket.clone();
    let mut second = TestApp::builder()
        .configure(|it| (it.database, it.listen, it.gateway_socket) = (database, vec![address], Some(path)))
        .inherits(Inherited { listeners, let_go })
        .start()
        .await;
    assert_eq!(second.address, first.address);
    assert!(given.await.unwrap().is_some(), "the gateway comes back");

    let carried = |call: &CallId, far_end| Carried { call: call.clone(), far_end, media_up: true, away: false };
    let carries =
        vec![carried(&talks, TrunkLeg::Answered), carried(&rings, TrunkLeg::Ringing), carried(&waits, TrunkLeg::Idle)];
    let mut heir = Heir::connect(&socket, carries).await;
    for _ in 0..3 {
        assert!(matches!(heir.command().await, Command::Frames { codec: None, .. }));
    }

    let mut talking = comes_back(&second, talking).await;
    talking.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(talking.ended().await, (EndReason::VisitorHungUp, None));
    assert!(matches!(heir.command().await, Command::Release { call, .. } if call == talks));
    heir.say(&closed(&talks)).await;
    assert_eq!(second.record(&talks).await.gateway.unwrap().as_str(), "gateway-1~1");

    let mut ringing = comes_back(&second, ringing).await;
    heir.say(&Event::Answered { call: rings.clone() }).await;
    reaches(&mut ringing, CallState::Answered).await;

    let mut waiting = comes_back(&second, waiting).await;
    waiting.request(&VisitorRequest::Ready {}).await;
    assert!(matches!(heir.command().await, Command::Dial { call, .. } if call == waits));
    reaches(&mut waiting, CallState::Dialing).await;

    // Whom no gateway had yet, and who comes now, the new gateway takes.
    let mut fresh = comes_back(&second, fresh).await;
    fresh.request(&VisitorRequest::Offer { sdp: "offer".to_owned(), quality: None }).await;
    assert!(matches!(second.gateway.command().await, Command::Offer { .. }));
    calls(&mut second, true).await;

    guests.more().await;
    assert_eq!(guests.refused.load(Ordering::Relaxed), 0, "of {:?}", guests.answered);
    timeout(PATIENCE, first.server.ended()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_whose_predecessor_does_not_let_go_does_not_start() {
    let first = TestApp::start().await;
    let listeners = first.server.handover().listeners().unwrap();
    let let_go = Box::pin(async { Err(std::io::Error::other("it is silent")) });
    let database = first.folder.path().join("ringlet.sqlite");
    let config = Config { listen: vec![first.address], database, ..Config::default() };
    let stop = CancellationToken::new();
    let error = crate::serve(config, None, stop, Some(Inherited { listeners, let_go })).await.unwrap_err();
    assert!(error.to_string().contains("it is silent"), "{error}");
    assert_eq!(first.get("/healthz").await.status(), 200);
}

#[tokio::test]
async fn a_newcomer_that_cannot_start_leaves_the_server_that_runs_as_it_was() {
    let mut first = TestApp::start().await;
    let (mut talking, talks) = calls(&mut first, true).await;
    first.gateway.say(Event::Answered { call: talks.clone() }).await;
    let database = first.folder.path().join("ringlet.sqlite");
    let nowhere = first.folder.path().join("missing").join("file");
    let tls = Tls::Files { certificate: nowhere.clone(), key: nowhere.clone() };
    let fails: [fn(&mut Config, PathBuf, Tls); 2] =
        [|config, _, tls| config.tls = tls, |config, nowhere, _| config.gateway_socket = Some(nowhere)];
    for fail in fails {
        let handover = first.server.handover();
        let listeners = handover.listeners().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let asks = asked.clone();
        let let_go = Box::pin(async move {
            asks.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let mut config = Config { listen: vec![first.address], database: database.clone(), ..Config::default() };
        fail(&mut config, nowhere.clone(), tls.clone());
        let error = crate::serve(config, None, CancellationToken::new(), Some(Inherited { listeners, let_go })).await;
        assert!(error.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 0, "the server was asked to let go: {error:?}");
    }
    talking.request(&VisitorRequest::Hangup {}).await;
    assert_eq!(talking.ended().await, (EndReason::VisitorHungUp, None));
}
