//! Checks before any call: the page `/check` finds out what this browser and this network can do, and says so in words with
//! codes.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::browser::require_no_errors;
use e2e::firewall::Dropped;
use e2e::impaired::Impairment;
use e2e::pages::{ALLOWED_ORIGIN, STRANGE_ORIGIN};
use e2e::ringlet::PUBLIC_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::setup::MEDIA_PORT;
use e2e::wait::eventually;
use serde_json::Value;
use std::time::Duration;

/// A check takes ten seconds at most, and more on a busy machine.
const CHECK_LIMIT: Duration = Duration::from_secs(40);

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test(
        "a_check_where_all_is_well_scores_high_and_rings_nobody",
        Stage::with(FarEnd::Nobody),
        async |scene| {
            show_check(scene, "?merchant=acme&link=sales").await?;
            scene.picture("before").await?;
            let found = run_check(scene).await?;
            scene.picture("after").await?;
            for name in ["policy", "microphone", "socket", "udp", "tcp", "websocket", "round_trip", "loss"] {
                found.require(name, "ok", None)?;
            }
            ensure!(found.score >= 4, "the score is {}", found.score);
            ensure!(scene.server.calls().await?.is_empty(), "a check has left a record");
            require_no_errors(&scene.browser.console().await?)
        },
    );
    program.test("a_check_where_udp_is_dropped_says_so_and_finds_tcp", Stage::with(FarEnd::Nobody), async |scene| {
        let _dropped = Dropped::udp(MEDIA_PORT)?;
        show_check(scene, "").await?;
        let found = run_check(scene).await?;
        scene.picture("after").await?;
        found.require("udp", "warning", Some("RL-502"))?;
        for name in ["tcp", "websocket", "round_trip", "loss"] {
            found.require(name, "ok", None)?;
        }
        ensure!(found.score == 4, "the score over TCP is {}", found.score);
        Ok(())
    });
    program.test("a_check_where_only_https_passes_finds_the_websocket", Stage::with(FarEnd::Nobody), async |scene| {
        let _udp = Dropped::udp(MEDIA_PORT)?;
        let _tcp = Dropped::tcp(MEDIA_PORT)?;
        show_check(scene, "").await?;
        let found = run_check(scene).await?;
        found.require("udp", "warning", Some("RL-502"))?;
        found.require("tcp", "warning", Some("RL-503"))?;
        found.require("websocket", "ok", None)?;
        ensure!(found.score == 3, "the score over a WebSocket is {}", found.score);
        Ok(())
    });
    program.test(
        "a_check_whose_microphone_is_denied_scores_low_and_still_tries_the_network",
        denied(),
        async |scene| {
            show_check(scene, "").await?;
            let found = run_check(scene).await?;
            found.require("microphone", "failed", Some("RL-101"))?;
            found.require("udp", "ok", None)?;
            ensure!(found.score == 1, "without microphone the score is {}", found.score);
            Ok(())
        },
    );
    let mut far = Stage::with(FarEnd::Nobody);
    far.setup.impaired = Some(Impairment { loss: 0.05, delay: Duration::from_millis(200), jumps: None });
    program.test("a_check_over_a_far_and_lossy_network_names_both", far, async |scene| {
        show_check(scene, "").await?;
        let found = run_check(scene).await?;
        found.require("udp", "ok", None)?;
        found.require("round_trip", "warning", Some("RL-505"))?;
        found.require("loss", "warning", Some("RL-506"))?;
        ensure!(found.score <= 3, "the score is {}", found.score);
        Ok(())
    });
    preflights(program);
}

/// A browser that knows no answer to its microphone's question and makes no sound for this page, behind something that passes no binary
/// messages.
const POOR: &str = "
    navigator.permissions.query = async () => ({ state: 'prompt' });
    Object.defineProperty(AudioContext.prototype, 'state', { get: () => 'suspended' });
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) { if (typeof data === 'string') send.call(this, data) }";

/// Nothing of it is in the way of a call.
async fn poor(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(POOR).await?;
    let found = preflight_with(scene, &format!("{ALLOWED_ORIGIN}/plain.html"), false).await?;
    found.require("microphone", "skipped", Some("RL-508"))?;
    found.require("udp", "ok", None)?;
    found.require("tcp", "warning", Some("RL-510"))?;
    found.require("websocket", "warning", Some("RL-504"))?;
    found.require("loss", "skipped", Some("RL-507"))?;
    ensure!(found.score >= 4, "the score is {}", found.score);
    Ok(())
}

fn preflights(program: &mut Program<'_>) {
    program.test(
        "preflight_in_a_shop_with_a_strict_policy_finds_all_well",
        Stage::with(FarEnd::Nobody),
        async |scene| {
            let found = preflight(scene, &format!("{ALLOWED_ORIGIN}/strict-csp.html")).await?;
            for name in ["page", "policy", "microphone", "socket", "udp", "tcp", "websocket", "round_trip", "loss"] {
                found.require(name, "ok", None)?;
            }
            ensure!(found.score >= 4, "the score is {}", found.score);
            let frames = scene.browser.in_page("return document.querySelectorAll('iframe').length").await?;
            ensure!(frames == 0, "the frame is left behind");
            ensure!(scene.server.calls().await?.is_empty(), "a check has left a record");
            Ok(())
        },
    );
    program.test(
        "a_shop_that_has_made_a_preflight_can_still_be_called_from",
        Stage::with(FarEnd::Phone),
        async |scene| {
            preflight(scene, &format!("{ALLOWED_ORIGIN}/plain.html")).await?;
            scene.browser.click_button().await?;
            scene.browser.is_answered().await?;
            scene.browser.hang_up().await?;
            scene.recorded("visitor_hung_up").await.map(drop)
        },
    );
    let mut stage = Stage::with(FarEnd::Nobody);
    stage.setup.media = "tcp = false";
    program.test("preflight_names_what_it_could_not_try_and_which_ways_there_are_not", stage, poor);
    let refusals = [
        ("whose_policy_forbids_the_microphone", ALLOWED_ORIGIN, "refuses/microphone.html", "policy", "RL-104"),
        ("whose_policy_forbids_the_frame", ALLOWED_ORIGIN, "refuses/frame.html", "page", "RL-513"),
        ("of_an_origin_that_is_not_allowed", STRANGE_ORIGIN, "plain.html", "page", "RL-201"),
    ];
    for (what, origin, page, row, code) in refusals {
        let (name, url) = (format!("preflight_in_a_page_{what}_says_so"), format!("{origin}/{page}"));
        program.test(name, Stage::with(FarEnd::Nobody), async move |scene| refused(scene, &url, row, code).await);
    }
}

fn denied() -> Stage {
    Stage { microphone_denied: true, ..Stage::with(FarEnd::Nobody) }
}

/// What the page shows in the end.
pub(crate) struct Found {
    score: u64,
    rows: Value,
    /// What would carry the audio, as a report says.
    pub(crate) transport: Option<String>,
}

impl Found {
    pub(crate) fn require(&self, name: &str, state: &str, code: Option<&str>) -> Result<()> {
        let row = self.rows.get(name).with_context(|| format!("no row {name}: {}", self.rows))?;
        let told = |key: &str| row.get(key).and_then(Value::as_str);
        ensure!((told("state"), told("code")) == (Some(state), code), "{name} is {row}");
        Ok(())
    }
}

async fn show_check(scene: &Scene, query: &str) -> Result<()> {
    scene.browser.show(&format!("{PUBLIC_URL}/check{query}")).await
}

/// No call can come of the page, and the report says why.
async fn refused(scene: &mut Scene, url: &str, row: &str, code: &str) -> Result<()> {
    let found = preflight(scene, url).await?;
    found.require(row, "failed", Some(code))?;
    ensure!(found.score == 1, "the score is {}", found.score);
    Ok(())
}

/// What `Ringlet.preflight()` tells the shop's own script.
pub(crate) async fn preflight(scene: &Scene, page: &str) -> Result<Found> {
    preflight_with(scene, page, true).await
}

/// The same, which asks for the microphone or does not.
async fn preflight_with(scene: &Scene, page: &str, microphone: bool) -> Result<Found> {
    scene.browser.show(page).await?;
    scene.browser.buttons().await?;
    scene
        .browser
        .in_page(&format!(
            "Ringlet.preflight({{ microphone: {microphone} }}).then((report) => {{ window.report = report }})"
        ))
        .await?;
    eventually("the preflight is done", CHECK_LIMIT, async || {
        let seen = scene.browser.in_page(
            "return window.report && [report.score, Object.fromEntries(report.checks.map((check) => [check.name, check])), report.transport]",
        );
        let seen = seen.await?;
        let score = seen.get(0).and_then(Value::as_u64).with_context(|| seen.to_string())?;
        let transport = seen.get(2).and_then(Value::as_str).map(str::to_owned);
        Ok(Found { score, rows: seen.get(1).cloned().unwrap_or_default(), transport })
    })
    .await
}

/// By keyboard alone: the button has what it takes.
async fn run_check(scene: &Scene) -> Result<Found> {
    scene.browser.in_page("document.getElementById('start').focus()").await?;
    scene.browser.type_keys("\u{e007}").await?;
    let done = eventually("the check is done", CHECK_LIMIT, async || {
        let seen = scene.browser.in_page(
            "const rows = [...document.querySelectorAll('#results li')].map((row) => [row.dataset.check, { ...row.dataset, words: row.innerText }]);
             return [document.getElementById('score').textContent, Object.fromEntries(rows), document.getElementById('progress').textContent]",
        );
        let seen = seen.await?;
        let score: u64 =
            seen.get(0).and_then(Value::as_str).unwrap_or_default().parse().with_context(|| seen.to_string())?;
        Ok(Found { score, rows: seen.get(1).cloned().unwrap_or_default(), transport: None })
    });
    done.await
}
