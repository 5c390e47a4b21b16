//! The far end's own voice, which the shopper's microphone hears as well, does not come back to it: in a page whose microphone is the
//! far end's track, 70 ms late.

use crate::Program;
use crate::settings::told;
use anyhow::{Context as _, Result, bail, ensure};
use e2e::browser::Browser;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage};
use e2e::tone::Recording;
use serde_json::{Value, json};
use std::time::Duration;

/// How far the echo must fall, dB: the figure.
const GONE_DB: f64 = 40.0;

/// A layer has that long to learn, and then to be measured.
const LEARNING: Duration = Duration::from_secs(4);
const MEASURED_SECONDS: f64 = 2.0;

/// Makes the panel's microphone of what its peer connection receives; `echo` is that microphone's stream.
const LOOP: &str = "
    if (location.pathname !== '/panel') return;
    const context = new AudioContext(), room = context.createDelay(), out = context.createMediaStreamDestination();
    room.delayTime.value = 0.07;
    const loudness = new GainNode(context, { gain: 0.5 });
    room.connect(loudness).connect(out);
    const Peer = RTCPeerConnection;
    window.RTCPeerConnection = class extends Peer {
      constructor(...args) {
        super(...args);
        this.addEventListener('track', ({ track }) => {
          context.createMediaStreamSource(window.looped = new MediaStream([track])).connect(room);
          context.resume();
        });
      }
    };
    navigator.mediaDevices.getUserMedia = async () => out.stream.clone();";

/// How often the panel has asked for the canceller's module, of whomever it asked: the browser's cache counts as well.
const FETCHES: &str = "
    const module = document.getElementById('canceller-wasm').href;
    return performance.getEntriesByType('resource').filter(({ name }) => name === module).length";

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("the_canceller_takes_the_echo_away", Stage::with(FarEnd::Phone), gone);
    program.test(
        "keys_set_the_layer_that_takes_the_echo_away_and_its_module_is_fetched_once_at_the_first_need",
        Stage::with(FarEnd::Phone),
        by_keys,
    );
    program.test(
        "a_canceller_that_cannot_be_fetched_leaves_the_suppressor_and_says_why",
        Stage::with(FarEnd::Phone),
        async |scene: &mut Scene| not_fetched(scene).await,
    );
}

/// Sets a layer by what the panel's own module offers; what it says is really set.
async fn set(browser: &Browser, layer: &str) -> Result<Value> {
    browser
        .in_panel(&format!(
            "return import(document.getElementById('panel-js').src).then((panel) => panel.setEcho('{layer}'))"
        ))
        .await
}

fn is(set: &Value, layer: &str, code: Option<&str>) -> Result<()> {
    let text = |key: &str| set.get(key).and_then(Value::as_str);
    ensure!(text("layer") == Some(layer) && text("code") == code, "set is {set}, not {layer}, {code:?}");
    ensure!(set.get("browser") == Some(&Value::Bool(false)), "a microphone of Web Audio's has no canceller: {set}");
    Ok(())
}

async fn call(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(LOOP).await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", Duration::from_secs(5)).await?;
    Ok(())
}

/// The panel has fetched the canceller's module so often.
async fn fetches(scene: &Scene, wanted: u64) -> Result<()> {
    let count = scene.browser.in_panel(FETCHES).await?;
    ensure!(count == wanted, "the canceller's module was fetched {count} times, not {wanted}");
    Ok(())
}

/// By the keys of an agent: up two layers and down two, with one up on the way. The last leads to nothing, since the browser has no canceller
/// for such a microphone.
async fn by_keys(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    told(scene, "echo", &json!("browser")).await?;
    fetches(scene, 0).await?;
    tokio::time::sleep(LEARNING).await;
    let mut ends = vec![scene.phone()?.samples_heard()?];
    let mut needed = false;
    let down = &[("*30", "suppressor"), ("*33", "canceller"), ("*30", "suppressor"), ("*30", "off")];
    for steps in [&[("*33", "suppressor")][..], &[("*33", "canceller")], down] {
        for (keys, layer) in steps {
            scene.phone()?.press(keys).await?;
            told(scene, "echo", &json!(layer)).await?;
            // The second time the panel has it.
            needed |= *layer == "canceller";
            fetches(scene, u64::from(needed)).await?;
        }
        tokio::time::sleep(LEARNING + Duration::from_secs_f64(MEASURED_SECONDS)).await;
        ends.push(scene.phone()?.samples_heard()?);
    }
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(5)).await?;
    let heard = scene.phone()?.heard().await?;
    let measured = (MEASURED_SECONDS * f64::from(heard.rate)) as usize;
    let level = |end: &usize| {
        let samples = heard.samples.get(end.saturating_sub(measured)..*end).context("too little was heard")?.to_vec();
        Ok(Recording { rate: heard.rate, samples }.level(f64::from(AGENT_TONE)))
    };
    let levels = ends.iter().map(level).collect::<Result<Vec<f64>>>()?;
    let [before, suppressed, cancelled, off] = *levels else { bail!("not four: {levels:?}") };
    ensure!(before > -30.0 && off > -30.0, "where nothing takes it away there is no echo: {levels:.1?}");
    ensure!(before - suppressed.max(cancelled) >= GONE_DB, "the echo did not fall as far as it should: {levels:.1?}");
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn gone(scene: &mut Scene) -> Result<()> {
    let layer = "canceller";
    call(scene).await?;
    is(&set(&scene.browser, "off").await?, "off", None)?;
    tokio::time::sleep(LEARNING).await;
    is(&set(&scene.browser, layer).await?, layer, None)?;
    tokio::time::sleep(LEARNING + Duration::from_secs_f64(MEASURED_SECONDS)).await;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(5)).await?;
    let heard = scene.phone()?.heard().await?;
    let tone = f64::from(AGENT_TONE);
    let end = 0.5;
    let with = heard.before_end(MEASURED_SECONDS + end, end)?.level(tone);
    let change = LEARNING.as_secs_f64() + MEASURED_SECONDS;
    let without = heard.before_end(change + 3.0, change + 1.0)?.level(tone);
    ensure!(without > -30.0, "there was no echo to begin with: {without:.1} dBFS");
    ensure!(without - with >= GONE_DB, "the echo fell from {without:.1} to {with:.1} dBFS only");
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn not_fetched(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene
        .browser
        .in_panel("document.getElementById('canceller-wasm').href = 'a/gone.wasm'; return null")
        .await
        .context("the module's link")?;
    is(&set(&scene.browser, "canceller").await?, "suppressor", Some("RL-113"))?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}
