//! Which pages may be put before a shopper: those of the merchant's own origins, and in a call only those of the origin that the
//! shopper is at, because a call does not follow to another. Not here: who puts them there.

use crate::Origin;
use crate::store::Keypad;
use ipnet::IpNet;
use protocol::command::{Action, Command, MAX_URL_BYTES};
use protocol::settings::Setting;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use switchboard::{Act, CommandTable, Step};
use url::{Host, Url};

/// What may stand in a page's address for what is known of the call.
const PLACEHOLDERS: [&str; 4] = ["{customer}", "{call}", "{sequence}", "{page}"];

/// Why an address will not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is missing, or stands where none is wanted.
    #[error("does not go with this action")]
    Misplaced,
    /// It is no address.
    #[error("is neither a path of the shop nor an http or https address")]
    NoUrl,
    /// It leads elsewhere.
    #[error("is of {0}, which is not among the merchant's origins")]
    Foreign(String),
    /// It has braces with something else in them.
    #[error("has a placeholder that stands for nothing")]
    Placeholder,
    /// It would let a value choose the server.
    #[error("has a placeholder before its path")]
    PlaceholderInOrigin,
    /// It is too long.
    #[error("is longer than {MAX_URL_BYTES} bytes")]
    TooLong,
    /// The merchant's server would be asked in the clear.
    #[error("is not https")]
    Insecure,
    /// The merchant's server is where this server must not be sent.
    #[error("is at a private address")]
    Private,
}

impl BadUrl {
    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Misplaced => "Give `page` and `resolve` an address, and other actions none.",
            Self::NoUrl => "Write a path, like \"/returns\", or an address, like \"https://www.example.com/returns\".",
            Self::Foreign(_) => "Add the origin to the merchant's, or name a page by its path.",
            Self::Placeholder => "Use {customer}, {call}, {sequence} and {page}; write other braces as %7B and %7D.",
            Self::PlaceholderInOrigin => "Let placeholders stand in the path, the query or the fragment.",
            Self::TooLong => "Let the page itself, or the merchant's server, know the rest.",
            Self::Insecure | Self::Private => {
                "Use an https address on the internet, or let the operator name the network in `signal.resolver_networks`."
            }
        }
    }
}

/// Checks the address of a command. `networks`: private ones in which merchants' servers may be.
///
/// # Errors
/// What is wrong with it.
pub fn check_command(command: &Command, origins: &[String], networks: &[IpNet]) -> Result<(), BadUrl> {
    match (&command.url, command.action) {
        (Some(url), Action::Page) => check_page(url, origins),
        (Some(url), Action::Resolve) => check_resolver(url, networks).map(drop),
        (None, action) if !action.wants_url() => Ok(()),
        (Some(_) | None, _) => Err(BadUrl::Misplaced),
    }
}

/// What each of a merchant's sequences means to a shopper who is at `origin`.
pub(crate) fn table(keypad: &Keypad, origin: &str) -> CommandTable {
    let act = |command: &Command| -> Option<Act> {
        let is_forbidden = |setting: Setting| keypad.forbidden.contains(&setting);
        if command.action.touches().is_some_and(is_forbidden) {
            return Some(Act::Impossible);
        }
        let url = command.url.clone().unwrap_or_default();
        Some(match command.action {
            Action::Page => at_origin(&url, &keypad.origins, origin).map_or(Act::Impossible, Act::Page),
            Action::Resolve if keypad.signing_secret.is_some() => Act::Resolve(url),
            Action::Resolve => Act::Impossible,
            Action::SpeakerLouder => Act::Step(Step::Speaker(1)),
            Action::SpeakerSofter => Act::Step(Step::Speaker(-1)),
            Action::MicrophoneLouder => Act::Step(Step::Microphone(1)),
            Action::MicrophoneSofter => Act::Step(Step::Microphone(-1)),
            Action::EchoUp => Act::Step(Step::Echo { up: true }),
            Action::EchoDown => Act::Step(Step::Echo { up: false }),
            Action::Mute => Act::Step(Step::Mute),
            Action::QualityTest => Act::Step(Step::QualityTest),
            Action::Off => return None,
        })
    };
    let acts = keypad.commands.iter().filter_map(|command| Some((command.sequence.clone(), act(command)?))).collect();
    CommandTable { acts, pause: keypad.pause }
}

/// The absolute address of a page, placeholders and all, if a shopper at `origin` can be shown it.
pub(crate) fn at_origin(page: &str, origins: &[String], origin: &str) -> Option<String> {
    check_page(page, origins).ok()?;
    let absolute = if page.starts_with('/') { format!("{origin}{page}") } else { page.to_owned() };
    let url = Url::parse(&without_placeholders(&absolute)?).ok()?;
    (Origin::of(&url)?.as_str() == origin).then_some(absolute)
}

/// Checks the address of a merchant's server as far as it can be seen without asking for its name.
pub(crate) fn check_resolver(text: &str, networks: &[IpNet]) -> Result<Url, BadUrl> {
    if text.len() > MAX_URL_BYTES {
        return Err(BadUrl::TooLong);
    }
    let url = Url::parse(text).map_err(|_| BadUrl::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::NoUrl);
    }
    let literal = match url.host() {
        Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
        Some(Host::Domain(_)) => None,
        None => return Err(BadUrl::NoUrl),
    };
    if literal.is_some_and(|ip| !may_be_asked(ip, networks)) {
        return Err(BadUrl::Private);
    }
    // In the clear only where the operator has said that the network is his own.
    let is_own = literal.map_or(!networks.is_empty(), |ip| is_in(ip, networks));
    if url.scheme() == "http" && !is_own {
        return Err(BadUrl::Insecure);
    }
    Ok(url)
}

/// Whether this server may connect to an address on a merchant's word: everything on the internet, and what the operator has
/// named.
pub(crate) fn may_be_asked(ip: IpAddr, networks: &[IpNet]) -> bool {
    let ip = ip.to_canonical();
    is_in(ip, networks) || is_public(ip)
}

/// Whether the operator has named it.
pub(crate) fn is_in(ip: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&ip.to_canonical()))
}

/// Not among the special-purpose addresses (RFC 6890 and IANA's registries).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a, b & 0xC0) == (100, 64)
                || (a, b, c) == (192, 0, 0)
                || (a, b, c) == (192, 88, 99)
                || (a, b & 0xFE) == (198, 18))
        }
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Global unicast (2000::/3) less what is reserved in it, and what wraps an IPv4 address only if that is public.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, _, _, g, h] = ip.segments();
    let wrapped = |high: u16, low: u16| is_public(IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))));
    match (a, b) {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056).
        (0x64, 0xFF9B) => wrapped(g, h),
        (0x2002, _) => wrapped(b, c),
        // Protocol assignments, documentation (RFC 3849, RFC 9637).
        (0x2001, 0..=0x01FF | 0x0DB8) | (0x3FFF, 0..=0x0FFF) => false,
        _ => (0x2000..0x4000).contains(&a) && (a, b, c, d) != (0x2001, 0, 0, 0),
    }
}

fn check_page(text: &str, origins: &[String]) -> Result<(), BadUrl> {
    if text.len() > MAX_URL_BYTES {
        return Err(BadUrl::TooLong);
    }
    if text.chars().any(|it| it.is_control() || it.is_whitespace() || it == '\\') {
        return Err(BadUrl::NoUrl);
    }
    let plain = without_placeholders(text).ok_or(BadUrl::Placeholder)?;
    if text.starts_with('/') {
        return if text.starts_with("//") { Err(BadUrl::NoUrl) } else { Ok(()) };
    }
    let (_, rest) = text.split_once("://").ok_or(BadUrl::NoUrl)?;
    let authority = rest.find(['/', '?', '#']).map_or(rest, |end| rest.get(..end).unwrap_or_default());
    if authority.contains('{') {
        return Err(BadUrl::PlaceholderInOrigin);
    }
    let url = Url::parse(&plain).map_err(|_| BadUrl::NoUrl)?;
    let origin = Origin::of(&url).filter(|_| !authority.contains('@')).ok_or(BadUrl::NoUrl)?;
    if origins.iter().any(|it| it == origin.as_str()) { Ok(()) } else { Err(BadUrl::Foreign(origin.to_string())) }
}

/// The address with a letter for each placeholder; `None` when other braces are left.
fn without_placeholders(text: &str) -> Option<String> {
    let plain = PLACEHOLDERS.iter().fold(text.to_owned(), |text, it| text.replace(it, "x"));
    (!plain.contains(['{', '}'])).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins() -> Vec<String> {
        vec!["https://shop.example".to_owned(), "https://shop.test:8443".to_owned()]
    }

    #[test]
    fn a_page_is_a_path_or_of_one_of_the_merchants_origins() {
        let foreign = |origin: &str| Err(BadUrl::Foreign(origin.to_owned()));
        let table = [
            ("/returns", Ok(())),
            ("/returns?c={customer}&x={call}#{sequence}", Ok(())),
            ("https://shop.example/a/{page}", Ok(())),
            ("https://SHOP.example:443/a", Ok(())),
            ("https://shop.test:8443", Ok(())),
            ("http://shop.example/a", foreign("http://shop.example")),
            ("https://evil.example/?https://shop.example", foreign("https://evil.example")),
            ("https://shop.example.evil.example/", foreign("https://shop.example.evil.example")),
            ("https://shop.example@evil.example/", Err(BadUrl::NoUrl)),
            ("https://user@shop.example/", Err(BadUrl::NoUrl)),
            ("//evil.example/", Err(BadUrl::NoUrl)),
            ("/\\evil.example/", Err(BadUrl::NoUrl)),
            ("javascript:alert(1)", Err(BadUrl::NoUrl)),
            ("javascript://shop.example/%0aalert(1)", Err(BadUrl::NoUrl)),
            ("data:text/html,x", Err(BadUrl::NoUrl)),
            ("", Err(BadUrl::NoUrl)),
            ("/a b", Err(BadUrl::NoUrl)),
            ("/a\n", Err(BadUrl::NoUrl)),
            ("/{order}", Err(BadUrl::Placeholder)),
            ("/{", Err(BadUrl::Placeholder)),
            ("https://{customer}.shop.example/", Err(BadUrl::PlaceholderInOrigin)),
            ("https://shop.example:{call}", Err(BadUrl::PlaceholderInOrigin)),
        ];
        for (url, expected) in table {
            assert_eq!(check_page(url, &origins()), expected, "{url}");
        }
        assert_eq!(check_page(&format!("/{}", "x".repeat(MAX_URL_BYTES)), &origins()), Err(BadUrl::TooLong));
    }

    #[test]
    fn a_shopper_is_shown_pages_of_the_origin_where_the_call_is() {
        let at = |page: &str| at_origin(page, &origins(), "https://shop.test:8443");
        assert_eq!(at("/a?{call}").as_deref(), Some("https://shop.test:8443/a?{call}"));
        assert_eq!(at("https://shop.test:8443/b").as_deref(), Some("https://shop.test:8443/b"));
        assert_eq!(at("https://shop.example/b"), None, "the merchant's, but elsewhere");
        assert_eq!(at("https://evil.example/b"), None);
    }

    #[test]
    fn merchants_servers_are_asked_on_the_internet_and_where_the_operator_says_so() {
        let own: Vec<IpNet> = vec!["10.99.0.0/24".parse().expect("a network")];
        let table: [(&str, &[IpNet], bool); 24] = [
            ("https://crm.example/page", &[], true),
            ("http://crm.example/page", &[], false),
            ("http://crm.internal/page", &own, true),
            ("http://10.99.0.1/page", &own, true),
            ("http://10.98.0.1/page", &own, false),
            ("http://203.0.114.1/page", &own, false),
            ("https://203.0.114.1/page", &[], true),
            ("https://127.0.0.1/", &[], false),
            ("https://10.0.0.1/", &[], false),
            ("https://169.254.169.254/latest/meta-data", &[], false),
            ("https://100.64.0.1/", &[], false),
            ("https://0.0.0.0/", &[], false),
            ("https://2130706433/", &[], false),
            ("https://[::1]/", &[], false),
            ("https://[::ffff:127.0.0.1]/", &[], false),
            ("https://[::ffff:10.99.0.1]/", &own, true),
            ("https://[fe80::1]/", &[], false),
            ("https://[fd00::1]/", &[], false),
            ("https://[64:ff9b::7f00:1]/", &[], false),
            ("https://[2002:7f00:1::]/", &[], false),
            ("https://[2606:4700::1]/", &[], true),
            ("https://user:pass@crm.example/", &[], false),
            ("file:///etc/passwd", &[], false),
            ("crm.example", &[], false),
        ];
        for (url, networks, expected) in table {
            assert_eq!(check_resolver(url, networks).is_ok(), expected, "{url}");
        }
    }
}
