//! `ringlet run --take-over` beside a process with calls up: nobody notices, but that the process is another.

use crate::Program;
use crate::resume::{both, call};
use anyhow::{Context as _, Result, ensure};
use e2e::ringlet::{PUBLIC_URL, SHOP_URL};
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::visitor::EndReason;
use serde_json::Value;
use std::time::Duration;

/// Scripted visitors, beside the one with the real panel: those who talk, and those who come while it happens.
const CROWD: u32 = 8;
const LATE: u32 = 4;

/// Many calls in one browser are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// A fifth of a second is one block of [`Recording::levels`]. A busy machine has gaps of its own; a call that lost its path has
/// nothing but.
const MAX_SILENT_BLOCKS: usize = 5;

/// Below this a tone is not heard, in dBFS.
const SILENT_DBFS: f64 = -45.0;

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test(
        "an_upgrade_in_place_is_not_heard_and_keys_and_hang_up_work_after_it",
        Stage::with(FarEnd::Phone),
        heard,
    );
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.deadlines = "gateway_seconds = 2";
    program.test("a_process_whose_heir_dies_on_the_threshold_ends_and_the_next_one_runs", stage, heirless);
    let mut stage = Stage::with(FarEnd::Echo(CROWD + LATE + 1));
    stage.limit = Duration::from_secs(300);
    program.test("an_upgrade_in_place_drops_no_call_and_refuses_no_new_one", stage, crowded);
}

async fn heirless(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.server.lose_heir(SOON).await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    // Whose tab knows of no call.
    scene.browser.open_tab().await?;
    call(scene).await?;
    scene.browser.hang_up().await?;
    scene.browser.says(EndReason::VisitorHungUp.shopper(), SOON).await
}

async fn heard(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let before = both(scene).await?;
    scene.browser.watch_keys().await?;
    scene.browser.listen().await?;
    scene.server.take_over("second").await?;
    let during = scene.browser.heard(4).await?;
    let silent = longest_silence(&during, f64::from(AGENT_TONE));
    ensure!(silent <= MAX_SILENT_BLOCKS, "the shopper heard nothing for {silent} fifths of a second");
    // Once more, while the first still has the call: what comes for it goes through two processes.
    scene.server.take_over("third").await?;
    let after = both(scene).await?;

    scene.browser.press("159").await?;
    scene.phone()?.press("42").await?;
    let phone = scene.phone()?;
    eventually("the phone has heard the keys", SOON, async || {
        ensure!(phone.keys() == "159", "{:?}", phone.keys());
        Ok(())
    })
    .await?;
    eventually("the panel has shown the keys", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown.ends_with('2'), "{shown:?}");
        Ok(())
    })
    .await?;
    // Another page of the shop, whose leg is the old gateway's.
    scene.browser.reload().await?;
    scene.browser.reaches("answered", SOON).await?;
    let next_page = both(scene).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    scene.phone()?.hang_up().await?;
    scene.recorded("agent_hung_up").await?;
    let far_end = scene.phone()?.heard().await?;
    let silent = longest_silence(&far_end, f64::from(VISITOR_TONE));
    eprintln!("the shopper heard nothing for at most {silent} fifths of a second, page turn included");
    scene.server.former_end(SOON).await?;
    for heard in [before, after, next_page] {
        ensure!(heard.hears(f64::from(AGENT_TONE)), "the shopper did not hear the agent");
    }
    Ok(())
}

async fn crowded(scene: &mut Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("answered", SOON).await?;
    scene.browser.open_tab().await?;
    scene.browser.show(&format!("{PUBLIC_URL}/healthz")).await?;
    scene.browser.gather_crowd(SHOP_URL, CROWD).await?;
    scene.browser.crowd_is("visitor.state === 'answered' && visitor.token").await?;
    scene.browser.in_page("window.gaps = watchGaps()").await?;

    // Some come all the while, one by one.
    scene.browser.in_page("for (const visitor of crowd) persist(visitor)").await?;
    scene.browser.in_page(&format!("comeLater({LATE})")).await?;
    scene.server.take_over("second").await?;
    eventually("the last has come", SOON, async || {
        let size = scene.browser.in_page("return crowd.length").await?;
        ensure!(size == CROWD + LATE, "{size}");
        Ok(())
    })
    .await?;
    scene.browser.crowd_is("visitor.isOpen && visitor.state === 'answered'").await?;
    let events = scene.browser.in_page("return crowd.map((visitor) => visitor.events.join())").await?;
    eprintln!("what each of the crowd was told: {events}");
    let before = packets(scene).await?;
    eventually("everybody hears on", SOON, async || {
        let now = packets(scene).await?;
        let silent = before.iter().zip(&now).filter(|(before, now)| *now < &(**before + 50)).count();
        ensure!(silent == 0, "{silent} of {} hear nothing", now.len());
        Ok(())
    })
    .await?;
    let gaps = scene.browser.in_page("return gaps()").await?;
    eprintln!("longest time without a packet, of each who talked, in ms: {gaps}");

    scene.browser.go_to_tab(0).await?;
    scene.browser.hang_up().await?;
    scene.browser.says(EndReason::VisitorHungUp.shopper(), SOON).await?;
    scene.browser.go_to_tab(1).await?;
    scene.browser.in_page("for (const visitor of crowd) visitor.say({ type: 'hangup' })").await?;
    scene.browser.crowd_is("visitor.ended === 'visitor_hung_up'").await?;
    eventually("the records are whole", SOON, async || {
        let calls = scene.server.calls().await?;
        ensure!(calls.len() == (CROWD + LATE) as usize + 1, "{} records", calls.len());
        for call in &calls {
            let times = ["started_at", "dialed_at", "answered_at", "ended_at"].map(|time| call.get(time)?.as_i64());
            ensure!(times.iter().all(Option::is_some) && times.is_sorted(), "{call}");
            ensure!(call.get("reason").and_then(Value::as_str) == Some("visitor_hung_up"), "{call}");
        }
        Ok(())
    })
    .await?;
    scene.server.former_end(SOON).await
}

/// The longest stretch without the tone between the first and the last time that it is there, in blocks.
fn longest_silence(heard: &Recording, hertz: f64) -> usize {
    let levels = heard.levels(hertz);
    let is_loud = |level: &f64| *level > SILENT_DBFS;
    let first = levels.iter().position(is_loud).unwrap_or_default();
    let last = levels.iter().rposition(is_loud).unwrap_or_default();
    let part = levels.get(first..=last).unwrap_or_default();
    part.split(is_loud).map(<[f64]>::len).max().unwrap_or(levels.len())
}

/// How many packets each scripted visitor has heard.
async fn packets(scene: &Scene) -> Result<Vec<u64>> {
    let counts = scene.browser.in_page("return packets()").await?;
    let counts = counts.as_array().context("no counts")?;
    counts.iter().map(|count| Value::as_u64(count).context("no count")).collect()
}
