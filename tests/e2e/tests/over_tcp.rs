//! Networks that let no UDP pass: the browser's audio goes over TCP, to a port of its own or to the web server's.

use crate::Program;
use crate::frames::is_named_in_time;
use crate::resume::{self, both, each_heard_the_other};
use anyhow::{Context as _, Result, ensure};
use e2e::firewall::Dropped;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::setup::MEDIA_PORT;
use protocol::error::ErrorCode;
use serde_json::Value;
use std::time::Duration;

const LISTEN_SECONDS: u64 = 4;

/// UDP is tried again every half minute; a busy machine takes longer.
const MOVED_WITHIN: Duration = Duration::from_secs(50);

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("where_udp_is_dropped_both_hear_each_other_over_tcp", Stage::with(FarEnd::Phone), async |scene| {
        let _dropped = Dropped::udp(MEDIA_PORT)?;
        hear_each_other(scene, "tcp").await
    });
    program.test("web_and_audio_can_share_one_tcp_port", shared_port(), async |scene| {
        let _udp = Dropped::udp(MEDIA_PORT)?;
        let _tcp = Dropped::tcp(MEDIA_PORT)?;
        hear_each_other(scene, "tcp").await
    });
    let limit = Duration::from_secs(120);
    let stage = Stage { limit, ..Stage::with(FarEnd::Phone) };
    program.test("a_call_over_tcp_moves_to_udp_once_that_passes", stage, async |scene| {
        let dropped = Dropped::udp(MEDIA_PORT)?;
        resume::call(scene).await?;
        scene.browser.says("(TCP)", MOVED_WITHIN).await?;
        let over_tcp = both(scene).await?;
        drop(dropped);
        scene.browser.says("(UDP)", MOVED_WITHIN).await?;
        let over_udp = both(scene).await?;
        each_heard_the_other(scene, &[over_tcp, over_udp]).await?;
        let record = scene.recorded("visitor_hung_up").await?;
        ensure!(record.get("transport").and_then(Value::as_str) == Some("udp"), "{record}");
        Ok(())
    });
    program.test(
        "where_udp_passes_it_carries_the_audio_although_tcp_would",
        Stage::with(FarEnd::Phone),
        async |scene| {
            hear_each_other(scene, "udp").await?;
            let left = scene.server.metric("ringlet_tcp_connections").await?;
            ensure!(left == Some(0.0), "{left:?} connections");
            Ok(())
        },
    );
}

fn shared_port() -> Stage {
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.media = "tcp_port = 8080";
    stage
}

/// A call from the click to its record, in which each side hears the other and nobody else.
pub(crate) async fn hear_each_other(scene: &mut Scene, transport: &str) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.watch_notes().await?;
    scene.browser.show(scene.server.shop_url()).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", Duration::from_secs(5)).await?;
    if transport == "tcp" {
        scene.browser.says(ErrorCode::UdpBlocked.shopper(), Duration::from_secs(10)).await?;
        is_named_in_time(&scene.browser).await?;
    }
    scene.browser.listen().await?;
    let browser_heard = scene.browser.heard(LISTEN_SECONDS).await?;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(5)).await?;
    let (said, phone_heard) = (scene.phone()?.said().await?, scene.phone()?.heard().await?);
    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    phone_heard.steady(2.0)?.require_only(visitor, VISITOR_DBFS, agent).context("the far end")?;
    browser_heard.steady(2.0)?.require_only(agent, said.steady(2.0)?.level(agent), visitor).context("the shopper")?;
    let words = scene.browser.panel_words().await?;
    ensure!(transport == "tcp" || !words.contains("RL-110"), "over {transport} the panel says {words:?}");
    let record = scene.recorded("visitor_hung_up").await?;
    let carried = record.get("transport").and_then(Value::as_str);
    ensure!(carried == Some(transport), "it went over {carried:?}: {record}");
    Ok(())
}
