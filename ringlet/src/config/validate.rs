//! What a well-formed file can still get wrong. Each rule says what and how to cure it; the shape itself is serde's.

use super::locate::{Lines, Step, Step::Index, Step::Key};
use super::{File, Gateway, Halves, Limits, Merchant, Problem, TlsMode, Trunk};
use ipnet::IpNet;
use protocol::command::{Action, PAUSE_MS, is_sequence};
use signal_server::Origin;
use std::collections::BTreeSet;

/// Short secrets can be guessed over the network.
const MIN_SECRET_CHARACTERS: usize = 16;

/// All that is wrong with what those halves read.
pub(super) fn validate(file: &File, lines: &Lines<'_>, halves: Halves) -> Vec<Problem> {
    let mut check = Check { lines, problems: Vec::new() };
    if halves.signal() {
        http(&mut check, file);
        limits(&mut check, &file.limits);
        signal(&mut check, file, halves);
    }
    if halves.gateway() {
        gateway(&mut check, &file.gateway);
        for (index, trunk) in file.trunk.iter().enumerate() {
            check_trunk(&mut check, index, trunk);
        }
        unique(&mut check, "trunk", "name", file.trunk.iter().map(|trunk| trunk.name.as_str()));
    }
    check.problems
}

struct Check<'a> {
    lines: &'a Lines<'a>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn wrong(&mut self, path: &[Step<'_>], what: &str, cure: &str) {
        let name = path.iter().rev().find_map(|step| if let Key(name) = step { Some(*name) } else { None });
        self.problems.push(Problem {
            at: Some(self.lines.find(path)),
            what: format!("`{}` {what}", name.unwrap_or("file")),
            cure: cure.to_owned(),
        });
    }
}

fn http(check: &mut Check<'_>, file: &File) {
    let http = &file.http;
    if http.listen.is_empty() {
        check.wrong(
            &[Key("http"), Key("listen")],
            "names no address",
            "Name at least one, such as \"127.0.0.1:8080\".",
        );
    }
    if !matches!(http.public_url.scheme(), "http" | "https") || http.public_url.path() != "/" {
        let cure = "Write scheme, host and port alone: \"https://call.example.com\".";
        check.wrong(&[Key("http"), Key("public_url")], "is no web origin", cure);
    }
    let tls = [Key("http"), Key("tls")];
    let wants = |key| [tls[0], tls[1], Key(key)];
    match http.tls.mode {
        TlsMode::Off => {}
        TlsMode::Files => {
            for (key, path) in [("certificate", &http.tls.certificate), ("key", &http.tls.key)] {
                if path.as_os_str().is_empty() {
                    check.wrong(&wants(key), "is missing", "Name the PEM file, or set mode = \"off\".");
                } else if let Err(error) = std::fs::File::open(path) {
                    let what = format!("cannot be read: {}: {error}", path.display());
                    check.wrong(
                        &wants(key),
                        &what,
                        "Correct the path, or let the user that runs ringlet read the file.",
                    );
                }
            }
        }
        TlsMode::Acme => {
            if http.tls.domains.is_empty() {
                check.wrong(&wants("domains"), "is empty", "Name the host names of the certificate.");
            }
            if http.tls.contact.is_empty() {
                check.wrong(&wants("contact"), "is missing", "Name a mail address: \"ops@example.com\".");
            }
        }
    }
}

/// With none of something the server would be of no use; what should be unlimited is a large number.
fn limits(check: &mut Check<'_>, limits: &Limits) {
    let Limits {
        calls_per_address_per_minute,
        checks_per_address_per_minute,
        calls_per_merchant_per_minute,
        calls,
        calls_per_merchant,
        connections,
        connections_per_address,
    } = *limits;
    for (key, number) in [
        ("calls_per_address_per_minute", calls_per_address_per_minute),
        ("checks_per_address_per_minute", checks_per_address_per_minute),
        ("calls_per_merchant_per_minute", calls_per_merchant_per_minute),
        ("calls", calls),
        ("calls_per_merchant", calls_per_merchant),
        ("connections", connections),
        ("connections_per_address", connections_per_address),
    ] {
        if number == 0 {
            let cure = "Write 1 or more; a large number stands for no limit.";
            check.wrong(&[Key("limits"), Key(key)], "is 0, which lets nobody in", cure);
        }
    }
}

fn signal(check: &mut Check<'_>, file: &File, halves: Halves) {
    if !file.signal.gateway_secret.is_empty() && file.signal.gateway_secret.len() < MIN_SECRET_CHARACTERS {
        check.wrong(&[Key("signal"), Key("gateway_secret")], "is too short", "Use at least 16 random characters.");
    }
    unique(check, "merchant", "id", file.merchant.iter().map(|merchant| merchant.id.as_str()));
    unique(check, "api_key", "name", file.api_key.iter().map(|key| key.name.as_str()));
    // Those of gateways elsewhere stand in their files.
    let trunks = halves.gateway().then(|| file.trunk.iter().map(|trunk| trunk.name.as_str()).collect());
    let networks: Vec<_> = file.signal.resolver_networks.iter().map(|network| network.0).collect();
    for (index, merchant) in file.merchant.iter().enumerate() {
        check_merchant(check, index, merchant, trunks.as_ref());
        check_commands(check, index, merchant, &networks);
    }
    for (index, key) in file.api_key.iter().enumerate() {
        if key.key.len() < MIN_SECRET_CHARACTERS {
            let at = [Key("api_key"), Index(index), Key("key")];
            check.wrong(&at, "is too short", "Use at least 16 random characters.");
        }
        if !key.merchant.is_empty() && !file.merchant.iter().any(|merchant| merchant.id == key.merchant) {
            let at = [Key("api_key"), Index(index), Key("merchant")];
            check.wrong(&at, &format!("names no merchant: `{}`", key.merchant), "Name the id of a [[merchant]].");
        }
    }
}

fn gateway(check: &mut Check<'_>, gateway: &Gateway) {
    let [first, last] = gateway.media.rtp_ports;
    let ports = [Key("gateway"), Key("media"), Key("rtp_ports")];
    if first < 1024 || last < first {
        check.wrong(&ports, "is no range of ports", "Write the first and the last port, such as [20000, 29998].");
    } else if u32::from(even_ports(first, last)) < gateway.capacity {
        let what = format!("has {} even ports for {} calls", even_ports(first, last), gateway.capacity);
        check.wrong(&ports, &what, "Widen the range, or lower `gateway.capacity`.");
    }
    if gateway.media.public_ips.is_empty() || gateway.media.public_ips.iter().any(std::net::IpAddr::is_unspecified) {
        let cure = "Name the addresses under which browsers reach this machine.";
        check.wrong(&[Key("gateway"), Key("media"), Key("public_ips")], "names no usable address", cure);
    }
    let anywhere = gateway.sip.listen.ip().is_unspecified() || gateway.media.rtp_ip.is_unspecified();
    if anywhere && gateway.sip.public_ip.is_none() {
        let cure = "Name the address that trunks shall answer and send audio to.";
        check.wrong(&[Key("gateway"), Key("sip"), Key("public_ip")], "is needed when listening on all addresses", cure);
    }
    if !gateway.metrics_listen.is_empty() && gateway.metrics_listen.parse::<std::net::SocketAddr>().is_err() {
        let cure = "Write address and port: \"127.0.0.1:9090\".";
        check.wrong(&[Key("gateway"), Key("metrics_listen")], "is no address", cure);
    }
}

/// How many calls a range has RTP ports for: both its ends belong to it, and RTCP is on the odd port above.
fn even_ports(first: u16, last: u16) -> u16 {
    (last / 2 + 1).saturating_sub(first.div_ceil(2))
}

fn check_trunk(check: &mut Check<'_>, index: usize, trunk: &Trunk) {
    let at = |key| [Key("trunk"), Index(index), Key(key)];
    if trunk.host.is_empty()
        || trunk.host.contains([' ', '/', ':', '@']) && trunk.host.parse::<std::net::IpAddr>().is_err()
    {
        check.wrong(&at("host"), "is no host", "Write a host name or an address alone; the port has a key of its own.");
    }
    if !trunk.password.is_empty() && !trunk.password_file.as_os_str().is_empty() {
        check.wrong(&at("password_file"), "stands beside `password`", "Keep one of them.");
    }
    if !trunk.password_file.as_os_str().is_empty() && std::fs::metadata(&trunk.password_file).is_err() {
        let what = format!("cannot be read: {}", trunk.password_file.display());
        check.wrong(&at("password_file"), &what, "Correct the path.");
    }
    if trunk.from_user.is_empty() {
        check.wrong(&at("from_user"), "is empty", "Write the user part of the From address.");
    }
}

/// `trunks`: all that there are; `None` where that is not known.
fn check_merchant(check: &mut Check<'_>, index: usize, merchant: &Merchant, trunks: Option<&BTreeSet<&str>>) {
    let at = |key| [Key("merchant"), Index(index), Key(key)];
    for origin in &merchant.origins {
        if origin.parse::<Origin>().is_err() {
            let cure = "Write scheme, host and, where it is not the usual one, port: \"https://www.example.com\".";
            check.wrong(&at("origins"), &format!("holds no web origin: `{origin}`"), cure);
        }
    }
    if !merchant.signing_secret.is_empty() && merchant.signing_secret.len() < MIN_SECRET_CHARACTERS {
        check.wrong(&at("signing_secret"), "is too short", "Use at least 16 random characters.");
    }
    for (place, destination) in merchant.destination.iter().enumerate() {
        if destination.trunk.is_empty() || trunks.is_some_and(|trunks| !trunks.contains(destination.trunk.as_str())) {
            let path = [Key("merchant"), Index(index), Key("destination"), Index(place), Key("trunk")];
            let what = format!("names no trunk: `{}`", destination.trunk);
            let cure =
                "Name one of the [[trunk]] tables. Where they stand in gateways' files: `ringlet check --half signal`.";
            check.wrong(&path, &what, cure);
        }
        if !signal_server::is_address(&destination.address) {
            let path = [Key("merchant"), Index(index), Key("destination"), Index(place), Key("address")];
            let cure = "Write a number or user part (\"1001\", \"+43123456\") or a URI that begins with \"sip:\".";
            check.wrong(&path, "makes no SIP address", cure);
        }
    }
    for (place, link) in merchant.link.iter().enumerate() {
        if !merchant.destination.iter().any(|destination| destination.id == link.destination) {
            let path = [Key("merchant"), Index(index), Key("link"), Index(place), Key("destination")];
            let what = format!("names no destination of this merchant: `{}`", link.destination);
            check.wrong(&path, &what, "Name the id of one of its [[merchant.destination]] tables.");
        }
    }
}

fn check_commands(check: &mut Check<'_>, index: usize, merchant: &Merchant, networks: &[IpNet]) {
    if !PAUSE_MS.contains(&merchant.key_pause_ms) {
        let cure = "Use 300 to 5000 milliseconds; 1500 suits most hands.";
        check.wrong(&[Key("merchant"), Index(index), Key("key_pause_ms")], "is too short or too long", cure);
    }
    let origins: Vec<String> =
        merchant.origins.iter().filter_map(|it| it.parse::<Origin>().ok()).map(|it| it.to_string()).collect();
    let mut seen = BTreeSet::new();
    for (place, command) in merchant.command.iter().enumerate() {
        let at = |key| [Key("merchant"), Index(index), Key("command"), Index(place), Key(key)];
        if !is_sequence(&command.sequence) {
            let cure = "Write a star and 1 to 11 keys of 0-9 and A-D: \"*76\".";
            check.wrong(&at("sequence"), "cannot be a command", cure);
        } else if !seen.insert(command.sequence.as_str()) {
            let what = format!("stands twice: `{}`", command.sequence);
            check.wrong(&at("sequence"), &what, "Give each command keys of its own.");
        }
        if let Err(error) = signal_server::check_command(&command.to_signal(), &origins, networks) {
            check.wrong(&at("url"), &error.to_string(), error.cure());
        }
        if command.action == Action::Resolve && merchant.signing_secret.is_empty() {
            let cure = "Set the merchant's `signing_secret`: questions to its server are signed with it.";
            check.wrong(&at("action"), "needs a secret to sign with", cure);
        }
    }
}

fn unique<'a>(check: &mut Check<'_>, table: &str, key: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if name.is_empty() || !seen.insert(name) {
            let what = if name.is_empty() { "is empty".to_owned() } else { format!("stands twice: `{name}`") };
            check.wrong(&[Key(table), Index(index), Key(key)], &what, "Give each a name of its own.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{File, Halves};
    use std::path::Path;

    /// What a file's text is told to be wrong, one complaint a line.
    fn complaints(text: &str) -> String {
        complaints_of(Halves::Both, text)
    }

    fn complaints_of(halves: Halves, text: &str) -> String {
        File::parse(Path::new("r.toml"), text, halves).map_or_else(|problems| problems.to_string(), |_| "valid".into())
    }

    #[test]
    fn each_rule_names_the_line_and_a_cure() {
        for (text, expected) in [
            ("[http]\nlisten = []", "r.toml:2:1: `listen` names no address"),
            ("[http]\npublic_url = \"ftp://x\"", "r.toml:2:1: `public_url` is no web origin"),
            ("[http.tls]\nmode = \"files\"", "r.toml:1:7: `certificate` is missing"),
            ("[http.tls]\nmode = \"acme\"", "`domains` is empty"),
            ("[signal]\ngateway_secret = \"short\"", "r.toml:2:1: `gateway_secret` is too short"),
            ("[gateway.media]\nrtp_ports = [30000, 20000]", "r.toml:2:1: `rtp_ports` is no range"),
            ("[gateway]\ncapacity = 9\n[gateway.media]\nrtp_ports = [20000, 20010]", "has 6 even ports for 9 calls"),
            ("[gateway]\ncapacity = 2\n[gateway.media]\nrtp_ports = [20001, 20003]", "has 1 even ports for 2 calls"),
            ("[gateway.media]\npublic_ips = []", "`public_ips` names no usable address"),
            ("[gateway.sip]\nlisten = \"0.0.0.0:5060\"", "`public_ip` is needed"),
            ("[gateway]\nmetrics_listen = \"x\"", "r.toml:2:1: `metrics_listen` is no address"),
            ("[[trunk]]\nname = \"a\"\nhost = \"pbx:5060\"", "r.toml:3:1: `host` is no host"),
            (
                "[[trunk]]\nname = \"a\"\nhost = \"b\"\n[[trunk]]\nname = \"a\"\nhost = \"b\"",
                "r.toml:5:1: `name` stands twice",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\norigins = [\"https://a/b\"]",
                "r.toml:4:1: `origins` holds no web origin",
            ),
            ("[[api_key]]\nname = \"a\"\nkey = \"short\"", "r.toml:3:1: `key` is too short"),
            (
                "[[api_key]]\nname = \"a\"\nkey = \"0123456789abcdef\"\nmerchant = \"x\"",
                "r.toml:4:1: `merchant` names no merchant",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.destination]]\nid = \"d\"\ntrunk = \"t\"\naddress = \"1\"",
                "r.toml:6:1: `trunk` names no trunk",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.destination]]\nid = \"d\"\ntrunk = \"t\"\naddress = \"\"",
                "r.toml:7:1: `address` makes no SIP address",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.link]]\nid = \"l\"\nlabel = \"L\"\ndestination = \"d\"",
                "r.toml:7:1: `destination` names no destination",
            ),
        ] {
            let told = complaints(text);
            assert!(told.contains(expected), "for {text:?} it said:\n{told}");
            assert!(told.contains("cure: "), "{told}");
        }
    }

    #[test]
    fn each_rule_of_commands_names_the_line_and_a_cure() {
        for (text, expected) in [
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\nkey_pause_ms = 20",
                "r.toml:4:1: `key_pause_ms` is too short or too long",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.command]]\nsequence = \"76\"\naction = \"off\"",
                "r.toml:5:1: `sequence` cannot be a command",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.command]]\nsequence = \"*7\"\naction = \"off\"\n\
                 [[merchant.command]]\nsequence = \"*7\"\naction = \"mute\"",
                "r.toml:8:1: `sequence` stands twice",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\norigins = [\"https://a.example\"]\n[[merchant.command]]\n\
                 sequence = \"*7\"\naction = \"page\"\nurl = \"https://b.example/x\"",
                "r.toml:8:1: `url` is of https://b.example, which is not among the merchant's origins",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.command]]\nsequence = \"*7\"\naction = \"page\"",
                "`url` does not go with this action",
            ),
            (
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.command]]\nsequence = \"*7\"\naction = \"resolve\"\n\
                 url = \"https://crm.example/x\"",
                "r.toml:6:1: `action` needs a secret to sign with",
            ),
        ] {
            let told = complaints(text);
            assert!(told.contains(expected), "for {text:?} it said:\n{told}");
            assert!(told.contains("cure: "), "{told}");
        }
    }

    #[test]
    fn each_half_is_told_of_what_it_reads_and_of_nothing_else() {
        let merchant = |trunk: &str| {
            format!(
                "[[merchant]]\nid = \"a\"\nname = \"A\"\n[[merchant.destination]]\nid = \"d\"\ntrunk = \"{trunk}\"\naddress = \"1\""
            )
        };
        for (text, in_signal, in_gateway) in [
            (merchant("pbx"), "valid", "valid"),
            (merchant(""), "`trunk` names no trunk", "valid"),
            ("[http]\nlisten = []".into(), "`listen` names no address", "valid"),
            ("[[api_key]]\nname = \"a\"\nkey = \"short\"".into(), "`key` is too short", "valid"),
            ("[gateway.media]\npublic_ips = []".into(), "valid", "`public_ips` names no usable address"),
            ("[[trunk]]\nname = \"a\"\nhost = \"pbx:5060\"".into(), "valid", "`host` is no host"),
        ] {
            for (halves, expected) in [(Halves::Signal, in_signal), (Halves::Gateway, in_gateway)] {
                let told = complaints_of(halves, &text);
                assert!(told.contains(expected), "{halves:?} said for {text:?}:\n{told}");
            }
        }
    }

    #[test]
    fn no_limit_may_be_zero() {
        for key in [
            "calls_per_address_per_minute",
            "checks_per_address_per_minute",
            "calls_per_merchant_per_minute",
            "calls",
            "calls_per_merchant",
            "connections",
            "connections_per_address",
        ] {
            let told = complaints(&format!("[limits]\n{key} = 0"));
            assert!(told.contains(&format!("r.toml:2:1: `{key}` is 0")), "{told}");
            assert_eq!(complaints(&format!("[limits]\n{key} = 1")), "valid");
        }
    }

    #[test]
    fn all_complaints_are_told_at_once() {
        let told = complaints("[http]\nlisten = []\n[gateway.media]\npublic_ips = []");
        assert!(told.contains("`listen`") && told.contains("`public_ips`"), "{told}");
    }
}
