//! Servers that are killed while calls run: audio goes on, and the next server has the calls again.

use crate::Program;
use crate::resume::{both, call};
use anyhow::{Context as _, Result, ensure};
use e2e::pages::ALLOWED_ORIGIN;
use e2e::ringlet::{PUBLIC_URL, SHOP_URL};
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage};
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// Scripted visitors, beside the one with the real panel.
const CROWD: u32 = 49;

/// Fifty calls in one browser are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

pub(crate) fn tests(program: &mut Program<'_>) {
    let mut stage = Stage::with(FarEnd::Echo(CROWD + 1));
    (stage.setup.split, stage.limit) = (true, Duration::from_secs(400));
    stage.setup.deadlines = "resume_seconds = 120";
    program.test("fifty_calls_outlive_the_signal_server", stage, outlive);
    let mut stage = Stage::with(FarEnd::Phone);
    (stage.setup.split, stage.limit) = (true, Duration::from_secs(150));
    program.test("a_page_that_is_turned_while_there_is_no_server_takes_its_call_up_without_a_click", stage, turned);
    let mut stage = Stage::with(FarEnd::Phone);
    (stage.setup.split, stage.setup.second_gateway, stage.limit) = (true, true, Duration::from_secs(150));
    stage.setup.merchant = "on_gateway_loss = \"call_again\"";
    program.test("a_call_whose_gateway_is_killed_is_placed_again_over_another", stage, placed_again);
}

async fn turned(scene: &mut Scene) -> Result<()> {
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/plain.html")).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("answered", SOON).await?;
    // A token is written a moment after it is sent.
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.server.kill_signal()?;
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/no-async.html")).await?;
    // The first frame is an error page by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.server.start_signal().await?;
    scene.browser.reaches("answered", SOON).await?;
    eventually("the shopper hears the agent again", SOON, async || {
        ensure!(both(scene).await?.hears(f64::from(AGENT_TONE)), "the shopper hears nothing");
        Ok(())
    })
    .await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await.map(drop)
}

async fn placed_again(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.server.kill_gateway()?;
    let killed = Instant::now();
    scene.browser.says(ErrorCode::CalledAgain.shopper(), SOON).await?;
    let phone = scene.phone()?;
    eventually("the far end is rung again", SOON, async || {
        ensure!(phone.invites() == 2, "{} INVITEs", phone.invites());
        Ok(())
    })
    .await?;
    scene.browser.reaches("answered", SOON).await?;
    eprintln!("answered again after {:?}", killed.elapsed());
    eventually("the shopper hears the agent again", SOON, async || {
        ensure!(both(scene).await?.hears(f64::from(AGENT_TONE)), "the shopper hears nothing");
        Ok(())
    })
    .await?;
    scene.browser.hang_up().await?;
    let record = scene.recorded("visitor_hung_up").await?;
    ensure!(record.get("gateway").and_then(Value::as_str) == Some("gateway-2"), "{record}");
    let packets = record.pointer("/stats/visitor_packets").and_then(Value::as_u64).unwrap_or_default();
    ensure!(packets > 50, "the far end heard nothing: {record}");
    scene.server.start_gateway().await
}

async fn outlive(scene: &mut Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("answered", SOON).await?;
    scene.browser.open_tab().await?;
    scene.browser.show(&format!("{PUBLIC_URL}/healthz")).await?;
    scene.browser.gather_crowd(SHOP_URL, CROWD).await?;
    scene.browser.crowd_is("visitor.state === 'answered' && visitor.token").await?;
    // A token is written a moment after it is sent.
    eventually("all calls are answered in the records", SOON, async || {
        let answered = scene
            .server
            .calls()
            .await?
            .iter()
            .filter(|call| call.get("answered_at").is_some_and(Value::is_i64))
            .count();
        ensure!(answered == CROWD as usize + 1, "{answered}");
        Ok(())
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(500)).await;

    scene.server.kill_signal()?;
    let before = packets(scene).await?;
    eventually("everybody hears on without a server", SOON, async || {
        let now = packets(scene).await?;
        let silent = before.iter().zip(&now).filter(|(before, now)| *now < &(**before + 50)).count();
        ensure!(silent == 0, "{silent} of {} hear nothing", now.len());
        Ok(())
    })
    .await?;

    scene.server.start_signal().await?;
    let back = Instant::now();
    scene.browser.in_page("for (const visitor of crowd) visitor.comeBack()").await?;
    scene.browser.crowd_is("visitor.resumed").await?;
    eprintln!("all of {CROWD} visitors have their calls again after {:?}", back.elapsed());
    scene.browser.crowd_is("visitor.audio === visitor.next && visitor.audio.connectionState === 'connected'").await?;

    // The real panel takes its call up on the next page, and its hang-up button works.
    scene.browser.go_to_tab(0).await?;
    scene.browser.reload().await?;
    scene.browser.reaches("answered", SOON).await?;
    scene.browser.hang_up().await?;
    scene.browser.says(EndReason::VisitorHungUp.shopper(), SOON).await?;
    scene.browser.go_to_tab(1).await?;
    scene.browser.in_page("for (const visitor of crowd) visitor.say({ type: 'hangup' })").await?;
    scene.browser.crowd_is("visitor.ended === 'visitor_hung_up'").await?;
    eventually("the records are whole", SOON, async || {
        let calls = scene.server.calls().await?;
        ensure!(calls.len() == CROWD as usize + 1, "{} records", calls.len());
        for call in &calls {
            let times = ["started_at", "dialed_at", "answered_at", "ended_at"].map(|time| call.get(time)?.as_i64());
            ensure!(times.iter().all(Option::is_some) && times.is_sorted(), "{call}");
            ensure!(call.get("reason").and_then(Value::as_str) == Some("visitor_hung_up"), "{call}");
            let packets = call.pointer("/stats/agent_packets").and_then(Value::as_u64);
            ensure!(packets.is_some_and(|packets| packets > 0), "{call}");
        }
        Ok(())
    })
    .await
}

/// How many packets each scripted visitor has heard.
async fn packets(scene: &Scene) -> Result<Vec<u64>> {
    let counts = scene.browser.in_page("return packets()").await?;
    let counts = counts.as_array().context("no counts")?;
    counts.iter().map(|count| Value::as_u64(count).context("no count")).collect()
}
