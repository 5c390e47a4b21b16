//! Headless Chromium under chromedriver, with a WAV for a microphone. Not here: what stands in Ringlet's panel.

use crate::device::{Device, Door};
use crate::print::Paper;
use crate::setup::TLS_ADDRESS;
use crate::sound_card::SoundCard;
use crate::{namespace::BRIDGE, process::Process, wait::eventually};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thirtyfour::bidi::modules::script::AddPreloadScript;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::common::print::{PrintPage, PrintParameters};
use thirtyfour::{
    BrowserLogEntry, CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver, WebElement,
};

const DRIVER_PORT: u16 = 9515;

/// That of a driver in a device of its own.
const DEVICE_DRIVER_PORT: u16 = 9516;

/// Takes any certificate: that of a test is made by nobody.
const TRUSTING: &str = "--ignore-certificate-errors";

/// Microphones and loudspeakers that need no sound card.
const FAKE_DEVICES: &str = "--use-fake-device-for-media-stream";

/// Nothing that we ask of a page takes longer on a busy machine.
const PAGE_LIMIT: Duration = Duration::from_secs(20);

/// The microphone that the browser has.
#[derive(Clone, Debug)]
pub enum Microphone {
    /// Plays a WAV again and again; every prompt is allowed.
    Plays(PathBuf),
    /// There is one, and every prompt is denied.
    Denied,
    /// That of the machine's sound card, whose loudspeaker the browser has as well; every prompt is allowed.
    SoundCard,
}

/// A running chromedriver, for all browsers of a run.
#[derive(Debug)]
pub struct Chromedriver {
    process: Process,
    port: u16,
    flags: Vec<String>,
    _door: Option<Door>,
}

impl Chromedriver {
    /// Starts it, with its log in `directory`.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path) -> Result<Self> {
        Self::run(directory, &[], DRIVER_PORT, Vec::new(), None).await
    }

    /// Starts one in a device, whose browsers know no other network than the device's and find the server's names in it.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_in(device: &Device, directory: &Path) -> Result<Self> {
        // By names that every browser trusts as it does HTTPS; and by those of HTTPS, with a certificate that none does.
        let names = [("localhost", BRIDGE), ("127.0.0.1", BRIDGE), ("*.example", TLS_ADDRESS)];
        let rules = names.map(|(name, address)| format!("MAP {name} {address}"));
        let hosts = format!("--host-resolver-rules={}", rules.join(", "));
        Self::start_with(device, directory, vec![hosts, TRUSTING.to_owned()]).await
    }

    /// Starts one in a device, whose browsers know a proxy and no names.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_behind(proxy: SocketAddr, device: &Device, directory: &Path) -> Result<Self> {
        let flags = vec![format!("--proxy-server=http://{proxy}"), TRUSTING.to_owned()];
        Self::start_with(device, directory, flags).await
    }

    /// Starts one whose browsers have this sound card.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_with_sound(card: &SoundCard, directory: &Path) -> Result<Self> {
        let environment = ["env".to_owned(), format!("PULSE_SERVER={}", card.server())];
        Self::run(directory, &environment, DRIVER_PORT, Vec::new(), None).await
    }

    async fn start_with(device: &Device, directory: &Path, flags: Vec<String>) -> Result<Self> {
        let door = device.door(DEVICE_DRIVER_PORT).await?;
        Self::run(directory, &device.runs(), DEVICE_DRIVER_PORT, flags, Some(door)).await
    }

    async fn run(directory: &Path, runs: &[String], port: u16, flags: Vec<String>, door: Option<Door>) -> Result<Self> {
        let option = format!("--port={port}");
        // Browsers are no children of ours. In a process namespace they end with chromedriver, however we end.
        let mut arguments: Vec<&str> = runs.iter().map(String::as_str).collect();
        arguments.extend(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "chromedriver", &option]);
        let (program, arguments) = arguments.split_first().context("no program")?;
        let mut process = Process::start("chromedriver", directory, program, arguments)?;
        let http = reqwest::Client::new();
        eventually("chromedriver listens", Duration::from_secs(20), async || {
            process.require_running()?;
            Ok(http.get(format!("http://127.0.0.1:{port}/status")).send().await?.error_for_status()?)
        })
        .await?;
        Ok(Self { process, port, flags, _door: door })
    }

    /// Lets all its browsers sleep, as a machine does whose lid is shut: they know nothing of the time until they wake.
    ///
    /// # Errors
    /// When a process cannot be stopped.
    pub fn sleep(&self) -> Result<()> {
        self.process.signal_offspring("STOP")
    }

    /// Wakes them.
    ///
    /// # Errors
    /// When a process cannot be woken.
    pub fn wake(&self) -> Result<()> {
        self.process.signal_offspring("CONT")
    }

    /// Opens a browser with a fresh profile.
    ///
    /// # Errors
    /// When Chromium does not start.
    pub async fn open(&self, directory: &Path, microphone: &Microphone) -> Result<Browser> {
        let profile = directory.join(format!("profile-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&profile);
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary("/usr/bin/chromium")?;
        wanted.enable_bidi()?;
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        for flag in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            "--autoplay-policy=no-user-gesture-required",
        ] {
            wanted.add_arg(flag)?;
        }
        for flag in &self.flags {
            wanted.add_arg(flag)?;
        }
        // Or chromedriver would allow every page every window.
        wanted.add_exclude_switch("disable-popup-blocking")?;
        wanted.add_arg(&format!("--user-data-dir={}", profile.display()))?;
        match microphone {
            Microphone::Plays(wav) => {
                wanted.add_arg(FAKE_DEVICES)?;
                wanted.add_arg("--use-fake-ui-for-media-stream")?;
                wanted.add_arg(&format!("--use-file-for-fake-audio-capture={}", wav.display()))?;
            }
            Microphone::Denied => {
                wanted.add_arg(FAKE_DEVICES)?;
                wanted.add_arg("--deny-permission-prompts")?;
            }
            Microphone::SoundCard => wanted.add_arg("--use-fake-ui-for-media-stream")?,
        }
        let driver =
            WebDriver::new(format!("http://127.0.0.1:{}", self.port), wanted).await.context("starting Chromium")?;
        driver.set_page_load_timeout(PAGE_LIMIT).await?;
        driver.set_script_timeout(PAGE_LIMIT).await?;
        Ok(Browser { driver, profile })
    }
}

/// A browser with one window.
#[derive(Debug)]
pub struct Browser {
    driver: WebDriver,
    profile: PathBuf,
}

impl Browser {
    /// Shows a page.
    ///
    /// # Errors
    /// When it does not load.
    pub async fn show(&self, url: &str) -> Result<()> {
        self.driver.enter_default_frame().await?;
        self.driver.goto(url).await.with_context(|| format!("loading {url}"))
    }

    /// Clicks what a CSS selector finds in the page.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be clicked.
    pub async fn click_in_page(&self, selector: &str) -> Result<()> {
        let element = self.element_in_page(&format!("return document.querySelector({selector:?})")).await?;
        element.click().await.with_context(|| format!("clicking {selector}"))
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// When it does not load.
    pub async fn reload(&self) -> Result<()> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.refresh().await?)
    }

    /// Goes back in the tab's history.
    ///
    /// # Errors
    /// When the page does not load.
    pub async fn back(&self) -> Result<()> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.back().await?)
    }

    /// Goes forward in the tab's history.
    ///
    /// # Errors
    /// When the page does not load.
    pub async fn forward(&self) -> Result<()> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.forward().await?)
    }

    /// Opens a second, empty tab and goes there.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn open_tab(&self) -> Result<()> {
        let tab = self.driver.new_tab().await?;
        Ok(self.driver.switch_to_window(tab).await?)
    }

    /// Goes to the tab that was opened as the `n`th, from 0.
    ///
    /// # Errors
    /// When there is no such tab.
    pub async fn go_to_tab(&self, n: usize) -> Result<()> {
        let tab = self.driver.windows().await?.get(n).cloned().with_context(|| format!("there is no tab {n}"))?;
        Ok(self.driver.switch_to_window(tab).await?)
    }

    /// How many tabs and windows there are.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub async fn tabs(&self) -> Result<usize> {
        Ok(self.driver.windows().await?.len())
    }

    /// Closes the tab or window, and goes to the first one.
    ///
    /// # Errors
    /// When it was the only one.
    pub async fn close_tab(&self) -> Result<()> {
        self.driver.close_window().await?;
        self.go_to_tab(0).await
    }

    /// Runs a function body in every page and frame to come, before their own scripts.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn before_every_page(&self, body: &str) -> Result<()> {
        let script = AddPreloadScript {
            function_declaration: format!("() => {{ {body} }}"),
            arguments: Vec::new(),
            sandbox: None,
            contexts: Vec::new(),
        };
        self.driver.bidi().await?.send(script).await?;
        Ok(())
    }

    /// Runs a function body in the page and returns what it returns.
    ///
    /// # Errors
    /// What it threw.
    pub async fn in_page(&self, body: &str) -> Result<Value> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.execute(body, Vec::new()).await?.json().clone())
    }

    /// Runs a function body in the panel's frame and returns what it returns.
    ///
    /// # Errors
    /// When there is no frame, and what it threw.
    pub async fn in_panel(&self, body: &str) -> Result<Value> {
        self.enter_panel().await?;
        Ok(self.driver.execute(body, Vec::new()).await?.json().clone())
    }

    /// The element that a function body finds in the page.
    ///
    /// # Errors
    /// When it returns none.
    pub async fn element_in_page(&self, body: &str) -> Result<WebElement> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.execute(body, Vec::new()).await?.element()?)
    }

    /// The element that a function body finds in the panel's frame.
    ///
    /// # Errors
    /// When there is no frame, or the body returns no element.
    pub async fn element_in_panel(&self, body: &str) -> Result<WebElement> {
        self.enter_panel().await?;
        Ok(self.driver.execute(body, Vec::new()).await?.element()?)
    }

    /// Moves the pointer over an element of the page.
    ///
    /// # Errors
    /// When it is out of sight.
    pub async fn point_at(&self, element: &WebElement) -> Result<()> {
        Ok(self.driver.action_chain().move_to_element_center(element).perform().await?)
    }

    /// Types where the focus is; WebDriver's code points stand for keys without a letter (U+E007 Enter, U+E00C Escape).
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn type_keys(&self, keys: &str) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(keys).perform().await?)
    }

    /// A picture of the window.
    ///
    /// # Errors
    /// When it cannot be taken or written.
    pub async fn picture(&self, path: &Path) -> Result<()> {
        self.driver.enter_default_frame().await?;
        Ok(self.driver.screenshot(path).await?)
    }

    /// The page as it is printed, as a PDF.
    ///
    /// # Errors
    /// When the browser does not print it.
    pub async fn print(&self, paper: Paper) -> Result<Vec<u8>> {
        self.driver.enter_default_frame().await?;
        let page = PrintPage { width: paper.width_cm, height: paper.height_cm };
        Ok(self.driver.print_page(PrintParameters { page, ..PrintParameters::default() }).await?)
    }

    /// What the console has printed since it was asked last.
    ///
    /// # Errors
    /// When the browser does not tell.
    pub async fn console(&self) -> Result<Vec<BrowserLogEntry>> {
        Ok(self.driver.browser_log().await?)
    }

    /// Freezes the page as browsers do with one that nobody sees, or lets it live on: none of its script runs meanwhile.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn freeze(&self, freezes: bool) -> Result<()> {
        let state = if freezes { "frozen" } else { "active" };
        self.driver.cdp().send_raw("Page.setWebLifecycleState", json!({ "state": state })).await?;
        if !freezes {
            // Freezing has hidden it as well, and only a window that comes back shows it.
            self.driver.minimize_window().await?;
            self.driver.set_window_rect(0, 0, 1_200, 900).await?;
        }
        Ok(())
    }

    /// Forgets the HTTP cache.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn forget_cache(&self) -> Result<()> {
        self.driver.cdp().send_raw("Network.clearBrowserCache", json!({})).await?;
        Ok(())
    }

    /// Ends the browser.
    ///
    /// # Errors
    /// When chromedriver is gone.
    pub async fn quit(self) -> Result<()> {
        let ended = self.driver.quit().await;
        let _ = std::fs::remove_dir_all(&self.profile);
        Ok(ended?)
    }

    async fn enter_panel(&self) -> Result<()> {
        if self.in_page("return location.pathname").await? == "/panel" {
            // A window of its own.
            return Ok(());
        }
        let frame = self.element_in_page(&format!("return {LOADER_ROOT}?.querySelector('iframe')")).await;
        Ok(frame.context("the page has no panel")?.enter_frame().await?)
    }
}

/// A JavaScript expression: the shadow root that the loader draws in.
pub const LOADER_ROOT: &str =
    "[...document.documentElement.children].find((e) => e.localName === 'div' && e.shadowRoot)?.shadowRoot";

/// Fails when the console holds an error.
///
/// # Errors
/// The first one.
pub fn require_no_errors(console: &[BrowserLogEntry]) -> Result<()> {
    let error = console.iter().find(|entry| entry.level == "SEVERE");
    ensure!(error.is_none(), "the browser's console has an error: {error:?}");
    Ok(())
}
