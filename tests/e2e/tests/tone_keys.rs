//! Keys that a far end sends as tones in the audio: those of commands reach neither the shopper's ear nor the panel.

use crate::Program;
use crate::commands::{SHOWN, is_at};
use crate::settings::told;
use anyhow::{Result, ensure};
use dsp::dtmf::{Detector, Event};
use dsp::{Hertz, SampleRate, spectrum};
use e2e::namespace::BRIDGE;
use e2e::pages::ALLOWED_ORIGIN;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::talker::Talker;
use e2e::tone::Recording;
use e2e::wait::eventually;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

/// Recording, dialling and reporting on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// Where the scenario says that the far end's audio is.
const MEDIA_PORT: u16 = 30_000;

/// The talker's own tone.
const VOICE: f64 = 400.0;

/// What the issue allows to be heard of a key's onset.
const ONSET_MS: usize = 50;

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("keys_of_commands_that_come_as_tones_are_done_and_not_heard", stage(""), commands);
    program.test("tones_that_a_gateway_passes_on_are_found_in_the_browser", stage("dtmf = \"events\""), passed_on);
    program.test(
        "a_code_of_tones_that_only_the_browser_hears_acts_and_is_not_shown",
        stage("dtmf = \"events\""),
        heard_code,
    );
}

fn stage(trunk: &'static str) -> Stage {
    let mut stage = Stage::with(FarEnd::Scenario("answers-without-events", &[("media_port", "30000")]));
    stage.setup.trunk = trunk;
    stage
}

/// Calls, dials `keys` once the shopper hears the far end, and gives back what the shopper has heard up to a second behind them; and the
/// far end.
async fn dialled(scene: &mut Scene, keys: &str) -> Result<(Recording, Talker)> {
    let talker = Talker::start(SocketAddr::new(BRIDGE, MEDIA_PORT)).await?;
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.watch_keys().await?;
    eventually("the far end hears the shopper", SOON, async || {
        ensure!(talker.first_sound().is_some(), "it hears nothing");
        Ok(())
    })
    .await?;
    scene.browser.listen().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    dial(&talker, keys).await?;
    let seconds = 3 + keys.len() as u64 / 5;
    let heard = scene.browser.heard(seconds).await?;
    heard.write_wav(&scene.directory().join("browser-heard.wav"))?;
    Ok((heard, talker))
}

async fn dial(talker: &Talker, keys: &str) -> Result<()> {
    talker.dial(keys);
    eventually("all keys are dialled", SOON, async || {
        ensure!(talker.has_dialled(), "they are not");
        Ok(())
    })
    .await
}

fn digits_in(heard: &Recording) -> Result<String> {
    let rate = SampleRate::new(heard.rate).ok_or_else(|| anyhow::anyhow!("{} Hz", heard.rate))?;
    let mut digits = String::new();
    Detector::new(rate).process(&heard.samples, |event| {
        if let Event::Start { digit, .. } = event {
            digits.push(digit.as_char());
        }
    });
    Ok(digits)
}

/// The longest stretch, in ms, in which any key's two tones are heard together.
fn longest_key(heard: &Recording) -> Result<usize> {
    let rate = SampleRate::new(heard.rate).ok_or_else(|| anyhow::anyhow!("{} Hz", heard.rate))?;
    let step = rate.samples(5) as usize;
    let mut longest = 0;
    for digit in dsp::Digit::ALL {
        let (low, high) = digit.frequencies();
        let mut now = 0;
        for piece in heard.samples.windows(4 * step).step_by(step) {
            let is_loud = |hertz: Hertz| spectrum::tone_level(piece, rate, hertz).0 > -30.0;
            now = if is_loud(low) && is_loud(high) { now + 5 } else { 0 };
            longest = longest.max(now);
        }
    }
    Ok(longest)
}

/// Dials a code until it is understood. It is refused, so that the page stays and goes on recording: that tells as well as any other.
async fn code(scene: &mut Scene) -> Result<(Recording, Talker)> {
    scene.server.command("*75", &json!({"action": "page", "url": format!("{ALLOWED_ORIGIN}/plain.html")})).await?;
    let dialled = dialled(scene, "*75").await?;
    eventually("the code is understood", SOON, async || {
        let count = scene.server.metric("ringlet_commands_total").await?;
        ensure!(count == Some(1.0), "{count:?} commands");
        Ok(())
    })
    .await?;
    Ok(dialled)
}

/// Dials codes that are done: what the shopper hears is set softer, and another page is shown, on which that stays so. Then hangs up.
async fn acts(scene: &mut Scene, talker: &Talker) -> Result<()> {
    scene.server.command("*76", &json!({"action": "page", "url": "/returns.html"})).await?;
    dial(talker, "*20").await?;
    told(scene, "speaker_db", &json!(-4)).await?;
    dial(talker, "*76").await?;
    is_at(scene, "/returns.html").await?;
    scene.browser.says(SHOWN, SOON).await?;
    told(scene, "speaker_db", &json!(-4)).await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await.map(drop)
}

async fn commands(scene: &mut Scene) -> Result<()> {
    let (heard, talker) = code(scene).await?;
    let (digits, onset) = (digits_in(&heard)?, longest_key(&heard)?);
    ensure!(digits.is_empty(), "{digits:?} can be heard");
    ensure!(onset <= ONSET_MS, "{onset} ms of a key are heard");
    ensure!(heard.level(VOICE) > -40.0, "the far end itself has {} dBFS", heard.level(VOICE));
    let shown = scene.browser.keys_shown().await?;
    ensure!(shown.is_empty(), "the panel shows {shown:?}");
    acts(scene, &talker).await
}

async fn passed_on(scene: &mut Scene) -> Result<()> {
    let (heard, _talker) = dialled(scene, "58").await?;
    let (digits, onset) = (digits_in(&heard)?, longest_key(&heard)?);
    ensure!(digits == "58" && onset > ONSET_MS, "{digits:?} and {onset} ms of a key can be heard");
    eventually("the panel shows the keys that its engine has found", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown == "58", "it shows {shown:?}");
        Ok(())
    })
    .await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn heard_code(scene: &mut Scene) -> Result<()> {
    let (heard, talker) = code(scene).await?;
    ensure!(digits_in(&heard)? == "*75", "the gateway has taken them");
    let shown = scene.browser.keys_shown().await?;
    ensure!(shown.is_empty(), "the panel shows {shown:?}");
    acts(scene, &talker).await
}
