//! Ringlet's button and panel as the shopper sees and hears them. What stands here of their HTML stands nowhere else.

use crate::browser::{Browser, LOADER_ROOT};
use crate::tone::Recording;
use crate::wait::eventually;
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use std::time::Duration;

/// The browser's first steps on a busy machine: wasm, worklet, microphone.
const SETUP_LIMIT: Duration = Duration::from_secs(15);

/// Where an end or a dead end is told: in the panel, or by the loader where no panel can.
const WORDS: &str = "return document.body.innerText";

/// What the panel said at a moment of its own clock.
#[derive(Clone, Debug)]
pub struct Told {
    /// In ms.
    pub at_ms: f64,
    /// The call's state.
    pub state: String,
    /// What it said in passing, or nothing.
    pub note: String,
}

/// A function body for every page: the microphone's sound is not touched, of which a tone would look like noise.
pub const UNPROCESSED: &str = "const devices = navigator.mediaDevices, ask = devices?.getUserMedia.bind(devices);
    if (devices) devices.getUserMedia = ({ audio, ...rest }) => ask({ ...rest, audio:
      { ...audio, echoCancellation: false, noiseSuppression: false, autoGainControl: false } })";

impl Browser {
    /// Waits for the loader's button, and returns how many there are.
    ///
    /// # Errors
    /// When there is none.
    pub async fn buttons(&self) -> Result<u64> {
        eventually("the page has a button", SETUP_LIMIT, async || {
            let count = self.in_page(
                "return [...document.documentElement.children].map((e) => e.shadowRoot?.querySelectorAll('button.call').length ?? 0)
                   .reduce((sum, n) => sum + n, 0)",
            );
            let count = count.await?.as_u64().context("no number")?;
            ensure!(count > 0, "no button");
            Ok(count)
        })
        .await
    }

    /// Clicks the loader's button.
    ///
    /// # Errors
    /// When there is none, or it cannot be clicked.
    pub async fn click_button(&self) -> Result<()> {
        self.buttons().await?;
        let button = self.element_in_page(&format!("return {LOADER_ROOT}.querySelector('button.call')")).await?;
        button.click().await.context("clicking the call button")
    }

    /// Clicks the shop's own icon for a link.
    ///
    /// # Errors
    /// When there is none, or it cannot be clicked.
    pub async fn click_icon(&self, link: &str) -> Result<()> {
        let icon =
            self.element_in_page(&format!("return document.querySelector('[data-ringlet-link=\"{link}\"]')")).await?;
        icon.click().await.with_context(|| format!("clicking the icon of {link}"))
    }

    /// Takes its voice processing from the browser, for pages to come: its noise suppression rightly takes a steady tone
    /// for noise.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn leave_the_microphone_unprocessed(&self) -> Result<()> {
        self.before_every_page(UNPROCESSED).await
    }

    /// The call's state, as the panel has it in its markup.
    ///
    /// # Errors
    /// When there is no panel.
    pub async fn state(&self) -> Result<String> {
        let state = self.in_panel("return document.getElementById('panel')?.dataset.state").await?;
        Ok(state.as_str().context("no state")?.to_owned())
    }

    /// Waits for a state of the call.
    ///
    /// # Errors
    /// When it does not come within `limit`, with what the panel shows instead.
    pub async fn reaches(&self, wanted: &str, limit: Duration) -> Result<()> {
        eventually(&format!("the panel is {wanted}"), limit, async || {
            let state = self.state().await?;
            ensure!(state == wanted, "it is {state} and says {:?}", self.panel_words().await?);
            Ok(())
        })
        .await
    }

    /// Waits until somebody has answered.
    ///
    /// # Errors
    /// When nobody does, with what the panel shows instead.
    pub async fn is_answered(&self) -> Result<()> {
        self.reaches("answered", SETUP_LIMIT).await
    }

    /// Waits until the panel says these words.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn says(&self, words: &str, limit: Duration) -> Result<()> {
        eventually(&format!("the panel says {words:?}"), limit, async || {
            let said = self.panel_words().await?;
            ensure!(said.contains(words), "it says {said:?}");
            Ok(())
        })
        .await
    }

    /// All that can be read in the panel.
    ///
    /// # Errors
    /// When there is no panel.
    pub async fn panel_words(&self) -> Result<String> {
        Ok(self.in_panel(WORDS).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Hangs up.
    ///
    /// # Errors
    /// When the button cannot be clicked.
    pub async fn hang_up(&self) -> Result<()> {
        self.click_in_panel("#hangup").await
    }

    /// Opens the key pad and presses keys, one after the other.
    ///
    /// # Errors
    /// When one cannot be clicked.
    pub async fn press(&self, keys: &str) -> Result<()> {
        eventually("the key pad is open", SETUP_LIMIT, async || {
            if self.in_panel("return document.getElementById('keypad').hidden").await? == true {
                self.click_in_panel("#keys").await?;
                bail!("it was not");
            }
            Ok(())
        })
        .await?;
        for key in keys.chars() {
            self.click_in_panel(&format!("[data-key=\"{key}\"]")).await?;
        }
        Ok(())
    }

    /// Clicks what a CSS selector finds in the panel.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be clicked.
    pub async fn click_in_panel(&self, selector: &str) -> Result<()> {
        // The driver asks where the element is in the frame, then where the frame is, and refuses if something else is there by then.
        // So the frame must have become as tall as what stands in it; a note may still go meanwhile.
        eventually(&format!("{selector} can be clicked"), SETUP_LIMIT, async || {
            let (have, want) = ("innerHeight", "document.getElementById('panel').offsetHeight");
            let heights = self.in_panel(&format!("return parent === window ? [0, 0] : [{have}, {want}]")).await?;
            ensure!(heights.get(0) == heights.get(1), "frame and panel are {heights} pixels tall");
            let element = self.element_in_panel(&format!("return document.querySelector({selector:?})")).await?;
            element.click().await.with_context(|| format!("clicking {selector}"))
        })
        .await
    }

    /// Begins to note which keys of the far end the panel shows; it shows each for some seconds only.
    ///
    /// # Errors
    /// When there is no panel.
    pub async fn watch_keys(&self) -> Result<()> {
        // With each key the panel shows those before it as well, as long as they are fresh: the last one is new.
        self.in_panel(
            "window.keysShown = '';
             new MutationObserver((changes) => {
               for (const { addedNodes } of changes) {
                 for (const { data } of addedNodes) if (data?.startsWith('They pressed')) keysShown += data.slice(-1);
               }
             }).observe(document.getElementById('note'), { childList: true })",
        )
        .await?;
        Ok(())
    }

    /// All keys of the far end that the panel has shown since [`watch_keys`](Self::watch_keys), in order.
    ///
    /// # Errors
    /// When there is no panel.
    pub async fn keys_shown(&self) -> Result<String> {
        Ok(self.in_panel("return keysShown").await?.as_str().unwrap_or_default().to_owned())
    }

    /// Has panels to come note when they change their state and what they say in passing.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn watch_notes(&self) -> Result<()> {
        self.before_every_page(
            "if (location.pathname !== '/panel') return;
             window.told = [];
             let before = {};
             new MutationObserver(() => {
               const state = document.getElementById('panel')?.dataset.state ?? '';
               const note = document.getElementById('note')?.textContent ?? '';
               if (state !== before.state || note !== before.note) told.push(before = { at: performance.now(), state, note });
             }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ['data-state'] })",
        )
        .await
    }

    /// All that the panel has noted since [`watch_notes`](Self::watch_notes).
    ///
    /// # Errors
    /// When it notes nothing.
    pub async fn told(&self) -> Result<Vec<Told>> {
        let told = self.in_panel("return told").await?;
        let told = told.as_array().context("the panel notes nothing")?;
        let text = |it: &Value, name: &str| Some(it.get(name)?.as_str()?.to_owned());
        let read = |it: &Value| {
            Some(Told { at_ms: it.get("at")?.as_f64()?, state: text(it, "state")?, note: text(it, "note")? })
        };
        told.iter().map(|it| read(it).with_context(|| format!("no note: {it}"))).collect()
    }

    /// Begins to record what the panel's audio element plays.
    ///
    /// # Errors
    /// When it plays nothing.
    pub async fn listen(&self) -> Result<()> {
        let begun = self.in_panel(
            "const stream = document.getElementById('audio').srcObject;
             if (!stream) return false;
             const context = new AudioContext(), ear = context.createScriptProcessor(16384, 1, 1);
             window.heard = { rate: context.sampleRate, chunks: [], context };
             // Or it is collected.
             window.heard.ear = ear;
             ear.onaudioprocess = ({ inputBuffer }) => heard.chunks.push(inputBuffer.getChannelData(0).slice());
             context.createMediaStreamSource(stream).connect(ear).connect(context.destination);
             return true",
        );
        ensure!(begun.await? == true, "the panel's audio element has no stream");
        Ok(())
    }

    /// Ends the recording that [`listen`](Self::listen) began; what was recorded stays.
    ///
    /// # Errors
    /// When there is none.
    pub async fn stop_listening(&self) -> Result<()> {
        self.in_panel("heard.ear.onaudioprocess = null").await?;
        Ok(())
    }

    /// What was recorded since [`listen`](Self::listen), once it is that long.
    ///
    /// # Errors
    /// When it does not become so.
    pub async fn heard(&self, seconds: u64) -> Result<Recording> {
        eventually("the browser has heard enough", Duration::from_secs(seconds + 10), async || {
            let have = self.in_panel("return heard.chunks.reduce((sum, c) => sum + c.length, 0) / heard.rate").await?;
            ensure!(have.as_f64().unwrap_or_default() >= seconds as f64, "it has heard {have} s");
            Ok(())
        })
        .await?;
        let heard = self.in_panel(
            "const whole = new Int16Array(heard.chunks.reduce((sum, c) => sum + c.length, 0));
             let at = 0;
             for (const chunk of heard.chunks) for (const x of chunk) whole[at++] = Math.max(-1, Math.min(1, x)) * 32767;
             const bytes = new Uint8Array(whole.buffer);
             let text = '';
             for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
             heard.context.close();
             return [heard.rate, btoa(text)]",
        );
        let heard = heard.await?;
        let (rate, text) = (heard.get(0).and_then(Value::as_u64), heard.get(1).and_then(Value::as_str));
        let bytes = BASE64_STANDARD.decode(text.context("no sound")?)?;
        let samples =
            bytes.as_chunks::<2>().0.iter().map(|pair| f32::from(i16::from_le_bytes(*pair)) / 32768.0).collect();
        Ok(Recording { rate: u32::try_from(rate.context("no rate")?)?, samples })
    }
}
