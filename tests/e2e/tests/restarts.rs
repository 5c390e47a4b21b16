//! Servers that are killed while calls run: audio goes on, and the next server has the calls again.

use crate::Program;
use crate::resume::{Stretch, both, call, each_heard_the_other};
use anyhow::{Context as _, Result, bail, ensure};
use e2e::pages::ALLOWED_ORIGIN;
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_TONE};
use e2e::visitors::Visitors;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// Visitors without a browser, beside the one with the real panel: fifty calls.
const CROWD: u32 = 49;

/// Many calls are slow on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// How long there is no server, and how long all is watched before and after.
const DOWN: Duration = Duration::from_secs(3);
const SETTLED: Duration = Duration::from_secs(2);

/// Far longer than the phone asks by sockets alone.
const LONG_DOWN: Duration = Duration::from_secs(12);

/// So many fail, and the one that leads back. Some 16 in three minutes, and Chromium makes each that follows wait for 1 to 5 s.
const FEW_SOCKETS: u64 = 4;

/// Counts the sockets that the panel tries.
const COUNT_SOCKETS: &str = "const Native = WebSocket;
    window.tried = 0;
    window.WebSocket = class extends Native { constructor(url) { super(url); tried += 1; } }";

/// The issue's: keys and hang-up work again within so long of the server's return.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// The same for the crowd, which the machine of the tests plays beside everything else.
const CROWD_BACK_WITHIN: Duration = Duration::from_secs(6);
const CROWD_OVER_WITHIN: Duration = Duration::from_secs(6);

const KEYS: &str = "19";

/// Keys take the place of sound: not so often that there is none left.
const PRESSED_EVERY: Duration = Duration::from_millis(350);

/// Whom the far end sees calling.
const CALLER: &str = "+43720555001";

pub(crate) fn tests(program: &mut Program<'_>) {
    let mut stage = Stage::with(FarEnd::Echo(CROWD + 1));
    (stage.setup.split, stage.limit, stage.alone) = (true, Duration::from_secs(400), true);
    stage.setup.deadlines = "resume_seconds = 120";
    program.test("fifty_calls_outlive_the_signal_server", stage, outlive);
    let mut stage = Stage::with(FarEnd::Echo(1));
    (stage.setup.split, stage.limit) = (true, Duration::from_secs(150));
    program.test("a_server_that_is_away_for_long_is_asked_for_by_requests_and_is_back_at_once", stage, missed);
    let mut stage = Stage::with(FarEnd::Phone);
    (stage.setup.split, stage.limit) = (true, Duration::from_secs(150));
    program.test("a_page_that_is_turned_while_there_is_no_server_takes_its_call_up_without_a_click", stage, turned);
    program.test("a_call_whose_gateway_is_killed_is_placed_again_over_another", two_gateways(), placed_again);
    program.test("a_page_is_turned_while_the_far_end_is_rung_again", two_gateways(), turned_while_it_rings);
    let mut stage = Stage::with(FarEnd::Phone);
    (stage.setup.split, stage.setup.deadlines) = (true, "gateway_seconds = 2");
    program.test("a_call_whose_gateway_is_killed_ends_with_a_word_where_the_merchant_wants_no_other", stage, given_up);
}

/// Calls are placed again, with a caller that can be told.
fn two_gateways() -> Stage {
    let mut stage = Stage::with(FarEnd::Phone);
    (stage.setup.split, stage.setup.second_gateway, stage.limit) = (true, true, Duration::from_secs(150));
    stage.setup.merchant = "on_gateway_loss = \"call_again\"";
    stage.setup.trunk = "from_user = \"+43720555001\"\nfrom_name = \"Acme Shoes\"";
    stage
}

/// A call that is answered by whomever the stage has.
async fn call_from(scene: &Scene, page: &str) -> Result<()> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(page).await?;
    scene.browser.click_button().await?;
    scene.browser.reaches("answered", SOON).await
}

async fn turned(scene: &mut Scene) -> Result<()> {
    call_from(scene, &format!("{ALLOWED_ORIGIN}/plain.html")).await?;
    // A token is written a moment after it is sent.
    tokio::time::sleep(Duration::from_millis(500)).await;
    scene.server.kill_signal()?;
    scene.browser.show(&format!("{ALLOWED_ORIGIN}/no-async.html")).await?;
    // The first frame is an error page by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    scene.server.start_again().await?;
    scene.browser.reaches("answered", SOON).await?;
    let back = hears_again(scene).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    each_heard_the_other(scene, &[back]).await
}

/// Waits until the shopper hears the agent again, and listens for a while longer.
async fn hears_again(scene: &Scene) -> Result<Stretch> {
    eventually("the shopper hears the agent again", SOON, async || {
        ensure!(both(scene).await?.hears(f64::from(AGENT_TONE)), "the shopper hears nothing");
        Ok(())
    })
    .await?;
    both(scene).await
}

/// Kills the gateway of the call that runs, and waits until the far end is rung again.
async fn ring_again(scene: &mut Scene) -> Result<()> {
    scene.server.kill_gateway()?;
    scene.browser.says(ErrorCode::CalledAgain.shopper(), SOON).await?;
    let phone = scene.phone()?;
    eventually("the far end is rung again", SOON, async || {
        ensure!(phone.invites() == 2, "{} INVITEs", phone.invites());
        Ok(())
    })
    .await
}

async fn turned_while_it_rings(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.phone()?.wait_for_answer().await?;
    ring_again(scene).await?;
    scene.browser.reaches("ringing", SOON).await?;
    scene.browser.show(&format!("{SHOP_URL}/shoes.html")).await?;
    scene.browser.reaches("ringing", SOON).await?;
    scene.browser.reload().await?;
    scene.browser.reaches("ringing", SOON).await?;
    scene.picture("rings_on").await?;
    let phone = scene.phone()?;
    ensure!(phone.invites() == 2, "{} INVITEs", phone.invites());
    phone.answer().await?;
    scene.browser.reaches("answered", SOON).await?;
    let again = hears_again(scene).await?;
    each_heard_the_other(scene, &[again]).await?;
    let record = scene.recorded("visitor_hung_up").await?;
    ensure!(record.get("gateway").and_then(Value::as_str) == Some("gateway-2"), "{record}");
    scene.server.start_gateway().await
}

async fn placed_again(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let killed = Instant::now();
    ring_again(scene).await?;
    scene.browser.reaches("answered", SOON).await?;
    eprintln!("answered again after {:?}", killed.elapsed());
    is_rung_as_before(&scene.phone()?.rung_with())?;
    let again = hears_again(scene).await?;
    each_heard_the_other(scene, &[again]).await?;
    let record = scene.recorded("visitor_hung_up").await?;
    ensure!(record.get("gateway").and_then(Value::as_str) == Some("gateway-2"), "{record}");
    scene.server.start_gateway().await
}

/// The second call's INVITE is the first one's, but for what belongs to a dialog or to the gateway.
fn is_rung_as_before(calls: &[Vec<String>]) -> Result<()> {
    const OWN: [&str; 6] = ["Via", "Call-ID", "CSeq", "Contact", "Content-Length", "Max-Forwards"];
    let kept = |headers: &Vec<String>| {
        let mut kept: Vec<String> = headers
            .iter()
            .filter_map(|line| {
                let (name, value) = line.split_once(':')?;
                // Each dialog has its own tag.
                let value = value.split(";tag=").next()?;
                (!OWN.contains(&name)).then(|| format!("{name}:{value}"))
            })
            .collect();
        kept.sort();
        kept
    };
    let [first, second] = calls else { bail!("the far end was rung {} times", calls.len()) };
    let (first, second) = (kept(first), kept(second));
    ensure!(first.iter().any(|line| line.starts_with("From:") && line.contains(CALLER)), "no caller: {first:?}");
    ensure!(first == second, "rung with {first:?}, and again with {second:?}");
    Ok(())
}

async fn given_up(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.server.kill_gateway()?;
    scene.browser.reaches("ended", SOON).await?;
    scene.browser.says(EndReason::GatewayGone.shopper(), SOON).await?;
    scene.browser.says(ErrorCode::GatewayGone.word(), SOON).await?;
    scene.picture("gateway_gone").await?;
    scene.recorded(EndReason::GatewayGone.word()).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    scene.server.start_gateway().await
}

/// Fifty calls, one of them the real panel's.
async fn gather(scene: &mut Scene) -> Result<Visitors> {
    call_from(scene, SHOP_URL).await?;
    let visitors = Visitors::gather(CROWD).await?;
    // A token is written a moment after it is sent.
    eventually("all calls are answered in the records", SOON, async || {
        let calls = scene.server.calls().await?;
        let answered = calls.iter().filter(|call| call.get("answered_at").is_some_and(Value::is_i64)).count();
        ensure!(answered == CROWD as usize + 1, "{answered}");
        Ok(())
    })
    .await?;
    Ok(visitors)
}

async fn outlive(scene: &mut Scene) -> Result<()> {
    let visitors = gather(scene).await?;
    keys_pass(scene).await?;
    scene.browser.listen().await?;
    visitors.watch_gaps();
    sleep(SETTLED).await;

    scene.server.kill_signal()?;
    sleep(DOWN).await;
    scene.server.start_again().await?;
    let back = SystemTime::now();
    let keys = keys_work_again(scene, back).await?;
    scene.browser.stop_listening().await?;
    let clicked = SystemTime::now();
    scene.browser.hang_up().await?;
    scene.browser.says(EndReason::VisitorHungUp.shopper(), SOON).await?;

    visitors.all("all are back", |visitor| visitor.reconnected == 1).await?;
    let crowd_back = latest(&visitors.of_all(|visitor| visitor.reconnected_at), back)?;
    sleep(SETTLED).await;
    let gaps = visitors.longest_gaps();
    // Not before: to look for a tone takes a processor that visitors want, who would seem to hear nothing.
    let heard = scene.browser.heard(1).await?;
    heard.write_wav(&scene.directory().join("heard.wav"))?;
    let gap = heard.longest_gap(f64::from(VISITOR_TONE))?;
    let goodbye = SystemTime::now();
    visitors.hang_up().await?;
    let crowd_over = latest(&visitors.of_all(|visitor| visitor.ended_at), goodbye)?;
    let first = records_are_whole(scene, CROWD as usize + 1).await?;
    let hung_up = Duration::from_millis(first).saturating_sub(clicked.duration_since(UNIX_EPOCH)?);
    eprintln!(
        "after the server's return keys passed within {keys:?}, the call was over {hung_up:?} after the click; gaps: {gap:.2} s, {gaps:?} ms"
    );
    ensure!(
        keys <= BACK_WITHIN && hung_up <= BACK_WITHIN,
        "keys passed after {keys:?}, the call was over {hung_up:?} after the click"
    );
    eprintln!("of {CROWD} others the last was back after {crowd_back:?}, and over {crowd_over:?} after it hung up");
    ensure!(
        crowd_back <= CROWD_BACK_WITHIN && crowd_over <= CROWD_OVER_WITHIN,
        "of {CROWD} others the last was back after {crowd_back:?}, and over {crowd_over:?} after it hung up"
    );
    ensure!(
        gap < 1.0 && gaps.iter().all(|gap| *gap < 1_000),
        "the shopper heard nothing for {gap:.2} s, the crowd for {gaps:?} ms"
    );
    Ok(())
}

async fn keys_pass(scene: &Scene) -> Result<()> {
    scene.browser.watch_keys().await?;
    scene.browser.press("0").await?;
    eventually("keys pass both ways", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(shown == "0", "the panel has shown {shown:?}");
        Ok(())
    })
    .await
}

async fn missed(scene: &mut Scene) -> Result<()> {
    call_from(scene, SHOP_URL).await?;
    keys_pass(scene).await?;
    scene.server.kill_signal()?;
    scene.browser.in_panel(COUNT_SOCKETS).await?;
    sleep(LONG_DOWN).await;
    scene.server.start_again().await?;
    let keys = keys_work_again(scene, SystemTime::now()).await?;
    eprintln!("after the server's return keys passed within {keys:?}");
    ensure!(keys <= BACK_WITHIN, "keys passed after {keys:?}");
    let asked = "return [tried, performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/healthz')).length]";
    let asked = scene.browser.in_panel(asked).await?;
    let [tried, asked] = [0, 1].map(|at| asked.get(at).and_then(Value::as_u64).unwrap_or_default());
    ensure!((1..=FEW_SOCKETS).contains(&tried) && asked > 0, "{tried} sockets and {asked} requests");
    scene.browser.hang_up().await?;
    records_are_whole(scene, 1).await.map(drop)
}

/// How long after a moment the last of them was; none may be missing.
fn latest(moments: &[Option<SystemTime>], after: SystemTime) -> Result<Duration> {
    let all: Option<Vec<SystemTime>> = moments.iter().copied().collect();
    let last = all.and_then(|all| all.into_iter().max()).context("it has not come to pass for all")?;
    // Some may have been faster than the test.
    Ok(last.duration_since(after).unwrap_or_default())
}

/// Has the panel, which was left alone, press a key until it shows the far end's echo of one; how long after `back` that was. By the panel's
/// clock: so busy a browser is slow to be driven.
async fn keys_work_again(scene: &Scene, back: SystemTime) -> Result<Duration> {
    let every = PRESSED_EVERY.as_millis();
    let script = format!(
        "const pressing = setInterval(() => {{
           if (keysShown.length > 1) {{
             clearInterval(pressing);
             window.keysBack = Date.now();
           }} else document.querySelector('[data-key=\"5\"]').click();
         }}, {every})"
    );
    scene.browser.in_panel(&script).await?;
    let shown = eventually("the next key passes both ways", SOON, async || {
        scene.browser.in_panel("return window.keysBack").await?.as_u64().context("the panel has shown none")
    })
    .await?;
    let took = Duration::from_millis(shown).saturating_sub(back.duration_since(UNIX_EPOCH)?);
    // What came before the panel was back is lost, and nothing from then on.
    scene.browser.press(KEYS).await?;
    eventually("all keys pass both ways", SOON, async || {
        let shown = scene.browser.keys_shown().await?;
        ensure!(
            shown.ends_with(KEYS) && shown.trim_end_matches(KEYS).trim_matches('5') == "0",
            "the panel has shown {shown:?}"
        );
        Ok(())
    })
    .await?;
    Ok(took)
}

/// Waits until all records say that the call was had, and ended by its visitor; when the first of them ended, in ms of Unix time.
pub(crate) async fn records_are_whole(scene: &Scene, count: usize) -> Result<u64> {
    eventually("the records are whole", SOON, async || {
        let mut calls = scene.server.calls().await?;
        // Who looked in had no call.
        calls.retain(|call| call.get("dialed_at").is_some_and(Value::is_i64));
        ensure!(calls.len() == count, "{} records", calls.len());
        let mut first = u64::MAX;
        for call in &calls {
            ensure!(call.get("reason").and_then(Value::as_str) == Some("visitor_hung_up"), "{call}");
            first = first.min(is_whole(call)?);
        }
        Ok(first)
    })
    .await
}

/// Whether a record says that the call was had, from beginning to end; when it ended, in ms of Unix time.
pub(crate) fn is_whole(call: &Value) -> Result<u64> {
    let times = ["started_at", "dialed_at", "answered_at", "ended_at"].map(|time| call.get(time)?.as_u64());
    ensure!(times.is_sorted(), "{call}");
    let packets = call.pointer("/stats/agent_packets").and_then(Value::as_u64);
    ensure!(packets.is_some_and(|packets| packets > 0), "{call}");
    let times: Option<Vec<u64>> = times.into_iter().collect();
    times.and_then(|times| times.last().copied()).with_context(|| format!("a time is missing: {call}"))
}
