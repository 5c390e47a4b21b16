//! A call in Firefox: the other engine that shoppers have.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::firefox::{self, Firefox};
use e2e::panel::UNPROCESSED;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::sound_card::SoundCard;
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::visitor::EndReason;
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// Seconds of what the loudspeaker plays.
const LISTEN: u32 = 2;

/// Between a tone and what a codec makes of silence, in dBFS.
const AUDIBLE_DBFS: f64 = -40.0;

/// A busy machine tears holes into what PulseAudio carries: this share of the time there is nothing but the tone.
const MOSTLY: f64 = 0.6;

pub(crate) fn tests(program: &mut Program<'_>) {
    let mut stage = Stage::with(FarEnd::Phone);
    stage.limit = Duration::from_secs(150);
    let name = "a_call_in_firefox_goes_on_over_a_link_without_a_tap_and_has_its_echo_cancelled";
    program.test_if(firefox::is_there(), name, stage, call);
}

async fn call(scene: &mut Scene) -> Result<()> {
    let card = SoundCard::start(scene.directory()).await?;
    let _voice = card.says(&Recording::sine(VISITOR_TONE, VISITOR_DBFS, 10))?;
    let mut firefox = Firefox::start(scene.directory(), &card).await?;
    firefox.before_every_page(UNPROCESSED).await?;
    firefox.show(SHOP_URL).await?;
    firefox.click_button().await?;
    firefox.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    hears(&mut firefox, &card).await?;

    firefox.click("[...document.links].find((link) => link.pathname.includes('shoes'))").await?;
    eventually("the next page is there", SOON, async || {
        let page = firefox.in_page("return location.pathname").await?;
        ensure!(page.as_str().is_some_and(|page| page.contains("shoes")), "{page}");
        Ok(())
    })
    .await?;
    firefox.is_answered().await?;
    hears(&mut firefox, &card).await?;
    // To a canceller an even tone is as good as noise.
    let heard_until = Instant::now();
    let layer = "return (await import(document.getElementById('panel-js').src)).setEcho('canceller')";
    let set = firefox.in_panel(layer).await?;
    ensure!(set.get("layer").and_then(Value::as_str) == Some("canceller"), "{set}");
    hears(&mut firefox, &card).await?;
    firefox.picture(&scene.directory().join("firefox.png")).await?;

    firefox.in_panel("document.getElementById('hangup').click()").await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    let since = heard_until.elapsed().as_secs_f64();
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    let (said, heard) = (f64::from(AGENT_TONE), scene.phone()?.heard().await?);
    let words = heard.before_end(since + 2.0, since).context("the far end's recording")?;
    words.require_mostly((f64::from(VISITOR_TONE), VISITOR_DBFS), said, (6.0, MOSTLY))?;
    ensure!(firefox.complaints().is_empty(), "Firefox complains: {:?}", firefox.complaints());
    Ok(())
}

/// Waits until the loudspeaker plays what the agent says, over UDP, and nobody is asked for a tap.
async fn hears(firefox: &mut Firefox, card: &SoundCard) -> Result<()> {
    eventually("the loudspeaker plays the agent's tone", SOON, async || {
        let heard = card.heard(LISTEN).await?;
        let level = heard.level(f64::from(AGENT_TONE));
        ensure!(level > AUDIBLE_DBFS, "{level:.0} dBFS");
        heard.require_mostly((f64::from(AGENT_TONE), level), f64::from(VISITOR_TONE), (3.0, MOSTLY))
    })
    .await?;
    let shown = firefox
        .in_panel("return ['way', 'note', 'tap'].map((id) => document.getElementById(id)).map((it) => it.hidden ? '' : it.textContent)")
        .await?;
    ensure!(shown == serde_json::json!(["Direct path (UDP)", "", ""]), "the panel shows {shown}");
    Ok(())
}
