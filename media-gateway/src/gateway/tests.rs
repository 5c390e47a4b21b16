//! A whole gateway: a browser on one side, on the other a SIP peer that answers and echoes, real sockets on loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use dsp::{Hertz, SampleRate, spectrum, units};
use protocol::frame::{Frame, Kind};
use protocol::gateway::{CallFrame, CallStats, Carried, Command, Event, Failure, Transport, TrunkLeg};
use protocol::visitor::Quality;
use protocol::{CallId, GatewayId, TrunkName};
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

use super::{Gateway, start, start_in_place};
use crate::config::{Config, Trunk};
use crate::media::browser::{Browser, TestResult};
use crate::media::own_ports::OwnPorts;
use crate::sip::sdp::{self, Local};
use crate::sip::{DEFAULT_T1, Settings, SipEvent, SipHandle, SipStack, SipStats};

mod away;
mod broken;
mod keys;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The system gives UDP a free port; TCP's of the same number may be another program's, and then the next one is tried.
async fn on_free_port<T, E, F: Future<Output = Result<T, E>>>(start: impl Fn() -> F) -> Result<T, E> {
    for _ in 0..10 {
        if let Ok(started) = start().await {
            return Ok(started);
        }
    }
    start().await
}

/// A SIP peer that does as it is told, and sends every RTP packet back.
struct FarEnd {
    sip: SipHandle,
    events: mpsc::Receiver<SipEvent>,
    rtp: SocketAddr,
}

impl FarEnd {
    async fn new() -> TestResult<Self> {
        let settings = Settings {
            listen: LOOPBACK,
            public_ip: None,
            trunks: Vec::new(),
            accept_calls: true,
            max_calls: 10,
            t1: DEFAULT_T1,
        };
        let (sip, events) = on_free_port(|| SipStack::start(settings.clone())).await?;
        let echo = tokio::net::UdpSocket::bind(LOOPBACK).await?;
        let rtp = echo.local_addr()?;
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, source)) = echo.recv_from(&mut buffer).await {
                let _ = echo.send_to(buffer.get(..length).unwrap_or_default(), source).await;
            }
        });
        Ok(Self { sip, events, rtp })
    }

    async fn incoming(&mut self) -> TestResult<(CallId, String)> {
        match timeout(PATIENCE, self.events.recv()).await? {
            Some(SipEvent::Incoming { call, sdp, .. }) => Ok((call, sdp.ok_or("an INVITE without an offer")?)),
            other => Err(format!("no call: {other:?}").into()),
        }
    }

    fn answer(&self, call: &CallId, offer: &str) -> TestResult {
        let local = Local { rtp: self.rtp, session_id: 7, version: 1 };
        Ok(self.sip.answer(call, sdp::answer(offer, &local)?.1)?)
    }
}

struct Bench {
    gateway: Gateway,
    far_end: FarEnd,
    call: CallId,
    ports: OwnPorts,
}

impl Bench {
    async fn new() -> TestResult<Self> {
        let far_end = FarEnd::new().await?;
        let port = far_end.sip.local_addr().port();
        Self::with(far_end, port).await
    }

    async fn with(far_end: FarEnd, trunk: u16) -> TestResult<Self> {
        let ports = OwnPorts::claim()?;
        let trunk = Trunk::new("pbx", "127.0.0.1", trunk);
        let config = Config {
            capacity: 1,
            media_udp: LOOPBACK,
            sip_listen: LOOPBACK,
            rtp_ports: ports.range(),
            trunks: vec![trunk],
            ..Config::default()
        };
        let gateway = on_free_port(|| start(config.clone())).await?;
        let mut bench = Self { gateway, far_end, call: CallId::new("01CALL"), ports };
        assert!(matches!(bench.event().await?, Event::Registered { capacity: 1, .. }));
        Ok(bench)
    }

    async fn event(&mut self) -> TestResult<Event> {
        Ok(timeout(PATIENCE, self.gateway.events.recv()).await?.ok_or("the gateway is gone")?)
    }

    async fn tell(&self, command: Command) -> TestResult {
        Ok(self.gateway.commands.send(command).await?)
    }

    /// A browser that is up.
    async fn browser(&mut self) -> TestResult<Browser> {
        let (mut browser, sdp) = Browser::new()?;
        self.tell(Command::Offer { call: self.call.clone(), sdp, quality: Quality::Standard }).await?;
        let mut event = self.event().await?;
        if matches!(event, Event::MediaDown { .. }) {
            // Of a page before this one, which closed before the gateway knew that it was away.
            event = self.event().await?;
        }
        let Event::Answer { sdp, .. } = event else { return Err(format!("no answer: {event:?}").into()) };
        browser.accept(&sdp)?;
        assert!(block_in_place(|| browser.live(PATIENCE, Browser::is_up))?);
        assert_eq!(self.event().await?, Event::MediaUp { call: self.call.clone() });
        let transport = Transport::Udp;
        assert_eq!(self.event().await?, Event::Transport { call: self.call.clone(), transport });
        Ok(browser)
    }

    async fn dial(&mut self) -> TestResult<(CallId, String)> {
        self.tell(self.dial_command("pbx")).await?;
        self.far_end.incoming().await
    }

    fn dial_command(&self, trunk: &str) -> Command {
        let (call, trunk, address) = (self.call.clone(), TrunkName::new(trunk), "1001".to_owned());
        Command::Dial { call, trunk, address, caller_name: None, headers: Vec::new() }
    }

    /// Releases the call and waits for its end.
    async fn release(&mut self) -> TestResult<CallStats> {
        self.tell(Command::Release { call: self.call.clone(), why: "test".to_owned() }).await?;
        loop {
            if let Event::Closed { call, stats } = self.event().await? {
                assert_eq!(call, self.call);
                return Ok(stats);
            }
        }
    }

    /// Nothing is left, and the gateway stops at once.
    async fn ends_clean(mut self) -> TestResult {
        let registration = self.gateway.handle.registration().await.unwrap_or_default();
        assert!(matches!(registration.as_slice(), [Event::Registered { calls, .. }] if calls.is_empty()));
        // The SIP side reports the end a moment before it stops counting the call.
        let sip = self.gateway.handle.sip().clone();
        let nothing = async {
            while sip.stats() != SipStats::default() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, nothing).await?;
        assert!(self.ports.are_free(), "RTP ports are held");
        self.gateway.handle.shutdown(PATIENCE).await;
        timeout(PATIENCE, self.gateway.handle.stopped()).await?;
        assert!(self.gateway.events.recv().await.is_none(), "an event after the end");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_from_the_offer_over_ringing_and_talking_to_the_end() -> TestResult {
    let mut bench = Bench::new().await?;
    let mut browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.sip.ring(&far)?;
    let call = bench.call.clone();
    assert_eq!(bench.event().await?, Event::Ringing { call: call.clone() });
    bench.far_end.answer(&far, &offer)?;
    assert_eq!(bench.event().await?, Event::Answered { call });
    browser.speak(440.0);
    assert!(block_in_place(|| browser.live(PATIENCE, |browser| browser.heard.len() > 12_000))?);
    let samples: Vec<f32> = browser.heard.iter().rev().take(4000).copied().map(units::from_i16).collect();
    let level = spectrum::tone_level(&samples, SampleRate::HZ_8000, Hertz(440.0)).0;
    assert!((-19.0..-13.0).contains(&level), "the echo of −16.2 dBov has {level} dBov");
    let stats = bench.release().await?;
    assert!(stats.visitor_packets > 40 && stats.agent_packets > 40 && stats.sip_call_id.is_some(), "{stats:?}");
    assert_eq!((stats.visitor_lost, stats.agent_lost), (0, 0));
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_of_the_visitor_goes_on_with_the_far_end_that_stands() -> TestResult {
    let mut bench = Bench::new().await?;
    let mut first = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    let call = bench.call.clone();
    assert_eq!(bench.event().await?, Event::Answered { call: call.clone() });
    first.speak(440.0);
    assert!(block_in_place(|| first.live(PATIENCE, |browser| browser.heard.len() > 4_000))?);
    bench.tell(Command::VisitorAway { call }).await?;
    first.close()?;
    let mut second = bench.browser().await?;
    second.speak(1_000.0);
    assert!(block_in_place(|| second.live(PATIENCE, |browser| browser.heard.len() > 12_000))?);
    let samples: Vec<f32> = second.heard.iter().rev().take(4000).copied().map(units::from_i16).collect();
    let level = |pitch| spectrum::tone_level(&samples, SampleRate::HZ_8000, Hertz(pitch)).0;
    assert!((-19.0..-13.0).contains(&level(1_000.0)), "the echo has {} dBov", level(1_000.0));
    assert!(level(440.0) < -40.0, "the first page is heard at {} dBov", level(440.0));
    let stats = bench.release().await?;
    assert!(stats.visitor_packets > 80, "both pages count: {stats:?}");
    assert_eq!((stats.visitor_lost, stats.agent_lost), (0, 0));
    assert!(bench.far_end.events.recv().await.is_some(), "the far end was rung once, and hears the end");
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_was_called_away_is_not_up_because_something_comes_over_the_old_path() -> TestResult {
    let mut bench = Bench::new().await?;
    let mut browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    let call = bench.call.clone();
    assert_eq!(bench.event().await?, Event::Answered { call: call.clone() });
    browser.speak(440.0);
    assert!(block_in_place(|| browser.live(PATIENCE, |browser| browser.heard.len() > 4_000))?);
    bench.tell(Command::VisitorAway { call: call.clone() }).await?;
    // Longer than a gateway takes to notice that nothing comes.
    sleep(Duration::from_secs(3)).await;
    block_in_place(|| browser.live(Duration::from_millis(300), |_| false))?;
    let registration = bench.gateway.handle.registration().await.unwrap_or_default();
    let carried = Carried { call, far_end: TrunkLeg::Answered, media_up: false, away: true };
    let [Event::Registered { calls, .. }] = registration.as_slice() else { return Err("no registration".into()) };
    assert_eq!(calls, &[carried]);
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_whose_visitor_does_not_come_back_hears_so_and_is_released() -> TestResult {
    let mut bench = Bench::new().await?;
    let mut browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    assert!(matches!(bench.event().await?, Event::Answered { .. }));
    bench.tell(Command::VisitorAway { call: bench.call.clone() }).await?;
    browser.close()?;
    let begun = std::time::Instant::now();
    let stats = bench.release().await?;
    assert!(begun.elapsed() >= Duration::from_millis(600), "the farewell was cut short");
    // What the far end sends back are the tones and the silence between them.
    assert!(stats.agent_packets > 30, "{stats:?}");
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_the_next_page_that_is_unusable_costs_the_call_and_nothing_else() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    assert!(matches!(bench.event().await?, Event::Answered { .. }));
    bench.tell(Command::VisitorAway { call: bench.call.clone() }).await?;
    bench
        .tell(Command::Offer { call: bench.call.clone(), sdp: "nonsense".to_owned(), quality: Quality::Standard })
        .await?;
    let event = bench.event().await?;
    assert!(matches!(event, Event::Failed { failure: Failure::OfferUnusable, .. }), "{event:?}");
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_end_hangs_up() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    let call = bench.call.clone();
    assert_eq!(bench.event().await?, Event::Answered { call: call.clone() });
    let carried = |far_end| Carried { call: call.clone(), far_end, media_up: true, away: false };
    let registration = bench.gateway.handle.registration().await.unwrap_or_default();
    assert!(
        matches!(registration.as_slice(), [Event::Registered { calls, .. }] if *calls == [carried(TrunkLeg::Answered)])
    );
    bench.far_end.sip.release(&far, "lunch")?;
    let hung_up = Event::FarEndHungUp { call: call.clone() };
    assert_eq!(bench.event().await?, hung_up);
    // A signal-server that was not there then is told.
    let registration = bench.gateway.handle.registration().await.unwrap_or_default();
    let [Event::Registered { calls, .. }, last_word] = registration.as_slice() else {
        return Err(format!("{registration:?}").into());
    };
    assert_eq!((calls.as_slice(), last_word), ([carried(TrunkLeg::Gone)].as_slice(), &hung_up));
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_far_end_is_busy() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, _) = bench.dial().await?;
    bench.far_end.sip.reject(&far, 486)?;
    let event = bench.event().await?;
    assert!(matches!(event, Event::Rejected { status: 486, .. }), "{event:?}");
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_while_it_rings_cancels() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, _) = bench.dial().await?;
    bench.far_end.sip.ring(&far)?;
    assert!(matches!(bench.event().await?, Event::Ringing { .. }));
    bench.release().await?;
    let event = timeout(PATIENCE, bench.far_end.events.recv()).await?;
    assert!(matches!(event, Some(SipEvent::Bye { .. } | SipEvent::Closed { .. })), "{event:?}");
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_said_and_leaves_nothing() -> TestResult {
    let mut bench = Bench::new().await?;
    // A call that nobody knows is closed already.
    assert_eq!(bench.release().await?, CallStats::default());
    let _browser = bench.browser().await?;
    let sdp = Browser::new()?.1;
    bench.tell(Command::Offer { call: CallId::new("second"), sdp, quality: Quality::Standard }).await?;
    let event = bench.event().await?;
    assert!(matches!(event, Event::Failed { failure: Failure::Full, .. }), "{event:?}");
    bench.tell(bench.dial_command("nowhere")).await?;
    let event = bench.event().await?;
    assert!(matches!(event, Event::Failed { failure: Failure::Undialable, .. }), "{event:?}");
    bench.release().await?;
    bench
        .tell(Command::Offer { call: bench.call.clone(), sdp: "nonsense".to_owned(), quality: Quality::Standard })
        .await?;
    let event = bench.event().await?;
    assert!(matches!(event, Event::Failed { failure: Failure::OfferUnusable, .. }), "{event:?}");
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stops_ends_its_calls_first() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    assert!(matches!(bench.event().await?, Event::Answered { .. }));
    let handle = bench.gateway.handle.clone();
    let (_, event) = tokio::join!(handle.shutdown(PATIENCE), bench.event());
    assert!(matches!(event?, Event::Closed { .. }));
    let mut saw_bye = false;
    while let Ok(Some(event)) = timeout(Duration::from_millis(200), bench.far_end.events.recv()).await {
        saw_bye |= matches!(event, SipEvent::Bye { .. });
    }
    assert!(saw_bye, "the far end got no BYE");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_is_dead_does_not_hold_a_stopping_gateway() -> TestResult {
    let silent = UdpSocket::bind(LOOPBACK)?;
    let mut bench = Bench::with(FarEnd::new().await?, silent.local_addr()?.port()).await?;
    let _browser = bench.browser().await?;
    bench.tell(bench.dial_command("pbx")).await?;
    silent.set_read_timeout(Some(PATIENCE))?;
    block_in_place(|| silent.recv(&mut [0; 2048]))?;
    let handle = bench.gateway.handle.clone();
    let begun = std::time::Instant::now();
    let (_, event) = tokio::join!(handle.shutdown(Duration::from_millis(300)), bench.event());
    assert!(matches!(event?, Event::Closed { .. }));
    // RFC 3261's timer B is 32 s.
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_takes_the_place_of_another_and_the_calls_of_both_talk_on_and_end() -> TestResult {
    let mut old = Bench::new().await?;
    let mut browser = old.browser().await?;
    let (far, offer) = old.dial().await?;
    old.far_end.answer(&far, &offer)?;
    assert!(matches!(old.event().await?, Event::Answered { .. }));

    let (far_end, ports) = (FarEnd::new().await?, old.ports.clone());
    let config = Config {
        capacity: 1,
        media_udp: old.gateway.handle.media_address(),
        sip_listen: old.gateway.handle.sip().local_addr(),
        rtp_ports: ports.range(),
        trunks: vec![Trunk::new("pbx", "127.0.0.1", far_end.sip.local_addr().port())],
        ..Config::default()
    };
    let sockets = old.gateway.handle.offer_sockets().await?;
    let gateway = start_in_place(config, sockets).await?;
    let mut new = Bench { gateway, far_end, call: CallId::new("02CALL"), ports };
    assert!(matches!(new.event().await?, Event::Registered { .. }));
    old.gateway.handle.let_go(GatewayId::new("gateway~1")).await;
    let again = old.gateway.handle.offer_sockets().await;
    assert!(again.is_err(), "given away twice");
    let registration = old.gateway.handle.registration().await.unwrap_or_default();
    let [Event::Registered { gateway, capacity: 0, calls, .. }] = registration.as_slice() else {
        return Err(format!("{registration:?}").into());
    };
    assert_eq!((gateway.as_str(), calls.len()), ("gateway~1", 1));

    let mut next = new.browser().await?;
    let (next_far, offer) = new.dial().await?;
    new.far_end.answer(&next_far, &offer)?;
    assert!(matches!(new.event().await?, Event::Answered { .. }));
    for browser in [&mut browser, &mut next] {
        browser.speak(440.0);
        assert!(block_in_place(|| browser.live(PATIENCE, |browser| browser.heard.len() > 8_000))?);
    }
    // Another page of the old process's call has another leg, which the old process knows alone.
    old.tell(Command::VisitorAway { call: old.call.clone() }).await?;
    browser.close()?;
    let mut browser = old.browser().await?;
    browser.speak(440.0);
    assert!(block_in_place(|| browser.live(PATIENCE, |browser| browser.heard.len() > 8_000))?);

    // A BYE comes to the port that is the new one's.
    for (bench, far) in [(&mut old, far), (&mut new, next_far)] {
        bench.far_end.sip.release(&far, "lunch")?;
        assert_eq!(bench.event().await?, Event::FarEndHungUp { call: bench.call.clone() });
        bench.release().await?;
    }
    timeout(PATIENCE, old.gateway.handle.stopped()).await?;
    new.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_successor_dies_reads_its_ports_again() -> TestResult {
    loses_its_successor(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_successor_is_dead_before_it_lets_go_keeps_its_ports() -> TestResult {
    loses_its_successor(true).await
}

async fn loses_its_successor(is_gone_first: bool) -> TestResult {
    let mut old = Bench::new().await?;
    let mut browser = old.browser().await?;
    let (far, offer) = old.dial().await?;
    old.far_end.answer(&far, &offer)?;
    assert!(matches!(old.event().await?, Event::Answered { .. }));
    // A process that has taken them and is gone: its ends close.
    let mut sockets = Some(old.gateway.handle.offer_sockets().await?);
    if is_gone_first {
        sockets = None;
        // Until the media thread has seen it.
        sleep(Duration::from_millis(200)).await;
    }
    old.gateway.handle.let_go(GatewayId::new("gateway~1")).await;
    drop(sockets);
    browser.speak(440.0);
    assert!(block_in_place(|| browser.live(PATIENCE, |browser| browser.heard.len() > 8_000))?);
    old.far_end.sip.release(&far, "lunch")?;
    assert_eq!(old.event().await?, Event::FarEndHungUp { call: old.call.clone() });
    old.release().await?;
    Ok(timeout(PATIENCE, old.gateway.handle.stopped()).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checks_leg_hears_itself_beside_the_last_call_and_rings_nobody() -> TestResult {
    let mut bench = Bench::new().await?;
    let (mut tester, sdp) = Browser::new()?;
    let leg = CallId::new("01CHECK");
    bench.tell(Command::Echo { call: leg.clone(), sdp }).await?;
    let Event::Answer { call, sdp } = bench.event().await? else { return Err("no answer".into()) };
    assert_eq!(call, leg);
    tester.accept(&sdp)?;
    tester.speak(440.0);
    assert!(block_in_place(|| tester.live(PATIENCE, |browser| browser.heard.len() > 16_000))?);
    let samples: Vec<f32> = tester.heard.iter().rev().take(4000).copied().map(units::from_i16).collect();
    let level = spectrum::tone_level(&samples, SampleRate::HZ_8000, Hertz(440.0)).0;
    assert!((-19.0..-13.0).contains(&level), "the echo of −16.2 dBov has {level} dBov");
    // Every number comes back as it went: a gap is a loss, and nothing else.
    let gaps = tester.sequences.windows(2).filter(|pair| pair.last() != pair.first().map(|it| it + 1).as_ref()).count();
    assert_eq!((gaps, tester.sequences.first()), (0, Some(&1000)));
    // By frames as well, once they are frames.
    let frame = |payload: &'static [u8]| Frame { kind: Kind::Pcmu, marker: false, sequence: 9, timestamp: 7, payload };
    let mut bytes = vec![0; 100];
    let length = frame(&[1, 2, 3]).write(&mut bytes);
    bytes.truncate(length);
    for bytes in [vec![255; 3], bytes.clone()] {
        bench.gateway.frames.send(CallFrame { call: leg.clone(), bytes }).await?;
    }
    let back = timeout(PATIENCE, bench.gateway.frames_out.recv()).await?.ok_or("the gateway is gone")?;
    assert_eq!(back, CallFrame { call: leg.clone(), bytes });

    assert!(matches!(bench.event().await?, Event::MediaUp { .. }));
    assert!(matches!(bench.event().await?, Event::Transport { .. }));
    // The gateway takes one call, and a check is none: nor can it be dialled.
    bench.browser().await?;
    let trunk = TrunkName::new("pbx");
    let address = "1001".to_owned();
    bench.tell(Command::Dial { call: leg.clone(), trunk, address, caller_name: None, headers: Vec::new() }).await?;
    assert!(matches!(bench.event().await?, Event::Failed { failure: Failure::Undialable, .. }));
    bench.tell(Command::Release { call: leg.clone(), why: String::new() }).await?;
    assert!(matches!(bench.event().await?, Event::Closed { call, .. } if call == leg));
    bench.release().await?;
    bench.ends_clean().await
}
