//! A call whose network breaks: the page stays, its socket or its audio path goes and comes back, and nobody has to call again.

use crate::Program;
use crate::resume::{both, call, each_heard_the_other};
use anyhow::{Result, ensure};
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("a_call_outlives_its_socket_and_no_key_is_lost_or_doubled", behind_a_relay(), without_a_socket);
}

fn behind_a_relay() -> Stage {
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.relay = true;
    stage
}

async fn without_a_socket(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.browser.watch_keys().await?;
    scene.phone()?.press("1").await?;
    shows_keys(scene, "1").await?;
    scene.server.cut()?;
    scene.phone()?.press("23").await?;
    scene.browser.says(ErrorCode::Reconnecting.shopper(), SOON).await?;
    // Audio goes on meanwhile.
    let heard = both(scene).await?;
    ensure!(scene.browser.state().await? == "answered", "the panel does not believe in the call");
    scene.server.restore()?;
    shows_keys(scene, "123").await?;
    scene.server.cut()?;
    scene.server.restore()?;
    scene.phone()?.press("4").await?;
    shows_keys(scene, "1234").await?;
    let reconnects = scene.server.metric("ringlet_visitor_reconnects_total").await?;
    ensure!(reconnects == Some(2.0), "it came back {reconnects:?} times");
    ensure!(scene.server.metric("ringlet_calls_resumed_total").await?.unwrap_or_default() < 0.5, "it was called away");
    each_heard_the_other(scene, &[heard]).await
}

/// Waits until the panel has shown the last of these keys; it forgets the first ones after some seconds.
async fn shows_keys(scene: &Scene, keys: &str) -> Result<()> {
    eventually("the panel has shown the keys", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown.chars().last() == keys.chars().last() && keys.ends_with(&shown), "it has shown {shown:?}");
        Ok(())
    })
    .await
}
