//! Every way of embedding the button that `tests/pages` shows: the button is there, nothing happens before the click, and
//! the click makes a call.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::browser::{LOADER_ROOT, require_no_errors};
use e2e::pages::{self, ALLOWED_ORIGIN};
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use serde_json::Value;
use std::time::Duration;

pub(crate) fn tests(program: &mut Program<'_>) {
    let answers = || Stage::with(FarEnd::Scenario("answers", &[]));
    for name in pages::names().unwrap_or_default() {
        program
            .test(format!("a_call_from_the_page_{name}"), answers(), async move |scene| embedded(scene, &name).await);
    }
    program.test("a_shop_that_swaps_its_body_keeps_its_one_button", Stage::with(FarEnd::Nobody), swapped_body);
    program.test("an_icon_that_comes_later_calls_its_own_link", answers(), late_icon);
    program.test("a_call_can_be_made_with_the_keyboard_alone", Stage::with(FarEnd::Phone), keyboard);
    program.test("the_shop_stays_usable_while_a_call_runs", answers(), usable_shop);
}

async fn embedded(scene: &mut Scene, name: &str) -> Result<()> {
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/{name}.html")).await?;
    let buttons = scene.browser.buttons().await?;
    ensure!(buttons == 1, "there are {buttons} buttons");
    nothing_before_the_click(scene).await?;
    looks_as_ever(scene).await?;
    scene.picture("before").await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.picture("in_call").await?;
    scene.browser.hang_up().await?;
    let record = scene.recorded("visitor_hung_up").await?;
    ensure!(record.get("origin").and_then(Value::as_str) == Some(ALLOWED_ORIGIN), "another origin: {record}");
    require_no_errors(&scene.browser.console().await?)
}

/// One request to our host, for the loader; no socket, nothing that moves.
async fn nothing_before_the_click(scene: &Scene) -> Result<()> {
    let fetched = scene
        .browser
        .in_page("return performance.getEntriesByType('resource').map((r) => r.name).filter((n) => n.includes('localhost:8080'))")
        .await?;
    let fetched = fetched.as_array().context("no list")?;
    let loaders = fetched.iter().filter(|name| name.as_str().is_some_and(|name| name.ends_with("/ringlet.js"))).count();
    ensure!(!fetched.is_empty() && loaders == fetched.len(), "before the click it fetched {fetched:?}");
    let shifts = scene
        .browser
        .in_page(
            "return new Promise((done) => new PerformanceObserver((list) => done(list.getEntries().map((e) => e.value)))
               .observe({ type: 'layout-shift', buffered: true }) ?? setTimeout(done, 300, []))",
        )
        .await?;
    ensure!(shifts.as_array().is_some_and(Vec::is_empty), "the page's layout shifts: {shifts}");
    let sockets = scene.server.metric("ringlet_visitor_sockets").await?.unwrap_or_default();
    ensure!(sockets == 0.0, "before the click there are {sockets} sockets");
    Ok(())
}

/// The button has its own looks, whatever the page's style sheets say.
async fn looks_as_ever(scene: &Scene) -> Result<()> {
    let looks = scene
        .browser
        .in_page(&format!(
            "const button = {LOADER_ROOT}.querySelector('button.call'), style = getComputedStyle(button), box = button.getBoundingClientRect();
             return [style.fontSize, style.borderRadius, style.position, style.display, style.opacity, style.color,
                     box.height >= 44 && box.height <= 80, box.right <= innerWidth, box.bottom <= innerHeight,
                     document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)?.shadowRoot === {LOADER_ROOT}].join(' ')"
        ))
        .await?;
    let expected = "16px 28px static flex 1 rgb(255, 255, 255) true true true true";
    ensure!(looks == expected, "the button looks {looks}, not {expected}");
    Ok(())
}

async fn swapped_body(scene: &mut Scene) -> Result<()> {
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/plain.html")).await?;
    scene.browser.buttons().await?;
    for round in 0..3 {
        scene
            .browser
            .in_page(&format!(
                "document.body = Object.assign(document.createElement('body'), {{ textContent: 'page {round}' }})"
            ))
            .await?;
        let buttons = scene.browser.buttons().await?;
        ensure!(buttons == 1, "after swap {round} there are {buttons} buttons");
    }
    Ok(())
}

async fn late_icon(scene: &mut Scene) -> Result<()> {
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/plain.html")).await?;
    scene.browser.buttons().await?;
    scene
        .browser
        .in_page("document.body.insertAdjacentHTML('beforeend', '<span data-ringlet-link=returns data-customer=c-42>Return it</span>')")
        .await?;
    eventually("the loader has made an icon of it", Duration::from_secs(5), async || {
        let role =
            scene.browser.in_page("return document.querySelector('[data-ringlet-link]').getAttribute('role')").await?;
        ensure!(role == "button", "its role is {role}");
        Ok(())
    })
    .await?;
    scene.browser.click_icon("returns").await?;
    scene.browser.is_answered().await?;
    scene.browser.hang_up().await?;
    let record = scene.recorded("visitor_hung_up").await?;
    let told = |field: &str| record.get(field).and_then(Value::as_str);
    ensure!(told("link") == Some("returns") && told("customer") == Some("c-42"), "another link or customer: {record}");
    Ok(())
}

async fn usable_shop(scene: &mut Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    let size = "return [document.documentElement.scrollHeight, document.body.getBoundingClientRect().width].join()";
    let before = scene.browser.in_page(size).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    ensure!(scene.browser.in_page(size).await? == before, "the panel has moved the shop's content");
    let hit = scene.browser.in_page("const e = document.elementFromPoint(40, 40); return !!e && !e.shadowRoot").await?;
    ensure!(hit == true, "the panel covers the shop's upper left corner");
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn keyboard(scene: &mut Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    scene.browser.buttons().await?;
    scene.browser.in_page(&format!("{LOADER_ROOT}.querySelector('button.call').focus()")).await?;
    scene.browser.type_keys("\u{e007}").await?;
    scene.browser.is_answered().await?;
    // The panel has taken the focus, so that keys are the far end's.
    scene.browser.type_keys("5#").await?;
    let phone = scene.phone()?;
    eventually("the phone hears the keys", Duration::from_secs(10), async || {
        let heard = phone.keys();
        ensure!(heard == "5#", "it has heard {heard:?}");
        Ok(())
    })
    .await?;
    scene.browser.in_panel("document.getElementById('hangup').focus()").await?;
    scene.browser.type_keys("\u{e007}").await?;
    scene.recorded("visitor_hung_up").await?;
    // Escape closes what is over, and the focus goes back to where the shopper was.
    scene.browser.reaches("ended", Duration::from_secs(5)).await?;
    scene.browser.type_keys("\u{e00c}").await?;
    eventually("the button has the focus again", Duration::from_secs(5), async || {
        let focused = scene.browser.in_page(&format!("return {LOADER_ROOT}.activeElement?.className")).await?;
        ensure!(focused == "call", "the focus is on {focused}");
        Ok(())
    })
    .await
}
