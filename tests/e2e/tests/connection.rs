//! The shopper's connection is tested in mid-call, by keys or from a desk: what it scores is counted by ear, and shown to both sides.

use crate::Program;
use crate::settings::calls;
use anyhow::{Context as _, Result, ensure};
use e2e::firewall::Dropped;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use serde_json::{Value, json};
use std::time::Duration;

/// The gateway's, for browsers.
const MEDIA_PORT: u16 = 4433;

/// A test takes 4 to 8 s, and a script is to be fetched before, on a busy machine.
const TESTED: Duration = Duration::from_secs(30);

/// What the panel does on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Five beeps and the tone before them.
const BEEPS: Duration = Duration::from_secs(3);

/// The tone for what is done, and the beeps; and how loud they are at the least.
const BEEP: f64 = 1_047.0;
const BEEP_DBFS: f64 = -38.0;

/// Lost each way.
const LOSS: f64 = 0.2;

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("an_agent_tests_the_connection_by_keys_and_counts_its_score", phone(), by_keys);
    program.test("loss_lowers_the_score_that_a_desk_reads", phone(), loss);
    program.test("a_connection_by_frames_is_tested_as_well", phone(), by_frames);
}

/// Waits until a test is over; what the desk reads then.
async fn tested(scene: &Scene) -> Result<Value> {
    eventually("the connection is tested", TESTED, async || {
        let settings = scene.server.settings().await?;
        let is_over = settings.get("quality_test") == Some(&json!(false));
        ensure!(is_over && number(&settings, "quality_score").is_ok(), "the settings are {settings}");
        Ok(settings)
    })
    .await
}

async fn runs(scene: &Scene) -> Result<()> {
    eventually("a test runs", SOON, async || {
        let settings = scene.server.settings().await?;
        ensure!(settings.get("quality_test") == Some(&json!(true)), "the settings are {settings}");
        Ok(())
    })
    .await
}

fn number(settings: &Value, name: &str) -> Result<u64> {
    settings.get(name).and_then(Value::as_u64).with_context(|| format!("no {name} in {settings}"))
}

async fn by_keys(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    // The shopper's own tone would lie over the beeps.
    scene.server.set(&json!({"muted": true})).await?;
    scene.browser.says("muted your microphone", SOON).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let from = scene.phone()?.samples_heard()?;
    scene.phone()?.press("*99").await?;
    scene.browser.says("The call centre tests your connection.", SOON).await?;
    scene.picture("testing").await?;
    runs(scene).await?;
    scene.phone()?.press("*99").await?;
    let again = scene.server.set(&json!({"quality_test": true})).await;
    ensure!(again.is_err_and(|error| error.to_string().contains("409")), "a desk began a second test");
    let settings = tested(scene).await?;
    let score = number(&settings, "quality_score")?;
    scene.browser.says(&format!("({score} of 5)"), SOON).await?;
    scene.picture("tested").await?;
    tokio::time::sleep(BEEPS).await;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    scene.recorded("visitor_hung_up").await?;
    let mut phone = scene.phone()?.heard().await?;
    phone.samples.drain(..from.min(phone.samples.len()));
    let bursts = phone.bursts(BEEP, BEEP_DBFS);
    ensure!(score >= 4, "a good connection scores {score}: {settings}");
    ensure!(bursts.len() as u64 == 1 + score, "for a score of {score} the agent hears tones of {bursts:?} s");
    ensure!(bursts.iter().skip(1).all(|beep| *beep < 0.1), "the beeps are {bursts:?} s long");
    let refusals = phone.bursts(392.0, BEEP_DBFS);
    // Three, with pauses too short to be told from them here.
    ensure!(refusals.len() == 1, "for the second test the agent hears low tones of {refusals:?} s");
    Ok(())
}

async fn loss(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.server.set(&json!({"quality_test": true})).await?;
    runs(scene).await?;
    let before = tested(scene).await?;
    let _dropped = Dropped::some_udp(MEDIA_PORT, LOSS)?;
    scene.server.set(&json!({"quality_test": true})).await?;
    runs(scene).await?;
    let after = tested(scene).await?;
    let (good, bad) = (number(&before, "quality_score")?, number(&after, "quality_score")?);
    ensure!(good >= 4 && bad < 4 && bad < good, "{before} without loss, {after} with");
    ensure!(number(&before, "heard_lost_percent")? <= 2, "lost without loss: {before}");
    ensure!((10..=35).contains(&number(&after, "heard_lost_percent")?), "not the loss that there is: {after}");
    for name in ["round_trip_ms", "jitter_ms", "concealed_percent"] {
        number(&after, name)?;
    }
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn by_frames(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    calls(scene).await?;
    scene.browser.says("(WebSocket)", SOON).await?;
    scene.phone()?.press("*99").await?;
    runs(scene).await?;
    let settings = tested(scene).await?;
    let score = number(&settings, "quality_score")?;
    ensure!((2..=3).contains(&score), "by frames the best score is 3: {settings}");
    for name in ["round_trip_ms", "concealed_percent"] {
        number(&settings, name)?;
    }
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}
