//! What the shell has decided about a call before the switchboard hears of it: where it goes and what its record tells.

use protocol::rest::GatewayLoss;
use protocol::{DestinationId, LinkId, MerchantId, TrunkName};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where a call goes, and what its record shall tell. Serialised for the server that goes on with the call after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose call it is.
    pub merchant: MerchantId,
    /// The merchant's name as the panel shows it.
    pub merchant_name: String,
    /// The icon that was clicked.
    pub link: LinkId,
    /// The link's label as the panel shows it.
    pub link_label: String,
    /// The destination that the link, or the merchant-signed token, led to.
    pub destination: DestinationId,
    /// The trunk to dial over. Only gateways that have it are chosen.
    pub trunk: TrunkName,
    /// The user part or the whole SIP URI, as [`Command::Dial`](protocol::gateway::Command::Dial) takes it.
    pub address: String,
    /// What the far end's display shall show as the caller.
    pub caller_name: Option<String>,
    /// Extra SIP headers, as the merchant configured them.
    pub headers: Vec<(String, String)>,
    /// The origin of the page that embeds the panel.
    pub origin: String,
    /// The page's address, without query and fragment.
    pub page: Option<String>,
    /// The merchant's own id of the customer or session.
    pub customer: Option<String>,
    /// From the first ringing to giving up. Clamped to [`MIN_NO_ANSWER`](crate::MIN_NO_ANSWER) …
    /// [`MAX_NO_ANSWER`](crate::MAX_NO_ANSWER).
    pub no_answer: Duration,
    /// What becomes of it when its gateway is gone for good.
    #[serde(default)]
    pub on_gateway_loss: GatewayLoss,
}

impl Plan {
    /// The usual [`no_answer`](Self::no_answer): nine rings of five seconds.
    pub const NO_ANSWER: Duration = Duration::from_secs(45);
}
