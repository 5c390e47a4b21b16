//! A call whose network breaks: the page stays, its socket or its audio path goes and comes back, and nobody has to call again.

use crate::Program;
use crate::resume::{both, call, each_heard_the_other, each_heard_the_other_again};
use anyhow::{Result, ensure};
use e2e::firewall::Dropped;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage};
use e2e::setup::MEDIA_PORT;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("a_call_outlives_its_socket", behind_a_relay(), without_a_socket);
    program.test("a_call_outlives_its_audio_path", Stage::with(FarEnd::Phone), without_a_path);
}

/// How long nothing passes.
const CUT: Duration = Duration::from_secs(8);

async fn without_a_path(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let before = both(scene).await?;
    let cut = (Dropped::udp(MEDIA_PORT)?, Dropped::tcp(MEDIA_PORT)?);
    tokio::time::sleep(CUT).await;
    drop(cut);
    eventually("both hear each other again", SOON, async || {
        let up = scene.browser.in_panel("return document.getElementById('audio').srcObject?.active").await?;
        ensure!(up == true && scene.browser.state().await? == "answered", "the call is over");
        let after = both(scene).await?;
        let agent = f64::from(AGENT_TONE);
        ensure!(after.hears(agent), "the shopper hears nothing");
        Ok(())
    })
    .await?;
    let after = both(scene).await?;
    each_heard_the_other_again(scene, &[before, after]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
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

/// Waits until the panel has shown these keys and no others.
async fn shows_keys(scene: &Scene, keys: &str) -> Result<()> {
    eventually("the panel has shown the keys", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown == keys, "it has shown {shown:?}, not {keys:?}");
        Ok(())
    })
    .await
}
