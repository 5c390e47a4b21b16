//! Networks that let nothing pass but HTTPS: the browser's device reaches a proxy that connects to port 443 and nowhere else, or port
//! 443 itself. What other networks do to WebRTC is in `frames` and `over_tcp`.

use crate::checks::preflight;
use crate::{Program, frames, over_tcp};
use anyhow::{Result, ensure};
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::setup::TLS_PORT;
use std::time::Duration;

/// A call over two pages, and a check.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn tests(program: &mut Program<'_>) {
    let mut stage = on_a_device();
    stage.proxy = true;
    program.test("behind_a_proxy_that_lets_only_https_pass_audio_goes_as_frames", stage, behind_a_proxy);
    let mut stage = on_a_device();
    stage.setup.media = "tcp_port = 443";
    program.test("where_only_port_443_passes_audio_shares_it_with_tls", stage, beside_tls);
}

fn on_a_device() -> Stage {
    let mut stage = Stage { device: true, limit: LIMIT, ..Stage::with(FarEnd::Phone) };
    stage.setup.tls = true;
    stage
}

async fn behind_a_proxy(scene: &mut Scene) -> Result<()> {
    frames::over_pages(scene).await?;
    let found = preflight(scene, scene.server.shop_url()).await?;
    found.require("udp", "warning", Some("RL-502"))?;
    found.require("tcp", "warning", Some("RL-503"))?;
    found.require("websocket", "ok", None)?;
    ensure!(found.transport.as_deref() == Some("websocket"), "the preflight says {:?}", found.transport);
    let asked = scene.proxied()?;
    ensure!(asked.contains(&("call.example:443".to_owned(), true)), "it did not go by the proxy: {asked:?}");
    Ok(())
}

async fn beside_tls(scene: &mut Scene) -> Result<()> {
    scene.device()?.1.allow_only_tcp(TLS_PORT)?;
    over_tcp::hear_each_other(scene, "tcp").await
}
