//! Codes that an agent keys on an ordinary phone put pages before the shopper, and the call stays up.

use crate::Program;
use anyhow::{Result, ensure};
use e2e::pages::ALLOWED_ORIGIN;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::wait::eventually;
use serde_json::json;
use std::time::Duration;

/// A page load and a new audio path on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A phone's three keys, or the tone that answers them.
const KEYED: Duration = Duration::from_secs(1);

pub(crate) const SHOWN: &str = "The call centre showed you this page";

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test(
        "a_code_puts_a_page_before_the_shopper_who_can_go_back_and_the_call_stays_up",
        Stage::with(FarEnd::Phone),
        push,
    );
    program.test("a_code_that_comes_by_info_puts_a_page_before_the_shopper", info_stage(), info);
    program.test(
        "codes_of_no_table_are_shown_as_digits_and_pages_elsewhere_are_not_shown",
        Stage::with(FarEnd::Phone),
        refused,
    );
    program.test("a_code_keyed_between_two_pages_is_done_on_the_next", Stage::with(FarEnd::Phone), between_pages);
}

async fn calls(scene: &mut Scene) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await
}

/// Waits until the call goes on at a page of the shop.
pub(crate) async fn is_at(scene: &Scene, path: &str) -> Result<()> {
    eventually(&format!("the shop's page is {path}"), SOON, async || {
        let found = scene.browser.in_page("return location.pathname + location.search").await?;
        ensure!(found == path, "it is {found}");
        Ok(())
    })
    .await?;
    scene.browser.reaches("answered", SOON).await
}

async fn push(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.server.command("*76", &json!({"action": "page", "url": "/returns.html?by={sequence}"})).await?;
    scene.phone()?.press("*76").await?;
    is_at(scene, "/returns.html?by=%2A76").await?;
    scene.browser.says(SHOWN, SOON).await?;
    scene.picture("page_pushed").await?;
    scene.browser.listen().await?;
    let heard = scene.browser.heard(4).await?;
    let agent = heard.steady(2.0)?.level(f64::from(AGENT_TONE));
    ensure!(agent > -40.0, "the shopper hears the agent at {agent} dBFS");

    // The table is another one by now.
    scene.server.command("*76", &json!({"action": "page", "url": "/shoes.html"})).await?;
    scene.phone()?.press("*76").await?;
    is_at(scene, "/shoes.html").await?;
    scene.browser.says(SHOWN, SOON).await?;
    // Shown once more where the shopper is, it leaves the way back to the page before.
    scene.phone()?.press("*76").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    is_at(scene, "/shoes.html").await?;
    scene.browser.click_in_panel("#back").await?;
    is_at(scene, "/returns.html?by=%2A76").await?;
    let words = scene.browser.panel_words().await?;
    ensure!(!words.contains(SHOWN), "gone back, the panel says {words:?}");
    scene.server.command("*76", &json!({"action": "page", "url": "/returns.html?by={sequence}"})).await?;
    scene.phone()?.press("*76").await?;
    scene.browser.says(SHOWN, SOON).await?;
    let back = scene.browser.in_panel("return document.getElementById('back').checkVisibility()").await?;
    ensure!(back == false, "there is a way back from where the shopper was already");
    // A call that is answered may still wait for the microphone; the end of what the phone records is listened to below.
    scene.browser.listen().await?;
    scene.browser.heard(4).await?;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone rang {} times", scene.phone()?.invites());
    let phone = scene.phone()?.heard().await?;
    let visitor = phone.steady(1.0)?.level(f64::from(VISITOR_TONE));
    ensure!(visitor > -40.0, "the agent hears the shopper at {visitor} dBFS");
    let (done, refused) = (phone.peak(1_047.0), phone.peak(392.0));
    ensure!(done > -36.0 && refused < -40.0, "the agent hears {done} dBFS for what is done, {refused} for what is not");
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn between_pages(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.phone()?.event("CALL_ESTABLISHED", SOON).await?;
    for (keys, name, wanted) in [("*80", "microphone_db", -4), ("*22", "speaker_db", 4)] {
        let commands = scene.server.metric("ringlet_commands_total").await?.unwrap_or_default();
        // Nothing of the shop is in this tab until the next page is.
        scene.browser.show("about:blank").await?;
        scene.phone()?.press(keys).await?;
        tokio::time::sleep(KEYED).await;
        let now = scene.server.metric("ringlet_commands_total").await?.unwrap_or_default();
        ensure!(now == commands, "{keys} was answered while there was no page");
        scene.browser.show(&format!("{}/shoes.html", e2e::ringlet::SHOP_URL)).await?;
        eventually("the next page does it", SOON, async || {
            let settings = scene.server.settings().await?;
            ensure!(settings.get(name) == Some(&json!(wanted)), "the settings are {settings}");
            Ok(())
        })
        .await?;
    }
    scene.browser.says("made what you hear louder", SOON).await?;
    tokio::time::sleep(KEYED).await;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    let phone = scene.phone()?.heard().await?;
    let (done, refused) = (phone.peak(1_047.0), phone.peak(392.0));
    ensure!(done > -36.0 && refused < -40.0, "the agent hears {done} dBFS for what is done, {refused} for what is not");
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

fn info_stage() -> Stage {
    let keys = &[("first", "*"), ("second", "7"), ("third", "6")];
    Stage::with(FarEnd::Scenario("keys-by-info", keys))
}

async fn info(scene: &mut Scene) -> Result<()> {
    scene.server.command("*76", &json!({"action": "page", "url": "/returns.html"})).await?;
    calls(scene).await?;
    is_at(scene, "/returns.html").await?;
    scene.browser.says(SHOWN, SOON).await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

async fn refused(scene: &mut Scene) -> Result<()> {
    calls(scene).await?;
    scene.browser.watch_keys().await?;
    let evil = scene.server.command("*75", &json!({"action": "page", "url": "https://evil.example/"})).await;
    ensure!(evil.is_err_and(|error| error.to_string().contains("not among the merchant")), "a foreign page was taken");
    // One of the merchant's origins, and not the one where the call is.
    scene.server.command("*75", &json!({"action": "page", "url": format!("{ALLOWED_ORIGIN}/plain.html")})).await?;
    scene.server.command("*99", &json!({"action": "off"})).await?;
    scene.phone()?.press("*75").await?;
    scene.phone()?.press("*99").await?;
    scene.phone()?.press("5").await?;
    eventually("the panel has shown the keys that are no command", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown == "*995", "it has shown {shown:?}");
        Ok(())
    })
    .await?;
    let page = scene.browser.in_page("return location.pathname").await?;
    ensure!(page == "/", "the page is {page}");
    ensure!(scene.server.metric("ringlet_commands_total").await? == Some(1.0), "the refusal was not counted");
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}
