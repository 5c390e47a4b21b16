//! Headless Chromium by the DevTools protocol alone, for what chromedriver does not survive: a tab that crashes. One tab,
//! one question a connection. Not here: anything that [`crate::browser`] can do.

use crate::{process::Process, wait::eventually};
use anyhow::{Context as _, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

const PORT: u16 = 9_223;

/// Nothing that is asked takes longer on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A browser with one tab that matters.
#[derive(Debug)]
pub struct DevTools {
    process: Process,
    http: reqwest::Client,
    profile: PathBuf,
}

impl DevTools {
    /// Starts it with its profile in `directory` and a WAV for a microphone; flags come on top.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path, microphone: &Path, flags: &[&str]) -> Result<Self> {
        Self::run("devtools", directory, microphone, &[flags, &["about:blank"]].concat()).await
    }

    /// Starts it once more after [`kill`](Self::kill), with the tabs of the browser that was killed.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restore(directory: &Path, microphone: &Path, flags: &[&str]) -> Result<Self> {
        let last = ["--restore-last-session", "--hide-crash-restore-bubble"];
        Self::run("devtools-restored", directory, microphone, &[flags, &last].concat()).await
    }

    async fn run(name: &str, directory: &Path, microphone: &Path, flags: &[&str]) -> Result<Self> {
        let profile = directory.join("devtools-profile");
        let user_data = format!("--user-data-dir={}", profile.display());
        let port = format!("--remote-debugging-port={PORT}");
        let microphone = format!("--use-file-for-fake-audio-capture={}", microphone.display());
        let mut arguments =
            vec!["--pid", "--fork", "--kill-child", "--mount-proc", "/usr/bin/chromium", &port, &user_data];
        arguments.extend(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]);
        arguments.extend(["--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage"]);
        arguments.extend(["--use-fake-device-for-media-stream", &microphone]);
        arguments.extend(flags);
        let mut process = Process::start(name, directory, "unshare", &arguments)?;
        let http = reqwest::Client::new();
        eventually("Chromium listens", Duration::from_secs(20), async || {
            process.require_running()?;
            Ok(http.get(format!("http://127.0.0.1:{PORT}/json/version")).send().await?.error_for_status()?)
        })
        .await?;
        Ok(Self { process, http, profile })
    }

    /// Asks the tab for something, as <https://chromedevtools.github.io/devtools-protocol/> lists it.
    ///
    /// # Errors
    /// What the browser says.
    pub async fn tab(&self, method: &str, parameters: Value) -> Result<Value> {
        ask(&self.target("page", "").await?, method, parameters).await
    }

    /// Runs an expression in the page, as if the shopper had just touched it.
    ///
    /// # Errors
    /// When there is no page, and what the expression threw.
    pub async fn in_page(&self, expression: &str) -> Result<Value> {
        evaluate(&self.target("page", "").await?, expression, true).await
    }

    /// Runs an expression in the panel's frame, which has a process of its own; the shopper touches nothing.
    ///
    /// # Errors
    /// When there is no panel, and what the expression threw.
    pub async fn in_panel(&self, expression: &str) -> Result<Value> {
        evaluate(&self.target("iframe", "/panel?").await?, expression, false).await
    }

    /// Waits until a file in a folder of its profile, itself for `"."`, holds a text, in whichever of its two widths.
    ///
    /// # Errors
    /// When none does at the end of `limit`.
    pub async fn has_written(&self, folder: &str, text: &str, limit: Duration) -> Result<()> {
        let folder = self.profile.join("Default").join(folder);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let holds = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        eventually("the browser has written it", limit, async || {
            for entry in fs::read_dir(&folder)? {
                // Others come and go while it writes.
                let bytes = fs::read(entry?.path()).unwrap_or_default();
                if holds(&bytes, text.as_bytes()) || holds(&bytes, &wide) {
                    return Ok(());
                }
            }
            bail!("{text:?} is in no file of {}", folder.display())
        })
        .await
    }

    /// Kills the browser with all its processes, as when the machine loses its power.
    ///
    /// # Errors
    /// When no signal can be sent.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    /// Crashes the tab's process.
    ///
    /// # Errors
    /// When there is no tab.
    pub async fn crash(&self) -> Result<()> {
        let tab = self.target("page", "").await?;
        // Nobody is left to answer.
        let _ = timeout(Duration::from_secs(2), ask(&tab, "Page.crash", json!({}))).await;
        Ok(())
    }

    async fn target(&self, kind: &str, address: &str) -> Result<String> {
        let list = self.http.get(format!("http://127.0.0.1:{PORT}/json/list")).send().await?.json::<Value>().await?;
        let text = |target: &Value, field: &str| target.get(field).and_then(Value::as_str).map(str::to_owned);
        let found = list.as_array().into_iter().flatten().find(|target| {
            text(target, "type").as_deref() == Some(kind)
                && text(target, "url").is_some_and(|url| url.contains(address))
        });
        let socket = found.and_then(|target| text(target, "webSocketDebuggerUrl"));
        socket.with_context(|| format!("there is no {kind} {address}: {list}"))
    }
}

async fn evaluate(target: &str, expression: &str, touched: bool) -> Result<Value> {
    let parameters =
        json!({ "expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": touched });
    let answer = ask(target, "Runtime.evaluate", parameters).await?;
    if let Some(thrown) = answer.get("exceptionDetails") {
        bail!("{expression} threw {thrown}");
    }
    Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
}

async fn ask(target: &str, method: &str, parameters: Value) -> Result<Value> {
    let asked = async {
        let (mut socket, _) = tokio_tungstenite::connect_async(target).await?;
        let question = json!({ "id": 1, "method": method, "params": parameters }).to_string();
        socket.send(Message::text(question)).await?;
        while let Some(message) = socket.next().await {
            let Ok(text) = message?.into_text() else { continue };
            let Ok(answer) = serde_json::from_str::<Value>(&text) else { continue };
            if answer.get("id").and_then(Value::as_u64) == Some(1) {
                if let Some(error) = answer.get("error") {
                    bail!("{method}: {error}");
                }
                return Ok(answer.get("result").cloned().unwrap_or_default());
            }
        }
        bail!("{method}: the tab is gone")
    };
    timeout(ANSWER_LIMIT, asked).await.with_context(|| format!("{method} is not answered"))?
}
