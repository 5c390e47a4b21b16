//! What a call costs is what the shop chose for it, and what the network lets through: packets and bits each way, redundancy where
//! packets are lost. A speaking microphone, and a far end that says what it hears.

use crate::Program;
use anyhow::{Result, bail, ensure};
use e2e::browser::Browser;
use e2e::firewall::Dropped;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use serde_json::Value;
use std::time::Duration;

/// The gateway's port.
const MEDIA_PORT: u16 = 4433;

/// How long packets and bytes are counted.
const COUNTED: Duration = Duration::from_secs(5);

/// How many packets are dropped: enough that a few reports show it.
const LOSS: f64 = 0.15;

/// Redundancy is laid out for some loss at the beginning. It ends with the sixth report without any, and those come every 5 s, give or
/// take a half.
const CALM: Duration = Duration::from_secs(70);

/// The first report of loss, on a busy machine.
const TOLD: Duration = Duration::from_secs(30);

/// Until a browser has taken reports of loss to heart, and some redundancy has been of use.
const BELIEVED: Duration = Duration::from_secs(25);

/// Keeps the peer connection, and makes the microphone a voice: a pitch of 130 Hz in syllables. Redundancy is for speech; an
/// even tone has none.
pub(crate) const VOICE: &str = "
    if (location.pathname !== '/panel') return;
    const Peer = RTCPeerConnection;
    window.RTCPeerConnection = class extends Peer {
      constructor(...args) {
        super(...args);
        window.peer = this;
      }
    };
    window.cost = async () => {
      const all = [...(await peer.getStats()).values()];
      const one = (wanted) => all.find(({ type }) => type === wanted) ?? {};
      const sent = one('outbound-rtp'), got = one('inbound-rtp');
      return [sent.timestamp, sent.packetsSent, sent.bytesSent, got.packetsReceived, got.bytesReceived, got.fecPacketsReceived,
        one('remote-inbound-rtp').fractionLost]
        .map((count) => count ?? 0);
    };
    navigator.mediaDevices.getUserMedia = async () => {
      const context = new AudioContext(), out = context.createMediaStreamDestination();
      const pitch = new OscillatorNode(context, { type: 'sawtooth', frequency: 130 });
      const syllables = new OscillatorNode(context, { type: 'sine', frequency: 4 });
      const mouth = new GainNode(context, { gain: 0.1 }), opening = new GainNode(context, { gain: 0.1 });
      pitch.connect(mouth).connect(out);
      syllables.connect(opening).connect(mouth.gain);
      pitch.start();
      syllables.start();
      window.voice = { context, pitch, syllables };
      return out.stream;
    };";

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test(
        "data_quality_sets_packets_and_bits_each_way",
        Stage::with(FarEnd::Echo(3)),
        async |scene: &mut Scene| {
            let saver = cost_of(scene, Some("saver")).await?;
            let standard = cost_of(scene, None).await?;
            let best = cost_of(scene, Some("best")).await?;
            let all = format!("saver {saver:?}, standard {standard:?}, best {best:?}");
            for ((saver, standard), best) in saver.into_iter().zip(standard).zip(best) {
                // Of 60 ms and of 20 ms; a machine that is busy makes them come late and not fewer.
                ensure!(saver.packets < 20.0 && standard.packets > 40.0 && best.packets > 40.0, "{all}");
                // Of the packets' contents: what they are told to spend, redundancy included, and a tenth.
                ensure!(saver.bits < 22_000.0 && standard.bits < 35_000.0 && best.bits < 53_000.0, "{all}");
                ensure!(saver.bits * 1.2 < standard.bits && standard.bits * 1.1 < best.bits, "{all}");
            }
            Ok(())
        },
    );
    let mut stage = Stage::with(FarEnd::Echo(1));
    stage.limit = Duration::from_secs(180);
    program.test("reported_loss_brings_redundancy_back_each_way", stage, async |scene: &mut Scene| {
        call(scene, None).await?;
        eventually("nothing is lost, and there is no redundancy", CALM, async || {
            let before = counted(scene).await?;
            tokio::time::sleep(COUNTED).await;
            let after = counted(scene).await?;
            ensure!(after.got > before.got + 100.0, "the browser gets no audio: {before:?} {after:?}");
            ensure!(after.redundant - before.redundant < 0.5, "redundancy: {before:?} {after:?}");
            Ok(())
        })
        .await?;
        let calm = counted(scene).await?;
        let _dropped = Dropped::some_udp(MEDIA_PORT, LOSS)?;
        eventually("the gateway sends redundancy", TOLD, async || {
            let now = counted(scene).await?;
            ensure!(now.redundant > calm.redundant + 50.0, "{calm:?} {now:?}");
            Ok(())
        })
        .await?;
        eventually("the gateway reports the loss", TOLD, async || {
            let now = counted(scene).await?;
            ensure!(now.lost > LOSS / 3.0, "{} reported as lost", now.lost);
            Ok(())
        })
        .await?;
        // What comes of the browser's is counted at the end; Chromium believes reports with a time constant of 10 s.
        tokio::time::sleep(BELIEVED).await;
        scene.browser.hang_up().await?;
        scene.recorded("visitor_hung_up").await?;
        let recovered =
            scene.server.metric("ringlet_playout_milliseconds_total{leg=\"webrtc\",what=\"recovered\"}").await?;
        ensure!(recovered.is_some_and(|ms| ms >= 500.0), "{recovered:?} ms of the visitor's audio were recovered");
        Ok(())
    });
}

/// A second of one way.
#[derive(Clone, Copy, Debug)]
struct Cost {
    packets: f64,
    /// Without any headers.
    bits: f64,
}

/// What a call costs with the script tag's `data-quality`: what the browser sends, what it gets.
async fn cost_of(scene: &mut Scene, quality: Option<&str>) -> Result<[Cost; 2]> {
    call(scene, quality).await?;
    let before = counted(scene).await?;
    tokio::time::sleep(COUNTED).await;
    let after = counted(scene).await?;
    scene.browser.hang_up().await?;
    scene.server.nothing_left().await?;
    let seconds = (after.at_ms - before.at_ms) / 1_000.0;
    let cost = |packets: f64, bytes: f64| Cost { packets: packets / seconds, bits: bytes * 8.0 / seconds };
    let sent = cost(after.sent - before.sent, after.sent_bytes - before.sent_bytes);
    Ok([sent, cost(after.got - before.got, after.got_bytes - before.got_bytes)])
}

/// What the browser's statistics say of a call.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at_ms: f64,
    /// Packets.
    sent: f64,
    sent_bytes: f64,
    /// Packets.
    got: f64,
    got_bytes: f64,
    /// Packets that held redundancy.
    redundant: f64,
    /// The share of what was sent that the gateway last reported as lost.
    lost: f64,
}

async fn counted(scene: &Scene) -> Result<Counted> {
    let counted = scene.browser.in_panel("return cost()").await?;
    let numbers: Vec<f64> = counted.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    let &[at_ms, sent, sent_bytes, got, got_bytes, redundant, lost] = numbers.as_slice() else {
        bail!("not seven numbers: {counted}");
    };
    Ok(Counted { at_ms, sent, sent_bytes, got, got_bytes, redundant, lost })
}

/// Gives the script tag its `data-quality`.
pub(crate) async fn choose(browser: &Browser, quality: &str) -> Result<()> {
    let tag = "document.querySelector('script[data-merchant]').dataset";
    browser.in_page(&format!("{tag}.quality = '{quality}'; return null")).await.map(drop)
}

/// A call that is answered and heard both ways.
async fn call(scene: &mut Scene, quality: Option<&str>) -> Result<()> {
    scene.browser.before_every_page(VOICE).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.buttons().await?;
    if let Some(quality) = quality {
        choose(&scene.browser, quality).await?;
    }
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    // Ringback is heard before; the far end's echo of the first word comes later than the answer.
    let before = counted(scene).await?.got;
    eventually("the visitor hears the far end", Duration::from_secs(15), async || {
        let heard = counted(scene).await?.got - before;
        ensure!(heard > 50.0, "{heard} packets");
        Ok(())
    })
    .await
}
