//! What the call centre sets on the shopper's side, by keys of an ordinary phone or from a desk, proven on the sound, and what the
//! shopper makes of it.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
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
    program.test(
        "keys_turn_the_microphone_down_up_and_off_and_the_shopper_can_undo_it",
        Stage::with(FarEnd::Phone),
        softer,
    );
    program.test("keys_turn_what_the_shopper_hears_up_and_down", Stage::with(FarEnd::Phone), louder);
    program.test("what_is_set_goes_with_the_call_from_page_to_page", Stage::with(FarEnd::Phone), kept);
    program.test("a_desk_chooses_devices_by_name_and_noise_suppression", Stage::with(FarEnd::Phone), devices);
    program.test("a_microphone_that_is_lost_is_replaced_and_a_headset_is_offered", Stage::with(FarEnd::Phone), plugged);
    program.test("the_shopper_sets_the_sound_by_keyboard", Stage::with(FarEnd::Phone), by_keyboard);
    program.test("what_the_merchant_forbids_is_not_set", Stage::with(FarEnd::Phone), forbidden);
    program.test("a_desk_mutes_the_microphone_and_only_the_shopper_opens_it", Stage::with(FarEnd::Phone), muted);
}

pub(crate) async fn calls(scene: &mut Scene) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    Ok(())
}

/// Waits until the desk is told this.
pub(crate) async fn told(scene: &Scene, name: &str, wanted: &Value) -> Result<()> {
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

/// The level that is heard first for most of a second.
fn first_level(levels: &[f64]) -> Result<f64> {
    let is_steady =
        |blocks: &&[f64]| blocks.iter().zip(blocks.iter().skip(1)).all(|(a, b)| (a - b).abs() < SAME_DB / 2.0);
    let mut loud = levels.windows(4).filter(|blocks| blocks.iter().all(|level| *level > -30.0));
    let first = loud.find(is_steady).and_then(|blocks| blocks.last().copied());
    first.with_context(|| format!("no level lasts: {levels:.1?}"))
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
    scene.phone()?.press("*88").await?;
    scene.browser.says("made your microphone louder", SOON).await?;
    told(scene, "microphone_db", &json!(4)).await?;
    tokio::time::sleep(LISTEN).await;
    scene.phone()?.press("*66").await?;
    scene.browser.says("muted your microphone", SOON).await?;
    told(scene, "muted", &json!(true)).await?;
    tokio::time::sleep(LISTEN).await;
    let phone = heard(scene).await?;
    let levels = phone.levels(f64::from(VISITOR_TONE));
    let full = first_level(&levels)?;
    ensure!((full - VISITOR_DBFS).abs() < 1.5, "at first the agent hears {full:.1} dBFS");
    in_turn(&levels, &[full, full - 4.0, full, full + 4.0])?;
    // Not the last one, which the hang-up may have cut.
    let end: Vec<f64> = levels.iter().rev().skip(1).take(10).copied().collect();
    ensure!(end.len() == 10 && end.iter().all(|level| *level < -60.0), "muted by keys, the agent hears {end:.1?}");
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

/// Keeps the panel's audio elements that are in no page.
const PLAYERS: &str =
    "window.players = []; window.Audio = class extends Audio { constructor() { super(); players.push(this) } }";

/// Has the panel note what its audio elements play together, as loud as each of them plays it.
const EAR: &str = "
    const elements = [document.getElementById('audio'), ...window.players];
    const context = new AudioContext(), ear = context.createScriptProcessor(16384, 1, 1);
    window.heard = { rate: context.sampleRate, chunks: [], context, ear };
    const gains = elements.map((element) => {
      const gain = context.createGain();
      context.createMediaStreamSource(element.srcObject).connect(gain).connect(ear);
      return () => gain.gain.value = element.paused || element.muted ? 0 : element.volume;
    });
    ear.onaudioprocess = ({ inputBuffer }) => {
      gains.forEach((follow) => follow());
      heard.chunks.push(inputBuffer.getChannelData(0).slice());
    };
    ear.connect(context.destination);
    return null";

/// What the elements play, 440 Hz of the agent in it: its level in dBFS.
async fn played(scene: &Scene) -> Result<f64> {
    scene.browser.in_panel(EAR).await?;
    Ok(scene.browser.heard(3).await?.steady(1.5)?.level(f64::from(AGENT_TONE)))
}

async fn louder(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(PLAYERS).await?;
    calls(scene).await?;
    let usual = played(scene).await?;
    for (keys, db) in [("*22", 4), ("*20", 0), ("*20", -4), ("*20", -8)] {
        scene.phone()?.press(keys).await?;
        told(scene, "speaker_db", &json!(db)).await?;
        let now = played(scene).await?;
        let wanted = usual + f64::from(db);
        ensure!((now - wanted).abs() < SAME_DB, "{db} dB from {usual:.1} dBFS are {now:.1}, not {wanted:.1}");
    }
    scene.browser.says("made what you hear softer", SOON).await?;
    // Beyond full scale it is bent, and not cut: louder still, with little of the third harmonic.
    scene.server.set(&json!({"speaker_db": 12})).await?;
    told(scene, "speaker_db", &json!(12)).await?;
    scene.browser.in_panel(EAR).await?;
    let most = scene.browser.heard(3).await?.steady(1.5)?;
    let (tone, third) = (most.level(f64::from(AGENT_TONE)), most.level(3.0 * f64::from(AGENT_TONE)));
    ensure!(
        tone > usual + 5.0 && tone - third > 12.0,
        "12 dB louder are {tone:.1} dBFS, its third harmonic {third:.1}"
    );
    heard(scene).await?;
    Ok(())
}

async fn kept(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(PLAYERS).await?;
    calls(scene).await?;
    scene.server.set(&json!({"microphone_db": -8, "speaker_db": 3})).await?;
    // With what cancels last, or what the far end hears would be its affair.
    for (page, echo) in [("shoes", "suppressor"), ("returns", "canceller"), ("cart", "off")] {
        scene.server.set(&json!({"echo": echo})).await?;
        let wanted = [("microphone_db", json!(-8)), ("speaker_db", json!(3)), ("echo", json!(echo))];
        for (name, value) in &wanted {
            told(scene, name, value).await?;
        }
        scene.browser.show(&format!("{}/{page}.html", e2e::ringlet::SHOP_URL)).await?;
        scene.browser.is_answered().await?;
        eventually("the next page sounds as the one before", SOON, async || {
            let volume = scene.browser.in_panel("return document.getElementById('audio').volume").await?;
            ensure!(volume == 0, "the audio element plays at {volume} what the graph is to play louder");
            Ok(())
        })
        .await?;
        // What it sets again it tells anew.
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (name, value) in &wanted {
            told(scene, name, value).await.with_context(|| format!("on {page}, with {echo}"))?;
        }
    }
    scene.browser.in_panel(EAR).await?;
    // Its loudest block: on a busy machine some are torn.
    let played = scene.browser.heard(3).await?.steady(1.5)?.peak(f64::from(AGENT_TONE));
    let phone = heard(scene).await?;
    let said = scene.phone()?.said().await?.steady(2.0)?.level(f64::from(AGENT_TONE));
    ensure!((played - said - 3.0).abs() < SAME_DB, "3 dB louder than {said:.1} dBFS are {played:.1} on the last page");
    let now = phone.steady(1.0)?.level(f64::from(VISITOR_TONE));
    ensure!((now - (VISITOR_DBFS - 8.0)).abs() < 1.5, "on the last page the agent hears the shopper at {now:.1} dBFS");
    Ok(())
}

async fn devices(scene: &mut Scene) -> Result<()> {
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    // Nothing to be set: the panel tells what there is.
    scene.server.set(&json!({})).await?;
    let names = eventually("the desk is told of the devices", SOON, async || {
        let settings = scene.server.settings().await?;
        let list = |name: &str| settings.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let (inputs, outputs) = (list("input_devices"), list("output_devices"));
        ensure!(inputs.len() > 1 && outputs.len() > 1, "the settings are {settings}");
        Ok([inputs, outputs].map(|list| list.last().cloned().unwrap_or_default()))
    })
    .await?;
    let words = scene.browser.panel_words().await?;
    ensure!(!words.contains("call centre"), "asked what is set, the panel says {words:?}");
    let [input, output] = &names;
    told(scene, "noise_suppression", &json!(true)).await?;
    scene.server.set(&json!({"input_device": input, "output_device": output, "noise_suppression": false})).await?;
    told(scene, "input_device", input).await?;
    told(scene, "output_device", output).await?;
    told(scene, "noise_suppression", &json!(false)).await?;
    scene.browser.says("turned noise suppression off", SOON).await?;
    let sink = scene.browser.in_panel("return document.getElementById('audio').sinkId").await?;
    ensure!(sink.as_str().is_some_and(|id| !id.is_empty()), "the audio element plays on {sink}");
    scene.picture("devices").await?;
    scene.server.set(&json!({"output_device": "None such"})).await?;
    scene.server.set(&json!({"microphone_db": -2})).await?;
    told(scene, "microphone_db", &json!(-2)).await?;
    told(scene, "output_device", output).await?;
    heard(scene).await?;
    Ok(())
}

/// Lets a test plug devices in and out, which a browser's fake ones cannot.
const PLUGS: &str = "
    const media = navigator.mediaDevices;
    if (!media) return;
    const list = media.enumerateDevices.bind(media);
    window.plugged = [];
    window.unplugged = [];
    media.enumerateDevices = async () => [...(await list()).filter((it) => !unplugged.includes(it.deviceId)), ...plugged];
    const ask = media.getUserMedia.bind(media);
    media.getUserMedia = async (wanted) => {
      const stream = await ask({ ...wanted, audio: { ...wanted.audio, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
      window.microphone = stream.getAudioTracks()[0];
      return stream;
    };";

async fn plugged(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(PLUGS).await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene
        .browser
        .in_panel(
            "const gone = microphone;
             gone.stop();
             gone.dispatchEvent(new Event('ended'));
             return null",
        )
        .await?;
    scene.browser.says("RL-125", SOON).await?;
    scene.picture("microphone_lost").await?;
    tokio::time::sleep(LISTEN).await;
    scene
        .browser
        .in_panel(
            "plugged.push({ deviceId: 'h', kind: 'audiooutput', label: 'Headset', groupId: 'h' });
             navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
             return null",
        )
        .await?;
    scene.browser.says("Headset is connected", SOON).await?;
    scene.picture("headset").await?;
    let phone = heard(scene).await?;
    let again = phone.steady(1.0)?.level(f64::from(VISITOR_TONE));
    ensure!((again - VISITOR_DBFS).abs() < 1.5, "after the loss the agent hears the shopper at {again:.1} dBFS");
    Ok(())
}

async fn by_keyboard(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.browser.in_panel("document.getElementById('tune').focus(); return null").await?;
    scene.browser.type_keys("\u{e007}").await?;
    scene.browser.says("Against echo", SOON).await?;
    scene.picture("section").await?;
    scene.browser.in_panel("document.querySelector('[name=microphone_db]').focus(); return null").await?;
    // Two steps to the left.
    scene.browser.type_keys("\u{e012}\u{e012}").await?;
    told(scene, "microphone_db", &json!(-4)).await?;
    let spoken = scene.browser.in_panel("return document.querySelector('[name=microphone_db]').ariaValueText").await?;
    ensure!(spoken == "-4 dB", "a screen reader says {spoken}");
    let names = "return [...document.querySelectorAll('#sound :is(select, input)')].filter((it) => it.checkVisibility() && !it.labels[0]?.innerText).length";
    ensure!(scene.browser.in_panel(names).await? == 0, "some fields have no label");
    scene.browser.click_in_panel("#tune").await?;
    scene.browser.in_panel("return 0").await?;
    heard(scene).await?;
    Ok(())
}

async fn forbidden(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.server.forbid(&["microphone"]).await?;
    let refused = scene.server.set(&json!({"microphone_db": -4})).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("403")), "a desk set what is forbidden");
    scene.phone()?.press("*80").await?;
    scene.phone()?.press("*20").await?;
    told(scene, "speaker_db", &json!(-4)).await?;
    told(scene, "microphone_db", &json!(0)).await?;
    // The tone itself takes its time.
    tokio::time::sleep(LISTEN).await;
    let phone = heard(scene).await?;
    let (done, refused) = (phone.peak(1_047.0), phone.peak(392.0));
    ensure!(done > -36.0 && refused > -36.0, "the agent hears {done} dBFS for what is done, {refused} for what is not");
    Ok(())
}
