//! Offers of real browsers, candidates of no use, a browser that never comes.

use super::browser::TestResult;
use super::*;
use protocol::visitor::Quality;

/// The answer, with what is random or of this machine left out.
fn answer(offer: &str) -> TestResult<(WebRtcLeg, String)> {
    let settings = WebRtcSettings::new(
        vec!["192.0.2.9:3478".parse()?, "[2001:db8::9]:3478".parse()?],
        vec!["192.0.2.9:443".parse()?],
    )?;
    let offer = offer.replace('\n', "\r\n");
    let (leg, answer) = WebRtcLeg::answer(&settings, &offer, Quality::Saver, Instant::now())?;
    let random = ["o=", "a=msid-semantic:", "a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=ssrc:", "a=msid:"];
    let lines = answer.lines().map(|line| match random.into_iter().find(|start| line.starts_with(start)) {
        Some(start) => format!("{start}…"),
        None => line.split(" ufrag ").next().unwrap_or_default().to_owned(),
    });
    Ok((leg, lines.collect::<Vec<_>>().join("\n")))
}

#[test]
fn chromiums_offer_is_answered_with_opus_and_both_clocks_of_events() -> TestResult {
    let (leg, answer) = answer(include_str!("fixtures/chromium-156-offer.sdp"))?;
    insta::assert_snapshot!(answer);
    assert_eq!(leg.events, [(110.into(), SampleRate::HZ_48000), (126.into(), SampleRate::HZ_8000)]);
    Ok(())
}

#[test]
fn firefoxs_offer_is_answered_under_its_own_payload_types() -> TestResult {
    let (leg, answer) = answer(include_str!("fixtures/firefox-153-offer.sdp"))?;
    insta::assert_snapshot!(answer);
    assert_eq!((leg.opus, leg.events), (109.into(), vec![(101.into(), SampleRate::HZ_8000)]));
    Ok(())
}

#[test]
fn candidates_that_are_of_no_use_are_ignored() -> TestResult {
    let (mut leg, _) = answer(include_str!("fixtures/chromium-156-offer.sdp"))?;
    let mdns = "candidate:1 1 udp 2113937151 6a5a6d1c-1c7c-4a2b-9a5c-1f3f3b0b7c11.local 53165 typ host";
    for candidate in ["", "nonsense", mdns, "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active"] {
        leg.add_candidate(candidate);
        assert!(leg.poll_output(Instant::now()).is_none());
    }
    for port in 1..1000 {
        leg.add_candidate(&format!("candidate:1 1 udp 2113937151 192.0.2.1 {port} typ host"));
        assert!(leg.poll_output(Instant::now()).is_none());
    }
    assert_eq!(leg.remote_candidates, 1002, "an empty one ends them and is none");
    Ok(())
}

#[test]
fn a_first_candidate_that_cannot_be_paired_is_not_the_end() -> TestResult {
    let settings = WebRtcSettings::new(vec!["192.0.2.9:3478".parse()?], Vec::new())?;
    let offer = include_str!("fixtures/chromium-156-offer.sdp").replace('\n', "\r\n");
    let mut now = Instant::now();
    let (mut leg, _) = WebRtcLeg::answer(&settings, &offer, Quality::Standard, now)?;
    leg.add_candidate("candidate:1 1 udp 2113937151 2001:db8::7 53165 typ host");
    let end = now + CONNECT_DEADLINE - Duration::from_secs(1);
    while now < end {
        leg.handle_timeout(now);
        match leg.poll_output(now) {
            Some(WebRtcOutput::Down(why)) => return Err(why.into()),
            Some(_) => {}
            None => now = leg.poll_timeout().max(now + Duration::from_millis(1)),
        }
    }
    Ok(())
}

#[test]
fn a_browser_that_never_connects_is_given_up() -> TestResult {
    let (mut leg, _) = answer(include_str!("fixtures/chromium-156-offer.sdp"))?;
    let mut now = Instant::now();
    let end = now + CONNECT_DEADLINE + Duration::from_secs(1);
    while now < end {
        leg.handle_timeout(now);
        match leg.poll_output(now) {
            Some(WebRtcOutput::Down(_)) => return Ok(()),
            Some(other) => return Err(format!("{other:?}").into()),
            None => now = leg.poll_timeout().max(now + Duration::from_millis(1)),
        }
    }
    Err("not given up".into())
}

#[test]
fn a_browser_that_is_heard_no_more_is_reported_within_two_seconds_but_not_for_three_packets_of_silence() -> TestResult {
    let (mut leg, _) = answer(include_str!("fixtures/chromium-156-offer.sdp"))?;
    let heard = Instant::now();
    (leg.connect_deadline, leg.heard) = (None, Some(heard));
    let mut is_down = |after_ms| {
        let now = heard + Duration::from_millis(after_ms);
        leg.handle_timeout(now);
        std::iter::from_fn(|| leg.poll_output(now)).any(|output| matches!(output, WebRtcOutput::Down(_)))
    };
    assert!(!is_down(3 * 400 + 200));
    // The word then has its way to the signal-server and to the page.
    assert!(is_down(1_600));
    Ok(())
}
