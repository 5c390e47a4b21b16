//! The panel's storage, where each page keeps a certificate for the next one: a browser that is slow with it, or does not answer at all,
//! costs no call when its shopper turns the page.

use crate::Program;
use crate::resume::{both, call, each_heard_the_other, follow};
use anyhow::{Context as _, Result, ensure};
use e2e::scene::{FarEnd, Scene, Stage};
use e2e::wait::eventually;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// What a page keeps for the next one is kept soon after the answer, on a busy machine.
const KEPT_WITHIN: Duration = Duration::from_secs(10);

/// So long slow storage takes: longer than the panel waits for what it can do without, and shorter than for what it cannot.
const SLOW: Duration = Duration::from_secs(4);

/// From then on nobody has the call who cannot show a certificate.
const BOUND_AFTER: Duration = Duration::from_secs(6);

/// The panel's storage never answers.
const DUMB: &str = "if (location.pathname === '/panel') IDBFactory.prototype.open = () => ({});";

pub(crate) fn tests(program: &mut Program<'_>) {
    let phone = || Stage::with(FarEnd::Phone);
    program.test("storage_that_never_answers_costs_no_call_at_the_next_page", phone(), dumb);
    program.test("storage_that_is_slow_at_the_next_page_is_waited_for", phone(), slow);
}

async fn dumb(scene: &mut Scene) -> Result<()> {
    scene.browser.before_every_page(DUMB).await?;
    call(scene).await?;
    // The page has given up to make a certificate by then.
    tokio::time::sleep(SLOW).await;
    ensure!(next(scene).await?.is_none(), "a certificate is kept in storage that does not answer");
    follow(scene, "/shoes.html").await?;
    let next_page = both(scene).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    each_heard_the_other(scene, &[next_page]).await
}

async fn slow(scene: &mut Scene) -> Result<()> {
    call(scene).await?;
    eventually("the page keeps a certificate for the next one", KEPT_WITHIN, async || {
        next(scene).await?.context("none is kept")
    })
    .await?;
    tokio::time::sleep(BOUND_AFTER).await;
    scene.browser.before_every_page(&slow_by(SLOW)).await?;
    let turned = Instant::now();
    follow(scene, "/shoes.html").await?;
    let took = turned.elapsed();
    ensure!(took > SLOW, "the call was there after {took:?}, before the storage was");
    let next_page = both(scene).await?;
    ensure!(scene.phone()?.invites() == 1, "the phone was rung again");
    each_heard_the_other(scene, &[next_page]).await
}

/// What the shop's page keeps of the next page's certificate.
async fn next(scene: &Scene) -> Result<Option<Value>> {
    let entry = crate::resume::entry_of(&scene.browser).await?.context("nothing is kept of the call")?;
    let entry: Value = serde_json::from_str(&entry)?;
    Ok(entry.pointer("/panel/next").cloned())
}

/// The panel's storage opens so late.
fn slow_by(late: Duration) -> String {
    format!(
        "if (location.pathname !== '/panel') return;
         const {{ open }} = IDBFactory.prototype;
         IDBFactory.prototype.open = function (...args) {{
           const late = {{}};
           setTimeout(() => {{
             const request = open.apply(this, args);
             for (const name of ['onupgradeneeded', 'onsuccess', 'onerror']) {{
               request[name] = (event) => {{
                 if (request.readyState === 'done') [late.result, late.error] = [request.error ? undefined : request.result, request.error];
                 late[name]?.(event);
               }};
             }}
           }}, {});
           return late;
         }};",
        late.as_millis()
    )
}
