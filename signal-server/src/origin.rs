//! Web origins (RFC 6454): scheme, host and port, compared as browsers write them.

use std::fmt;
use std::str::FromStr;
use url::Url;

/// An http or https origin in its ASCII serialization (RFC 6454 section 6.2): lower case, no default port, no path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

/// A text that is no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin: write scheme, host and, where it is not the usual one, port, like https://www.example.com"
)]
pub struct NotAnOrigin(String);

impl Origin {
    /// The origin of a URL; `None` for schemes other than http and https.
    pub fn of(url: &Url) -> Option<Self> {
        matches!(url.scheme(), "http" | "https").then(|| Self(url.origin().ascii_serialization()))
    }

    /// The serialization.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NotAnOrigin;

    /// Takes exactly an origin: a URL with a path, a query or a user is refused, so that nobody believes that the path
    /// matters.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || NotAnOrigin(text.chars().take(100).collect());
        let url = Url::parse(text).map_err(|_| refuse())?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let anonymous = url.username().is_empty() && url.password().is_none();
        Self::of(&url).filter(|_| bare && anonymous).ok_or_else(refuse)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_compared_as_browsers_write_it() {
        let table = [
            ("https://Shop.Example", Some("https://shop.example")),
            ("https://shop.example:443", Some("https://shop.example")),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("https://shop.example/", Some("https://shop.example")),
            ("https://bücher.example", Some("https://xn--bcher-kva.example")),
            ("https://shop.example/cart", None),
            ("https://user@shop.example", None),
            ("https://shop.example?x", None),
            ("ftp://shop.example", None),
            ("data:text/html,x", None),
            ("null", None),
            ("*", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Origin>().ok().as_ref().map(Origin::as_str), expected, "{text}");
        }
    }
}
