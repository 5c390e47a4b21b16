//! Calls over networks that lose and delay: each hears the other, keys pass, and the panel complains of no network that works.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::impaired::Impairment;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use serde_json::Value;
use std::time::Duration;

/// What the panel does on a busy machine, with several round trips of the worst of these networks.
const SOON: Duration = Duration::from_secs(20);

/// How long both are listened to: two turns of the delay that jumps, and longer than the panel waits before it complains.
const LISTEN_SECONDS: u64 = 9;

/// The part of it that is judged: what is under way when the panel begins to listen is over by then.
const JUDGED_SECONDS: f64 = 7.5;

/// How far from its level the tone may be, in dB, and the share of the time in which it must be there. What is lost is made up nearly
/// as it was; while the delay jumps there is nothing to be heard for as long, and then too much at once.
const STEADY: (f64, f64) = (6.0, 0.7);
const JUMPY: (f64, f64) = (15.0, 0.7);

/// Fewer datagrams than a second of audio has, and the network was not before the call.
const FEWEST: u64 = 50;

/// Keeps the panel's peer connections.
const KEEP: &str = "
    if (location.pathname !== '/panel') return;
    const Peer = RTCPeerConnection;
    window.peers = [];
    window.RTCPeerConnection = class extends Peer {
      constructor(...given) {
        super(...given);
        peers.push(this);
      }
    };";

pub(crate) fn tests(program: &mut Program<'_>) {
    let ms = Duration::from_millis;
    let good = Impairment { loss: 0.0, delay: ms(20), jumps: None };
    for (what, impairment) in [
        ("loses_every_tenth_packet_each_way", Impairment { loss: 0.1, ..good }),
        ("takes_300_ms_each_way", Impairment { delay: ms(300), ..good }),
        ("jumps_between_50_and_350_ms", Impairment { delay: ms(50), jumps: Some((ms(350), ms(2_000))), ..good }),
    ] {
        let mut stage = Stage::with(FarEnd::Phone);
        stage.setup.impaired = Some(impairment);
        let name = format!("a_call_over_a_network_that_{what}_is_heard_and_not_warned_of");
        program.test(name, stage, async move |scene: &mut Scene| heard(scene, impairment).await);
    }
}

async fn heard(scene: &mut Scene, impairment: Impairment) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.before_every_page(KEEP).await?;
    scene.browser.watch_notes().await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    scene.browser.says("(UDP)", SOON).await?;

    scene.browser.watch_keys().await?;
    scene.browser.press("159").await?;
    scene.phone()?.press("42").await?;
    eventually("keys pass both ways", SOON, async || {
        let (heard, shown) = (scene.phone()?.keys(), scene.browser.keys_shown().await?);
        ensure!(heard.len() >= 3 && shown.len() >= 2, "the far end has heard {heard:?}, the panel has shown {shown:?}");
        Ok(())
    })
    .await?;

    eventually("the panel plays something", SOON, async || scene.browser.listen().await).await?;
    let shopper = scene.browser.heard(LISTEN_SECONDS).await?.steady(JUDGED_SECONDS)?;
    is_as_bad_as_it_is_said_to_be(scene, impairment).await?;
    let shown = scene.browser.keys_shown().await?;
    let told = scene.browser.told().await?;
    let state = scene.browser.state().await?;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;

    for code in [ErrorCode::UdpBlocked, ErrorCode::AudioPathBroken, ErrorCode::Reconnecting] {
        let said = told.iter().find(|it| it.note.contains(code.word()));
        ensure!(said.is_none(), "the panel warns of a network that works: {said:?} among {told:?}");
    }
    ensure!(state == "answered", "the panel is {state}");
    let (far_end, said) = (scene.phone()?.heard().await?.steady(JUDGED_SECONDS)?, scene.phone()?.said().await?);
    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    let agent_dbfs = said.steady(2.0)?.level(agent);
    let good = if impairment.jumps.is_some() { JUMPY } else { STEADY };
    far_end.require_mostly((visitor, VISITOR_DBFS), agent, good).context("the far end")?;
    shopper.require_mostly((agent, agent_dbfs), visitor, good).context("the shopper")?;
    let heard = scene.phone()?.keys();
    ensure!(heard == "159" && shown == "42", "the far end has heard {heard:?}, the panel has shown {shown:?}");
    let record = scene.recorded("visitor_hung_up").await?;
    let carried = record.get("transport").and_then(Value::as_str);
    ensure!(carried == Some("udp"), "it went over {carried:?}: {record}");
    Ok(())
}

/// Proves that the call went over the impaired network, and what that did to it.
async fn is_as_bad_as_it_is_said_to_be(scene: &Scene, impairment: Impairment) -> Result<()> {
    for (carried, lost) in scene.server.impaired()?.counts() {
        ensure!(carried > FEWEST, "it carried {carried} datagrams");
        let share = lost as f64 / (carried + lost) as f64;
        ensure!((share - impairment.loss).abs() < 0.05, "it lost {lost} of {} datagrams", carried + lost);
    }
    let round_trip = scene
        .browser
        .in_panel(
            "return Promise.all(peers.map((peer) => peer.getStats())).then((all) => Math.max(...all.flatMap((stats) =>
               [...stats.values()].map((it) => it.type === 'candidate-pair' && it.responsesReceived ? it.totalRoundTripTime / it.responsesReceived : 0))))",
        )
        .await?;
    let least = impairment.delay.min(impairment.jumps.map_or(impairment.delay, |(other, _)| other));
    let round_trip = round_trip.as_f64().context("no round trip")?;
    ensure!(round_trip >= 2.0 * least.as_secs_f64(), "a round trip takes {round_trip} s");
    Ok(())
}
