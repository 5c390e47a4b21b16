//! What a page's headers forbid: Content Security Policy Level 3 as far as script and frame of one host are concerned, and
//! Permissions Policy as far as the microphone is.

use reqwest::header::HeaderMap;
use url::Url;

/// What is to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PolicyKind {
    Script,
    Frame,
}

/// One policy: each must allow (CSP section 8.1).
#[derive(Debug)]
pub(super) struct Policy {
    /// Where it stands, in words.
    pub(super) place: String,
    directives: Vec<(String, Vec<String>)>,
}

impl Policy {
    pub(super) fn parse(place: &str, text: &str) -> Self {
        let directives = text.split(';').filter_map(|directive| {
            let mut words = directive.split_whitespace().map(str::to_owned);
            Some((words.next()?.to_ascii_lowercase(), words.collect()))
        });
        Self { place: place.to_owned(), directives: directives.collect() }
    }

    /// The directive that forbids it; `None` when it is allowed.
    pub(super) fn forbids(&self, kind: PolicyKind, host: &Url, page: &Url, nonce: Option<&str>) -> Option<String> {
        // The first that is there counts (section 6.8.3).
        let names: &[&str] = match kind {
            PolicyKind::Script => &["script-src-elem", "script-src", "default-src"],
            PolicyKind::Frame => &["frame-src", "child-src", "default-src"],
        };
        let directive = names.iter().find_map(|name| self.directives.iter().find(|(it, _)| it == name));
        let (name, sources) = directive?;
        let by_nonce = nonce.is_some_and(|nonce| sources.iter().any(|it| *it == format!("'nonce-{nonce}'")));
        // 'strict-dynamic' makes hosts count nothing (section 8.2).
        let is_strict = sources.iter().any(|it| it == "'strict-dynamic'");
        let by_host = || sources.iter().any(|source| matches(source, host, page));
        let is_allowed = match kind {
            PolicyKind::Script => by_nonce || (!is_strict && by_host()),
            PolicyKind::Frame => by_host(),
        };
        (!is_allowed).then(|| [std::slice::from_ref(name), sources].concat().join(" "))
    }
}

/// Whether a source expression matches the host (section 6.7.2.8).
fn matches(source: &str, host: &Url, page: &Url) -> bool {
    match source {
        "*" => return true,
        "'self'" => return host.origin() == page.origin(),
        _ if source.starts_with('\'') => return false,
        _ => {}
    }
    // An http page's sources without a scheme also match https.
    let (scheme, rest) = source.split_once("://").map_or((None, source), |(scheme, rest)| (Some(scheme), rest));
    if let Some(scheme) = source.strip_suffix(':') {
        return upgrades(scheme, host.scheme());
    }
    if !upgrades(scheme.unwrap_or(page.scheme()), host.scheme()) {
        return false;
    }
    let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
    let (name, port) = authority.rsplit_once(':').map_or((authority.as_str(), None), |(name, port)| (name, Some(port)));
    let own = host.host_str().unwrap_or_default();
    let by_name = match name.strip_prefix('*') {
        Some(suffix) => own.ends_with(suffix) && own.len() > suffix.len(),
        None => own == name,
    };
    let by_port = match port {
        None => host.port().is_none(),
        Some("*") => true,
        Some(port) => host.port_or_known_default().is_some_and(|own| own.to_string() == port),
    };
    by_name && by_port
}

/// Section 6.7.2.9: http allows https as well.
fn upgrades(allowed: &str, scheme: &str) -> bool {
    allowed.eq_ignore_ascii_case(scheme) || (allowed.eq_ignore_ascii_case("http") && scheme == "https")
}

/// The part of the page's `Permissions-Policy` that withholds the microphone from a frame of the host.
pub(super) fn microphone_withheld(headers: &HeaderMap, host: &Url) -> Option<String> {
    let headers = headers.get_all("permissions-policy").iter().filter_map(|it| it.to_str().ok());
    let mut directives = headers.flat_map(|it| it.split(',')).map(str::trim);
    // A structured dictionary (RFC 9651): the last of a key counts, but nobody writes two.
    let directive = directives.find(|it| it.split('=').next().is_some_and(|key| key.trim() == "microphone"))?;
    let list = directive.split_once('=').map_or("", |it| it.1).trim();
    let own = format!("\"{}\"", host.origin().ascii_serialization());
    let is_allowed = list == "*" || list.trim_matches(['(', ')']).split_whitespace().any(|it| it == "*" || it == own);
    (!is_allowed).then(|| directive.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn sources_are_matched_as_browsers_do() {
        let page = url("https://shop.example/");
        let table = [
            ("https://call.example", "https://call.example", true),
            ("https://call.example/ringlet.js", "https://call.example", true),
            ("call.example", "https://call.example", true),
            ("*.example", "https://call.example", true),
            ("*.call.example", "https://call.example", false),
            ("https:", "https://call.example", true),
            ("http:", "https://call.example", true),
            ("http://call.example", "https://call.example", true),
            ("https://call.example:8443", "https://call.example:8443", true),
            ("https://call.example", "https://call.example:8443", false),
            ("https://call.example:*", "https://call.example:8443", true),
            ("https://call.example:443", "https://call.example", true),
            ("'self'", "https://shop.example", true),
            ("'self'", "https://call.example", false),
            ("'unsafe-inline'", "https://call.example", false),
            ("*", "https://call.example", true),
            ("data:", "https://call.example", false),
        ];
        for (source, host, expected) in table {
            assert_eq!(matches(source, &url(host), &page), expected, "{source} for {host}");
        }
    }

    #[test]
    fn a_nonce_counts_for_the_script_and_strict_dynamic_leaves_nothing_else() {
        let (host, page) = (url("https://call.example"), url("https://shop.example"));
        let forbids = |policy: &str, kind, nonce| Policy::parse("here", policy).forbids(kind, &host, &page, nonce);
        let strict = "script-src 'nonce-n1' 'strict-dynamic' https:";
        assert_eq!(forbids(strict, PolicyKind::Script, Some("n1")), None);
        assert!(forbids(strict, PolicyKind::Script, None).is_some());
        assert_eq!(forbids(strict, PolicyKind::Frame, None), None, "no directive, nothing forbidden");
        let elements = "script-src-elem 'none'; script-src *; child-src *; default-src 'none'";
        assert_eq!(forbids(elements, PolicyKind::Script, None).as_deref(), Some("script-src-elem 'none'"));
        assert_eq!(forbids(elements, PolicyKind::Frame, None), None);
    }

    #[test]
    fn the_microphone_must_be_granted_to_the_host_where_it_is_named_at_all() {
        let host = url("https://call.example/");
        let table = [
            ("camera=()", true),
            ("microphone=*", true),
            ("microphone=(self \"https://call.example\")", true),
            ("microphone=(*)", true),
            ("microphone=()", false),
            ("camera=(), microphone=(self)", false),
            ("microphone=(self \"https://other.example\")", false),
        ];
        for (value, expected) in table {
            let headers = HeaderMap::from_iter([(
                "permissions-policy".parse().expect("a name"),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(microphone_withheld(&headers, &host).is_none(), expected, "{value}");
        }
    }
}
