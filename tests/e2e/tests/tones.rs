//! Who speaks is heard at the other end, and nobody else.

use crate::Program;
use anyhow::Result;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use std::time::Duration;

/// Long enough that half a Hertz can be told from the next.
const SECONDS: u64 = 4;

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("each_side_hears_the_other_and_only_the_other", Stage::with(FarEnd::Phone), both_ways);
    program.test(
        "audio_before_the_answer_is_announced_and_the_call_is_then_answered",
        early_media_stage(),
        early_media,
    );
    program.test("a_trunk_that_wants_a_password_gets_it", credentials_stage(), credentials);
}

async fn both_ways(scene: &mut Scene) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.picture("shop").await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", Duration::from_secs(5)).await?;
    scene.browser.listen().await?;
    let browser_heard = scene.browser.heard(SECONDS).await?;
    browser_heard.write_wav(&scene.directory().join("browser-heard.wav"))?;
    scene.picture("in_call").await?;
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(5)).await?;
    let (said, phone_heard) = (scene.phone()?.said().await?, scene.phone()?.heard().await?);

    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    phone_heard.steady(2.0)?.require_only(visitor, VISITOR_DBFS, agent)?;
    browser_heard.steady(2.0)?.require_only(agent, said.steady(2.0)?.level(agent), visitor)?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

fn early_media_stage() -> Stage {
    Stage::with(FarEnd::Scenario("early-media", &[]))
}

async fn early_media(scene: &mut Scene) -> Result<()> {
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("early_media", Duration::from_secs(15)).await?;
    scene.browser.is_answered().await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}

fn credentials_stage() -> Stage {
    let mut stage = Stage::with(FarEnd::Scenario("asks-for-credentials", &[]));
    stage.setup.trunk = "username = \"ringlet\"\npassword = \"correct-horse\"";
    stage
}

async fn credentials(scene: &mut Scene) -> Result<()> {
    scene.browser.show(e2e::ringlet::SHOP_URL).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.browser.hang_up().await?;
    scene.recorded("visitor_hung_up").await?;
    Ok(())
}
