//! What the call centre sets on the shopper's side, by keys of an ordinary phone or from a desk, proven on the sound, and what the
//! shopper makes of it.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::scene::{FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::wait::eventually;
use serde_json::{Value, json};
use std::time::Duration;

/// A script to be fetched, and a word there and back, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// How long each setting is listened to: several of the blocks that levels are measured in.
const LISTEN: Duration = Duration::from_secs(3);

/// Between two levels that are called the same, dB.
const SAME_DB: f64 = 0.7;

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("keys_turn_the_microphone_down_and_the_shopper_can_undo_it", Stage::with(FarEnd::Phone), softer);
    program.test("a_desk_mutes_the_microphone_and_only_the_shopper_opens_it", Stage::with(FarEnd::Phone), muted);
}

async fn calls(scene: &mut Scene) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    Ok(())
}

/// Waits until the desk is told this.
async fn told(scene: &Scene, name: &str, wanted: &Value) -> Result<()> {
    eventually(&format!("the desk is told that {name} is {wanted}"), SOON, async || {
        let settings = scene.server.settings().await?;
        ensure!(settings.get(name) == Some(wanted), "the settings are {settings}");
        Ok(())
    })
    .await
}

/// Hangs up, and gives what the agent heard.
async fn heard(scene: &mut Scene) -> Result<Recording> {
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    scene.recorded("visitor_hung_up").await?;
    scene.phone()?.heard().await
}

/// Whether these levels come one after the other, each for most of a second.
fn in_turn(levels: &[f64], wanted: &[f64]) -> Result<()> {
    let mut rest = levels;
    for level in wanted {
        let found = rest.windows(4).position(|blocks| blocks.iter().all(|block| (block - level).abs() < SAME_DB));
        let at = found.with_context(|| {
            format!("{level:.1} of {wanted:.1?} dBFS is not in {rest:.1?}, the end of {levels:.1?}")
        })?;
        rest = rest.get(at + 4..).unwrap_or_default();
    }
    Ok(())
}

async fn softer(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    tokio::time::sleep(LISTEN).await;
    scene.phone()?.press("*80").await?;
    scene.browser.says("made your microphone softer", SOON).await?;
    told(scene, "microphone_db", &json!(-4)).await?;
    scene.picture("microphone_softer").await?;
    tokio::time::sleep(LISTEN).await;
    scene.browser.click_in_panel("#set button").await?;
    told(scene, "microphone_db", &json!(0)).await?;
    let words = scene.browser.panel_words().await?;
    ensure!(!words.contains("microphone softer"), "undone, the panel says {words:?}");
    tokio::time::sleep(LISTEN).await;
    let phone = heard(scene).await?;
    let tone = f64::from(VISITOR_TONE);
    let full = phone.steady(1.0)?.level(tone);
    in_turn(&phone.levels(tone), &[full, full - 4.0, full])?;
    let (done, refused) = (phone.peak(1_047.0), phone.peak(392.0));
    ensure!(done > -36.0 && refused < -40.0, "the agent hears {done} dBFS for what is done, {refused} for what is not");
    Ok(())
}

async fn muted(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    tokio::time::sleep(LISTEN).await;
    ensure!(scene.server.set(&json!({"muted": false})).await.is_err(), "a desk opened a microphone");
    scene.server.set(&json!({"muted": true})).await?;
    scene.browser.says("muted your microphone", SOON).await?;
    told(scene, "muted", &json!(true)).await?;
    tokio::time::sleep(LISTEN).await;
    scene.browser.click_in_panel("#mute").await?;
    told(scene, "muted", &json!(false)).await?;
    tokio::time::sleep(LISTEN).await;
    let phone = heard(scene).await?;
    let levels = phone.levels(f64::from(VISITOR_TONE));
    let full = phone.steady(1.0)?.level(f64::from(VISITOR_TONE));
    let first = levels.iter().position(|level| (level - full).abs() < SAME_DB).context("never heard")?;
    let silence = levels.iter().skip(first).filter(|level| **level < -60.0).count();
    ensure!(silence >= 10, "of the muted microphone the agent heard {silence} silent fifths of a second: {levels:.1?}");
    Ok(())
}
