//! Every way that a call ends: the right words on the panel, a record of it, and nothing left behind (which the stage
//! checks after every test).

use crate::Program;
use anyhow::{Result, ensure};
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use protocol::visitor::EndReason;
use std::time::Duration;

/// From the click to words on the panel, where nothing has to be waited out.
const SOON: Duration = Duration::from_secs(15);

pub(crate) fn tests(program: &mut Program<'_>) {
    let scenario = |name| Stage::with(FarEnd::Scenario(name, &[]));
    program.test("the_shopper_hangs_up", scenario("answers"), shopper_hangs_up);
    program.test("the_call_centre_hangs_up", scenario("hangs-up"), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::AgentHungUp, SOON).await
    });
    let refusal = |status: &'static [(&'static str, &'static str)]| Stage::with(FarEnd::Scenario("refuses", status));
    program.test("a_busy_line_is_told_as_busy", refusal(&[("status", "486 Busy Here")]), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::Busy, SOON).await?;
        scene.picture("error").await
    });
    program.test("a_declined_call_is_told_as_declined", refusal(&[("status", "603 Decline")]), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::Refused, SOON).await
    });
    program.test("a_wrong_number_is_told_as_such", refusal(&[("status", "404 Not Found")]), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::NotFound, SOON).await
    });
    program.test("a_call_that_nobody_answers_ends_as_no_answer", impatient(), async |scene| {
        call(scene).await?;
        scene.browser.reaches("ringing", SOON).await?;
        scene.picture("ringing").await?;
        ends(scene, EndReason::NoAnswer, SOON).await
    });
    program.test("the_shopper_gives_up_while_it_rings", scenario("rings"), async |scene| {
        call(scene).await?;
        scene.browser.reaches("ringing", SOON).await?;
        scene.browser.hang_up().await?;
        ends(scene, EndReason::Cancelled, SOON).await
    });
    program.test("the_shopper_leaves_the_page_while_it_rings", scenario("rings"), async |scene| {
        call(scene).await?;
        scene.browser.reaches("ringing", SOON).await?;
        scene.browser.show("about:blank").await?;
        scene.recorded(EndReason::Cancelled.word()).await?;
        Ok(())
    });
    program.test("a_trunk_that_is_not_there_is_told_as_unreachable", Stage::with(FarEnd::Nobody), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::TrunkUnreachable, Duration::from_secs(45)).await
    });
    program.test("a_trunk_that_refuses_the_connection_is_told_as_unreachable", refused_connection(), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::TrunkUnreachable, SOON).await
    });
    program.test("a_denied_microphone_rings_nobody", microphone_denied(), async |scene| {
        call(scene).await?;
        ends(scene, EndReason::MicrophoneDenied, SOON).await?;
        ensure!(
            scene.recorded(EndReason::MicrophoneDenied.word()).await?.get("dialed_at").is_none_or(|at| at.is_null()),
            "it was dialled"
        );
        Ok(())
    });
    program.test("a_socket_that_is_lost_before_the_answer_ends_the_call", behind_a_relay(), async |scene| {
        call(scene).await?;
        scene.browser.reaches("ringing", SOON).await?;
        scene.server.cut()?;
        ends(scene, EndReason::VisitorGone, Duration::from_secs(40)).await
    });
}

async fn call(scene: &Scene) -> Result<()> {
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await
}

async fn ends(scene: &Scene, reason: EndReason, limit: Duration) -> Result<()> {
    scene.browser.says(reason.shopper(), limit).await?;
    if let Some(code) = reason.code() {
        scene.browser.says(code.word(), Duration::ZERO).await?;
    }
    let record = scene.recorded(reason.word()).await?;
    let code = record.get("code").and_then(serde_json::Value::as_str);
    ensure!(code == reason.code().map(|code| code.word()), "the record has another code: {record}");
    Ok(())
}

async fn shopper_hangs_up(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.browser.is_answered().await?;
    scene.browser.hang_up().await?;
    ends(scene, EndReason::VisitorHungUp, SOON).await?;
    let record = scene.recorded("visitor_hung_up").await?;
    let times: Vec<i64> = ["started_at", "dialed_at", "ringing_at", "answered_at", "ended_at"]
        .iter()
        .filter_map(|field| record.get(*field)?.as_i64())
        .collect();
    ensure!(times.len() == 5 && times.is_sorted(), "the record's times are out of order: {record}");
    ensure!(
        record.get("page").and_then(|page| page.as_str()) == Some("http://127.0.0.1:8080/"),
        "another page: {record}"
    );
    Ok(())
}

fn impatient() -> Stage {
    let mut stage = Stage::with(FarEnd::Scenario("rings", &[]));
    stage.setup.no_answer_seconds = 5;
    stage
}

fn refused_connection() -> Stage {
    let mut stage = Stage::with(FarEnd::Nobody);
    stage.setup.trunk = "transport = \"tcp\"";
    stage
}

fn microphone_denied() -> Stage {
    let mut stage = Stage::with(FarEnd::Nobody);
    stage.microphone_denied = true;
    stage
}

fn behind_a_relay() -> Stage {
    let mut stage = Stage::with(FarEnd::Scenario("rings", &[]));
    stage.setup.relay = true;
    stage
}
