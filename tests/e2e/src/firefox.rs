//! Headless Firefox, so that no more than one engine's habits are taken for the web's. It is driven over its own socket (W3C WebDriver
//! BiDi), has PulseAudio's devices and a microphone that everybody may have, and like a shopper's own plays nothing in a page that nobody
//! has tapped or captures in. Not here: what stands in Ringlet's panel, beyond what one call takes.

use crate::browser::LOADER_ROOT;
use crate::process::Process;
use crate::sound_card::SoundCard;
use crate::wait::eventually;
use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const PORT: u16 = 9_517;

/// A cold start with a fresh profile, on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(40);

/// Nothing that we ask takes longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// The permission is given at each prompt and remembered at none, as most shoppers have it.
const PREFERENCES: &str = r#"
user_pref("media.navigator.permission.disabled", true);
user_pref("media.autoplay.default", 1);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
"#;

/// A running Firefox with one tab.
#[derive(Debug)]
pub struct Firefox {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    asked: u64,
    tab: String,
    complaints: Vec<String>,
    // After the socket.
    _process: Process,
}

impl Firefox {
    /// Starts it, with its profile and log in `directory`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path, card: &SoundCard) -> Result<Self> {
        let profile = directory.join("firefox");
        fs::create_dir_all(&profile)?;
        fs::write(profile.join("user.js"), PREFERENCES)?;
        let environment = [format!("PULSE_SERVER={}", card.server()), format!("HOME={}", profile.display())];
        let (profile, port) = (profile.display().to_string(), PORT.to_string());
        let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
        // In a process namespace all of it ends with us.
        arguments.extend(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", program()?, "--headless"]);
        arguments.extend(["--no-remote", "--profile", &profile, "--remote-debugging-port", &port]);
        let mut process = Process::start("firefox", directory, "env", &arguments)?;
        let url = format!("ws://127.0.0.1:{PORT}/session");
        let socket = eventually("Firefox listens", STARTS_WITHIN, async || {
            process.require_running()?;
            Ok(connect_async(url.as_str()).await?.0)
        })
        .await?;
        let mut firefox = Self { socket, asked: 0, tab: String::new(), complaints: Vec::new(), _process: process };
        firefox.ask("session.new", json!({ "capabilities": {} })).await?;
        firefox.ask("session.subscribe", json!({ "events": ["log.entryAdded"] })).await?;
        let tabs = firefox.ask("browsingContext.getTree", json!({})).await?;
        tabs.pointer("/contexts/0/context").and_then(Value::as_str).context("no tab")?.clone_into(&mut firefox.tab);
        Ok(firefox)
    }

    /// Shows a page.
    ///
    /// # Errors
    /// When it does not load.
    pub async fn show(&mut self, url: &str) -> Result<()> {
        let wanted = json!({ "context": self.tab, "url": url, "wait": "complete" });
        self.ask("browsingContext.navigate", wanted).await.map(drop)
    }

    /// Runs a function body in every page and frame to come, before their own scripts.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn before_every_page(&mut self, body: &str) -> Result<()> {
        let script = json!({ "functionDeclaration": format!("() => {{ {body} }}") });
        self.ask("script.addPreloadScript", script).await.map(drop)
    }

    /// Presses the mouse where the element is that an expression finds in the page.
    ///
    /// # Errors
    /// When there is none.
    pub async fn click(&mut self, element: &str) -> Result<()> {
        let place = format!(
            "const place = ({element}).getBoundingClientRect();
             return [place.x + place.width / 2, place.y + place.height / 2].map(Math.round)"
        );
        let place = self.in_page(&place).await?;
        let presses = json!([
            { "type": "pointerMove", "x": place.get(0), "y": place.get(1) },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ]);
        let mouse = json!([{ "type": "pointer", "id": "mouse", "actions": presses }]);
        self.ask("input.performActions", json!({ "context": self.tab, "actions": mouse })).await.map(drop)
    }

    /// Clicks the loader's own button.
    ///
    /// # Errors
    /// When there is none.
    pub async fn click_button(&mut self) -> Result<()> {
        self.click(&format!("{LOADER_ROOT}.querySelector('button')")).await
    }

    /// Runs a function body in the page and returns what it returns.
    ///
    /// # Errors
    /// What it threw.
    pub async fn in_page(&mut self, body: &str) -> Result<Value> {
        let tab = self.tab.clone();
        self.run(&tab, body).await
    }

    /// Runs a function body in the panel's frame and returns what it returns.
    ///
    /// # Errors
    /// When there is no panel, and what it threw.
    pub async fn in_panel(&mut self, body: &str) -> Result<Value> {
        let tree = self.ask("browsingContext.getTree", json!({ "root": self.tab })).await?;
        let frames = tree.pointer("/contexts/0/children").and_then(Value::as_array).context("no frames")?;
        let is_panel =
            |frame: &&Value| frame.get("url").and_then(Value::as_str).is_some_and(|url| url.contains("/panel"));
        let panel = frames.iter().find(is_panel).and_then(|frame| frame.get("context")?.as_str());
        self.run(panel.context("the page has no panel")?, body).await
    }

    /// Waits until the panel says that the call is there.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn is_answered(&mut self) -> Result<()> {
        eventually("the call is answered in Firefox", ANSWERS_WITHIN, async || {
            let state = self.in_panel("return document.getElementById('panel').dataset.state").await?;
            ensure!(state == "answered", "{state}");
            Ok(())
        })
        .await
    }

    /// A picture of the page.
    ///
    /// # Errors
    /// When it cannot be taken or written.
    pub async fn picture(&mut self, path: &Path) -> Result<()> {
        let taken = self.ask("browsingContext.captureScreenshot", json!({ "context": self.tab })).await?;
        let picture = taken.get("data").and_then(Value::as_str).context("no picture")?;
        Ok(fs::write(path, BASE64_STANDARD.decode(picture)?)?)
    }

    /// What its console has complained of.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    async fn run(&mut self, context: &str, body: &str) -> Result<Value> {
        let expression = format!("(async () => {{ {body} }})().then((value) => JSON.stringify(value) ?? 'null')");
        let wanted = json!({ "expression": expression, "awaitPromise": true, "target": { "context": context } });
        let answer = self.ask("script.evaluate", wanted).await?;
        match answer.pointer("/result/value").and_then(Value::as_str) {
            Some(text) => Ok(serde_json::from_str(text)?),
            None => bail!("{answer}"),
        }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.asked += 1;
        let asked = json!({ "id": self.asked, "method": method, "params": params });
        self.socket.send(Message::text(asked.to_string())).await?;
        let answer = tokio::time::timeout(ANSWERS_WITHIN, self.answer()).await;
        answer.with_context(|| format!("Firefox does not answer {method}"))?.with_context(|| method.to_owned())
    }

    /// Reads until what was asked last is answered.
    async fn answer(&mut self) -> Result<Value> {
        while let Some(message) = self.socket.next().await {
            let Message::Text(text) = message? else { continue };
            let mut message: Value = serde_json::from_str(&text)?;
            if message.get("method").is_some_and(|method| method == "log.entryAdded") {
                let entry = message.get("params").cloned().unwrap_or_default();
                if entry.get("level").is_some_and(|level| level == "error") {
                    self.complaints.push(entry.get("text").and_then(Value::as_str).unwrap_or_default().to_owned());
                }
            }
            if message.get("id").and_then(Value::as_u64) == Some(self.asked) {
                ensure!(message.get("error").is_none(), "{message}");
                return Ok(message.get_mut("result").map(Value::take).unwrap_or_default());
            }
        }
        bail!("Firefox is gone")
    }
}

/// Whether there is one, and PulseAudio for it: a desktop that has PipeWire in its place cannot have both.
pub fn is_there() -> bool {
    program().is_ok() && on_path("pulseaudio")
}

fn program() -> Result<&'static str> {
    ["firefox-esr", "firefox"].into_iter().find(|name| on_path(name)).context("there is no Firefox")
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
