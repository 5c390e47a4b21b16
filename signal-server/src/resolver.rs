//! Asks a merchant's own server which page an agent's keys mean, with a signed request. Not here: who asks, and when.
//!
//! `POST` with a JSON body; `Ringlet-Signature: t=<Unix seconds>,v1=<signature>`, where the signature is the HMAC-SHA256 (RFC
//! 2104) of `<t>.<body>` under the merchant's `signing_secret`, in base64url without padding. A server that refuses what is older
//! than a few minutes, and an `id` that it has seen, cannot be told the same twice.
//!
//! The address is the merchant's word, so this is careful: addresses are checked where the connection is made, redirects are not
//! followed, proxies not asked, time and length bounded.

use crate::Secret;
use crate::id;
use crate::push::{self, BadUrl};
use ipnet::IpNet;
use jsonwebtoken::{Algorithm, EncodingKey, crypto, get_current_timestamp};
use protocol::{CallId, MerchantId};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, header};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard::ResolveRequest;
use url::Url;

/// From the question to the end of the answer; an agent waits for it with a phone in the hand.
const DEADLINE: Duration = Duration::from_secs(2);

/// The longest answer: one address.
const MAX_ANSWER_BYTES: usize = 8 * 1024;

/// Asks.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    /// For https.
    client: Client,
    /// For http: only into networks that the operator has named.
    clear: Client,
    networks: Arc<[IpNet]>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("its address {0}")]
    Url(#[from] BadUrl),
    #[error("the request fails: {0}")]
    Request(#[from] reqwest::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_ANSWER_BYTES} bytes")]
    TooLong,
    #[error("the answer is no {{\"page\": …}}: {0}")]
    NoPage(#[from] serde_json::Error),
    #[error("the request cannot be signed: {0}")]
    Signature(#[from] jsonwebtoken::errors::Error),
}

/// The body of the question.
#[derive(Serialize)]
struct Asked<'a> {
    /// Another for each question.
    id: String,
    merchant: &'a MerchantId,
    call: &'a CallId,
    sequence: &'a str,
    customer: Option<&'a str>,
    page: Option<&'a str>,
}

/// The body of the answer.
#[derive(Deserialize)]
struct Answer {
    page: String,
}

impl Resolver {
    /// One for all merchants. `networks`: private ones in which their servers may be.
    pub(crate) fn new(networks: &[IpNet]) -> Result<Self, reqwest::Error> {
        let networks: Arc<[IpNet]> = networks.into();
        let mut roots = RootCertStore::empty();
        // A machine without certificates has other worries; every question fails then, and says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map(|tls| tls.with_root_certificates(roots).with_no_client_auth());
        let client = |is_clear| {
            let guarded = Guarded { networks: networks.clone(), is_clear };
            let client = Client::builder()
                .redirect(Policy::none())
                .no_proxy()
                .timeout(DEADLINE)
                .user_agent(concat!("ringlet/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(guarded));
            match &tls {
                Ok(tls) => client.tls_backend_preconfigured(tls.clone()).build(),
                Err(_) => client.build(),
            }
        };
        Ok(Self { client: client(false)?, clear: client(true)?, networks })
    }

    /// The page that the merchant's server names, as it names it.
    pub(crate) async fn ask(
        &self,
        merchant: &MerchantId,
        call: &CallId,
        request: &ResolveRequest,
        secret: &Secret,
    ) -> Result<String, ResolveError> {
        let url = push::check_resolver(&request.url, &self.networks)?;
        let asked = Asked {
            // By chance, not counted: another run of the server may have asked for this call as well.
            id: format!("{call}-{}", id::short_id()),
            merchant,
            call,
            sequence: &request.sequence,
            customer: request.customer.as_deref(),
            page: request.page.as_deref(),
        };
        let body = serde_json::to_string(&asked)?;
        self.post(url, body, secret).await
    }

    async fn post(&self, url: Url, body: String, secret: &Secret) -> Result<String, ResolveError> {
        let time = get_current_timestamp();
        let key = EncodingKey::from_secret(secret.reveal().as_bytes());
        let signature = crypto::sign(format!("{time}.{body}").as_bytes(), &key, Algorithm::HS256)?;
        let client = if url.scheme() == "http" { &self.clear } else { &self.client };
        let request = client
            .post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("ringlet-signature", format!("t={time},v1={signature}"))
            .body(body);
        let mut response = request.send().await?;
        if response.status() != StatusCode::OK {
            return Err(ResolveError::Status(response.status()));
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_ANSWER_BYTES {
                return Err(ResolveError::TooLong);
            }
        }
        Ok(serde_json::from_slice::<Answer>(&text)?.page)
    }
}

/// Gives only addresses that may be asked: the connection goes to what was checked, whatever the name says a moment later.
#[derive(Debug)]
struct Guarded {
    networks: Arc<[IpNet]>,
    is_clear: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (networks, is_clear) = (self.networks.clone(), self.is_clear);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may_be = if is_clear { push::is_in } else { push::may_be_asked };
            let allowed: Vec<SocketAddr> = found.filter(|it| may_be(it.ip(), &networks)).collect();
            if allowed.is_empty() {
                return Err("the name leads to no address that may be asked".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
