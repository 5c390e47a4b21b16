//! Checks of browser, network and shop page before any call: the page `/check` ([`page`]), its socket `/ws/check`
//! ([`socket`]), and the catalogue of all codes at `/errors` ([`errors`]).

pub(crate) mod errors;
pub(crate) mod page;
pub(crate) mod socket;
