//! Calls from networks that let no WebRTC pass: audio goes as frames over the WebSocket, and moves up when WebRTC passes again.

use crate::Program;
use crate::quality::{VOICE, choose};
use anyhow::{Context as _, Result, ensure};
use e2e::browser::Browser;
use e2e::firewall::Dropped;
use e2e::namespace::BRIDGE;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::setup::MEDIA_PORT;
use e2e::talker::Talker;
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What the panel does on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// What is cut off at both ends of a stretch of the far end's recording, in samples: what is heard comes late.
const BLURRED: usize = 4_000;

/// What frames say that they are.
const G711: &str = "0";
const OPUS: &str = "111";

/// The count of Opus' frames, where the other two are of bytes.
const FRAMES_OF_OPUS: &str = "'frames of 111'";

/// How Opus comes to the panel.
#[derive(Clone, Copy)]
enum Opus {
    /// When the test lets it.
    Held,
    /// Never: the server does not have it.
    Missing,
}

/// The issue's: from the answer to the word for what is wrong, and how long nothing is heard where a running call loses its way.
const NAMED_WITHIN_MS: f64 = 3_000.0;
const LONGEST_GAP: f64 = 5.0;

/// How long after the answer the gateway has given up a leg that never had a path: 20 s from the offer.
const LEG_GIVEN_UP: Duration = Duration::from_secs(22);

/// Below this a tone is not heard, in dBFS.
const SILENT_DBFS: f64 = -45.0;

/// Where the scenario says that the far end's audio is, and what is said there.
const TALKER_PORT: u16 = 30_000;
const TALKER_TONE: f64 = 400.0;

/// A tone that goes on was heard as long ago, or not as long.
const JUST_NOW: Duration = Duration::from_millis(300);

/// Keys with a double one.
const KEYS: &str = "*7700#";

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("without_udp_and_tcp_audio_goes_as_frames", phone(), no_media);
    program.test("frames_are_as_loud_and_where_the_desk_has_them_played", phone(), set);
    program.test("who_saves_has_frames_of_60_ms_each_way", Stage::with(FarEnd::Echo(1)), saves);
    program.test("a_call_that_loses_udp_and_tcp_goes_on_as_frames", phone(), loses_udp);
    let limit = Duration::from_secs(120);
    program.test("a_call_that_began_as_frames_moves_up_once_webrtc_passes", Stage { limit, ..phone() }, began_slow);
    let mut stage = Stage::with(FarEnd::Scenario("answers-at-once", &[("media_port", "30000")]));
    // The tone that tells the far end that the shopper is away would count as sound.
    stage.setup.media = "away_tone = \"off\"";
    let name = "a_call_that_loses_udp_and_then_tcp_is_silent_for_5_s_at_most";
    program.test(name, stage, loses_one_after_the_other);
}

async fn no_media(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    over_pages(scene).await
}

/// A call over two pages of the shop, with keys, whose audio goes as frames because nothing else passes.
pub(crate) async fn over_pages(scene: &mut Scene) -> Result<()> {
    prepare(&scene.browser, Opus::Held).await?;
    scene.browser.watch_notes().await?;
    scene.browser.show(scene.server.shop_url()).await?;
    scene.browser.click_button().await?;
    scene.browser.says(ErrorCode::UdpBlocked.shopper(), SOON).await?;
    scene.browser.says("(WebSocket)", SOON).await?;
    scene.picture("slower_way").await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    is_named_in_time(&scene.browser).await?;
    let first = both(scene).await?;
    let moved = moves_to_opus(scene).await?;

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
    come(&scene.browser, G711).await?;
    let opus = traffic(&scene.browser, OPUS).await?;
    ensure!(opus.iter().all(|bytes| *bytes == 0.0), "the next page does not begin with G.711: {opus:?}");
    scene.browser.in_panel("letOpus()").await?;
    come(&scene.browser, OPUS).await?;
    let next_page = both(scene).await?;
    each_heard_the_other(scene, &[first, moved, next_page]).await?;
    let heard = scene.phone()?.keys();
    ensure!(heard == KEYS, "pressed {KEYS:?}, heard {heard:?}");
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    let transport = scene.recorded("visitor_hung_up").await?.get("transport").cloned();
    ensure!(transport == Some("websocket".into()), "the record says {transport:?}");
    Ok(())
}

/// Lets Opus come, and proves that the move to it leaves no gap and that it takes less of the socket than G.711 did.
async fn moves_to_opus(scene: &mut Scene) -> Result<Stretch> {
    let of_g711 = rate(&scene.browser, G711).await?;
    listen(&scene.browser).await?;
    scene.browser.in_panel("letOpus()").await?;
    come(&scene.browser, OPUS).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let over_the_move = scene.browser.heard(1).await?;
    over_the_move.write_wav(&scene.directory().join("over-the-move-to-opus.wav"))?;
    let silence = gap(&over_the_move, f64::from(AGENT_TONE))?;
    ensure!(silence < 0.2, "the move to Opus left {silence:.2} s of silence");
    let of_opus = rate(&scene.browser, OPUS).await?;
    eprintln!("bytes a second, sent and received: {of_g711:.0?} of G.711, {of_opus:.0?} of Opus");
    for (g711, opus) in of_g711.into_iter().zip(of_opus) {
        // 50 frames a second; half of them, were the machine that busy.
        ensure!(g711 > 4_000.0, "G.711 took {g711:.0} bytes a second");
        ensure!(opus > 500.0 && opus < 0.65 * g711, "{opus:.0} bytes a second, of G.711 {g711:.0}");
    }
    let stretch = both(scene).await?;
    let before = traffic(&scene.browser, G711).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(traffic(&scene.browser, G711).await? == before, "some frames are of G.711 still");
    Ok(stretch)
}

/// A shopper who speaks, and hears that again.
async fn saves(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    prepare(&scene.browser, Opus::Held).await?;
    scene.browser.before_every_page(VOICE).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.buttons().await?;
    choose(&scene.browser, "saver").await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    come(&scene.browser, G711).await?;
    scene.browser.in_panel("letOpus()").await?;
    come(&scene.browser, OPUS).await?;
    // What was on its way goes and comes again.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let frames = rate(&scene.browser, FRAMES_OF_OPUS).await?;
    let bytes = rate(&scene.browser, OPUS).await?;
    let all = format!("each way {frames:.1?} frames and {bytes:.0?} bytes a second");
    for (frames, bytes) in frames.into_iter().zip(bytes) {
        ensure!(frames > 8.0 && frames < 20.0, "{all}");
        // 12 kbit/s, the gateway's with as much again for redundancy, and a head of 7 bytes for each frame.
        ensure!(bytes > 500.0 && bytes < 2_900.0, "{all}");
    }
    eventually("the panel plays something", SOON, async || listen(&scene.browser).await).await?;
    let heard = scene.browser.heard(3).await?.steady(2.0)?.loudness();
    ensure!(heard > SILENT_DBFS, "the shopper hears {heard:.1} dBFS");
    scene.browser.hang_up().await
}

async fn set(scene: &mut Scene) -> Result<()> {
    let _blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    prepare(&scene.browser, Opus::Missing).await?;
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
        const element = players.at(-1), context = new AudioContext(), ear = context.createScriptProcessor(16384, 1, 1);
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

/// The panel names what is wrong within 3 s of the answer.
pub(crate) async fn is_named_in_time(browser: &Browser) -> Result<()> {
    let told = browser.told().await?;
    let answered = told.iter().find(|it| it.state == "answered").context("it was never answered")?;
    let named = told.iter().find(|it| it.note.contains(ErrorCode::UdpBlocked.word())).context("it was never named")?;
    let late = named.at_ms - answered.at_ms;
    ensure!(late <= NAMED_WITHIN_MS, "what is wrong was named {late:.0} ms after the answer: {told:?}");
    Ok(())
}

/// First UDP alone, so that TCP carries the audio; then that as well.
async fn loses_one_after_the_other(scene: &mut Scene) -> Result<()> {
    let talker = Talker::start(SocketAddr::new(BRIDGE, TALKER_PORT)).await?;
    prepare(&scene.browser, Opus::Missing).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.says("(UDP)", SOON).await?;
    let _udp = loses(scene, &talker, || Dropped::udp(MEDIA_PORT), "(TCP)").await.context("without UDP")?;
    let _tcp = loses(scene, &talker, || Dropped::tcp(MEDIA_PORT), "(WebSocket)").await.context("without TCP")?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

/// Drops what carries the audio; neither side hears nothing for longer than the issue allows, and `way` carries it then.
async fn loses(scene: &Scene, talker: &Talker, drops: impl Fn() -> Result<Dropped>, way: &str) -> Result<Dropped> {
    eventually("both hear each other", SOON, async || {
        listen(&scene.browser).await?;
        let tone = scene.browser.heard(1).await?.level(TALKER_TONE);
        ensure!(tone > SILENT_DBFS, "the shopper hears {tone:.0} dBFS");
        ensure!(talker.last_sound().and_then(|last| last.elapsed().ok()) < Some(JUST_NOW), "the far end hears nothing");
        Ok(())
    })
    .await?;
    listen(&scene.browser).await?;
    talker.take_longest_gap();
    let dropped = drops()?;
    scene.browser.says(way, SOON).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let heard = scene.browser.heard(1).await?;
    heard.write_wav(&scene.directory().join(format!("to {way}.wav")))?;
    let (shopper, far_end) = (gap(&heard, TALKER_TONE)?, talker.take_longest_gap().as_secs_f64());
    ensure!(
        shopper <= LONGEST_GAP && far_end <= LONGEST_GAP,
        "the shopper heard nothing for {shopper:.2} s, the far end for {far_end:.2} s"
    );
    eprintln!("to {way}: the shopper heard nothing for {shopper:.2} s, the far end for {far_end:.2} s");
    Ok(dropped)
}

async fn loses_udp(scene: &mut Scene) -> Result<()> {
    prepare(&scene.browser, Opus::Missing).await?;
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
    ensure!(scene.browser.in_panel("return window.asked").await? == 404, "Opus was not asked for");
    let opus = traffic(&scene.browser, OPUS).await?;
    ensure!(opus.iter().all(|bytes| *bytes == 0.0), "frames of Opus without its module: {opus:?}");
    listen(&scene.browser).await?;
    drop(blocked);
    is_slow(&scene.browser, false).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let over_the_move = scene.browser.heard(1).await?;
    over_the_move.write_wav(&scene.directory().join("over-the-move.wav"))?;
    scene.browser.says("(UDP)", SOON).await?;
    let after = both(scene).await?;
    each_heard_the_other(scene, &[during, after]).await?;
    let agent = f64::from(AGENT_TONE);
    let (lost, moved) = (gap(&over_the_loss, agent)?, gap(&over_the_move, agent)?);
    ensure!(lost <= LONGEST_GAP, "the shopper heard nothing for {lost:.2} s");
    ensure!(moved < 0.5, "moving up left {moved:.2} s of silence");
    Ok(())
}

/// The gateway has given its first leg up, which never had a path, before anything passes.
async fn began_slow(scene: &mut Scene) -> Result<()> {
    let blocked = [Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?];
    prepare(&scene.browser, Opus::Held).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    let answered = Instant::now();
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    come(&scene.browser, G711).await?;
    scene.browser.in_panel("letOpus()").await?;
    come(&scene.browser, OPUS).await?;
    let during = both(scene).await?;
    tokio::time::sleep(LEG_GIVEN_UP.saturating_sub(answered.elapsed())).await;
    ensure!(scene.server.has_said("no connection within"), "the gateway still waits for its first leg");
    scene.browser.says("(WebSocket)", SOON).await?;
    listen(&scene.browser).await?;
    drop(blocked);
    is_slow(&scene.browser, false).await?;
    eprintln!("moved up {:?} after the answer", answered.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let over_the_move = scene.browser.heard(1).await?;
    over_the_move.write_wav(&scene.directory().join("over-the-move.wav"))?;
    scene.browser.says("(UDP)", SOON).await?;
    let before = traffic(&scene.browser, OPUS).await?;
    let after = both(scene).await?;
    ensure!(traffic(&scene.browser, OPUS).await? == before, "there are frames still");
    each_heard_the_other(scene, &[during, after]).await?;
    let moved = gap(&over_the_move, f64::from(AGENT_TONE))?;
    ensure!(moved < 0.5, "moving up left {moved:.2} s of silence");
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    let transport = scene.recorded("visitor_hung_up").await?.get("transport").cloned();
    ensure!(transport == Some("udp".into()), "the record says {transport:?}");
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

/// Lets the test hear everything that the panel plays: its audio element and what its worklet sends to the speakers. And count the frames that
/// pass through its socket, and hold back Opus.
async fn prepare(browser: &Browser, opus: Opus) -> Result<()> {
    browser.leave_the_microphone_unprocessed().await?;
    let address = match opus {
        Opus::Held => "await held, address",
        Opus::Missing => "address + '.gone'",
    };
    browser
        .before_every_page(&format!(
            "const held = new Promise((resolve) => {{ window.letOpus = resolve; }}), get = window.fetch;
             window.fetch = async (address, ...rest) => {{
               if (!String(address).includes('/opus-')) return get(address, ...rest);
               const response = await get(({address}), ...rest);
               window.asked = response.status;
               return response;
             }};
             window.counted = {{ sent: {{}}, received: {{}} }};
             const count = (side, data) => {{
               if (!(data instanceof ArrayBuffer)) return;
               const kind = new Uint8Array(data)[0] & 127;
               side[kind] = (side[kind] ?? 0) + data.byteLength;
               const frames = 'frames of ' + kind;
               side[frames] = (side[frames] ?? 0) + 1;
             }};
             const send = WebSocket.prototype.send;
             WebSocket.prototype.send = function (data) {{
               count(counted.sent, data);
               return send.call(this, data);
             }};
             window.WebSocket = class extends WebSocket {{
               constructor(...of) {{
                 super(...of);
                 this.addEventListener('message', ({{ data }}) => count(counted.received, data));
               }}
             }};"
        ))
        .await?;
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
               const ear = context.createScriptProcessor(16384, 1, 1);
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

/// How many bytes of frames of a kind the panel has sent, and has received.
async fn traffic(browser: &Browser, kind: &str) -> Result<[f64; 2]> {
    let bytes = browser.in_panel(&format!("return [counted.sent[{kind}] ?? 0, counted.received[{kind}] ?? 0]")).await?;
    let side = |at: usize| bytes.get(at).and_then(serde_json::Value::as_f64).context("no count");
    Ok([side(0)?, side(1)?])
}

/// The same, in bytes a second.
async fn rate(browser: &Browser, kind: &str) -> Result<[f64; 2]> {
    let (began, before) = (Instant::now(), traffic(browser, kind).await?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (after, seconds) = (traffic(browser, kind).await?, began.elapsed().as_secs_f64());
    let mut sides = before.into_iter().zip(after).map(|(before, after)| (after - before) / seconds);
    Ok([sides.next().unwrap_or_default(), sides.next().unwrap_or_default()])
}

/// Waits for frames of a kind, both ways.
async fn come(browser: &Browser, kind: &str) -> Result<()> {
    eventually(&format!("frames of kind {kind} pass"), SOON, async || {
        let bytes = traffic(browser, kind).await?;
        ensure!(bytes.iter().all(|bytes| *bytes > 0.0), "{bytes:?}");
        Ok(())
    })
    .await
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

/// The longest silence, in seconds; a sound that never comes back is none that ends.
fn gap(recording: &Recording, hertz: f64) -> Result<f64> {
    let last = recording.before_end(0.5, 0.0)?.level(hertz);
    ensure!(last > SILENT_DBFS, "in the end nothing is heard: {last:.0} dBFS");
    recording.longest_gap(hertz)
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
