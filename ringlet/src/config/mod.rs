//! `ringlet.toml`: its shape, its defaults, and how it becomes what the servers take.
//!
//! The file is parsed by `toml` and not by a layering crate: one file with exact line numbers in every complaint is worth
//! more to an operator than overrides from five places. `assets/ringlet.toml` documents every key; a test holds both together.

mod convert;
mod locate;
mod problem;
mod validate;

pub(crate) use problem::{Problem, Problems};

use protocol::command::Action;
use protocol::rest::GatewayLoss;
use protocol::settings::Setting;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The commented file that `ringlet init` writes.
pub(crate) const TEMPLATE: &str = include_str!("../../assets/ringlet.toml");

/// Which halves read the file: the signal-server, the media gateway, or both in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Halves {
    #[value(skip)]
    Both,
    Signal,
    Gateway,
}

impl Halves {
    pub(crate) fn signal(self) -> bool {
        matches!(self, Self::Both | Self::Signal)
    }

    pub(crate) fn gateway(self) -> bool {
        matches!(self, Self::Both | Self::Gateway)
    }
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) http: Http,
    pub(crate) store: Store,
    pub(crate) signal: Signal,
    pub(crate) limits: Limits,
    pub(crate) deadlines: Deadlines,
    pub(crate) gateway: Gateway,
    pub(crate) log: Log,
    pub(crate) trunk: Vec<Trunk>,
    pub(crate) merchant: Vec<Merchant>,
    pub(crate) api_key: Vec<ApiKey>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) public_url: url::Url,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) metrics_from: Vec<Network>,
    pub(crate) tls: Tls,
}

/// A network, or a single address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Network(pub(crate) ipnet::IpNet);

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) mode: TlsMode,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) domains: Vec<String>,
    pub(crate) contact: String,
    pub(crate) cache: PathBuf,
    pub(crate) staging: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TlsMode {
    #[default]
    Off,
    Files,
    Acme,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) database: PathBuf,
    pub(crate) keep_calls_days: u32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Signal {
    pub(crate) gateway_secret: String,
    pub(crate) resolver_networks: Vec<Network>,
    pub(crate) demo_shop: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) calls_per_address_per_minute: u32,
    pub(crate) checks_per_address_per_minute: u32,
    pub(crate) calls_per_merchant_per_minute: u32,
    pub(crate) calls: u32,
    pub(crate) calls_per_merchant: u32,
    pub(crate) connections: u32,
    pub(crate) connections_per_address: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Deadlines {
    pub(crate) setup_seconds: u32,
    pub(crate) no_answer_seconds: u32,
    pub(crate) resume_seconds: u32,
    pub(crate) gateway_seconds: u32,
    pub(crate) drain_seconds: u32,
    pub(crate) handover_seconds: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) capacity: u32,
    pub(crate) signal_url: String,
    pub(crate) secret: String,
    pub(crate) hold_seconds: u32,
    pub(crate) metrics_listen: String,
    pub(crate) media: Media,
    pub(crate) sip: Sip,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Media {
    pub(crate) listen: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) tcp_port: u16,
    pub(crate) public_ips: Vec<IpAddr>,
    pub(crate) rtp_ports: [u16; 2],
    pub(crate) rtp_ip: IpAddr,
    pub(crate) ringback: Ringback,
    pub(crate) away_tone: AwayTone,
    pub(crate) far_end_silence_seconds: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ringback {
    #[default]
    Etsi,
    Us,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AwayTone {
    #[default]
    Soft,
    Off,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sip {
    pub(crate) listen: SocketAddr,
    #[serde(with = "empty_is_none")]
    pub(crate) public_ip: Option<IpAddr>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trunk {
    pub(crate) name: String,
    pub(crate) host: String,
    #[serde(default = "sip_port")]
    pub(crate) port: u16,
    #[serde(default)]
    pub(crate) transport: Transport,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) password_file: PathBuf,
    #[serde(default = "from_user")]
    pub(crate) from_user: String,
    #[serde(default)]
    pub(crate) from_name: String,
    #[serde(default)]
    pub(crate) from_domain: String,
    #[serde(default = "keepalive_seconds")]
    pub(crate) keepalive_seconds: u32,
    #[serde(default)]
    pub(crate) dtmf: Dtmf,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Dtmf {
    #[default]
    Auto,
    Events,
    Tones,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    #[default]
    Udp,
    Tcp,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Merchant {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) origins: Vec<String>,
    #[serde(default)]
    pub(crate) signing_secret: String,
    #[serde(default)]
    pub(crate) destination: Vec<Destination>,
    #[serde(default)]
    pub(crate) link: Vec<Link>,
    #[serde(default)]
    pub(crate) command: Vec<Command>,
    #[serde(default = "key_pause_ms")]
    pub(crate) key_pause_ms: u32,
    #[serde(default)]
    pub(crate) forbidden: Vec<Setting>,
    #[serde(default)]
    pub(crate) on_gateway_loss: GatewayLoss,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) sequence: String,
    pub(crate) action: Action,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) label: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    pub(crate) id: String,
    pub(crate) trunk: String,
    pub(crate) address: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) destination: String,
    #[serde(default)]
    pub(crate) no_answer_seconds: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiKey {
    pub(crate) name: String,
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) merchant: String,
}

impl File {
    /// Reads a file and validates what those halves read of it.
    ///
    /// # Errors
    /// All that is wrong with it, each with line and cure.
    pub(crate) fn load(path: &Path, halves: Halves) -> Result<Self, Problems> {
        let text = std::fs::read_to_string(path).map_err(|error| Problems::unreadable(path, &error))?;
        Self::parse(path, &text, halves)
    }

    /// Parses and validates the text of a file.
    pub(crate) fn parse(path: &Path, text: &str, halves: Halves) -> Result<Self, Problems> {
        let file: Self = toml::from_str(text).map_err(|error| Problems::syntax(path, text, &error))?;
        let problems = validate::validate(&file, &locate::Lines::new(text), halves);
        if problems.is_empty() { Ok(file) } else { Err(Problems { path: path.to_owned(), list: problems }) }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            #[expect(clippy::expect_used, reason = "a constant, parsed in every test run")]
            public_url: url::Url::parse("http://localhost:8080").expect("the default URL parses"),
            trusted_proxies: Vec::new(),
            metrics_from: vec![
                Network(IpAddr::from([127, 0, 0, 1]).into()),
                Network(IpAddr::from(Ipv6Addr::LOCALHOST).into()),
            ],
            tls: Tls::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            mode: TlsMode::Off,
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            domains: Vec::new(),
            contact: String::new(),
            cache: "acme".into(),
            staging: false,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self { database: "ringlet.sqlite".into(), keep_calls_days: 0 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_per_address_per_minute: 10,
            checks_per_address_per_minute: 6,
            calls_per_merchant_per_minute: 600,
            calls: 1000,
            calls_per_merchant: 200,
            connections: 10_000,
            connections_per_address: 500,
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            setup_seconds: 60,
            no_answer_seconds: 45,
            resume_seconds: 60,
            gateway_seconds: 30,
            drain_seconds: 5,
            handover_seconds: 14_400,
        }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            name: "gateway-1".into(),
            capacity: 200,
            signal_url: String::new(),
            secret: String::new(),
            hold_seconds: 120,
            metrics_listen: String::new(),
            media: Media::default(),
            sip: Sip::default(),
        }
    }
}

impl Default for Media {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 4433)),
            tcp: true,
            tcp_port: 0,
            public_ips: vec![IpAddr::from([127, 0, 0, 1])],
            rtp_ports: [20000, 29998],
            rtp_ip: IpAddr::from([127, 0, 0, 1]),
            ringback: Ringback::Etsi,
            away_tone: AwayTone::Soft,
            far_end_silence_seconds: 60,
        }
    }
}

impl Default for Sip {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 5060)), public_ip: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Text }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(ipnet::IpNet::from));
        network.map(Self).map_err(|_| format!("`{text}` is neither an address nor a network like 10.0.0.0/8"))
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

const fn sip_port() -> u16 {
    5060
}

/// Often enough that `/metrics` tells of a dead trunk before a shopper does.
fn keepalive_seconds() -> u32 {
    60
}

fn key_pause_ms() -> u32 {
    protocol::command::DEFAULT_PAUSE_MS
}

fn from_user() -> String {
    "ringlet".into()
}

/// TOML has no null: an empty text stands for "not set".
mod empty_is_none {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use std::net::IpAddr;

    pub(super) fn serialize<S: Serializer>(value: &Option<IpAddr>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.map(|ip| ip.to_string()).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpAddr>, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(D::Error::custom) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The template with every default uncommented: `#key` and `#[table]` lines, not prose (which has a blank after `#`).
    fn uncommented() -> String {
        TEMPLATE
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest,
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn keys(prefix: &str, value: &toml::Value, into: &mut Vec<String>) {
        let tables = value.as_array().filter(|list| list.first().is_some_and(toml::Value::is_table));
        if let Some(table) = value.as_table() {
            for (key, value) in table {
                keys(&format!("{prefix}.{key}"), value, into);
            }
        } else if let Some(list) = tables {
            list.iter().for_each(|value| keys(prefix, value, into));
        } else {
            into.push(prefix.to_owned());
        }
    }

    fn keys_of(value: &toml::Value) -> Vec<String> {
        let mut list = Vec::new();
        keys("", value, &mut list);
        list.sort();
        list
    }

    #[test]
    fn the_template_as_it_is_means_the_defaults() {
        let file = File::parse(Path::new("ringlet.toml"), TEMPLATE, Halves::Both).expect("valid");
        assert_eq!(toml::to_string(&file).expect("toml"), toml::to_string(&File::default()).expect("toml"));
    }

    #[test]
    fn the_template_names_every_key_with_its_default() {
        let text = uncommented();
        let written: File = toml::from_str(&text).expect("valid");
        let written_value = toml::Value::try_from(&written).expect("toml");
        let in_template: toml::Value = toml::from_str(&text).expect("toml");
        assert_eq!(keys_of(&in_template), keys_of(&written_value));
        let defaults = File {
            trunk: written.trunk.clone(),
            merchant: written.merchant.clone(),
            api_key: written.api_key.clone(),
            ..File::default()
        };
        assert_eq!(toml::Value::try_from(&defaults).expect("toml"), written_value);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_line_and_the_nearest_key() {
        let text = "[http]\npublic_ulr = \"http://localhost\"\n";
        let problems = File::parse(Path::new("x.toml"), text, Halves::Both).expect_err("misspelt");
        let text = problems.to_string();
        assert!(text.contains("x.toml:2:"), "{text}");
        assert!(text.contains("public_url"), "{text}");
    }
}
