//! `data-window="popup"`: the call has a window of its own, which outlives the shop's pages. Where none can be had, it is in
//! the page as ever, and says why.

use crate::Program;
use crate::resume::{both, each_heard_the_other};
use anyhow::{Context as _, Result, ensure};
use e2e::browser::LOADER_ROOT;
use e2e::pages::ALLOWED_ORIGIN;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

/// As if the shop's script tag had `data-window="popup"`.
const POPUP: &str = "addEventListener('DOMContentLoaded', () => {
    const script = document.querySelector('script[src*=\"ringlet.js\"]');
    if (script) script.dataset.window = 'popup';
})";

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("a_call_in_a_window_of_its_own_outlives_the_shops_pages", phone(), over_pages);
    program.test("a_call_window_that_is_blocked_becomes_a_frame_and_says_why", phone(), blocked);
    program.test("a_call_window_that_the_shop_is_cut_off_from_becomes_a_frame", phone(), cut_off);
}

async fn over_pages(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(POPUP).await?;
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    windows(scene, 2).await?;
    scene.browser.go_to_tab(1).await?;
    scene.browser.is_answered().await?;
    scene.picture("window").await?;
    scene.browser.go_to_tab(0).await?;
    ensure!(frames(scene).await? == 0, "there is a frame beside the window");
    scene.browser.click_in_page("nav a[href=\"/shoes.html\"]").await?;
    scene.browser.reload().await?;
    scene.browser.buttons().await?;
    // The next page's icon finds the call, and makes no other.
    scene.browser.click_button().await?;
    ensure!(scene.browser.tabs().await? == 2, "the icon has opened another window");
    ensure!(frames(scene).await? == 0, "the icon has opened a frame");

    scene.browser.go_to_tab(1).await?;
    ensure!(scene.browser.state().await? == "answered", "the window has lost the call");
    let resumed = scene.server.metric("ringlet_calls_resumed_total").await?.unwrap_or_default();
    ensure!(resumed == 0.0, "the call was taken up {resumed} times: it has not outlived the page");
    let beside_other_pages = both(scene).await?;
    // The page that is there now answers for the window when that is loaded anew.
    scene.browser.reload().await?;
    scene.browser.is_answered().await?;
    let loaded_anew = both(scene).await?;
    each_heard_the_other(scene, &[beside_other_pages, loaded_anew]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");

    scene.browser.click_in_panel("#close").await?;
    windows(scene, 1).await?;
    scene.browser.go_to_tab(0).await?;
    eventually("the icon is as before the call", SOON, async || {
        let expanded = format!("return {LOADER_ROOT}.querySelector('button.call').ariaExpanded");
        let expanded = scene.browser.in_page(&expanded).await?;
        ensure!(expanded == "false", "it is {expanded}");
        Ok(())
    })
    .await
}

async fn blocked(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(POPUP).await?;
    // A click of the page's own is no gesture of the shopper: the browser's popup blocker sees to that.
    let click = "if (location.pathname !== '/panel') addEventListener('load', () => {
        const root = [...document.documentElement.children].find((e) => e.shadowRoot)?.shadowRoot;
        root?.querySelector('button.call').click();
    })";
    scene.browser.before_every_page(click).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.is_answered().await?;
    scene.browser.says(ErrorCode::WindowBlocked.shopper(), SOON).await?;
    scene.picture("blocked").await?;
    ensure!(scene.browser.tabs().await? == 1, "there is a window all the same");
    scene.browser.hang_up().await?;
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    Ok(())
}

async fn cut_off(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(POPUP).await?;
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/isolated.html")).await?;
    scene.browser.click_button().await?;
    windows(scene, 2).await?;
    scene.browser.go_to_tab(1).await?;
    scene.browser.says(ErrorCode::WindowCutOff.shopper(), SOON).await?;
    scene.picture("cut_off").await?;
    scene.browser.go_to_tab(0).await?;
    eventually("the call is in a frame", SOON, async || {
        ensure!(frames(scene).await? == 1, "there is none");
        Ok(())
    })
    .await?;
    scene.browser.is_answered().await?;
    scene.browser.hang_up().await?;
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    Ok(())
}

async fn windows(scene: &Scene, wanted: usize) -> Result<()> {
    eventually(&format!("there are {wanted} windows"), SOON, async || {
        let count = scene.browser.tabs().await?;
        ensure!(count == wanted, "there are {count}");
        Ok(())
    })
    .await
}

async fn frames(scene: &Scene) -> Result<u64> {
    let frames = scene.browser.in_page(&format!("return {LOADER_ROOT}.querySelectorAll('iframe').length")).await?;
    frames.as_u64().context("no number of frames")
}
