//! The server under test: the real `ringlet run` with a configuration of its own, in a folder of its own.

use crate::impaired::Impaired;
use crate::setup::TLS_SHOP_URL;
use crate::setup::{API_KEY, GATEWAY_METRICS, MEDIA_PORT, RELAYED_WEB_PORT, SECOND_GATEWAY_METRICS, WEB_PORT};
use crate::{process::Process, relay::Relay, wait::eventually};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use crate::setup::{PUBLIC_URL, SHOP_URL, Setup};

/// An INVITE that nobody answers lives until RFC 3261's timer B, 32 s; everything else is gone at once.
const SETTLED: Duration = Duration::from_secs(35);

/// A process hears of a signal at once, and says what it makes of it.
const SAID_SOON: Duration = Duration::from_secs(5);

/// Everything that a call takes and must give back.
const GAUGES: [&str; 8] = [
    "ringlet_calls",
    "ringlet_check_legs",
    "ringlet_legs",
    "ringlet_rtp_ports",
    "ringlet_tcp_connections",
    "ringlet_timers",
    "ringlet_visitor_sockets",
    "ringlet_tasks",
];

/// A running server.
#[derive(Debug)]
pub struct Ringlet {
    process: Process,
    http: reqwest::Client,
    setup: Setup,
    idle: BTreeMap<&'static str, f64>,
    relay: Option<Relay>,
    impaired: Option<Impaired>,
    /// The other half, where there are two.
    gateway: Option<Process>,
    second_gateway: Option<Process>,
    directory: PathBuf,
    /// Those whose place another has taken.
    former: Vec<Process>,
}

impl Ringlet {
    /// Starts it with its files in `directory`, and waits until it is healthy.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(directory: &Path, setup: &Setup) -> Result<Self> {
        let directory = directory.join("ringlet");
        fs::create_dir_all(&directory)?;
        setup.write(&directory)?;
        let [near, far] = [WEB_PORT, RELAYED_WEB_PORT].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let relay = if setup.relay { Some(Relay::start(near, far).await?) } else { None };
        let impaired = match setup.impaired {
            Some(impairment) => Some(Impaired::start(impairment, MEDIA_PORT, (near, far)).await?),
            None => None,
        };
        let process = start("ringlet", &directory, if setup.split { "signal" } else { "run" })?;
        let gateway = if setup.split { Some(start("gateway", &directory, "gateway")?) } else { None };
        let second_gateway = if setup.second_gateway { Some(start_second(&directory, setup)?) } else { None };
        // Nobody vouches for the certificate of a test.
        let http = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build()?;
        let (idle, former, setup) = (BTreeMap::new(), Vec::new(), setup.clone());
        let mut server =
            Self { process, http, setup, idle, relay, impaired, gateway, second_gateway, directory, former };
        server.is_healthy().await?;
        // Its own gateway registers in passing, and takes a task.
        server.has_gateways().await?;
        server.idle = server.gauges().await?;
        Ok(server)
    }

    async fn is_healthy(&mut self) -> Result<()> {
        eventually("ringlet is healthy", Duration::from_secs(15), async || {
            self.process.require_running()?;
            Ok(self.http.get(format!("{}/healthz", self.direct_url())).send().await?.error_for_status()?)
        })
        .await
        .with_context(|| self.process.tail())?;
        Ok(())
    }

    /// Kills the signal-server (SIGKILL), where it is a process of its own.
    ///
    /// # Errors
    /// When it is not, or cannot be killed.
    pub fn kill_signal(&mut self) -> Result<()> {
        ensure!(self.gateway.is_some(), "the signal-server is no process of its own");
        self.process.kill()
    }

    async fn has_gateways(&self) -> Result<()> {
        let wanted = if self.second_gateway.is_some() { 2.0 } else { 1.0 };
        eventually("the gateways are registered", Duration::from_secs(15), async || {
            let now = self.metric("ringlet_gateways").await?;
            ensure!(now == Some(wanted), "{now:?}");
            Ok(())
        })
        .await
    }

    /// Kills the first gateway (SIGKILL), where it is a process of its own.
    ///
    /// # Errors
    /// When it is not, or cannot be killed.
    pub fn kill_gateway(&mut self) -> Result<()> {
        self.gateway.as_mut().context("the gateway is no process of its own")?.kill()
    }

    /// Starts the first gateway again; returns when all are registered.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_gateway(&mut self) -> Result<()> {
        self.gateway = Some(start("gateway-again", &self.directory, "gateway")?);
        self.has_gateways().await
    }

    /// Asks it to end (SIGTERM); returns when it has heard that.
    ///
    /// # Errors
    /// When it has not.
    pub async fn terminate(&self) -> Result<()> {
        begin_to_end(&self.process).await
    }

    /// Waits until it has ended by itself, without an error; how long that took.
    ///
    /// # Errors
    /// When it still runs at the end of `limit`, or how it ended otherwise.
    pub async fn ends(&mut self, limit: Duration) -> Result<Duration> {
        ends(&mut self.process, limit).await
    }

    /// Asks the first gateway to end (SIGTERM), where it is a process of its own; returns when it has heard that.
    ///
    /// # Errors
    /// When it is not.
    pub async fn terminate_gateway(&self) -> Result<()> {
        begin_to_end(self.gateway.as_ref().context("the gateway is no process of its own")?).await
    }

    /// Waits until the first gateway has ended by itself, without an error; how long that took.
    ///
    /// # Errors
    /// When it still runs at the end of `limit`, or how it ended otherwise.
    pub async fn gateway_ends(&mut self, limit: Duration) -> Result<Duration> {
        ends(self.gateway.as_mut().context("the gateway is no process of its own")?, limit).await
    }

    /// Starts the server again, or the signal-server where that is a process of its own; returns when it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        let half = if self.gateway.is_some() { "signal" } else { "run" };
        self.process = start("ringlet-again", &self.directory, half)?;
        self.is_healthy().await
    }

    /// Starts another `ringlet run`, which takes the place of the one that runs; returns when it has.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn take_over(&mut self, name: &str) -> Result<()> {
        let program = binary()?;
        let program = program.to_str().context("the path is no UTF-8")?;
        let mut next = Process::start(name, &self.directory, program, &["run", "--take-over"])?;
        eventually("the other process listens", Duration::from_secs(30), async || {
            next.require_running()?;
            ensure!(next.log().contains("listening"), "not yet");
            Ok(())
        })
        .await?;
        self.former.push(std::mem::replace(&mut self.process, next));
        self.is_healthy().await
    }

    /// Lets a process take the place that dies before another could take it from there; returns when the one that ran has ended by itself,
    /// and the next one runs.
    ///
    /// # Errors
    /// When it has not, or the next does not come up.
    pub async fn lose_heir(&mut self, limit: Duration) -> Result<()> {
        let folder = fs::File::open(&self.directory)?;
        let heir = tokio::task::spawn_blocking(move || -> Result<()> {
            // The path of a Unix socket is short (unix(7)).
            let stream = UnixStream::connect(format!("/proc/self/fd/{}/ringlet.sqlite-takeover", folder.as_raw_fd()))?;
            stream.set_read_timeout(Some(limit))?;
            // Descriptors that nobody takes are closed.
            let (mut lines, mut line) = (BufReader::new(&stream), String::new());
            (&stream).write_all(b"{\"version\":2}\n")?;
            lines.read_line(&mut line)?;
            (&stream).write_all(b"ready\n")?;
            lines.read_line(&mut line)?;
            ensure!(line.ends_with("yours\n"), "it says {line:?}");
            Ok(())
        });
        heir.await??;
        let status = self.process.ended(limit).await?;
        ensure!(status.success(), "it ended with {status}\n{}", self.process.tail());
        self.process = start("ringlet-next", &self.directory, "run")?;
        self.is_healthy().await
    }

    /// Waits until every process has ended by itself whose place another has taken, without an error.
    ///
    /// # Errors
    /// Which has not, or the line of its log.
    pub async fn former_end(&mut self, limit: Duration) -> Result<()> {
        for mut process in self.former.drain(..) {
            let status = process.ended(limit).await?;
            ensure!(status.success(), "the process before ended with {status}\n{}", process.tail());
            has_no_error(&process)?;
        }
        Ok(())
    }

    /// Cuts the connections between browser and server.
    ///
    /// # Errors
    /// When the set-up has no relay.
    pub fn cut(&self) -> Result<()> {
        self.relay.as_ref().context("this server has no relay before it")?.cut();
        Ok(())
    }

    /// Lets browser and server speak again.
    ///
    /// # Errors
    /// When the set-up has no relay.
    pub fn restore(&self) -> Result<()> {
        self.relay.as_ref().context("this server has no relay before it")?.restore();
        Ok(())
    }

    /// The records of all calls, newest first.
    ///
    /// # Errors
    /// When the REST API does not give them.
    pub async fn calls(&self) -> Result<Vec<Value>> {
        let url = format!("{}/v1/calls?limit=200", self.direct_url());
        let answer = self.http.get(url).bearer_auth(API_KEY).send().await?.error_for_status()?;
        let body: Value = answer.json().await?;
        let list = body.as_array().or_else(|| body.get("calls").or_else(|| body.get("items"))?.as_array());
        Ok(list.with_context(|| format!("no list of calls: {body}"))?.clone())
    }

    /// Makes or replaces a command of the merchant, while the server runs.
    ///
    /// # Errors
    /// When the REST API refuses, with its reason.
    pub async fn command(&self, sequence: &str, body: &Value) -> Result<()> {
        let url = format!("{}/v1/merchants/acme/commands/{sequence}", self.direct_url());
        let answer = self.http.put(url).bearer_auth(API_KEY).json(body).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    /// The address of a new card of the merchant's commands.
    ///
    /// # Errors
    /// When the REST API gives none.
    pub async fn card(&self) -> Result<String> {
        let url = format!("{}/v1/merchants/acme/command-cards", self.direct_url());
        let answer = self.http.post(url).bearer_auth(API_KEY).send().await?.error_for_status()?;
        let card: Value = answer.json().await?;
        Ok(card.get("url").and_then(Value::as_str).with_context(|| format!("no address: {card}"))?.to_owned())
    }

    /// What is set on the shopper's side of the one call.
    ///
    /// # Errors
    /// When there is not one call, or it is not answered.
    pub async fn settings(&self) -> Result<Value> {
        let answer = self.http.get(self.settings_url().await?).bearer_auth(API_KEY).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Sets something on the shopper's side of the one call, as a desk does.
    ///
    /// # Errors
    /// When the REST API refuses, with its reason.
    pub async fn set(&self, change: &Value) -> Result<()> {
        let answer = self.http.patch(self.settings_url().await?).bearer_auth(API_KEY).json(change).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    /// Has the merchant forbid these settings from afar, and no others.
    ///
    /// # Errors
    /// When the REST API refuses, with its reason.
    pub async fn forbid(&self, settings: &[&str]) -> Result<()> {
        let url = format!("{}/v1/merchants/acme", self.direct_url());
        let mut merchant: Value =
            self.http.get(&url).bearer_auth(API_KEY).send().await?.error_for_status()?.json().await?;
        let fields = merchant.as_object_mut().context("no merchant")?;
        fields.retain(|name, _| ["name", "origins", "key_pause_ms"].contains(&name.as_str()));
        fields.insert("forbidden".to_owned(), settings.into());
        let answer = self.http.put(url).bearer_auth(API_KEY).json(&merchant).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    async fn settings_url(&self) -> Result<String> {
        let calls = self.calls().await?;
        let call = calls.first().and_then(|call| call.get("id")?.as_str()).context("there is no call")?;
        Ok(format!("{}/v1/calls/{call}/settings", self.direct_url()))
    }

    /// Waits until every gauge is where it was before the first call.
    ///
    /// # Errors
    /// What is left of the calls.
    pub async fn nothing_left(&self) -> Result<()> {
        eventually("nothing is left of the call", SETTLED, async || {
            let now = self.gauges().await?;
            for name in GAUGES {
                let (Some(left), Some(idle)) = (now.get(name), self.idle.get(name)) else {
                    bail!("/metrics has no {name}");
                };
                ensure!((left - idle).abs() < 0.5, "{name} is {left}, and was {idle} before");
            }
            Ok(())
        })
        .await
    }

    /// The sum of a metric over all labels.
    ///
    /// # Errors
    /// When `/metrics` cannot be read.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        Ok(sum(&self.metrics().await?, name))
    }

    /// Ends it with SIGTERM and fails if its log holds an error.
    ///
    /// # Errors
    /// The line of the log, or how it ended otherwise.
    pub async fn stop(&mut self) -> Result<()> {
        let all = [Some(&mut self.process), self.gateway.as_mut(), self.second_gateway.as_mut()];
        for process in all.into_iter().flatten() {
            process.terminate()?;
            let status = process.ended(Duration::from_secs(15)).await?;
            ensure!(status.success(), "after SIGTERM ringlet ended with {status}");
            has_no_error(process)?;
        }
        Ok(())
    }

    /// Whether it has written that into its log.
    pub fn has_said(&self, words: &str) -> bool {
        self.process.log().contains(words)
    }

    /// Its last words.
    pub fn tail(&self) -> String {
        let former: String = self.former.iter().map(Process::tail).collect();
        let second = self.second_gateway.as_ref().map(Process::tail).unwrap_or_default();
        former + &*second + &*self.process.tail() + &*self.gateway.as_ref().map(Process::tail).unwrap_or_default()
    }

    async fn gauges(&self) -> Result<BTreeMap<&'static str, f64>> {
        let text = self.metrics().await?;
        Ok(GAUGES.into_iter().filter_map(|name| Some((name, sum(&text, name)?))).collect())
    }

    /// Of both halves.
    async fn metrics(&self) -> Result<String> {
        let read = async |url: String| anyhow::Ok(self.http.get(url).send().await?.error_for_status()?.text().await?);
        let mut text = read(format!("{}/metrics", self.direct_url())).await?;
        let gateways = [(&self.gateway, GATEWAY_METRICS), (&self.second_gateway, SECOND_GATEWAY_METRICS)];
        for (_, address) in gateways.iter().filter(|(gateway, _)| gateway.is_some()) {
            text.push_str(&read(format!("http://{address}/metrics")).await?);
        }
        Ok(text)
    }

    /// The demo shop's address.
    pub fn shop_url(&self) -> &'static str {
        if self.setup.tls { TLS_SHOP_URL } else { SHOP_URL }
    }

    /// The impaired network before it.
    ///
    /// # Errors
    /// When the set-up has none.
    pub fn impaired(&self) -> Result<&Impaired> {
        self.impaired.as_ref().context("the network before this server is a good one")
    }

    fn direct_url(&self) -> String {
        self.setup.direct_url()
    }
}

async fn begin_to_end(process: &Process) -> Result<()> {
    process.terminate()?;
    eventually("it stops", SAID_SOON, async || {
        ensure!(process.log().contains("stopping"), "it does not say so");
        Ok(())
    })
    .await
}

async fn ends(process: &mut Process, limit: Duration) -> Result<Duration> {
    let begun = Instant::now();
    let status = process.ended(limit).await?;
    ensure!(status.success(), "after SIGTERM it ended with {status}\n{}", process.tail());
    has_no_error(process)?;
    Ok(begun.elapsed())
}

fn has_no_error(process: &Process) -> Result<()> {
    let log = process.log();
    let worst = log.lines().find(|line| line.contains("ERROR") || line.contains("panicked at"));
    ensure!(worst.is_none(), "ringlet's log holds an error: {}", worst.unwrap_or_default());
    Ok(())
}

/// Sums a metric over its labels in Prometheus' text format; `None` when it is not there.
fn sum(text: &str, name: &str) -> Option<f64> {
    let samples = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        (rest.starts_with(' ') || rest.starts_with('{')).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    });
    samples.fold(None, |sum, value| Some(sum.unwrap_or_default() + value))
}

fn start(name: &str, directory: &Path, half: &str) -> Result<Process> {
    Process::start(name, directory, binary()?.to_str().context("the path is no UTF-8")?, &[half])
}

/// A gateway with a name and ports of its own.
fn start_second(directory: &Path, setup: &Setup) -> Result<Process> {
    setup.write_second(directory)?;
    let program = binary()?;
    let arguments = ["gateway", "--config", "second.toml"];
    Process::start("second-gateway", directory, program.to_str().context("the path is no UTF-8")?, &arguments)
}

fn binary() -> Result<PathBuf> {
    let path = std::env::var_os("RINGLET_BIN").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/debug/ringlet")),
        PathBuf::from,
    );
    path.canonicalize().with_context(|| format!("no server at {}: build it, or set RINGLET_BIN", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_over_longer_names() {
        let text = "# TYPE legs gauge\nlegs{kind=\"sip\"} 1\nlegs{kind=\"webrtc\"} 2\nlegs_total 9\n";
        assert_eq!(super::sum(text, "legs"), Some(3.0));
        assert_eq!(super::sum(text, "leg"), None);
    }
}
