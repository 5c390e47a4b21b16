//! A call whose machine sleeps, or whose page nobody sees: the browser's processes are stopped, or its timers are throttled as in a
//! page that has been hidden for five minutes.

use crate::resume::call;
use crate::roaming::{begin, end, is_back};
use crate::{Program, comeback};
use anyhow::{Result, ensure};
use e2e::devtools::DevTools;
use e2e::firewall::Dropped;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::setup::MEDIA_PORT;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

const SOON: Duration = Duration::from_secs(20);

/// Longer than any sign of life is waited for before the visitor counts as away.
const NAP: Duration = Duration::from_secs(8);

/// Chromium's throttling of pages that have been hidden for five minutes, after two seconds.
const THROTTLES: &str = "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/2";

/// How long the timers of a hidden page are counted, and how often each would fire.
const COUNTED: Duration = Duration::from_secs(5);
const TICK_MS: u64 = 100;

/// More than any throttling lets through, which is one a second or one a minute, and far fewer than all 50.
const MAX_TICKS: u64 = 15;

pub(crate) fn tests(program: &mut Program<'_>) {
    let device = || Stage { device: true, ..Stage::with(FarEnd::Phone) };
    program.test("a_call_outlives_a_nap_of_its_machine", device(), napped);
    program.test("a_machine_that_slept_too_long_is_told_that_the_call_is_over", impatient(), overslept);
    program.test("a_call_in_a_page_hidden_for_long_goes_on_and_changes_its_network", behind_a_relay(), hidden);
}

fn impatient() -> Stage {
    let mut stage = Stage { device: true, ..Stage::with(FarEnd::Phone) };
    stage.setup.deadlines = "resume_seconds = 2";
    stage
}

fn behind_a_relay() -> Stage {
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.relay = true;
    stage
}

async fn napped(scene: &mut Scene) -> Result<()> {
    let before = begin(scene).await?;
    scene.sleep()?;
    sleep(NAP).await;
    scene.wake()?;
    let after = is_back(scene).await?;
    end(scene, &[before, after]).await
}

async fn overslept(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.sleep()?;
    scene.recorded(EndReason::VisitorGone.word()).await?;
    scene.wake()?;
    scene.browser.reaches("ended", SOON).await?;
    scene.browser.says(ErrorCode::CallOver.shopper(), SOON).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

async fn hidden(scene: &mut Scene) -> Result<()> {
    // chromedriver would take the throttling away.
    let flags = ["--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required", THROTTLES];
    let browser = DevTools::start(scene.directory(), &comeback::microphone(scene)?, &flags).await?;
    browser.tab("Page.navigate", json!({ "url": SHOP_URL })).await?;
    hide(&browser, true).await?;
    let tick = format!("window.ticks = 0; (function tick() {{ ticks += 1; setTimeout(tick, {TICK_MS}) }})()");
    browser.in_page(&tick).await?;
    sleep(COUNTED).await;
    let ticks = browser.in_page("ticks").await?.as_u64().unwrap_or_default();
    ensure!(ticks <= MAX_TICKS, "{ticks} ticks: this browser throttles nothing");
    hide(&browser, false).await?;
    comeback::call(&browser).await?;
    // Whether it spares pages that are in a call is Chromium's own affair.
    hide(&browser, true).await?;
    sleep(NAP).await;
    scene.server.cut()?;
    let cut = (Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?);
    sleep(NAP).await;
    drop(cut);
    scene.server.restore()?;
    comeback::hears(&browser, "far").await?;
    ensure!(browser.in_page("document.hidden").await? == true, "the page was not hidden all the while");
    // Long enough for a second of it in the phone's recording.
    sleep(Duration::from_secs(3)).await;
    comeback::hang_up(scene, &browser).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    comeback::heard_at_the_end(scene).await
}

/// Puts the window away, or back.
async fn hide(browser: &DevTools, away: bool) -> Result<()> {
    let window = browser.tab("Browser.getWindowForTarget", json!({})).await?;
    let state = if away { "minimized" } else { "normal" };
    let change = json!({ "windowId": window.get("windowId"), "bounds": { "windowState": state } });
    browser.tab("Browser.setWindowBounds", change).await?;
    eventually("the page has noticed", SOON, async || {
        let hidden = browser.in_page("document.hidden").await?;
        ensure!(hidden == away, "hidden: {hidden}");
        Ok(())
    })
    .await
}
