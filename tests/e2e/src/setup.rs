//! The configuration of the server under test: what differs from test to test, and the file that it makes. Not here: any process.

use crate::device;
use crate::impaired::{self, Impairment};
use crate::{namespace::BRIDGE, pages};
use anyhow::{Context as _, Result};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

/// How the browser reaches the server.
pub const PUBLIC_URL: &str = "http://localhost:8080";

/// The demo shop: the same server by another name, so that page and panel are of different sites.
pub const SHOP_URL: &str = "http://127.0.0.1:8080";

/// How the browser reaches a server that speaks TLS; sites of HTTPS are made of names alone.
pub const TLS_PUBLIC_URL: &str = "https://call.example";

/// The demo shop of that.
pub const TLS_SHOP_URL: &str = "https://shop.example";

/// Where that listens. Browsers take an ICE candidate of the port of HTTPS from no private address.
pub(crate) const TLS_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// The port of HTTPS.
pub const TLS_PORT: u16 = 443;

/// The gateway's port for browsers, of UDP and TCP.
pub const MEDIA_PORT: u16 = 4433;

/// Where the web server is, and where it is behind a relay.
pub(crate) const WEB_PORT: u16 = 8080;
pub(crate) const RELAYED_WEB_PORT: u16 = 8081;

/// The key of the REST API that the configuration seeds.
pub(crate) const API_KEY: &str = "end-to-end-key-0123456789";

/// What the gateway shows to be let in, where it is a process of its own, and where it serves its metrics then.
const GATEWAY_SECRET: &str = "end-to-end-gateway-0123456789";
pub(crate) const GATEWAY_METRICS: &str = "127.0.0.1:9100";
pub(crate) const SECOND_GATEWAY_METRICS: &str = "127.0.0.1:9101";

/// What differs from test to test.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How long the far end may ring, in seconds.
    pub no_answer_seconds: u32,
    /// Extra lines in the `[[trunk]]` table: `transport = "tcp"`, credentials.
    pub trunk: &'static str,
    /// Where the trunk is.
    pub trunk_port: u16,
    /// Extra lines in the `[deadlines]` table.
    pub deadlines: &'static str,
    /// Extra lines in the `[gateway.media]` table.
    pub media: &'static str,
    /// Whether browser and server speak through a relay that can be cut.
    pub relay: bool,
    /// Whether signal-server and gateway are processes of their own.
    pub split: bool,
    /// Whether there is a second gateway, where they are.
    pub second_gateway: bool,
    /// Extra lines in the `[[merchant]]` table.
    pub merchant: &'static str,
    /// What the network between browser and server does to all that passes.
    pub impaired: Option<Impairment>,
    /// Whether the web server speaks TLS, on the port of HTTPS and with a certificate that only the test makes.
    pub tls: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            no_answer_seconds: 45,
            trunk: "",
            trunk_port: 5070,
            deadlines: "",
            media: "",
            relay: false,
            split: false,
            second_gateway: false,
            merchant: "",
            impaired: None,
            tls: false,
        }
    }
}

impl Setup {
    /// The port where the web server listens.
    pub(crate) fn web_port(&self) -> u16 {
        match (self.tls, self.relay || self.impaired.is_some()) {
            (true, _) => TLS_PORT,
            (false, true) => RELAYED_WEB_PORT,
            (false, false) => WEB_PORT,
        }
    }

    /// Where the test itself reaches the server, past every relay.
    pub(crate) fn direct_url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.web_port())
    }

    /// Writes `ringlet.toml`, and makes what it names.
    ///
    /// # Errors
    /// When a file cannot be written, or an address not be had.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::write(directory.join("ringlet.toml"), self.configuration())?;
        if self.tls {
            device::outside(&["ip", "address", "replace", &format!("{TLS_ADDRESS}/32"), "dev", "lo"])?;
            let names = [TLS_PUBLIC_URL, TLS_SHOP_URL].map(|url| url.trim_start_matches("https://").to_owned());
            let made = rcgen::generate_simple_self_signed(names).context("no certificate")?;
            fs::write(directory.join("certificate.pem"), made.cert.pem())?;
            fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())?;
        }
        Ok(())
    }

    /// Writes `second.toml`: a gateway with a name and ports of its own.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write_second(&self, directory: &Path) -> Result<()> {
        let own = [
            ("[gateway]\n", "[gateway]\nname = \"gateway-2\"\n"),
            (":4433", ":4434"),
            (":5060", ":5061"),
            (GATEWAY_METRICS, SECOND_GATEWAY_METRICS),
            ("[gateway.media]\n", "[gateway.media]\nrtp_ports = [30000, 30998]\n"),
        ];
        let text = own.iter().fold(self.configuration(), |text, (first, second)| text.replace(first, second));
        Ok(fs::write(directory.join("second.toml"), text)?)
    }

    fn configuration(&self) -> String {
        let Self { no_answer_seconds, trunk, trunk_port, deadlines, media, split, .. } = self;
        let link = if *split { link() } else { String::new() };
        let port = self.web_port();
        let (public_url, tls) = if self.tls { (TLS_PUBLIC_URL, TLS) } else { (PUBLIC_URL, "") };
        let (public_ip, web) = match (self.tls, self.impaired) {
            (true, _) => (TLS_ADDRESS, TLS_ADDRESS),
            (false, Some(_)) => (impaired::ADDRESS, BRIDGE),
            (false, None) => (BRIDGE, BRIDGE),
        };
        format!(
            r#"[http]
listen = ["127.0.0.1:{port}", "{web}:{port}"]
public_url = "{public_url}"
{tls}

[signal]
demo_shop = true
gateway_secret = "{GATEWAY_SECRET}"

[limits]
calls_per_address_per_minute = 10000
checks_per_address_per_minute = 10000

[deadlines]
no_answer_seconds = {no_answer_seconds}
{deadlines}

[gateway]
{link}
[gateway.media]
listen = "{web}:{MEDIA_PORT}"
public_ips = ["{public_ip}"]
rtp_ip = "{BRIDGE}"
{media}

[gateway.sip]
listen = "{BRIDGE}:5060"

[log]
filter = "info,signal_server=debug,media_gateway=debug,ringlet=debug"

[[trunk]]
name = "pbx"
host = "{BRIDGE}"
port = {trunk_port}
# SIPp would take an OPTIONS for its call.
keepalive_seconds = 0
{trunk}

{merchant}
[[api_key]]
name = "end to end"
key = "{API_KEY}"
"#,
            merchant = merchant(self.merchant),
        )
    }
}

/// TLS of the server's own.
const TLS: &str = "\n[http.tls]\nmode = \"files\"\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";

/// What a gateway needs that is a process of its own.
fn link() -> String {
    let url = "ws://127.0.0.1:8080/ws/gateway";
    format!("signal_url = \"{url}\"\nsecret = \"{GATEWAY_SECRET}\"\nmetrics_listen = \"{GATEWAY_METRICS}\"\n")
}

fn merchant(more: &str) -> String {
    format!(
        r#"[[merchant]]
id = "acme"
name = "Acme Shoes"
origins = ["{SHOP_URL}", "{TLS_SHOP_URL}", "{allowed}"]
{more}

[[merchant.destination]]
id = "desk"
trunk = "pbx"
address = "agent"

[[merchant.link]]
id = "sales"
label = "Sales"
destination = "desk"

[[merchant.link]]
id = "shoes"
label = "Shoe advice"
destination = "desk"

[[merchant.link]]
id = "returns"
label = "Returns"
destination = "desk"
"#,
        allowed = pages::ALLOWED_ORIGIN,
    )
}
