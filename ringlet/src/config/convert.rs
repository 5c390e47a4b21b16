//! From the file to what the servers take.

use super::{AwayTone, Dtmf, File, Ringback, TlsMode, Transport, Trunk};
use anyhow::Context as _;
use media_gateway::config as gateway;
use protocol::command::Command;
use protocol::{DestinationId, GatewayId, LinkId, MerchantId, TrunkName};
use signal_server::{
    ApiKeySeed, Config, Deadlines, DestinationSeed, Limits, LinkSeed, MerchantSeed, Origin, Secret, Seed, Tls,
};
use std::time::Duration;

impl File {
    /// What the signal-server takes.
    pub(crate) fn signal(&self) -> anyhow::Result<Config> {
        let secret = |text: &str| (!text.is_empty()).then(|| Secret::new(text));
        Ok(Config {
            listen: self.http.listen.clone(),
            public_url: self.http.public_url.clone(),
            metrics_from: self.http.metrics_from.iter().map(|network| network.0).collect(),
            trusted_proxies: self.http.trusted_proxies.iter().map(|network| network.0).collect(),
            tls: self.tls(),
            database: self.store.database.clone(),
            keep_calls: (self.store.keep_calls_days > 0).then(|| days(self.store.keep_calls_days)),
            token_secret: None,
            gateway_secret: secret(&self.signal.gateway_secret),
            gateway_socket: None,
            resolver_networks: self.signal.resolver_networks.iter().map(|network| network.0).collect(),
            demo_shop: self.signal.demo_shop,
            limits: Limits {
                calls_per_address_per_minute: self.limits.calls_per_address_per_minute,
                checks_per_address_per_minute: self.limits.checks_per_address_per_minute,
                calls_per_merchant_per_minute: self.limits.calls_per_merchant_per_minute,
                calls: self.limits.calls,
                calls_per_merchant: self.limits.calls_per_merchant,
                connections: self.limits.connections,
                connections_per_address: self.limits.connections_per_address,
            },
            deadlines: Deadlines {
                setup: seconds(self.deadlines.setup_seconds),
                no_answer: seconds(self.deadlines.no_answer_seconds),
                resume: seconds(self.deadlines.resume_seconds),
                gateway: seconds(self.deadlines.gateway_seconds),
                drain: seconds(self.deadlines.drain_seconds),
            },
            seed: Seed {
                merchants: self.merchant.iter().map(merchant).collect::<Result<_, _>>()?,
                api_keys: self.api_key.iter().map(api_key).collect(),
            },
        })
    }

    /// What the media gateway takes.
    pub(crate) fn gateway(&self) -> anyhow::Result<gateway::Config> {
        let [first, last] = self.gateway.media.rtp_ports;
        Ok(gateway::Config {
            name: GatewayId::new(&self.gateway.name),
            capacity: self.gateway.capacity,
            media_udp: self.gateway.media.listen,
            media_tcp: if self.gateway.media.tcp {
                let mut address = self.gateway.media.listen;
                address.set_port(self.tcp_port());
                gateway::MediaTcp::Listen(address)
            } else {
                gateway::MediaTcp::Off
            },
            public_ips: self.gateway.media.public_ips.clone(),
            sip_listen: self.gateway.sip.listen,
            sip_public_ip: self.gateway.sip.public_ip,
            rtp_ip: self.gateway.media.rtp_ip,
            rtp_ports: first..=last,
            trunks: self.trunk.iter().map(Trunk::to_gateway).collect::<anyhow::Result<_>>()?,
            ringback: match self.gateway.media.ringback {
                Ringback::Etsi => gateway::Ringback::Europe,
                Ringback::Us => gateway::Ringback::NorthAmerica,
            },
            away_tone: match self.gateway.media.away_tone {
                AwayTone::Soft => gateway::AwayTone::Soft,
                AwayTone::Off => gateway::AwayTone::Off,
            },
            far_end_silence: (self.gateway.media.far_end_silence_seconds > 0)
                .then(|| seconds(self.gateway.media.far_end_silence_seconds)),
        })
    }

    /// The port of browsers' TCP connections where the web server of the same process listens on it.
    pub(crate) fn shared_tcp_port(&self) -> Option<u16> {
        let is_web = self.http.listen.iter().any(|address| address.port() == self.tcp_port());
        (self.gateway.media.tcp && is_web).then(|| self.tcp_port())
    }

    pub(crate) fn tcp_port(&self) -> u16 {
        match self.gateway.media.tcp_port {
            0 => self.gateway.media.listen.port(),
            port => port,
        }
    }

    /// How `ringlet gateway` reaches its signal-server.
    pub(crate) fn link(&self) -> media_gateway::Signal {
        media_gateway::Signal {
            url: self.gateway.signal_url.clone(),
            path: None,
            secret: self.gateway.secret.clone(),
            hold: seconds(self.gateway.hold_seconds),
        }
    }

    /// How long running calls may go on after SIGTERM.
    pub(crate) fn drain(&self) -> Duration {
        seconds(self.deadlines.drain_seconds)
    }

    /// How long a process may go on with its calls whose place another has taken.
    pub(crate) fn handover(&self) -> Duration {
        seconds(self.deadlines.handover_seconds)
    }

    fn tls(&self) -> Tls {
        let tls = &self.http.tls;
        match tls.mode {
            TlsMode::Off => Tls::Off,
            TlsMode::Files => Tls::Files { certificate: tls.certificate.clone(), key: tls.key.clone() },
            TlsMode::Acme => Tls::Acme {
                domains: tls.domains.clone(),
                contacts: vec![tls.contact.clone()],
                cache: tls.cache.clone(),
                staging: tls.staging,
            },
        }
    }
}

impl Trunk {
    /// The trunk, its password read from its file where it has one.
    pub(crate) fn to_gateway(&self) -> anyhow::Result<gateway::Trunk> {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let password = if self.password_file.as_os_str().is_empty() {
            text(&self.password)
        } else {
            let read = std::fs::read_to_string(&self.password_file)
                .with_context(|| format!("the password file {} cannot be read", self.password_file.display()))?;
            text(read.trim_end_matches(['\r', '\n']))
        };
        Ok(gateway::Trunk {
            name: TrunkName::new(&self.name),
            host: self.host.clone(),
            port: self.port,
            transport: match self.transport {
                Transport::Udp => gateway::Transport::Udp,
                Transport::Tcp => gateway::Transport::Tcp,
            },
            username: text(&self.username),
            password: password.map(gateway::Password::new),
            from_user: text(&self.from_user),
            from_name: text(&self.from_name),
            from_domain: text(&self.from_domain),
            keepalive: (self.keepalive_seconds > 0).then(|| seconds(self.keepalive_seconds)),
            dtmf: match self.dtmf {
                Dtmf::Auto => gateway::Dtmf::Auto,
                Dtmf::Events => gateway::Dtmf::Events,
                Dtmf::Tones => gateway::Dtmf::Tones,
            },
        })
    }
}

impl super::Command {
    /// The command as the store takes it.
    pub(super) fn to_signal(&self) -> Command {
        let url = (!self.url.is_empty()).then(|| self.url.clone());
        Command { sequence: self.sequence.clone(), action: self.action, url, label: self.label.clone() }
    }
}

fn merchant(merchant: &super::Merchant) -> anyhow::Result<MerchantSeed> {
    Ok(MerchantSeed {
        id: MerchantId::new(&merchant.id),
        name: merchant.name.clone(),
        origins: merchant.origins.iter().map(|origin| origin.parse::<Origin>()).collect::<Result<_, _>>()?,
        signing_secret: (!merchant.signing_secret.is_empty()).then(|| Secret::new(&merchant.signing_secret)),
        destinations: merchant
            .destination
            .iter()
            .map(|destination| DestinationSeed {
                id: DestinationId::new(&destination.id),
                trunk: TrunkName::new(&destination.trunk),
                address: destination.address.clone(),
            })
            .collect(),
        links: merchant
            .link
            .iter()
            .map(|link| LinkSeed {
                id: LinkId::new(&link.id),
                label: link.label.clone(),
                destination: DestinationId::new(&link.destination),
                no_answer: (link.no_answer_seconds > 0).then(|| seconds(link.no_answer_seconds)),
            })
            .collect(),
        commands: merchant.command.iter().map(super::Command::to_signal).collect(),
        key_pause: Duration::from_millis(u64::from(merchant.key_pause_ms)),
        forbidden: merchant.forbidden.clone(),
        on_gateway_loss: merchant.on_gateway_loss,
    })
}

fn api_key(key: &super::ApiKey) -> ApiKeySeed {
    ApiKeySeed {
        name: key.name.clone(),
        key: Secret::new(&key.key),
        merchant: (!key.merchant.is_empty()).then(|| MerchantId::new(&key.merchant)),
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds))
}
