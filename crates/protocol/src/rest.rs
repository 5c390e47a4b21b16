//! The resources of the REST API under `/v1`. What a write may not name is an error; what a read shows may grow.
//!
//! Times are milliseconds since 1970-01-01 UTC. Not here: who may do what, and what makes a field valid.

use crate::error::ErrorCode;
use crate::settings::Setting;
use crate::visitor::{EndReason, Transport};
use crate::{CallId, DestinationId, GatewayId, LinkId, MerchantId, TrunkName};
use serde::{Deserialize, Serialize};

/// A shop that uses the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Merchant {
    /// As `data-merchant` names it.
    pub id: MerchantId,
    /// As the panel shows it.
    pub name: String,
    /// The origins of the pages that may place calls, sorted.
    pub origins: Vec<String>,
    /// Whether `data-token`s are accepted. The secret itself is never shown.
    pub has_signing_secret: bool,
    /// The pause that ends a sequence of the far end's keys which could go on, in milliseconds.
    pub key_pause_ms: u32,
    /// What may not be done to its shoppers from afar.
    pub forbidden: Vec<Setting>,
    /// What becomes of its calls when their gateway is gone for good.
    #[serde(default)]
    pub on_gateway_loss: GatewayLoss,
    /// When it was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
}

/// What `PUT /v1/merchants/{merchant}` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MerchantWrite {
    /// As the panel shows it: 1 to 100 characters.
    pub name: String,
    /// Scheme, host and port of the pages that may place calls, like `https://www.example.com`; at most 100.
    pub origins: Vec<String>,
    /// The HS256 key of `data-token`s, 16 to 512 bytes; an empty text takes it away. Left out: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
    /// The pause that ends a sequence of the far end's keys which could go on: 300 to 5,000 ms. Left out: it stays as it is,
    /// 1,500 ms at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pause_ms: Option<u32>,
    /// What may not be done to its shoppers from afar, neither by keys nor by a desk. Left out: it stays as it is, nothing at
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forbidden: Option<Vec<Setting>>,
    /// What becomes of its calls when their gateway is gone for good. Left out: it stays as it is, `end` at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_gateway_loss: Option<GatewayLoss>,
}

/// What becomes of a call when its gateway is gone for good, and the audio with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum GatewayLoss {
    /// It ends.
    #[default]
    End,
    /// The far end is rung again over another gateway, and the shopper's page connects to it by itself.
    CallAgain,
}

impl GatewayLoss {
    /// As JSON and configuration write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::CallAgain => "call_again",
        }
    }

    /// The other way round.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::End, Self::CallAgain].into_iter().find(|it| it.word() == word)
    }
}

/// A link to the card of a merchant's commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandCard {
    /// To be opened in a browser, and printed.
    pub url: String,
    /// When the link ends, in Unix milliseconds.
    pub expires_at: i64,
}

/// Where a link's calls go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Destination {
    /// Its name within the merchant.
    pub id: DestinationId,
    /// The trunk to dial over.
    pub trunk: TrunkName,
    /// A user part on the trunk or a whole SIP URI.
    pub address: String,
}

/// What `PUT /v1/merchants/{merchant}/destinations/{destination}` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DestinationWrite {
    /// The trunk to dial over.
    pub trunk: TrunkName,
    /// A user part on the trunk (`1001`, `+43123456`) or a whole SIP URI.
    pub address: String,
}

/// One click-to-call icon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Link {
    /// As `data-link` names it.
    pub id: LinkId,
    /// As the panel shows it.
    pub label: String,
    /// Where its calls go.
    pub destination: DestinationId,
    /// How long the far end may ring, in seconds; absent: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer_seconds: Option<u32>,
}

/// What `PUT /v1/merchants/{merchant}/links/{link}` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkWrite {
    /// As the panel shows it: 1 to 100 characters.
    pub label: String,
    /// One of the merchant's destinations.
    pub destination: DestinationId,
    /// How long the far end may ring, 5 to 180 seconds; absent: the server's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_answer_seconds: Option<u32>,
}

/// A key for this API, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Names the key; not secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The merchant that it reaches; absent: everything (an operator's key).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantId>,
    /// Whether it stands in the server's configuration, where alone it can be taken away.
    pub configured: bool,
    /// When it was made.
    pub created_at: i64,
}

/// What `POST /v1/api-keys` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApiKeyCreate {
    /// What it is for: 1 to 100 characters.
    pub name: String,
    /// The merchant that it shall reach; absent: everything, which only an operator's key may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<MerchantId>,
}

/// A key that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKeyCreated {
    /// All but the key.
    pub api_key: ApiKey,
    /// The bearer token. It is shown this once: the server keeps only its hash.
    pub key: String,
}

/// A call's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Call {
    /// The call's id; sorts by the time of the start.
    pub id: CallId,
    /// Whose call it was.
    pub merchant: MerchantId,
    /// The icon that was clicked.
    pub link: LinkId,
    /// Where it went; `signed` when a `data-token` named an address.
    pub destination: DestinationId,
    /// The trunk that was dialled over.
    pub trunk: TrunkName,
    /// What was dialled.
    pub address: String,
    /// The origin of the page that embedded the panel.
    pub origin: String,
    /// The page's address, without query and fragment.
    pub page: Option<String>,
    /// The merchant's own id of the customer or session.
    pub customer: Option<String>,
    /// The gateway that carried it, once the far end was dialled.
    pub gateway: Option<GatewayId>,
    /// When the visitor arrived.
    pub started_at: i64,
    /// When the far end was dialled.
    pub dialed_at: Option<i64>,
    /// When the far end first rang or sent early media.
    pub ringing_at: Option<i64>,
    /// When somebody answered.
    pub answered_at: Option<i64>,
    /// When it was over; absent while it goes on.
    pub ended_at: Option<i64>,
    /// Why it ended.
    pub reason: Option<EndReason>,
    /// The error that the shopper was shown.
    pub code: Option<ErrorCode>,
    /// The final SIP status of the far end, 300 to 699.
    pub sip_status: Option<u16>,
    /// The Call-ID of the SIP dialog.
    pub sip_call_id: Option<String>,
    /// For support: in the words of the far end, the gateway or the browser.
    pub detail: Option<String>,
    /// What the gateway counted.
    pub stats: Option<CallCounters>,
    /// What carried the audio to and from the browser, last; absent while there was none.
    pub transport: Option<Transport>,
}

/// RTP packets of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallCounters {
    /// From the browser.
    pub visitor_packets: u64,
    /// From the far end.
    pub agent_packets: u64,
    /// Of the browser, that never came.
    pub visitor_lost: u64,
    /// Of the far end, that never came.
    pub agent_lost: u64,
}

/// Which calls `GET /v1/calls` lists, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct CallFilter {
    /// Only of this merchant.
    pub merchant: Option<MerchantId>,
    /// Only of this link.
    pub link: Option<LinkId>,
    /// Only of this customer or session.
    pub customer: Option<String>,
    /// Only those that ended for this reason.
    pub reason: Option<EndReason>,
    /// Only those that started then or later.
    pub since: Option<i64>,
    /// Only those that started before.
    pub until: Option<i64>,
    /// How many at most, 1 to 200; 50 when absent.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub cursor: Option<String>,
}

/// Which page of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "openapi", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// How many at most, 1 to 200; 50 when absent.
    pub limit: Option<u32>,
    /// Where the page begins: `next` of the page before.
    pub cursor: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// The `cursor` of the page after; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

words! {
    /// What kind of problem a refused request has.
    pub enum ProblemCode {
        /// No bearer token, or one that opens nothing.
        Unauthorized = "unauthorized",
        /// The key is valid and does not reach this.
        Forbidden = "forbidden",
        /// Nothing has this name.
        NotFound = "not_found",
        /// The method does not exist on this resource.
        MethodNotAllowed = "method_not_allowed",
        /// The body is no JSON, or lacks `content-type: application/json`.
        NotJson = "not_json",
        /// A field or parameter is missing, unknown, or has a value that it cannot have.
        InvalidField = "invalid_field",
        /// The request contradicts what is stored.
        Conflict = "conflict",
        /// The body is too long.
        TooLarge = "too_large",
        /// A fault of ours.
        Internal = "internal",
    }
}

/// Why a request was refused (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank`: `code` tells the kind (RFC 9457 section 4.2.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// The phrase of the HTTP status.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What kind of problem.
    pub code: ProblemCode,
    /// What is wrong here.
    pub detail: String,
    /// What to do about it.
    pub cure: String,
    /// The field or parameter that is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}
