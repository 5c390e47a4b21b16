//! Ways back to a call that no link leads to: a tab or a browser that has crashed, a page from the browser's page cache or out of its
//! sleep, a page that may not make a sound until it is touched.

use crate::Program;
use crate::resume::{self, both, each_heard_the_other};
use crate::roaming::end;
use anyhow::{Context as _, Result, ensure};
use e2e::browser::LOADER_ROOT;
use e2e::devtools::DevTools;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::visitor::EndReason;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Below this a tone is not heard, in dBFS.
const SILENT_DBFS: f64 = -50.0;

/// Chromium writes what a tab is and keeps to disk when it finds the time.
const ON_DISK: Duration = Duration::from_secs(60);

/// How long a page is frozen: longer than the panel asks for a sign of life, or the server.
const SLEEP: Duration = Duration::from_secs(20);

/// Notes that a page was frozen.
const FROZEN: &str = "document.addEventListener('freeze', () => { document.wasFrozen = true })";

/// A meter that shows more than this share of its width hears a tone, not a quiet room.
const LOUD: f64 = 0.5;

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("a_tab_that_crashes_takes_its_call_up_again", phone(), crashed);
    program.test("a_browser_that_is_killed_and_restored_takes_its_call_up_again", phone(), killed);
    program.test("a_page_from_the_page_cache_takes_the_call_up_again", phone(), cached);
    program.test("the_page_of_the_call_from_the_page_cache_takes_it_up_again", phone(), cached_itself);
    let limit = Duration::from_secs(120);
    program.test("a_call_outlives_the_sleep_of_its_page", Stage { limit, ..phone() }, frozen);
    program.test("a_page_that_may_make_no_sound_asks_for_one_tap", phone(), silenced);
}

async fn crashed(scene: &mut Scene) -> Result<()> {
    let browser = DevTools::start(scene.directory(), &microphone(scene)?, &["--use-fake-ui-for-media-stream"]).await?;
    call(&browser).await?;
    let left = scene.phone()?.samples_heard()?;
    browser.crash().await?;
    // As the shopper does, or the browser itself.
    eventually("the tab is loaded anew", SOON, async || browser.tab("Page.reload", json!({})).await).await?;
    is_answered(&browser).await?;
    hears(&browser, "far").await?;
    is_had_once(scene, &browser, left).await
}

async fn killed(scene: &mut Scene) -> Result<()> {
    let flags = ["--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required"];
    let (directory, microphone) = (scene.directory().to_owned(), microphone(scene)?);
    let browser = DevTools::start(&directory, &microphone, &flags).await?;
    call(&browser).await?;
    // Without that it takes itself for new when it starts.
    browser.has_written(".", "\"Crashed\"", ON_DISK).await?;
    browser.has_written("Sessions", SHOP_URL, ON_DISK).await?;
    browser.has_written("Session Storage", "ringlet", ON_DISK).await?;
    browser.kill()?;
    let left = scene.phone()?.samples_heard()?;
    let browser = DevTools::restore(&directory, &microphone, &flags).await?;
    is_answered(&browser).await?;
    hears(&browser, "far").await?;
    is_had_once(scene, &browser, left).await
}

/// Hangs up, and proves that the call was taken up once, rung once, and heard by the far end after these samples of its recording.
async fn is_had_once(scene: &mut Scene, browser: &DevTools, left: usize) -> Result<()> {
    // Long enough for a second of it in the phone's recording.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resumed = scene.server.metric("ringlet_calls_resumed_total").await?.unwrap_or_default();
    ensure!(resumed == 1.0, "the call was taken up {resumed} times");
    hang_up(scene, browser).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    let heard = scene.phone()?.heard().await?;
    let later = Recording { rate: heard.rate, samples: heard.samples.get(left..).unwrap_or_default().to_vec() };
    // Not all the while: the browser's noise suppression takes a steady tone for noise.
    let level = later.peak(f64::from(VISITOR_TONE));
    ensure!(level > SILENT_DBFS, "since the browser died the far end has heard {level:.0} dBFS of the shopper");
    Ok(())
}

/// Proves that the far end has heard the shopper in its last three seconds.
pub(crate) async fn heard_at_the_end(scene: &mut Scene) -> Result<()> {
    // The browser's noise suppression takes a steady tone for noise, after a while.
    let heard = scene.phone()?.heard().await?;
    let level =
        |n: u32| Ok(heard.before_end(f64::from(n + 1) / 4.0, f64::from(n) / 4.0)?.level(f64::from(VISITOR_TONE)));
    let levels: Vec<f64> = (0..12).map(level).collect::<Result<_>>()?;
    ensure!(levels.iter().any(|level| *level > SILENT_DBFS), "the far end does not hear the shopper: {levels:?}");
    Ok(())
}

async fn cached(scene: &mut Scene) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene
        .browser
        .before_every_page("addEventListener('pageshow', (e) => { document.persisted = e.persisted })")
        .await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.buttons().await?;
    // From a page without a call, which the browser can put away as it stands, to one where the call begins.
    scene.browser.click_in_page("nav a[href=\"/shoes.html\"]").await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    eventually("the page keeps the call", SOON, async || {
        let kept = scene.browser.in_page("return sessionStorage.ringlet ?? null").await?;
        kept.as_str().map(drop).context("it keeps nothing")
    })
    .await?;
    scene.browser.back().await?;
    let persisted = scene.browser.in_page("return document.persisted").await?;
    ensure!(persisted == true, "the page is not from the page cache: {persisted}");
    scene.browser.is_answered().await?;
    let back = both(scene).await?;
    // And on again to the page that had the call, whether the browser has kept it or not.
    scene.browser.forward().await?;
    scene.browser.is_answered().await?;
    let forward = both(scene).await?;
    each_heard_the_other(scene, &[back, forward]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

/// As Safari and Firefox do with the page of a call, and Chromium may one day: its own word for it, made by the test.
async fn cached_itself(scene: &mut Scene) -> Result<()> {
    resume::call(scene).await?;
    let before = both(scene).await?;
    scene.browser.in_panel("window.old = true").await?;
    scene.browser.in_page("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))").await?;
    eventually("there is another panel", SOON, async || {
        ensure!(scene.browser.in_panel("return window.old ?? null").await?.is_null(), "it is the old one");
        Ok(())
    })
    .await?;
    scene.browser.is_answered().await?;
    let after = both(scene).await?;
    let resumed = scene.server.metric("ringlet_calls_resumed_total").await?.unwrap_or_default();
    ensure!(resumed == 1.0, "the call was taken up {resumed} times");
    each_heard_the_other(scene, &[before, after]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

async fn frozen(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(FROZEN).await?;
    resume::call(scene).await?;
    let before = both(scene).await?;
    scene.browser.freeze(true).await?;
    tokio::time::sleep(SLEEP).await;
    scene.browser.freeze(false).await?;
    let frozen = scene.browser.in_page("return document.wasFrozen ?? false").await?;
    ensure!(frozen == true, "the page was not frozen");
    eventually("the shopper hears the far end again", SOON, async || {
        ensure!(both(scene).await?.hears(f64::from(AGENT_TONE)), "there is silence");
        Ok(())
    })
    .await?;
    let after = both(scene).await?;
    end(scene, &[before, after]).await
}

async fn silenced(scene: &mut Scene) -> Result<()> {
    // The rule of browsers that know nothing of this site yet: no sound before the shopper has touched the page.
    let policy = "const play = HTMLMediaElement.prototype.play;
        HTMLMediaElement.prototype.play = function () {
          if (!localStorage.strict || navigator.userActivation.hasBeenActive) return play.call(this);
          this.autoplay = false;
          return Promise.reject(new DOMException('', 'NotAllowedError'));
        }";
    scene.browser.before_every_page(policy).await?;
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.in_panel("localStorage.strict = 1").await?;
    scene.browser.click_in_page("nav a[href=\"/shoes.html\"]").await?;
    scene.browser.is_answered().await?;
    scene.browser.says("Tap to hear", SOON).await?;
    scene.picture("tap_to_hear").await?;
    let paused = "return document.getElementById('audio').paused";
    ensure!(scene.browser.in_panel(paused).await? == true, "it plays all the same");
    scene.browser.click_in_panel("#tap").await?;
    eventually("the panel plays", SOON, async || {
        ensure!(scene.browser.in_panel(paused).await? == false, "it does not");
        Ok(())
    })
    .await?;
    let hidden = scene.browser.in_panel("return document.getElementById('tap').hidden").await?;
    ensure!(hidden == true, "the button is still there");
    scene.browser.listen().await?;
    let heard = scene.browser.heard(3).await?.steady(2.0)?;
    scene.browser.hang_up().await?;
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    let (said, agent) = (scene.phone()?.said().await?.steady(2.0)?, f64::from(AGENT_TONE));
    heard.require_only(agent, said.level(agent), f64::from(VISITOR_TONE))
}

pub(crate) fn microphone(scene: &Scene) -> Result<PathBuf> {
    Ok(scene.directory().parent().context("no folder of recordings")?.join("microphone.wav"))
}

pub(crate) async fn call(browser: &DevTools) -> Result<()> {
    browser.tab("Page.navigate", json!({ "url": SHOP_URL })).await?;
    let click = format!("({LOADER_ROOT}).querySelector('button.call').click()");
    eventually("the page has a button", SOON, async || browser.in_page(&click).await).await?;
    is_answered(browser).await?;
    hears(browser, "far").await?;
    eventually("the page keeps the call", SOON, async || {
        let kept = browser.in_page("sessionStorage.ringlet").await?;
        kept.as_str().map(drop).context("it keeps nothing")
    })
    .await
}

async fn is_answered(browser: &DevTools) -> Result<()> {
    eventually("the panel is answered", SOON, async || {
        let state = browser.in_panel("document.getElementById('panel').dataset.state").await?;
        ensure!(state == "answered", "it is {state}");
        Ok(())
    })
    .await
}

/// Waits until one of the panel's meters (`own`, `far`) shows a tone.
pub(crate) async fn hears(browser: &DevTools, meter: &str) -> Result<()> {
    eventually(&format!("the meter {meter} shows a tone"), SOON, async || {
        let scale =
            browser.in_panel(&format!("new DOMMatrix(document.getElementById('{meter}').style.transform).a")).await?;
        ensure!(scale.as_f64().is_some_and(|scale| scale > LOUD), "it shows {scale}");
        Ok(())
    })
    .await
}

pub(crate) async fn hang_up(scene: &Scene, browser: &DevTools) -> Result<()> {
    browser.in_panel("document.getElementById('hangup').click()").await?;
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    Ok(())
}
