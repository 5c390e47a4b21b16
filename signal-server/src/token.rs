//! The tokens of a call (RFC 7519, HS256): the panel's, the one for the next page and the one for the same page's next socket,
//! which we sign ourselves, and the destination token, which a merchant's own system signs. Not here: whether what they name exists, or was used before.

use crate::{Origin, Secret};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp};
use protocol::{CallId, LinkId, MerchantId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use switchboard::{Epoch, Session};

/// How long a panel may stay open before the click: long enough for a shopper who reads on, short enough that a token
/// found in a log is worth nothing.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// How much the merchant's clock may be wrong.
const LEEWAY: Duration = Duration::from_secs(60);

/// A token longer than this is none; ours has some 200 bytes.
const MAX_BYTES: usize = 4096;

/// What the panel's token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PanelClaims {
    pub(crate) merchant: MerchantId,
    pub(crate) link: LinkId,
    /// The origin of the page that the panel was made for, where the browser told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<String>,
    exp: u64,
}

/// What a merchant's token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DestinationClaims {
    /// One of the merchant's destinations; with `trunk`, an address on that trunk.
    pub(crate) destination: String,
    #[serde(default)]
    pub(crate) trunk: Option<String>,
    /// The merchant's own id of the customer or session: stronger than `data-customer`, which anybody can write.
    #[serde(default)]
    pub(crate) customer: Option<String>,
}

/// What a `resume` token says. It has no `exp`: it ends with the call, or when the next one is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResumeClaims {
    pub(crate) call: CallId,
    epoch: u32,
    /// The origin of the page that called; that of the page that resumes must be the same.
    pub(crate) origin: String,
    aud: String,
}

/// What a `session` token says. It ends with the call, or when another page has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SessionClaims {
    pub(crate) call: CallId,
    session: u32,
    /// The origin of the page around the panel.
    pub(crate) origin: String,
    aud: String,
}

impl SessionClaims {
    /// Which of the call's pages it is.
    pub(crate) fn session(&self) -> Session {
        Session(self.session)
    }
}

/// Keeps `resume` tokens, `session` tokens and panels' apart, which are signed with the same secret (RFC 8725 section 3.12).
const RESUME_AUDIENCE: &str = "resume";
const SESSION_AUDIENCE: &str = "session";

impl ResumeClaims {
    /// Which of the call's tokens it is.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

/// Signs and checks `resume` and `session` tokens.
#[derive(Clone)]
pub(crate) struct ResumeTokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl ResumeTokens {
    pub(crate) fn new(secret: &Secret) -> Self {
        let secret = secret.reveal().as_bytes();
        Self { sign: EncodingKey::from_secret(secret), check: DecodingKey::from_secret(secret) }
    }

    pub(crate) fn issue(
        &self,
        call: CallId,
        epoch: Epoch,
        origin: String,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = ResumeClaims { call, epoch: epoch.0, origin, aud: RESUME_AUDIENCE.to_owned() };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
    }

    /// A `session` token.
    pub(crate) fn issue_session(
        &self,
        call: CallId,
        session: Session,
        origin: String,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = SessionClaims { call, session: session.0, origin, aud: SESSION_AUDIENCE.to_owned() };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
    }

    /// What a `resume` token says; `None` when it is not ours.
    pub(crate) fn verify(&self, token: &str) -> Option<ResumeClaims> {
        self.decode(token, RESUME_AUDIENCE)
    }

    /// What a `session` token says; `None` when it is not ours.
    pub(crate) fn verify_session(&self, token: &str) -> Option<SessionClaims> {
        self.decode(token, SESSION_AUDIENCE)
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, token: &str, audience: &str) -> Option<T> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["aud"]);
        validation.set_audience(&[audience]);
        validation.validate_exp = false;
        decode_short(token, &self.check, &validation)
    }
}

impl fmt::Debug for ResumeTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeTokens(…)")
    }
}

/// Signs and checks the panel's tokens.
#[derive(Clone)]
pub(crate) struct PanelTokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl PanelTokens {
    pub(crate) fn new(secret: &Secret) -> Self {
        let secret = secret.reveal().as_bytes();
        Self { sign: EncodingKey::from_secret(secret), check: DecodingKey::from_secret(secret) }
    }

    /// A token that is valid for [`LIFETIME`].
    pub(crate) fn issue(
        &self,
        merchant: MerchantId,
        link: LinkId,
        origin: Option<&Origin>,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let exp = get_current_timestamp() + LIFETIME.as_secs();
        let claims = PanelClaims { merchant, link, origin: origin.map(ToString::to_string), exp };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
    }

    /// What the token says; `None` when it is not ours or not valid any more.
    pub(crate) fn verify(&self, token: &str) -> Option<PanelClaims> {
        verify(token, &self.check, Duration::ZERO)
    }
}

/// What the merchant's token says; `None` when the merchant has not signed it or it is not valid any more.
pub(crate) fn verify_destination(token: &str, secret: &Secret) -> Option<DestinationClaims> {
    verify(token, &DecodingKey::from_secret(secret.reveal().as_bytes()), LEEWAY)
}

fn verify<T: serde::de::DeserializeOwned>(token: &str, key: &DecodingKey, leeway: Duration) -> Option<T> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = leeway.as_secs();
    validation.validate_aud = false;
    validation.validate_nbf = true;
    decode_short(token, key, &validation)
}

fn decode_short<T: serde::de::DeserializeOwned>(token: &str, key: &DecodingKey, validation: &Validation) -> Option<T> {
    if token.len() > MAX_BYTES {
        return None;
    }
    decode(token, key, validation).map(|token| token.claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn signed(claims: &Value, secret: &str, algorithm: Algorithm) -> String {
        encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("encodes")
    }

    #[test]
    fn a_panel_token_names_its_link_to_the_secret_that_made_it_only() {
        let tokens = PanelTokens::new(&Secret::new("first secret"));
        let token = tokens.issue("acme".into(), "sales".into(), None).expect("issues");
        let claims = tokens.verify(&token).expect("valid");
        assert_eq!((claims.merchant.as_str(), claims.link.as_str()), ("acme", "sales"));
        assert_eq!(PanelTokens::new(&Secret::new("second secret")).verify(&token), None);
    }

    #[test]
    fn a_resume_token_names_its_call_and_passes_for_no_panels_token() {
        let secret = Secret::new("first secret");
        let tokens = ResumeTokens::new(&secret);
        let token = tokens.issue("01CALL".into(), Epoch(3), "https://shop.example".to_owned()).expect("issues");
        let claims = tokens.verify(&token).expect("valid");
        assert_eq!((claims.call.as_str(), claims.epoch()), ("01CALL", Epoch(3)));
        assert_eq!(ResumeTokens::new(&Secret::new("second secret")).verify(&token), None);
        assert_eq!(PanelTokens::new(&secret).verify(&token), None);
        let panel = PanelTokens::new(&secret).issue("acme".into(), "sales".into(), None).expect("issues");
        assert_eq!(tokens.verify(&panel), None);
        let foreign = json!({"call": "01CALL", "epoch": 3, "origin": "https://shop.example", "aud": "other"});
        assert_eq!(tokens.verify(&signed(&foreign, "first secret", Algorithm::HS256)), None);
    }

    #[test]
    fn a_destination_token_must_be_signed_with_the_merchants_secret_by_hs256_and_must_end() {
        let now = get_current_timestamp();
        let claims = |exp: u64| json!({"destination": "vip", "customer": "c-1", "exp": exp});
        let secret = Secret::new("merchant's secret");
        let table = [
            (signed(&claims(now + 60), "merchant's secret", Algorithm::HS256), true),
            (signed(&claims(now - 30), "merchant's secret", Algorithm::HS256), true),
            (signed(&claims(now - 90), "merchant's secret", Algorithm::HS256), false),
            (signed(&claims(now + 60), "another secret", Algorithm::HS256), false),
            (signed(&claims(now + 60), "merchant's secret", Algorithm::HS512), false),
            (signed(&json!({"destination": "vip"}), "merchant's secret", Algorithm::HS256), false),
            (signed(&json!({"exp": now + 60}), "merchant's secret", Algorithm::HS256), false),
            ("x".repeat(MAX_BYTES + 1), false),
            (String::new(), false),
            // {"alg":"none"}
            ("eyJhbGciOiJub25lIn0.eyJkZXN0aW5hdGlvbiI6InZpcCIsImV4cCI6OTk5OTk5OTk5OX0.".to_owned(), false),
        ];
        for (number, (token, valid)) in table.iter().enumerate() {
            assert_eq!(verify_destination(token, &secret).is_some(), *valid, "row {number}");
        }
    }
}
