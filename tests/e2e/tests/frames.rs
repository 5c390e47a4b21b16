//! Calls from networks that let no WebRTC pass: audio goes as frames over the WebSocket, and moves up when WebRTC passes again.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::browser::Browser;
use e2e::firewall::Dropped;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use serde_json::{Value, json};
use std::time::Duration;

/// The gateway's, for browsers.
const MEDIA_PORT: u16 = 4433;

/// What the panel does on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// What is cut off at both ends of a stretch of the far end's recording, in samples: what is heard comes late.
const BLURRED: usize = 4_000;

/// Keys with a double one.
const KEYS: &str = "*7700#";

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("without_udp_and_tcp_audio_goes_as_frames", phone(), no_media);
    program.test("a_call_that_loses_udp_goes_on_as_frames", phone(), loses_udp);
    program.test("frames_are_as_loud_and_where_the_desk_has_them_played", phone(), set);
}

async fn no_media(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    prepare(&scene.browser).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.says(ErrorCode::UdpBlocked.shopper(), SOON).await?;
    scene.browser.says("(WebSocket)", SOON).await?;
    scene.picture("slower_way").await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    let first = both(scene).await?;

    nothing_moves_under_the_pointer(&scene.browser).await?;
    scene.browser.press(KEYS).await?;
    let phone = scene.phone()?;
    eventually("the phone has heard as many keys", SOON, async || {
        let heard = phone.keys();
        ensure!(heard.len() >= KEYS.len(), "it has heard {heard:?}");
        Ok(())
    })
    .await?;
    scene.browser.watch_keys().await?;
    scene.phone()?.press(KEYS).await?;
    eventually("the panel has shown as many keys", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown.len() >= KEYS.len(), "it has shown {shown:?}");
        Ok(())
    })
    .await?;
    let shown = scene.browser.keys_shown().await?;
    ensure!(shown == KEYS, "pressed {KEYS:?}, shown {shown:?}");

    scene.browser.click_in_page("nav a[href=\"/shoes.html\"]").await?;
    eventually("there is another page", SOON, async || {
        let page = scene.browser.in_page("return location.pathname").await?;
        ensure!(page == "/shoes.html", "it is {page}");
        Ok(())
    })
    .await?;
    scene.browser.is_answered().await?;
    let second = both(scene).await?;
    each_heard_the_other(scene, &[first, second]).await?;
    let heard = scene.phone()?.keys();
    ensure!(heard == KEYS, "pressed {KEYS:?}, heard {heard:?}");
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    let transport = scene.recorded("visitor_hung_up").await?.get("transport").cloned();
    ensure!(transport == Some("websocket".into()), "the record says {transport:?}");
    Ok(())
}

async fn set(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    prepare(&scene.browser).await?;
    let players =
        "window.players = []; window.Audio = class extends Audio { constructor() { super(); players.push(this) } }";
    scene.browser.before_every_page(players).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.says("(WebSocket)", SOON).await?;
    let agent = f64::from(AGENT_TONE);
    let usual = both(scene).await?.browser.steady(2.0)?.level(agent);
    let told = async |scene: &Scene, name: &str, wanted: &Value| {
        eventually("the desk is told", SOON, async || {
            let settings = scene.server.settings().await?;
            ensure!(settings.get(name) == Some(wanted), "the settings are {settings}");
            Ok(())
        })
        .await
    };
    scene.server.set(&json!({"speaker_db": 4})).await?;
    told(scene, "speaker_db", &json!(4)).await?;
    let louder = both(scene).await?.browser.steady(2.0)?.level(agent);
    ensure!((louder - usual - 4.0).abs() < 1.0, "4 dB louder than {usual:.1} dBFS are {louder:.1}");

    let outputs = scene.server.settings().await?.get("output_devices").cloned();
    let output = outputs.as_ref().and_then(Value::as_array).and_then(|all| all.last()).context("no loudspeaker")?;
    scene.server.set(&json!({"output_device": output})).await?;
    told(scene, "output_device", output).await?;
    let ear = "
        const element = players.at(-1), context = new AudioContext(), ear = context.createScriptProcessor(4096, 1, 1);
        window.heard = { rate: context.sampleRate, chunks: [], context, ear };
        context.createMediaStreamSource(element.srcObject).connect(ear).connect(context.destination);
        ear.onaudioprocess = ({ inputBuffer }) => heard.chunks.push(inputBuffer.getChannelData(0).slice());
        return element.paused ? '' : element.sinkId";
    let sink = scene.browser.in_panel(ear).await?;
    ensure!(sink.as_str().is_some_and(|id| !id.is_empty()), "frames are played on {sink}");
    let chosen = scene.browser.heard(3).await?.steady(1.5)?.level(agent);
    ensure!((chosen - louder).abs() < 1.0, "{louder:.1} dBFS are {chosen:.1} on another loudspeaker");
    scene.browser.hang_up().await
}

async fn loses_udp(scene: &mut Scene) -> Result<()> {
    prepare(&scene.browser).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    scene.browser.says("(UDP)", SOON).await?;
    both(scene).await?;
    listen(&scene.browser).await?;
    let blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    is_slow(&scene.browser, true).await?;
    scene.browser.says(ErrorCode::AudioPathBroken.shopper(), SOON).await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let over_the_loss = scene.browser.heard(1).await?;
    over_the_loss.write_wav(&scene.directory().join("over-the-loss.wav"))?;
    scene.browser.says("(WebSocket)", SOON).await?;
    let during = both(scene).await?;
    listen(&scene.browser).await?;
    drop(blocked);
    is_slow(&scene.browser, false).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let over_the_move = scene.browser.heard(1).await?;
    over_the_move.write_wav(&scene.directory().join("over-the-move.wav"))?;
    scene.browser.says("(UDP)", SOON).await?;
    let after = both(scene).await?;
    each_heard_the_other(scene, &[during, after]).await?;
    ensure!(gap(&over_the_loss) <= 5.0, "the shopper heard nothing for {:.2} s", gap(&over_the_loss));
    ensure!(gap(&over_the_move) < 0.5, "moving up left {:.2} s of silence", gap(&over_the_move));
    Ok(())
}

/// The buttons stay at the frame's bottom, which stays where it is in the page, while a note goes that makes the panel smaller: also in
/// the moment in which the frame is as tall as before.
async fn nothing_moves_under_the_pointer(browser: &Browser) -> Result<()> {
    let places = browser
        .in_panel(
            "const place = () => innerHeight - document.getElementById('keys').getBoundingClientRect().top;
             const note = document.getElementById('note');
             note.textContent = 'A word. '.repeat(30);
             const before = place();
             note.textContent = '';
             return [before, place()]",
        )
        .await?;
    ensure!(places.get(0).is_some() && places.get(0) == places.get(1), "a note that goes moves the buttons: {places}");
    Ok(())
}

/// Lets the test hear everything that the panel plays: its audio element and what its worklet sends to the speakers.
async fn prepare(browser: &Browser) -> Result<()> {
    browser.leave_the_microphone_unprocessed().await?;
    browser
        .before_every_page(
            "const connect = AudioNode.prototype.connect;
             AudioNode.prototype.connect = function (to, ...rest) {
               if (to instanceof AudioDestinationNode && (this instanceof GainNode || this instanceof WaveShaperNode)) window.speaker = this;
               return connect.call(this, to, ...rest);
             }",
        )
        .await
}

async fn listen(browser: &Browser) -> Result<()> {
    let begun = browser
        .in_panel(
            "const stream = document.getElementById('audio').srcObject;
             if (!stream && !window.speaker) return false;
             window.ears = new AudioContext();
             const record = (context, source, output) => {
               const ear = context.createScriptProcessor(4096, 1, 1);
               source.connect(ear, output);
               ear.connect(context.destination);
               return ear;
             };
             window.heard = { rate: ears.sampleRate, chunks: [], context: ears };
             const sides = new Map();
             const begin = (key, context, source, output) => {
               const side = [];
               sides.set(key, side);
               record(context, source, output).onaudioprocess = ({ inputBuffer }) => {
                 side.push(inputBuffer.getChannelData(0).slice());
                 if (key === first) {
                   const sum = side.shift();
                   for (const [other, waiting] of sides) if (other !== first) waiting.shift()?.forEach((x, at) => { sum[at] += x; });
                   heard.chunks.push(sum);
                 }
               };
             };
             const clock = ears.createConstantSource();
             clock.offset.value = 0;
             clock.start();
             const first = clock;
             begin(clock, ears, clock, 0);
             const look = () => {
               const stream = document.getElementById('audio').srcObject;
               if (stream && !sides.has(stream)) begin(stream, ears, ears.createMediaStreamSource(stream), 0);
               if (window.speaker && !sides.has(speaker)) begin(speaker, speaker.context, speaker, 0);
             };
             look();
             clearInterval(window.looking);
             window.looking = setInterval(look, 20);
             return true",
        )
        .await?;
    ensure!(begun == true, "the panel plays nothing");
    Ok(())
}

async fn is_slow(browser: &Browser, wanted: bool) -> Result<()> {
    eventually(&format!("audio goes as frames: {wanted}"), Duration::from_secs(60), async || {
        let kept = browser.in_page("return sessionStorage.ringlet ?? ''").await?;
        let slow = kept.as_str().is_some_and(|kept| kept.contains("\"slow\":true"));
        ensure!(slow == wanted, "the page keeps {kept}");
        Ok(())
    })
    .await
}

/// The longest silence between two sounds, in seconds.
fn gap(recording: &Recording) -> f64 {
    let step = recording.rate as usize / 50;
    let sounds: Vec<usize> = recording
        .samples
        .chunks_exact(step)
        .enumerate()
        .filter(|(_, piece)| Recording { rate: recording.rate, samples: piece.to_vec() }.loudness() > -40.0)
        .map(|(at, _)| at)
        .collect();
    let longest = sounds.windows(2).filter_map(|pair| Some(pair.last()? - pair.first()?)).max().unwrap_or(0);
    longest.saturating_sub(1) as f64 / 50.0
}

struct Stretch {
    browser: Recording,
    /// In the far end's recording.
    far_end: core::ops::Range<usize>,
}

/// Listens for a while.
async fn both(scene: &mut Scene) -> Result<Stretch> {
    // What was buffered while the way was made is over by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = scene.phone()?.samples_heard()?;
    eventually("the panel plays something", SOON, async || listen(&scene.browser).await).await?;
    let browser = scene.browser.heard(3).await?;
    Ok(Stretch { browser, far_end: began..scene.phone()?.samples_heard()? })
}

/// Hangs up, and proves that in each stretch each side heard the other and nobody else.
async fn each_heard_the_other(scene: &mut Scene, stretches: &[Stretch]) -> Result<()> {
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    let (said, phone_heard) = (scene.phone()?.said().await?, scene.phone()?.heard().await?);
    phone_heard.write_wav(&scene.directory().join("phone-heard.wav"))?;
    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    let agent_level = said.steady(2.0)?.level(agent);
    for (n, stretch) in stretches.iter().enumerate() {
        stretch.browser.write_wav(&scene.directory().join(format!("browser-heard-{n}.wav")))?;
        let part = stretch.browser.steady(2.0)?;
        part.require_only(agent, agent_level, visitor).with_context(|| format!("the shopper, stretch {n}"))?;
        let range = stretch.far_end.start + BLURRED..stretch.far_end.end.saturating_sub(BLURRED);
        let samples = phone_heard.samples.get(range).context("the far end heard less than that")?.to_vec();
        let part = Recording { rate: phone_heard.rate, samples };
        part.require_only(visitor, VISITOR_DBFS, agent).with_context(|| format!("the far end, stretch {n}"))?;
    }
    Ok(())
}
