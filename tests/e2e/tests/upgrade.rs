//! `ringlet run --take-over` beside a process with calls up: nobody notices, but that the process is another.

use crate::Program;
use crate::restarts::records_are_whole;
use crate::resume::{both, call};
use anyhow::{Result, ensure};
use e2e::guests::Guests;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::visitors::Visitors;
use e2e::wait::eventually;
use protocol::visitor::EndReason;
use std::time::Duration;
use tokio::time::sleep;

/// Visitors without a browser, beside the one with the real panel: those who talk, and those who come while it happens.
const CROWD: u32 = 24;
const LATE: u32 = 5;

/// Those come one after the other.
const LATER: Duration = Duration::from_millis(700);

/// Many calls are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Fewer would have come in a second, and a hand-over takes longer.
const FEWEST_GUESTS: usize = 20;

/// How long it may take until all is as it was.
const SETTLED: Duration = Duration::from_secs(1);

/// The longest silence of either side: a busy machine has gaps of its own, and so many calls longer ones.
const LONGEST_GAP: f64 = 0.4;
const LONGEST_CROWDED_GAP_MS: u128 = 1_000;

const KEYS: &str = "159";
const THEIR_KEYS: &str = "42";

/// Below this a tone is not heard, in dBFS.
const SILENT_DBFS: f64 = -45.0;

pub(crate) fn tests(program: &mut Program<'_>) {
    let stage = Stage { alone: true, ..Stage::with(FarEnd::Phone) };
    program.test("an_upgrade_in_place_is_not_heard_and_keys_and_hang_up_work_after_it", stage, heard);
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.deadlines = "gateway_seconds = 2";
    program.test("a_process_whose_heir_dies_on_the_threshold_ends_and_the_next_one_runs", stage, heirless);
    let mut stage = Stage::with(FarEnd::Echo(CROWD + LATE + 1));
    (stage.limit, stage.alone) = (Duration::from_secs(300), true);
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
    let shopper = scene.browser.heard(4).await?.longest_gap(f64::from(AGENT_TONE))?;
    // Once more, while the first still has the call: what comes for it goes through two processes.
    scene.server.take_over("third").await?;
    let after = both(scene).await?;

    scene.browser.press(KEYS).await?;
    scene.phone()?.press(THEIR_KEYS).await?;
    eventually("keys pass both ways", SOON, async || {
        let (heard, shown) = (scene.phone()?.keys(), scene.browser.keys_shown().await?);
        ensure!(heard == KEYS && shown == THEIR_KEYS, "the phone has heard {heard:?}, the panel has shown {shown:?}");
        Ok(())
    })
    .await?;
    let all_of_it = both(scene).await?;
    let (heard, shown) = (scene.phone()?.keys(), scene.browser.keys_shown().await?);
    ensure!(heard == KEYS && shown == THEIR_KEYS, "in the end {heard:?} was heard, and {shown:?} shown");
    let until = scene.phone()?.samples_heard()?;
    // Another page of the shop, whose leg is the old gateway's.
    scene.browser.reload().await?;
    scene.browser.reaches("answered", SOON).await?;
    let next_page = both(scene).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    scene.phone()?.hang_up().await?;
    scene.recorded("agent_hung_up").await?;
    let phone_heard = scene.phone()?.heard().await?;
    let before_the_page = phone_heard.samples.get(..until).unwrap_or_default().to_vec();
    let before_the_page = Recording { rate: phone_heard.rate, samples: before_the_page };
    let far_end = before_the_page.longest_gap(f64::from(VISITOR_TONE))?;
    eprintln!("the shopper heard nothing for {shopper:.2} s, the far end for {far_end:.2} s");
    ensure!(shopper <= LONGEST_GAP, "the shopper heard nothing for {shopper:.2} s");
    ensure!(far_end <= LONGEST_GAP, "the far end heard nothing for {far_end:.2} s");
    let last = phone_heard.before_end(1.5, 0.5)?.level(f64::from(VISITOR_TONE));
    ensure!(last > SILENT_DBFS, "on the next page the far end hears {last:.0} dBFS");
    scene.server.former_end(SOON).await?;
    for heard in [before, after, all_of_it, next_page] {
        ensure!(heard.hears(f64::from(AGENT_TONE)), "the shopper did not hear the agent");
    }
    Ok(())
}

async fn crowded(scene: &mut Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("answered", SOON).await?;
    let mut visitors = Visitors::gather(CROWD).await?;
    visitors.watch_gaps();

    // Some come all the while, one by one, and others look in.
    for place in 0..LATE {
        visitors.comes(LATER * place);
    }
    let guests = Guests::come()?;
    scene.server.take_over("second").await?;
    visitors.all("all who came talk", |visitor| visitor.is_open && visitor.talks()).await?;
    let (guests, sent_away) = guests.stop();
    // What comes late, or twice, has come by then.
    sleep(SETTLED).await;
    let (events, gaps) = (visitors.of_all(|visitor| visitor.events.join(" ")), visitors.longest_gaps());
    let refused = visitors.of_all(|visitor| visitor.refused.clone()).concat();
    eprintln!("{guests} guests; longest gaps of those who talked, in ms: {gaps:?}; what each was told: {events:#?}");
    ensure!(sent_away.is_empty(), "of {guests} guests some were refused: {sent_away:?}");
    ensure!(guests > FEWEST_GUESTS, "only {guests} guests came");
    ensure!(refused.is_empty(), "who came meanwhile was refused: {refused:?}");
    ensure!(gaps.iter().all(|gap| *gap <= LONGEST_CROWDED_GAP_MS), "the visitors heard nothing for {gaps:?} ms");

    scene.browser.hang_up().await?;
    scene.browser.says(EndReason::VisitorHungUp.shopper(), SOON).await?;
    visitors.hang_up().await?;
    records_are_whole(scene, (CROWD + LATE) as usize + 1).await?;
    scene.server.former_end(SOON).await
}
