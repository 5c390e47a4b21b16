//! Keys cross the call in both directions, each once and in order (RFC 4733).

use crate::Program;
use anyhow::{Result, ensure};
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use std::time::Duration;

/// All keys of the pad, with a double one, which careless receivers swallow.
const KEYS: &str = "1234567890*#553";

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test(
        "keys_of_the_panel_arrive_at_the_call_centre_each_once_and_in_order",
        Stage::with(FarEnd::Phone),
        outward,
    );
    program.test(
        "keys_of_the_call_centre_arrive_in_the_panel_each_once_and_in_order",
        Stage::with(FarEnd::Phone),
        inward,
    );
}

async fn outward(scene: &mut Scene) -> Result<()> {
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.press(KEYS).await?;
    let phone = scene.phone()?;
    eventually("the phone has heard as many keys", Duration::from_secs(15), async || {
        let heard = phone.keys();
        ensure!(heard.len() >= KEYS.len(), "it has heard {heard:?}");
        Ok(())
    })
    .await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    // Only now, so that a key heard twice had the time to arrive.
    let heard = scene.phone()?.keys();
    ensure!(heard == KEYS, "pressed {KEYS:?}, heard {heard:?}");
    Ok(())
}

async fn inward(scene: &mut Scene) -> Result<()> {
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.watch_keys().await?;
    scene.phone()?.press(KEYS).await?;
    eventually("the panel has shown as many keys", Duration::from_secs(15), async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown.len() >= KEYS.len(), "it has shown {shown:?}");
        Ok(())
    })
    .await?;
    scene.phone()?.hang_up().await?;
    scene.recorded("agent_hung_up").await?;
    let shown = scene.browser.keys_shown().await?;
    ensure!(shown == KEYS, "pressed {KEYS:?}, shown {shown:?}");
    Ok(())
}
