//! A leg that is made before its page is there.

use super::*;
use protocol::fingerprint;

/// The next page of the bench's browser, the offer that it has not made yet, and what it was prepared.
fn next_page(bench: &mut Bench) -> TestResult<(Browser, String, String)> {
    let (next, offer) = Browser::new()?;
    let fingerprint = fingerprint::of_sdp(&offer).ok_or("no fingerprint")?.to_owned();
    bench.tell(|call| MediaCommand::Prepare { call, fingerprint: fingerprint.clone() });
    let event = event(bench)?;
    let MediaEvent::Prepared { fingerprint: of, sdp, .. } = event else {
        return Err(format!("not prepared: {event:?}").into());
    };
    assert_eq!(of, fingerprint);
    Ok((next, offer, sdp))
}

/// The next event that is not of the far end, which has nothing to say in some of these tests.
fn event(bench: &mut Bench) -> TestResult<MediaEvent> {
    loop {
        let event = bench.event()?;
        if !matches!(event, MediaEvent::FarEndSilent { .. }) {
            return Ok(event);
        }
    }
}

fn in_call(tone: f32) -> TestResult<Bench> {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcmu)?;
    bench.browser.speak(tone);
    bench.live(Law::Mu, Some(1000.0), |browser, got| browser.heard.len() > 4_000 && got.len() > 25)?;
    Ok(bench)
}

fn offer(bench: &mut Bench, sdp: &str) -> TestResult<String> {
    bench.tell(|call| MediaCommand::Offer { call, sdp: sdp.to_owned(), quality: Quality::Standard });
    let event = event(bench)?;
    let MediaEvent::Answer { sdp, .. } = event else { return Err(format!("no answer: {event:?}").into()) };
    Ok(sdp)
}

fn is_told_up(bench: &mut Bench) -> TestResult {
    assert!(matches!(event(bench)?, MediaEvent::Up { .. }));
    assert!(matches!(event(bench)?, MediaEvent::Transport { transport: Transport::Udp, .. }));
    Ok(())
}

#[test]
fn the_next_page_is_heard_and_hears_before_it_has_asked() -> TestResult {
    let mut bench = in_call(440.0)?;
    let (mut next, sdp, prepared) = next_page(&mut bench)?;
    bench.order(CallOrder::Away);
    next.accept(&prepared)?;
    bench.browser = next;
    bench.browser.speak(600.0);
    let got = bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 12_000)?;
    assert_only_tone(heard_by_far_end(&got).get(8_000..).unwrap_or_default(), 600.0, 440.0);
    assert_only_tone(bench.browser.heard.get(4_000..).unwrap_or_default(), 1000.0, 600.0);
    assert!(bench.events.try_recv().is_err(), "nobody has been given the call yet");

    assert_eq!(offer(&mut bench, &sdp)?, prepared, "the page need not change anything");
    is_told_up(&mut bench)?;
    let got = bench.live(Law::Mu, Some(1000.0), |browser, got| browser.heard.len() > 20_000 && got.len() > 50)?;
    assert_only_tone(&heard_by_far_end(&got), 600.0, 440.0);
    Ok(())
}

#[test]
fn an_offer_that_comes_first_is_answered_with_what_was_prepared() -> TestResult {
    let mut bench = in_call(440.0)?;
    let (mut next, sdp, prepared) = next_page(&mut bench)?;
    bench.order(CallOrder::Away);
    assert_eq!(offer(&mut bench, &sdp)?, prepared);
    next.accept(&prepared)?;
    bench.browser = next;
    bench.browser.speak(600.0);
    assert!(bench.browser.live(PATIENCE, Browser::is_up)?);
    is_told_up(&mut bench)?;
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 8_000)?;
    assert_only_tone(bench.browser.heard.get(4_000..).unwrap_or_default(), 1000.0, 600.0);
    Ok(())
}

#[test]
fn while_another_page_has_the_call_the_prepared_one_is_connected_and_not_heard() -> TestResult {
    let mut bench = in_call(440.0)?;
    let (mut next, _, prepared) = next_page(&mut bench)?;
    next.accept(&prepared)?;
    next.speak(600.0);
    assert!(next.live(PATIENCE, Browser::is_up)?, "it is not connected");
    let heard_before = next.heard.len();
    let got = bench.live(Law::Mu, Some(1000.0), |browser, got| browser.heard.len() > 12_000 && got.len() > 60)?;
    assert_only_tone(&heard_by_far_end(&got), 440.0, 600.0);
    assert_eq!(next.heard.len(), heard_before);
    // It goes on as soon as the other has gone.
    bench.order(CallOrder::Away);
    bench.browser = next;
    bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 8_000)?;
    Ok(())
}

#[test]
fn another_certificate_than_the_announced_one_does_not_connect() -> TestResult {
    let mut bench = in_call(440.0)?;
    let (_, _, prepared) = next_page(&mut bench)?;
    bench.order(CallOrder::Away);
    let (mut thief, _) = Browser::new()?;
    thief.accept(&prepared)?;
    assert!(!thief.live(Duration::from_secs(2), Browser::is_up)?, "it has connected");
    assert!(thief.heard.is_empty());
    Ok(())
}

#[test]
fn what_was_prepared_is_made_anew_at_will_and_nothing_is_left_of_it() -> TestResult {
    let mut bench = in_call(440.0)?;
    let (mut first, _, stale) = next_page(&mut bench)?;
    let (mut second, sdp, prepared) = next_page(&mut bench)?;
    bench.order(CallOrder::Away);
    first.accept(&stale)?;
    assert!(!first.live(Duration::from_secs(1), Browser::is_up)?, "another has taken its place");
    assert_eq!(offer(&mut bench, &sdp)?, prepared);
    second.accept(&prepared)?;
    assert!(second.live(PATIENCE, Browser::is_up)?);
    is_told_up(&mut bench)?;
    // A page that was not prepared for takes its turn as ever.
    let (mut third, sdp) = Browser::new()?;
    let answer = offer(&mut bench, &sdp)?;
    assert_ne!(answer, prepared);
    third.accept(&answer)?;
    assert!(third.live(PATIENCE, Browser::is_up)?);
    is_told_up(&mut bench)?;
    bench.tell(|call| MediaCommand::Close { call });
    assert!(matches!(event(&mut bench)?, MediaEvent::Closed { .. }));
    Ok(())
}
