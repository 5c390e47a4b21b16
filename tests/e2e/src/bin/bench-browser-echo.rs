//! Measures the browser's own canceller as `bench-echo` measures the layers behind it: the same rooms, levels, voices and formulas. Here
//! they are played in real time: Chromium has a sound card of samples alone, with a room between its loudspeaker and its microphone. Run by
//! `cargo xtask bench audio --section echo`; `-- study` measures that room alone.
//!
//! The same without a canceller says whether the room can be trusted: all of the echo and all of the voice must come through.

use anyhow::{Context as _, Result, ensure};
use axum::http::header;
use axum::response::Html;
use axum::routing::get;
use base64::Engine as _;
use e2e::browser::{Browser, Chromedriver, Microphone};
use e2e::namespace;
use e2e::sound_card::{Scene, SoundCard, urge};
use e2e::wait::eventually;
use echo::room::{ROOMS, Room};
use echo::scene::{
    BACKGROUND, ECHOES, LEARNING, SILENCE, Script, VOICE, after, decibels, delays, echo, gain, lost, noise, report,
    seconds,
};
use echo::speech::{RATE, active_power};
use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::time::sleep;

/// Where the page is: a browser gives its microphone to this machine's own pages.
const PORT: u16 = 8092;

/// A call that begins is silent for a while: the peer connection settles, and so does PulseAudio.
const SETTLED: Duration = Duration::from_millis(1_500);

/// For a call with itself to be connected.
const LIMIT: Duration = Duration::from_secs(15);

/// What is kept behind the last word, and the furthest that voice and echo may be behind what the browser plays, seconds.
const FURTHEST: usize = 1;

/// How far the echo may be from what it should be, and how much echo and voice may be lost where nothing takes any, dB.
const TRUE_DB: f32 = 1.0;

/// So often PulseAudio may have torn a hole into what the microphone gets, before it is said that this machine is too busy.
const MOST_AGAIN: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let alone = namespace::enter()?;
    let only = std::env::args().nth(1);
    let rooms: Vec<&Room> = ROOMS.iter().filter(|room| only.as_deref().is_none_or(|name| name == room.name)).collect();
    let directory = alone.artifacts.join("bench-browser-echo");
    std::fs::create_dir_all(&directory)?;
    let script = Script::new()?;
    serve(&script.far).await?;
    // What is started from now on is as urgent.
    urge(std::process::id());
    let card = SoundCard::start(&directory).await?;
    let driver = Chromedriver::start_with_sound(&card, &directory).await?;
    let browser = driver.open(&directory, &Microphone::SoundCard).await?;
    let mut bench = Bench { script, card, browser, again: 0 };
    // Where everything is loudest, echo and voice can be told from all else.
    let loudest = ECHOES.last_chunk::<1>().context("no level")?;
    for room in &rooms {
        bench.measure(room, loudest, false).await?;
        bench.measure(room, &ECHOES, true).await?;
    }
    bench.browser.quit().await
}

struct Bench {
    script: Script,
    card: SoundCard,
    browser: Browser,
    again: usize,
}

impl Bench {
    /// ERLE and what is lost of the voice, at these levels.
    async fn measure(&mut self, room: &Room, levels: &[f32], cancels: bool) -> Result<()> {
        let layer = if cancels { "browser" } else { "nothing" };
        let back = echo(&self.script.far, room);
        for level in levels {
            let gain = gain(&back, VOICE + level);
            let name = format!("{layer}, {}, echo {level} dB", room.name);
            let (echo, sent) = self.take(room, (*level, gain), &[], cancels).await.with_context(|| name.clone())?;
            let erle = decibels(after(&echo, LEARNING), after(&sent, LEARNING));
            let target = (!cancels).then_some((0.0, erle.abs() <= TRUE_DB));
            report(&format!("{name}: ERLE"), erle.into(), "dB", target);
            let near = self.script.near.clone();
            let (_, sent) = self.take(room, (*level, gain), &near, cancels).await.with_context(|| name.clone())?;
            let lost = lost(&near, &sent, delays(&near, &sent, seconds(FURTHEST)));
            // The browser is not ours to better.
            let target = (!cancels).then_some((0.0, lost.abs() <= TRUE_DB));
            report(&format!("{name}: voice lost"), lost.into(), "dB", target);
        }
        Ok(())
    }

    /// `level` is the echo's beside the voice, dB, and the gain that makes it that. The echo at the microphone, and what the browser makes of all that it gets there.
    async fn take(
        &mut self,
        room: &Room,
        level: (f32, f32),
        near: &[f32],
        cancels: bool,
    ) -> Result<(Vec<f32>, Vec<f32>)> {
        loop {
            let (echo, sent, is_whole) = self.take_once(room, level, near, cancels).await?;
            if is_whole {
                return Ok((echo, sent));
            }
            self.again += 1;
            ensure!(self.again <= MOST_AGAIN, "this machine is too busy for sound in real time");
            eprintln!("again: the microphone got a hole");
        }
    }

    async fn take_once(
        &self,
        room: &Room,
        (level, gain): (f32, f32),
        near: &[f32],
        cancels: bool,
    ) -> Result<(Vec<f32>, Vec<f32>, bool)> {
        let far = &self.script.far;
        let scene = Scene {
            path: room.path(),
            gain,
            background: noise(far.len(), if near.is_empty() { SILENCE } else { BACKGROUND }),
            far: far.clone(),
            near: near.to_vec(),
        };
        let placed = self.card.place(scene)?;
        self.browser.show(&format!("http://127.0.0.1:{PORT}/")).await?;
        let set = self.browser.in_page(&format!("return call({cancels})")).await?;
        let is_set = set.get("echoCancellation").and_then(serde_json::Value::as_bool);
        ensure!(is_set == Some(cancels), "the microphone is not as asked: {set}");
        eventually("the call is connected", LIMIT, async || {
            let state = self.browser.in_page("return state()").await?;
            ensure!(state == "connected, plays", "{state}");
            Ok(())
        })
        .await?;
        sleep(SETTLED).await;
        let holes = placed.holes()?;
        self.browser.in_page(&format!("say({FURTHEST})")).await?;
        let long = Duration::from_secs((far.len() / seconds(1) + FURTHEST) as u64);
        sleep(long).await;
        let kept = eventually("the far end has spoken", LIMIT, async || {
            let kept = self.browser.in_page("return window.kept ?? null").await?;
            ensure!(!kept.is_null(), "it still speaks");
            Ok(kept)
        })
        .await?;
        ensure!(kept.get("rate").and_then(serde_json::Value::as_u64) == Some(RATE.hz().into()), "at another rate");
        let (is_whole, mut echo) = (placed.holes()? == holes, placed.take_away()?);
        echo.truncate(far.len());
        let off = 10.0 * active_power(&echo).log10() - VOICE - level;
        ensure!(off.abs() <= TRUE_DB, "the echo is {off:.1} dB off");
        let text = kept.get("samples").and_then(serde_json::Value::as_str).context("no samples")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
        let sent: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok((echo, sent, is_whole))
    }
}

/// Serves the page and what the far end says.
async fn serve(far: &[f32]) -> Result<()> {
    let mut wav = Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE.hz(),
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::new(&mut wav, spec)?;
    far.iter().try_for_each(|sample| writer.write_sample(*sample))?;
    writer.finalize()?;
    let wav = axum::body::Bytes::from(wav.into_inner());
    let router = axum::Router::new()
        .route("/", get(async || Html(include_str!("../echo.html"))))
        .route("/far.wav", get(move || std::future::ready(([(header::CONTENT_TYPE, "audio/wav")], wav.clone()))));
    let listener = tokio::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))).await?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}
