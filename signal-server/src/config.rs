//! What the server is told at its start: plain values, checked by nobody before [`serve`](crate::serve). Not here: any
//! file format. The `ringlet` binary reads `ringlet.toml` into this.

use crate::Origin;
use ipnet::IpNet;
use protocol::command::Command;
use protocol::rest::GatewayLoss;
use protocol::settings::Setting;
use protocol::{DestinationId, LinkId, MerchantId, TrunkName};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Everything that [`serve`](crate::serve) needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Port 0 lets the system choose; [`Server::addresses`](crate::Server::addresses) tells.
    pub listen: Vec<SocketAddr>,
    /// How browsers reach this server: scheme, host, port. Its origin is the only one that may open `/ws/visitor`.
    pub public_url: Url,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who may read `/metrics`: it tells of merchants' business.
    pub metrics_from: Vec<IpNet>,
    /// Who terminates TLS.
    pub tls: Tls,
    /// The SQLite file; made when it is not there.
    pub database: PathBuf,
    /// How long the records of calls are kept, from the calls' beginning. `None`: for ever.
    pub keep_calls: Option<Duration>,
    /// Signs the panels' tokens, at least 32 bytes. `None`: made at the first start and kept in the database.
    pub token_secret: Option<Secret>,
    /// What gateways show at `/ws/gateway`. `None`: nobody gets in there.
    pub gateway_secret: Option<Secret>,
    /// A Unix socket where gateways of this machine, run by this user, connect without secret: those of a process whose place this
    /// one has taken. `None`: there is none.
    pub gateway_socket: Option<PathBuf>,
    /// Private networks in which merchants' servers may be that are asked for pages. Empty: they are asked on the internet only.
    pub resolver_networks: Vec<IpNet>,
    /// Whether the demo shop is served at `/`.
    pub demo_shop: bool,
    /// How much is too much.
    pub limits: Limits,
    /// How long is too long.
    pub deadlines: Deadlines,
    /// What the store shall hold from the start.
    pub seed: Seed,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            #[expect(clippy::expect_used, reason = "a constant, parsed in every test run")]
            public_url: Url::parse("http://localhost:8080").expect("the default URL parses"),
            trusted_proxies: Vec::new(),
            metrics_from: vec![
                IpNet::from(IpAddr::from([127, 0, 0, 1])),
                IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)),
            ],
            tls: Tls::Off,
            database: PathBuf::from("ringlet.sqlite"),
            keep_calls: None,
            token_secret: None,
            gateway_secret: None,
            gateway_socket: None,
            resolver_networks: Vec::new(),
            demo_shop: false,
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            seed: Seed::default(),
        }
    }
}

/// Who terminates TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// A proxy, or nobody on localhost.
    Off,
    /// We, with PEM files, which are read again when they change.
    Files {
        /// The certificate and its chain.
        certificate: PathBuf,
        /// The private key (PKCS #8, PKCS #1 or SEC 1).
        key: PathBuf,
    },
    /// We, with a certificate that an ACME authority (RFC 8555) gives and renews by `tls-alpn-01` (RFC 8737), so that the
    /// port must be reachable as 443.
    Acme {
        /// The host names in the certificate.
        domains: Vec<String>,
        /// Mail addresses for the authority's warnings.
        contacts: Vec<String>,
        /// Where account and certificates are kept over restarts.
        cache: PathBuf,
        /// Let's Encrypt's staging directory instead of its real one.
        staging: bool,
    },
}

/// How much is too much. Each must be at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls that one client address may start in a minute. IPv6 clients count by /64.
    pub calls_per_address_per_minute: u32,
    /// Checks that one client address may begin in a minute.
    pub checks_per_address_per_minute: u32,
    /// Calls that the visitors of one merchant may start in a minute.
    pub calls_per_merchant_per_minute: u32,
    /// Calls at the same time.
    pub calls: u32,
    /// Calls of one merchant at the same time.
    pub calls_per_merchant: u32,
    /// Connections to the web server at the same time, visitors' sockets included.
    pub connections: u32,
    /// Those of one client address. IPv6 clients count by /64, trusted proxies not at all.
    pub connections_per_address: u32,
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

/// How long is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the visitor's arrival until the far end can be rung: covers the microphone prompt.
    pub setup: Duration,
    /// How long the far end may ring, where the link says nothing else.
    pub no_answer: Duration,
    /// How long an answered call waits for the shopper's next page; zero: it does not survive the page.
    pub resume: Duration,
    /// How long calls wait for a gateway whose connection is gone, or that a restarted server has not seen yet; zero: they end
    /// with the connection.
    pub gateway: Duration,
    /// How long running calls may go on after the shutdown was asked for, before they are ended.
    pub drain: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(60),
            no_answer: Duration::from_secs(45),
            resume: Duration::from_secs(60),
            gateway: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// What the store shall hold from the start. Written at each start: what is named here is made or changed to what stands
/// here, what is not named stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    /// The merchants.
    pub merchants: Vec<MerchantSeed>,
    /// The keys for the REST API.
    pub api_keys: Vec<ApiKeySeed>,
}

/// A merchant with all that belongs to it.
#[derive(Clone, Debug)]
pub struct MerchantSeed {
    /// As `data-merchant` names it.
    pub id: MerchantId,
    /// As the panel shows it.
    pub name: String,
    /// The origins of the pages that may place calls.
    pub origins: Vec<Origin>,
    /// The HS256 key of `data-token`s, at least 16 bytes. `None`: no such token is accepted.
    pub signing_secret: Option<Secret>,
    /// Where its calls can go.
    pub destinations: Vec<DestinationSeed>,
    /// Its icons.
    pub links: Vec<LinkSeed>,
    /// What the far end's keys mean, beside the defaults; [`Action::Off`](protocol::command::Action::Off) takes one away.
    pub commands: Vec<Command>,
    /// The pause that ends a sequence which could go on.
    pub key_pause: Duration,
    /// What may not be done to its shoppers from afar.
    pub forbidden: Vec<Setting>,
    /// What becomes of its calls when their gateway is gone for good.
    pub on_gateway_loss: GatewayLoss,
}

/// A destination of a merchant.
#[derive(Clone, Debug)]
pub struct DestinationSeed {
    /// Its name within the merchant.
    pub id: DestinationId,
    /// The trunk to dial over.
    pub trunk: TrunkName,
    /// A user part on the trunk (`1001`, `+43123456`) or a whole SIP URI.
    pub address: String,
}

/// A link of a merchant.
#[derive(Clone, Debug)]
pub struct LinkSeed {
    /// As `data-link` names it.
    pub id: LinkId,
    /// As the panel shows it.
    pub label: String,
    /// One of the merchant's destinations.
    pub destination: DestinationId,
    /// How long the far end may ring; `None`: [`Deadlines::no_answer`].
    pub no_answer: Option<Duration>,
}

/// A key for the REST API.
#[derive(Clone, Debug)]
pub struct ApiKeySeed {
    /// What it is for; names it in the configuration and in the log.
    pub name: String,
    /// The bearer token, at least 16 bytes. The store keeps a hash of it.
    pub key: Secret,
    /// Reaches that merchant only; `None`: the operator's key, which reaches everything.
    pub merchant: Option<MerchantId>,
}

/// A text that must not stand in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
