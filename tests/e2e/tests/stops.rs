//! SIGTERM with a call up: it goes on, over pages as well, nobody else may call, and with it the process ends. With the limit for that
//! the call ends, too, as it does with that of a process whose place another has taken.

use crate::Program;
use crate::restarts::is_whole;
use crate::resume::{both, call, each_heard_the_other_until, follow};
use anyhow::{Result, ensure};
use e2e::ringlet::SHOP_URL;
use e2e::scene::{FarEnd, Scene, Stage};
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use std::time::Duration;
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(15);

/// From the end of the last call to that of the process: a moment, and more on a busy machine.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How long a call may go on that nobody ends. Until the shopper reads that it is over a moment passes, and more on a busy machine.
const LIMIT: Duration = Duration::from_secs(3);
const MORE: Duration = Duration::from_secs(3);

pub(crate) fn tests(program: &mut Program<'_>) {
    let mut stage = Stage::with(FarEnd::Phone);
    // Longer than the call: nothing ends it but its shopper.
    stage.setup.deadlines = "drain_seconds = 120";
    let name = "a_server_that_stops_lets_its_call_go_on_over_pages_and_refuses_new_ones";
    program.test(name, stage.clone(), server);
    stage.setup.split = true;
    program.test("a_gateway_that_stops_lets_its_call_go_on_over_pages_and_takes_no_new_one", stage, gateway);
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.deadlines = "drain_seconds = 3";
    program.test("a_call_that_does_not_end_ends_with_the_limit_of_a_server_that_stops", stage, drained);
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.deadlines = "handover_seconds = 3";
    let name = "a_call_that_does_not_end_ends_with_the_limit_of_the_process_that_was_taken_over";
    program.test(name, stage, handed_over);
}

async fn server(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let before = both(scene).await?;
    scene.server.terminate().await?;
    follow(scene, "/shoes.html").await?;
    let next_page = both(scene).await?;
    is_refused(scene, ErrorCode::ServerStopping).await?;
    let after = both(scene).await?;
    let over = ends_its_call(scene).await?;
    let took = scene.server.ends(ENDS_WITHIN).await?;
    eprintln!("the server ended {took:?} after its last call");
    // What it has written is there for the next one.
    scene.server.start_again().await?;
    scene.recorded("visitor_hung_up").await?;
    each_heard_the_other_until(scene, &[before, next_page, after], over).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

async fn gateway(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let before = both(scene).await?;
    scene.server.terminate_gateway().await?;
    follow(scene, "/shoes.html").await?;
    let next_page = both(scene).await?;
    is_refused(scene, ErrorCode::NoGateway).await?;
    let after = both(scene).await?;
    let over = ends_its_call(scene).await?;
    let took = scene.server.gateway_ends(ENDS_WITHIN).await?;
    eprintln!("the gateway ended {took:?} after its last call");
    scene.server.start_gateway().await?;
    let records = scene.server.calls().await?.len();
    ensure!(records <= 2, "{records} records");
    each_heard_the_other_until(scene, &[before, next_page, after], over).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

async fn drained(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let asked = Instant::now();
    scene.server.terminate().await?;
    ends_with_the_limit(scene, EndReason::ServerStopping, asked, asked.elapsed()).await?;
    scene.server.ends(ENDS_WITHIN).await?;
    scene.server.start_again().await?;
    is_whole(&scene.recorded(EndReason::ServerStopping.word()).await?)?;
    Ok(())
}

async fn handed_over(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let asked = Instant::now();
    scene.server.take_over("second").await?;
    ends_with_the_limit(scene, EndReason::GatewayGone, asked, asked.elapsed()).await?;
    scene.server.former_end(ENDS_WITHIN).await?;
    is_whole(&scene.recorded(EndReason::GatewayGone.word()).await?)?;
    // Who calls now calls the process that is there.
    scene.browser.reload().await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    ends_its_call(scene).await?;
    Ok(())
}

/// Both are told when the limit is over, and not before. It began at some time in the first so much since `asked`.
async fn ends_with_the_limit(scene: &mut Scene, why: EndReason, asked: Instant, began: Duration) -> Result<()> {
    scene.browser.says(why.shopper(), LIMIT + MORE).await?;
    let took = asked.elapsed();
    scene.phone()?.event("CALL_CLOSED", MORE).await?;
    eprintln!("the call ended {took:?} after it was asked for, which took {began:?}");
    ensure!((LIMIT..LIMIT + began + MORE).contains(&took), "the call ended after {took:?}");
    Ok(())
}

/// Another shopper, in another tab, is told why there is no call.
async fn is_refused(scene: &Scene, why: ErrorCode) -> Result<()> {
    scene.browser.open_tab().await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.says(why.shopper(), SOON).await?;
    scene.browser.says(why.word(), SOON).await?;
    // The first tab is the one of the call.
    scene.browser.close_tab().await
}

async fn ends_its_call(scene: &mut Scene) -> Result<Instant> {
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", SOON).await?;
    Ok(Instant::now())
}
