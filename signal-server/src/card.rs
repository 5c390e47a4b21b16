//! `/card`: all codes of a merchant for its agents, on paper. Agents have no account here: whoever has the merchant's API key makes a
//! signed link, and hands it round. Not here: what the codes do, and their table (`store`).

use crate::Secret;
use crate::app::App;
use crate::panel::escape;
use crate::store::Keypad;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp};
use protocol::MerchantId;
use protocol::command::{Action, Command};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::time::Duration;

/// How long a link opens the card: a shift's start to the next, over a weekend. What it shows is always the table of that moment.
pub(crate) const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A token longer than this is none; ours has some 150 bytes.
const MAX_BYTES: usize = 1024;

/// Keeps these tokens and others apart, which are signed with the same secret (RFC 8725 section 3.12).
const AUDIENCE: &str = "card";

const STYLE: &str = "
@page { margin: 14mm; @bottom-right { content: counter(page) ' / ' counter(pages); font: 9pt system-ui, sans-serif; color: #555 } }
* { box-sizing: border-box }
body { font: 11pt/1.35 system-ui, sans-serif; color: #14201b; background: #fff; max-width: 180mm; margin: 10mm auto; padding: 0 5mm }
h1 { font-size: 20pt; margin: 0 }
p { margin: 2mm 0 6mm; color: #444 }
table { width: 100%; border-collapse: collapse }
caption { text-align: start; font-weight: 700; padding: 5mm 0 1.5mm; break-after: avoid }
tr { break-inside: avoid; border-top: .3mm solid #bbb }
th { width: 38mm; text-align: start; font: 700 17pt/1.2 ui-monospace, monospace; letter-spacing: .08em; padding: 2mm 4mm 2mm 0; white-space: nowrap }
td { padding: 2mm 0; overflow-wrap: anywhere }
small { display: block; color: #555; font-size: 9pt }
@media print { body { margin: 0; padding: 0; max-width: none } }
";

/// What a link's token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    merchant: MerchantId,
    aud: String,
    exp: u64,
}

/// Signs and checks the links' tokens.
#[derive(Clone)]
pub(crate) struct CardTokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl CardTokens {
    pub(crate) fn new(secret: &Secret) -> Self {
        let secret = secret.reveal().as_bytes();
        Self { sign: EncodingKey::from_secret(secret), check: DecodingKey::from_secret(secret) }
    }

    /// A token, and when it ends in Unix seconds.
    pub(crate) fn issue(&self, merchant: MerchantId) -> Result<(String, u64), jsonwebtoken::errors::Error> {
        let exp = get_current_timestamp() + LIFETIME.as_secs();
        let claims = Claims { merchant, aud: AUDIENCE.to_owned(), exp };
        Ok((encode(&Header::new(Algorithm::HS256), &claims, &self.sign)?, exp))
    }

    fn verify(&self, token: &str) -> Option<MerchantId> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["aud", "exp"]);
        validation.set_audience(&[AUDIENCE]);
        let decoded = (token.len() <= MAX_BYTES).then(|| decode::<Claims>(token, &self.check, &validation).ok());
        decoded.flatten().map(|token| token.claims.merchant)
    }
}

impl fmt::Debug for CardTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardTokens(…)")
    }
}

/// What the address carries.
#[derive(Debug, Deserialize)]
pub(crate) struct CardQuery {
    #[serde(default)]
    token: String,
}

/// `GET /card?token=`.
pub(crate) async fn show(State(app): State<App>, Query(query): Query<CardQuery>) -> Response {
    let Some(id) = app.card_tokens.verify(&query.token) else {
        return answer(StatusCode::FORBIDDEN, &notice("This link is no longer valid: ask for a new one."));
    };
    let found = async { Ok::<_, sqlx::Error>((app.store.merchant(&id).await?, app.store.keypad(&id).await?)) }.await;
    match found {
        Ok((Some(merchant), Some(keypad))) => answer(StatusCode::OK, &card(&merchant.name, &keypad)),
        Ok(_) => answer(StatusCode::NOT_FOUND, &notice("This merchant is no longer here.")),
        Err(error) => {
            tracing::error!(%error, merchant = %id, "the store failed while a card was asked for");
            answer(StatusCode::SERVICE_UNAVAILABLE, &notice("The card cannot be read just now: try again."))
        }
    }
}

/// `GET /card.css`: a file, so that the page's policy allows nothing inline.
pub(crate) async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=300")], STYLE)
        .into_response()
}

fn answer(status: StatusCode, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Codes for agents</title><link rel=\"stylesheet\" href=\"card.css\"><body>{body}</body></html>"
    );
    let headers = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (header::CACHE_CONTROL, "no-store"),
        // The address is the key to it.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("x-robots-tag"), "noindex"),
    ];
    (status, headers, Html(page)).into_response()
}

fn notice(text: &str) -> String {
    format!("<h1>Codes for agents</h1><p>{}</p>", escape(text))
}

/// What agents can key at this moment: nothing that is off, nothing that the merchant forbids.
fn card(name: &str, keypad: &Keypad) -> String {
    let allowed =
        |command: &&Command| command.action.touches().is_some_and(|setting| !keypad.forbidden.contains(&setting));
    let (pages, settings): (Vec<_>, Vec<_>) =
        keypad.commands.iter().filter(allowed).partition(|command| command.action.wants_url());
    let mut html = format!(
        "<h1>{}</h1><p>Key these on your phone while you talk. A short high tone says that it is done, three low ones that it is \
         not possible. The shopper sees what you do.</p>",
        escape(name)
    );
    for (title, commands) in [("Pages for the shopper", pages), ("The shopper's sound", settings)] {
        if commands.is_empty() {
            continue;
        }
        let _ = write!(html, "<table><caption>{title}</caption>");
        for command in commands {
            let _ = write!(
                html,
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                escape(&command.sequence),
                words(command)
            );
        }
        html.push_str("</table>");
    }
    html
}

/// The label; without one, what it does.
fn words(command: &Command) -> String {
    let url = command.url.as_deref().filter(|_| command.action == Action::Page).unwrap_or_default();
    match (command.label.as_str(), url) {
        ("", "") => escape(&command.action.word().replace('_', " ")),
        ("", url) => escape(url),
        (label, "") => escape(label),
        (label, url) => format!("{}<small>{}</small>", escape(label), escape(url)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::settings::Setting;

    fn command(sequence: &str, action: Action, url: Option<&str>, label: &str) -> Command {
        Command { sequence: sequence.to_owned(), action, url: url.map(str::to_owned), label: label.to_owned() }
    }

    #[test]
    fn a_card_has_what_can_be_keyed_and_nothing_that_is_off_or_forbidden() {
        let keypad = Keypad {
            commands: vec![
                command("*22", Action::SpeakerLouder, None, "Louder"),
                command("*66", Action::Mute, None, "Mute them"),
                command("*76", Action::Page, Some("/returns?a=<b>"), "Returns & refunds"),
                command("*77", Action::Off, None, "Nothing"),
                command("*99", Action::QualityTest, None, ""),
            ],
            pause: Duration::from_secs(1),
            forbidden: vec![Setting::Mute],
            origins: Vec::new(),
            signing_secret: None,
        };
        let html = card("Shoes & <Sons>", &keypad);
        for text in
            ["Shoes &amp; &lt;Sons&gt;", ">*22<", "Returns &amp; refunds<small>/returns?a=&lt;b&gt;", "quality test"]
        {
            assert!(html.contains(text), "{text} is not in {html}");
        }
        assert!(!html.contains("*66") && !html.contains("*77") && !html.contains("<Sons>"), "{html}");
    }

    #[test]
    fn a_link_opens_its_own_merchants_card_and_no_other_token_does() {
        let tokens = CardTokens::new(&Secret::new("card-secret-0123456789".to_owned()));
        let token = tokens.issue(MerchantId::new("acme")).map(|(token, _)| token).unwrap_or_default();
        assert_eq!(tokens.verify(&token), Some(MerchantId::new("acme")));
        assert_eq!(tokens.verify(""), None);
        let others = CardTokens::new(&Secret::new("another-secret-0123456789".to_owned()));
        assert_eq!(others.verify(&token), None);
        let claims = Claims { merchant: MerchantId::new("acme"), aud: "resume".to_owned(), exp: u64::MAX / 2 };
        let foreign = encode(&Header::new(Algorithm::HS256), &claims, &tokens.sign).unwrap_or_default();
        assert!(!foreign.is_empty() && tokens.verify(&foreign).is_none());
    }
}
