//! An answered call follows its shopper from page to page of the shop: nobody is rung again, the record stays one, and both
//! hear each other again without a click.

use crate::Program;
use anyhow::{Context as _, Result, bail, ensure};
use e2e::browser::{Browser, LOADER_ROOT};
use e2e::pages::{ALLOWED_ORIGIN, POSTED};
use e2e::ringlet::SHOP_URL;
use e2e::scene::{AGENT_TONE, FarEnd, Scene, Stage, VISITOR_DBFS, VISITOR_TONE};
use e2e::tone::Recording;
use e2e::wait::eventually;
use protocol::error::ErrorCode;
use protocol::visitor::EndReason;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(15);

/// How long both are listened to after each turn of a page.
const LISTEN_SECONDS: u64 = 3;

/// What is cut off at both ends of a stretch of the far end's recording, in seconds: its clock is the test's only roughly.
const BLURRED: f64 = 0.8;

/// What the agent hears when the shopper's page goes and when nobody has come back, in Hz, and when it counts as heard.
const AWAY_TONE: f64 = 660.0;
const GONE_TONE: f64 = 330.0;
const TONE_DBFS: f64 = -40.0;

/// Below this a tone is not heard, in dBFS.
const SILENT_DBFS: f64 = -50.0;

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("a_call_follows_links_reload_history_and_forms", phone(), over_pages);
    program.test("a_call_follows_a_form_that_is_posted", phone(), posted);
    program.test("mute_and_the_small_panel_last_over_the_page", phone(), as_it_was);
    program.test("a_duplicated_tab_is_offered_to_move_the_call", phone(), duplicated_tab);
    program.test("a_shopper_who_does_not_come_back_in_time_has_gone", impatient(), gone);
    program.test("a_call_that_has_ended_meanwhile_is_told_and_the_panel_closes", phone(), ended_meanwhile);
    program.test("a_shopper_without_microphone_hears_and_is_asked", phone(), not_granted_again);
}

fn impatient() -> Stage {
    let mut stage = Stage::with(FarEnd::Phone);
    stage.setup.deadlines = "resume_seconds = 2";
    stage
}

async fn over_pages(scene: &mut Scene) -> Result<()> {
    let answered = call(scene).await?;
    let mut heard = vec![both(scene).await?];
    let place = place(&scene.browser).await?;
    follow(scene, "/shoes.html").await?;
    heard.push(both(scene).await?);
    follow(scene, "/returns.html").await?;
    heard.push(both(scene).await?);
    turn(scene, async |browser| browser.reload().await).await?;
    heard.push(both(scene).await?);
    turn(scene, async |browser| browser.back().await).await?;
    heard.push(both(scene).await?);
    turn(scene, async |browser| browser.forward().await).await?;
    heard.push(both(scene).await?);
    let submit = "const form = document.createElement('form'); form.action = '/cart.html'; document.body.append(form); form.submit()";
    turn(scene, async |browser| browser.in_page(submit).await.map(drop)).await?;
    heard.push(both(scene).await?);
    let shown = scene.browser.in_panel("return document.getElementById('time').textContent").await?;
    let (minutes, seconds) = shown.as_str().and_then(|time| time.split_once(':')).context("no time")?;
    let shown = minutes.parse::<u64>()? * 60 + seconds.parse::<u64>()?;
    let true_time = answered.elapsed().as_secs();
    is_at(&scene.browser, &place).await?;
    ensure!(shown.abs_diff(true_time) <= 2, "after {true_time} s the panel shows {shown} s");
    scene.picture("last_page").await?;
    each_heard_the_other(scene, &heard).await?;
    let invites = scene.phone()?.invites();
    ensure!(invites == 1, "the phone was sent {invites} INVITEs");
    // Each of the pages was there long enough to have a path made ready for its successor.
    let taken = scene.server.metric("ringlet_prepared_legs_total{what=\"taken\"}").await?.unwrap_or_default();
    ensure!(taken == 6.0, "{taken} of 6 pages found their path ready");
    Ok(())
}

async fn posted(scene: &mut Scene) -> Result<()> {
    call_from(scene, &format!("{ALLOWED_ORIGIN}/plain.html")).await?;
    let before = both(scene).await?;
    let submit = format!(
        "const form = document.createElement('form'); form.method = 'post'; form.action = '{POSTED}'; document.body.append(form); form.submit()"
    );
    turn(scene, async |browser| browser.in_page(&submit).await.map(drop)).await?;
    let path = scene.browser.in_page("return location.pathname").await?;
    ensure!(path == POSTED, "the page is {path}");
    let after = both(scene).await?;
    each_heard_the_other(scene, &[before, after]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

async fn as_it_was(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let before = both(scene).await?;
    scene.browser.click_in_panel("#mute").await?;
    scene.browser.click_in_panel("#keys").await?;
    let large = place(&scene.browser).await?;
    scene.browser.click_in_panel("#minimise").await?;
    let place = eventually("the panel has become small", SOON, async || {
        let place = place(&scene.browser).await?;
        ensure!(place != large, "it is at {place:?}");
        Ok(place)
    })
    .await?;
    follow(scene, "/shoes.html").await?;
    let looks = "const panel = document.getElementById('panel'), mute = document.getElementById('mute');
        return [panel.classList.contains('small'), panel.hasAttribute('data-muted'), mute.ariaPressed, document.getElementById('keys').ariaExpanded, innerWidth].join()";
    let looks = scene.browser.in_panel(looks).await?;
    ensure!(looks == "true,true,true,true,320", "small, muted, pressed, keys open, wide: {looks}");
    is_at(&scene.browser, &place).await?;
    scene.picture("muted").await?;
    let muted = both(scene).await?;
    scene.browser.click_in_panel("#mute").await?;
    let after = both(scene).await?;

    let over = hang_up(scene).await?;
    let phone_heard = scene.phone()?.heard().await?;
    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    muted
        .in_recording(&phone_heard, over, 0.0)?
        .level(visitor)
        .lt(&SILENT_DBFS)
        .then_some(())
        .context("mute was lost")?;
    for stretch in [before, after] {
        stretch.in_recording(&phone_heard, over, 0.0)?.require_only(visitor, VISITOR_DBFS, agent)?;
    }
    Ok(())
}

async fn duplicated_tab(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    let entry = scene.browser.in_page("return sessionStorage.ringlet").await?;
    let entry = entry.as_str().context("the page has kept nothing")?;
    // What a browser does when it duplicates a tab.
    scene.browser.open_tab().await?;
    scene.browser.before_every_page(&duplicate(entry)?).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.says(ErrorCode::CallElsewhere.shopper(), SOON).await?;
    scene.picture("offered").await?;
    scene.browser.go_to_tab(0).await?;
    ensure!(scene.browser.state().await? == "answered", "the first tab has lost the call");
    scene.browser.go_to_tab(1).await?;
    scene.browser.click_in_panel("#again").await?;
    scene.browser.is_answered().await?;
    let heard = both(scene).await?;
    scene.browser.go_to_tab(0).await?;
    scene.browser.says(ErrorCode::CallElsewhere.shopper(), SOON).await?;
    ensure!(entry_of(&scene.browser).await?.is_none(), "the first tab still keeps the call");
    scene.picture("moved_away").await?;
    // And back again.
    scene.browser.click_in_panel("#again").await?;
    scene.browser.is_answered().await?;
    let back = both(scene).await?;
    ensure!(entry_of(&scene.browser).await?.is_some(), "the first tab does not keep the call");
    scene.browser.go_to_tab(1).await?;
    scene.browser.says(ErrorCode::CallElsewhere.shopper(), SOON).await?;
    scene.browser.go_to_tab(0).await?;
    each_heard_the_other(scene, &[heard, back]).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    Ok(())
}

/// A script that puts an entry into a tab's storage, once.
fn duplicate(entry: &str) -> Result<String> {
    let entry = serde_json::to_string(entry)?;
    Ok(format!(
        "if (origin === '{SHOP_URL}' && !sessionStorage.copied) {{ sessionStorage.copied = 1; sessionStorage.ringlet = {entry} }}"
    ))
}

async fn gone(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    both(scene).await?;
    let left = scene.phone()?.samples_heard()?;
    scene.browser.show("about:blank").await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(10)).await?;
    scene.recorded(EndReason::VisitorGone.word()).await?;
    let heard = scene.phone()?.heard().await?;
    let alone = Recording { rate: heard.rate, samples: heard.samples.get(left..).unwrap_or_default().to_vec() };
    let (away, gone) = (alone.beginnings(AWAY_TONE, TONE_DBFS), alone.beginnings(GONE_TONE, TONE_DBFS));
    ensure!(away.len() == 1, "the agent hears that the page goes at {away:?} s");
    let [first, second] = *gone else { bail!("the agent hears that the shopper is gone at {gone:?} s") };
    ensure!(away.iter().all(|away| *away < first), "{away:?} s, and then {gone:?} s");
    let (apart, until_end) = (second - first, alone.seconds() - second);
    ensure!((0.25..0.45).contains(&apart), "the two tones begin {apart:.2} s apart");
    ensure!(until_end < 1.0, "the call ends {until_end:.2} s after them");
    Ok(())
}

async fn ended_meanwhile(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    scene.browser.show("about:blank").await?;
    scene.phone()?.hang_up().await?;
    scene.recorded(EndReason::AgentHungUp.word()).await?;
    scene.browser.show(SHOP_URL).await?;
    scene.browser.says(ErrorCode::CallOver.shopper(), SOON).await?;
    ensure!(entry_of(&scene.browser).await?.is_none(), "the page still keeps the call");
    eventually("the panel closes by itself", SOON, async || {
        let frames = scene.browser.in_page(&format!("return {LOADER_ROOT}.querySelectorAll('iframe').length")).await?;
        ensure!(frames == 0, "there are {frames} frames");
        Ok(())
    })
    .await
}

async fn not_granted_again(scene: &mut Scene) -> Result<()> {
    // As browsers do that were told "this time only".
    let once = "const devices = navigator.mediaDevices, ask = devices?.getUserMedia.bind(devices);
        if (location.pathname === '/panel') devices.getUserMedia = (what) => {
          if (localStorage.asked && !window.allowed) return Promise.reject(new DOMException('', 'NotAllowedError'));
          localStorage.asked = 1;
          return ask(what);
        }";
    scene.browser.before_every_page(once).await?;
    call(scene).await?;
    let before = both(scene).await?;
    follow(scene, "/shoes.html").await?;
    scene.browser.says("Tap to speak", SOON).await?;
    scene.picture("tap_to_speak").await?;
    let without = both(scene).await?;
    scene.browser.in_panel("window.allowed = true").await?;
    scene.browser.click_in_panel("#tap").await?;
    let after = both(scene).await?;
    each_heard_the_other(scene, &[before, after]).await?;
    let (said, agent) = (scene.phone()?.said().await?.steady(2.0)?, f64::from(AGENT_TONE));
    without.browser.steady(2.0)?.require_only(agent, said.level(agent), f64::from(VISITOR_TONE))
}

/// Calls from the shop's first page; when it was answered.
pub(crate) async fn call(scene: &mut Scene) -> Result<Instant> {
    call_from(scene, SHOP_URL).await
}

async fn call_from(scene: &mut Scene, page: &str) -> Result<Instant> {
    scene.browser.leave_the_microphone_unprocessed().await?;
    scene.browser.show(page).await?;
    scene.browser.click_button().await?;
    scene.browser.is_answered().await?;
    scene.phone()?.event("CALL_ESTABLISHED", Duration::from_secs(5)).await?;
    let answered = Instant::now();
    eventually("the page keeps the call", Duration::from_secs(5), async || {
        entry_of(&scene.browser).await?.context("nothing is kept")
    })
    .await?;
    Ok(answered)
}

/// Follows a link of the shop's navigation.
pub(crate) async fn follow(scene: &Scene, page: &str) -> Result<()> {
    let selector = format!("nav a[href=\"{page}\"]");
    turn(scene, async |browser| browser.click_in_page(&selector).await).await
}

/// Leaves the page and waits for the call to be there again on another.
async fn turn(scene: &Scene, leave: impl AsyncFnOnce(&Browser) -> Result<()>) -> Result<()> {
    let browser = &scene.browser;
    // A page from the browser's page cache brings its own mark along.
    let mark = browser
        .in_page("return document.leaving = (sessionStorage.turns = Number(sessionStorage.turns ?? 0) + 1)")
        .await?;
    leave(browser).await?;
    eventually("there is another page", SOON, async || {
        let found = browser.in_page("return document.leaving ?? null").await?;
        ensure!(found != mark, "it is the same page");
        Ok(())
    })
    .await?;
    browser.is_answered().await
}

/// What the tab keeps of the call.
pub(crate) async fn entry_of(browser: &Browser) -> Result<Option<String>> {
    Ok(browser.in_page("return sessionStorage.ringlet ?? null").await?.as_str().map(str::to_owned))
}

/// Where the panel's frame is on the screen: from the right and from the bottom, beside what scrolls the page; width and height.
async fn place(browser: &Browser) -> Result<Value> {
    let script = format!(
        "const {{ right, bottom, width, height }} = {LOADER_ROOT}.querySelector('iframe').getBoundingClientRect();
         const {{ clientWidth, clientHeight }} = document.documentElement;
         return [clientWidth - right, clientHeight - bottom, width, height]"
    );
    browser.in_page(&script).await
}

/// Waits until the frame is where it was on another page.
async fn is_at(browser: &Browser, wanted: &Value) -> Result<()> {
    eventually("the panel is where it was", SOON, async || {
        let place = place(browser).await?;
        ensure!(place == *wanted, "it is at {place}, and was at {wanted}");
        Ok(())
    })
    .await
}

/// A stretch of the call: what the browser heard in it, and when it was.
pub(crate) struct Stretch {
    browser: Recording,
    began: Instant,
    ended: Instant,
}

impl Stretch {
    /// Whether the shopper hears a tone all the time.
    pub(crate) fn hears(&self, hertz: f64) -> bool {
        self.browser.steady(2.0).is_ok_and(|steady| steady.level(hertz) > SILENT_DBFS)
    }

    /// The middle of the stretch in a recording that ended at `over`, and in which so many seconds are missing anywhere.
    fn in_recording(&self, recording: &Recording, over: Instant, missing: f64) -> Result<Recording> {
        let before = |moment: Instant| over.duration_since(moment).as_secs_f64();
        recording.before_end(before(self.began) - missing - BLURRED, before(self.ended) + BLURRED)
    }
}

/// Listens for a while.
pub(crate) async fn both(scene: &Scene) -> Result<Stretch> {
    both_for(scene, LISTEN_SECONDS).await
}

/// Listens for so many seconds.
pub(crate) async fn both_for(scene: &Scene, seconds: u64) -> Result<Stretch> {
    let began = Instant::now();
    // The panel knows the state before it has the far end's audio.
    eventually("the panel plays something", SOON, async || scene.browser.listen().await).await?;
    let browser = scene.browser.heard(seconds).await?;
    Ok(Stretch { browser, began, ended: Instant::now() })
}

/// Hangs up; when the far end noticed.
pub(crate) async fn hang_up(scene: &mut Scene) -> Result<Instant> {
    scene.browser.hang_up().await?;
    scene.phone()?.event("CALL_CLOSED", Duration::from_secs(5)).await?;
    let over = Instant::now();
    scene.recorded(EndReason::VisitorHungUp.word()).await?;
    Ok(over)
}

/// Hangs up, and proves that in each stretch each side heard the other and nobody else.
pub(crate) async fn each_heard_the_other(scene: &mut Scene, stretches: &[Stretch]) -> Result<()> {
    let over = hang_up(scene).await?;
    each_heard_the_other_until(scene, stretches, over).await
}

/// The same of stretches behind a path that broke: each heard the other for half of the time at least, give or take 12 dB. An Opus stream
/// that has lost packets wavers and can howl where it carries an even tone: what the decoder makes up for them stays in its long-term
/// predictor (RFC 6716 section 4.2.7.9.1), and grows to full scale until the encoder changes that. libopus does so with itself, and no voice
/// is as even.
pub(crate) async fn each_heard_the_other_again(scene: &mut Scene, stretches: &[Stretch]) -> Result<()> {
    let over = hang_up(scene).await?;
    let howls = |part: &Recording, hertz, dbfs, other| part.require_mostly((hertz, dbfs), other, (12.0, 0.5));
    prove(scene, stretches, over, howls).await
}

/// Proves it of a call that is over.
pub(crate) async fn each_heard_the_other_until(scene: &mut Scene, stretches: &[Stretch], over: Instant) -> Result<()> {
    prove(scene, stretches, over, Recording::require_only).await
}

async fn prove(
    scene: &mut Scene,
    stretches: &[Stretch],
    over: Instant,
    heard: impl Fn(&Recording, f64, f64, f64) -> Result<()>,
) -> Result<()> {
    let (said, phone_heard) = (scene.phone()?.said().await?, scene.phone()?.heard().await?);
    let (visitor, agent) = (f64::from(VISITOR_TONE), f64::from(AGENT_TONE));
    let agent_level = said.steady(2.0)?.level(agent);
    // What baresip says has no holes; what it hears has some where nothing came.
    let missing = (said.seconds() - phone_heard.seconds()).max(0.0);
    for (n, stretch) in stretches.iter().enumerate() {
        let part = stretch.in_recording(&phone_heard, over, missing)?;
        heard(&part, visitor, VISITOR_DBFS, agent).with_context(|| format!("the far end, stretch {n}"))?;
        let part = stretch.browser.steady(2.0)?;
        heard(&part, agent, agent_level, visitor).with_context(|| format!("the shopper, stretch {n}"))?;
    }
    Ok(())
}
