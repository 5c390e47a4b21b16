//! A visitor who is between two pages while the far end is being rung.

use super::*;

/// A call that rings at the far end, and whose page has gone.
async fn left() -> TestResult<(Bench, CallId, String)> {
    let mut bench = Bench::new().await?;
    let mut first = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.sip.ring(&far)?;
    assert_eq!(bench.event().await?, Event::Ringing { call: bench.call.clone() });
    bench.tell(Command::VisitorAway { call: bench.call.clone() }).await?;
    let calls = vec![Carried { call: bench.call.clone(), far_end: TrunkLeg::Ringing, media_up: false, away: true }];
    let is_known = async {
        let has_them = |event: &Event| matches!(event, Event::Registered { calls: carried, .. } if *carried == calls);
        while !bench.gateway.handle.registration().await.is_some_and(|events| events.iter().any(has_them)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_known).await?;
    first.close()?;
    Ok((bench, far, offer))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_hears_the_far_end_ring_on_and_then_talks_to_it() -> TestResult {
    let (mut bench, far, offer) = left().await?;
    let mut second = bench.browser().await?;
    assert!(block_in_place(|| second.live(PATIENCE, |browser| browser.heard.len() > 4_000))?, "no ringback");
    bench.far_end.answer(&far, &offer)?;
    assert_eq!(bench.event().await?, Event::Answered { call: bench.call.clone() });
    second.speak(1_000.0);
    let heard = second.heard.len();
    assert!(block_in_place(|| second.live(PATIENCE, |browser| browser.heard.len() > heard + 12_000))?);
    let samples: Vec<f32> = second.heard.iter().rev().take(4000).copied().map(units::from_i16).collect();
    let level = spectrum::tone_level(&samples, SampleRate::HZ_8000, Hertz(1_000.0)).0;
    assert!((-19.0..-13.0).contains(&level), "the echo has {level} dBov");
    bench.release().await?;
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_that_answers_meanwhile_hears_that_the_visitor_is_away_and_goes_on_with_the_next_page() -> TestResult
{
    let (mut bench, far, offer) = left().await?;
    bench.far_end.answer(&far, &offer)?;
    // Nothing is said of the path that was.
    assert_eq!(bench.event().await?, Event::Answered { call: bench.call.clone() });
    // The tone, and silence around it.
    sleep(Duration::from_secs(1)).await;
    let mut second = bench.browser().await?;
    second.speak(440.0);
    assert!(block_in_place(|| second.live(PATIENCE, |browser| browser.heard.len() > 4_000))?);
    let stats = bench.release().await?;
    assert!(stats.agent_packets > 60, "{stats:?}");
    bench.ends_clean().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_does_not_come_back_costs_a_far_end_that_rings_no_farewell() -> TestResult {
    let (mut bench, ..) = left().await?;
    bench.release().await?;
    let event = timeout(PATIENCE, bench.far_end.events.recv()).await?;
    assert!(matches!(event, Some(SipEvent::Bye { .. } | SipEvent::Closed { .. })), "{event:?}");
    bench.ends_clean().await
}
