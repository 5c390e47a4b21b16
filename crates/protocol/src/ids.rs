//! Newtypes for everything that names something. An id is opaque text; only its maker knows what is inside.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(transparent))]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(String);

        impl $name {
            /// Wraps the text as it stands.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )*};
}

ids! {
    /// A call, from the click to its record. Made by the signal-server: 26 characters, sorts by time (ULID).
    CallId;
    /// A shop that uses the service, as the `data-merchant` attribute names it.
    MerchantId;
    /// One click-to-call icon of a merchant, as `data-link` names it.
    LinkId;
    /// Where calls of a link go: a trunk and an address on it.
    DestinationId;
    /// A media gateway, by the name in its configuration.
    GatewayId;
    /// A SIP peer that reaches the PSTN or a PBX, by the name in the gateway's configuration.
    TrunkName;
}
