//! `ringlet check`: what is wrong with the set-up, before a shopper finds out.

use crate::config::{File, Halves, TlsMode};
use crate::page;
use anyhow::Context as _;
use media_gateway::sip;
use protocol::TrunkName;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// A trunk on another continent answers within a second; one that is there but slow, within this.
const OPTIONS_TIMEOUT: Duration = Duration::from_secs(5);

/// How a finding is told.
pub(crate) enum Verdict {
    Right,
    /// It works, but probably not as meant.
    Doubtful,
    Wrong,
}

/// Tells findings as they come, and counts those to be cured.
pub(crate) struct Report {
    wrong: usize,
}

impl Report {
    pub(crate) fn tell(&mut self, verdict: &Verdict, what: &str, cure: &str) {
        let word = match verdict {
            Verdict::Right => "right   ",
            Verdict::Doubtful => "doubtful",
            Verdict::Wrong => {
                self.wrong += 1;
                "WRONG   "
            }
        };
        eprintln!("{word}  {what}");
        if !cure.is_empty() {
            eprintln!("          cure: {cure}");
        }
    }

    fn conclude(&self) -> ExitCode {
        match self.wrong {
            0 => return ExitCode::SUCCESS,
            1 => eprintln!("\n1 thing to be cured"),
            wrong => eprintln!("\n{wrong} things to be cured"),
        }
        ExitCode::FAILURE
    }
}

/// Checks the file, the certificates and the trunks, as far as those halves need them, or a shop's page instead. Fails when
/// something is wrong.
pub(crate) async fn check(path: &Path, halves: Halves, page: Option<&url::Url>) -> anyhow::Result<ExitCode> {
    let file = File::load(path, halves)?;
    let mut report = Report { wrong: 0 };
    if let Some(url) = page {
        page::check(&file, url, &mut report).await;
        return Ok(report.conclude());
    }
    report.tell(&Verdict::Right, &format!("{} is well-formed", path.display()), "");
    if halves.signal() {
        secure_context(&file, &mut report);
        if let Some((what, cure)) = unknown_proxy(&file) {
            report.tell(&Verdict::Doubtful, what, cure);
        }
        certificates(&file, &mut report);
        links(&file, &mut report);
    }
    if halves.gateway() {
        reachability(&file, &mut report);
        trunks(&file, &mut report).await?;
    }
    if halves != Halves::Both {
        joint(&file, halves, &mut report);
    }
    Ok(report.conclude())
}

/// What joins halves on machines of their own.
fn joint(file: &File, halves: Halves, report: &mut Report) {
    if halves.signal() && file.signal.gateway_secret.is_empty() {
        let cure = "Set it, and gateway.secret in the gateways' files to the same text.";
        report.tell(&Verdict::Wrong, "signal.gateway_secret is empty: no gateway is let in", cure);
    }
    if halves.gateway() && (file.gateway.signal_url.is_empty() || file.gateway.secret.is_empty()) {
        let cure = "Set both: where the signal-server is, and its gateway_secret.";
        report.tell(&Verdict::Wrong, "gateway.signal_url or gateway.secret is empty: no signal-server is found", cure);
    }
}

/// Browsers give the microphone only to secure contexts (W3C Secure Contexts section 3.1): https and localhost, the shop's
/// page included.
fn secure_context(file: &File, report: &mut Report) {
    let url = &file.http.public_url;
    if is_secure(url) {
        report.tell(&Verdict::Right, &format!("browsers give {url} the microphone"), "");
    } else {
        let what = format!("browsers give the microphone only to https and localhost, and http.public_url is {url}");
        report.tell(
            &Verdict::Wrong,
            &what,
            "Serve it over https: [http.tls], or a proxy that does, and an https public_url.",
        );
    }
    for merchant in &file.merchant {
        for origin in &merchant.origins {
            if url::Url::parse(origin).is_ok_and(|origin| !is_secure(&origin)) {
                let what =
                    format!("merchant `{}`: pages of {origin} get no microphone, since it is not https", merchant.id);
                report.tell(&Verdict::Wrong, &what, "Serve the shop over https and name that origin.");
            }
        }
    }
}

/// TLS that is not ours ends at a proxy, and one that is not trusted passes for the shopper.
fn unknown_proxy(file: &File) -> Option<(&'static str, &'static str)> {
    let http = &file.http;
    let is_unknown =
        http.public_url.scheme() == "https" && http.tls.mode == TlsMode::Off && http.trusted_proxies.is_empty();
    is_unknown.then_some((
        "a proxy serves https, and http.trusted_proxies is empty: all shoppers count as one address, and where the proxy is in \
         http.metrics_from, everybody may read /metrics",
        "Name the proxy's address in http.trusted_proxies, and let it set X-Forwarded-For.",
    ))
}

fn is_secure(url: &url::Url) -> bool {
    let local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || local
}

fn certificates(file: &File, report: &mut Report) {
    let tls = &file.http.tls;
    if tls.mode != TlsMode::Files {
        return;
    }
    let loaded = || -> anyhow::Result<()> {
        let chain = CertificateDer::pem_file_iter(&tls.certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&tls.key)?;
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(())
    };
    match loaded() {
        Ok(()) => report.tell(&Verdict::Right, &format!("certificate {} fits its key", tls.certificate.display()), ""),
        Err(error) => {
            let what = format!("certificate {} and key {}: {error}", tls.certificate.display(), tls.key.display());
            report.tell(&Verdict::Wrong, &what, "Name the PEM files of one pair: the chain, leaf first, and its key.");
        }
    }
}

fn reachability(file: &File, report: &mut Report) {
    let loopback = |ip: &std::net::IpAddr| ip.is_loopback();
    let public = file
        .http
        .public_url
        .host_str()
        .is_some_and(|host| host.contains('.') && host.parse::<std::net::IpAddr>().is_err());
    if public && file.gateway.media.public_ips.iter().all(loopback) {
        let what = "gateway.media.public_ips holds only loopback addresses: browsers elsewhere cannot send audio";
        report.tell(
            &Verdict::Wrong,
            what,
            "Name the address under which browsers reach the UDP port of gateway.media.listen.",
        );
    }
    if let Some(port) = file.gateway.media.tcp.then(|| file.tcp_port()).filter(|port| *port < 1_024) {
        let private = |ip: &std::net::IpAddr| match ip {
            std::net::IpAddr::V4(ip) => ip.is_private(),
            std::net::IpAddr::V6(ip) => ip.is_unique_local(),
        };
        let addresses = &file.gateway.media.public_ips;
        if !matches!(port, 80 | 443) || addresses.iter().any(private) {
            let what = format!("gateway.media.tcp_port is {port}: Chromium connects to no such port for audio");
            let cure =
                "Take a port from 1024 on; 80 and 443 are good for public addresses in gateway.media.public_ips.";
            report.tell(&Verdict::Doubtful, &what, cure);
        }
    }
    for trunk in &file.trunk {
        let remote = trunk.host.parse().map_or(trunk.host != "localhost", |ip: std::net::IpAddr| !ip.is_loopback());
        if remote && (loopback(&file.gateway.media.rtp_ip) || loopback(&file.gateway.sip.listen.ip())) {
            let what =
                format!("trunk `{}` is on another machine, but SIP or RTP is bound to a loopback address", trunk.name);
            report.tell(
                &Verdict::Wrong,
                &what,
                "Bind gateway.sip.listen and gateway.media.rtp_ip to an address that the trunk can reach.",
            );
        }
    }
}

fn links(file: &File, report: &mut Report) {
    if file.merchant.is_empty() {
        let cure = "Add a [[merchant]] with destinations and links, or make them with the REST API.";
        report.tell(&Verdict::Doubtful, "the configuration names no merchant", cure);
    }
    for merchant in &file.merchant {
        let what =
            format!("merchant `{}`: {} links, {} origins", merchant.id, merchant.link.len(), merchant.origins.len());
        if merchant.origins.is_empty() {
            report.tell(&Verdict::Doubtful, &what, "Without `origins` no page may place a call.");
        } else {
            report.tell(&Verdict::Right, &what, "");
        }
    }
}

async fn trunks(file: &File, report: &mut Report) -> anyhow::Result<()> {
    if file.trunk.is_empty() {
        report.tell(&Verdict::Wrong, "no trunk is configured: nobody can be rung", "Add a [[trunk]].");
        return Ok(());
    }
    let mut settings = sip::Settings::from(&file.gateway()?);
    // A port of its own: a running ringlet keeps the configured one.
    settings.listen.set_port(0);
    let (stack, _events) = sip::SipStack::start(settings).await.context("the trunks cannot be tried")?;
    for trunk in &file.trunk {
        let name = format!("trunk `{}` ({} port {})", trunk.name, trunk.host, trunk.port);
        match stack.options(&TrunkName::new(&trunk.name), OPTIONS_TIMEOUT).await {
            Ok(sip::OptionsOutcome { status, phrase, product, took, .. }) => {
                let product = product.map(|product| format!(", {product}")).unwrap_or_default();
                let what =
                    format!("{name}: answers OPTIONS with {status} {phrase} in {} ms{product}", took.as_millis());
                report.tell(&Verdict::Right, &what, "");
            }
            Err(error) => report.tell(&Verdict::Wrong, &format!("{name}: {error}"), ""),
        }
    }
    stack.shutdown(Duration::from_millis(100)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_is_not_trusted_is_doubtful() {
        for (text, is_doubtful) in [
            ("[http]\npublic_url = \"https://call.example\"", true),
            ("[http]\npublic_url = \"https://call.example\"\ntrusted_proxies = [\"127.0.0.1\"]", false),
            (
                "[http]\npublic_url = \"https://call.example\"\n[http.tls]\nmode = \"acme\"\ndomains = [\"call.example\"]\n\
              contact = \"ops@call.example\"",
                false,
            ),
            ("", false),
        ] {
            let file = File::parse(Path::new("r.toml"), text, Halves::Both);
            assert_eq!(file.is_ok_and(|file| unknown_proxy(&file).is_some()), is_doubtful, "{text}");
        }
    }
}
