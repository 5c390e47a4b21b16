//! How much is too much: calls started in a minute by address and by merchant, and calls of a merchant at the same time.

use crate::client_address::ClientAddress;
use crate::config;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::MerchantId;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Addresses that are kept track of. When there are more, those that could not be refused now are forgotten; and should
/// that not help, strangers are refused: somebody is calling from everywhere.
const MAX_ADDRESSES: usize = 100_000;

/// The limits with their counters.
#[derive(Debug)]
pub(crate) struct Limits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_merchant: DefaultKeyedRateLimiter<MerchantId>,
    running: Arc<Mutex<BTreeMap<MerchantId, u32>>>,
    calls_per_merchant: u32,
}

/// A merchant's running call. Gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct CallPermit {
    merchant: MerchantId,
    running: Arc<Mutex<BTreeMap<MerchantId, u32>>>,
}

impl Limits {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        let quota = |calls: u32| Quota::per_minute(NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN));
        Self {
            by_address: RateLimiter::keyed(quota(limits.calls_per_address_per_minute)),
            by_merchant: RateLimiter::keyed(quota(limits.calls_per_merchant_per_minute)),
            running: Arc::default(),
            calls_per_merchant: limits.calls_per_merchant,
        }
    }

    /// Counts a call of that address; `false` when it is one too many.
    pub(crate) fn count_address(&self, client: ClientAddress) -> bool {
        if self.by_address.len() >= MAX_ADDRESSES {
            self.by_address.retain_recent();
            if self.by_address.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        self.by_address.check_key(&client.limit_key()).is_ok()
    }

    /// Counts a call of that merchant; `None` when it is one too many, in this minute or at the same time. To be asked for
    /// merchants that exist only: they bound the table.
    pub(crate) fn count_merchant(&self, merchant: &MerchantId) -> Option<CallPermit> {
        self.by_merchant.check_key(merchant).ok()?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(merchant.clone()).or_default();
        if *count >= self.calls_per_merchant {
            return None;
        }
        *count += 1;
        Some(CallPermit { merchant: merchant.clone(), running: Arc::clone(&self.running) })
    }

    /// Forgets who has not called for long enough. To be done now and then.
    pub(crate) fn forget_idle(&self) {
        self.by_address.retain_recent();
        self.by_merchant.retain_recent();
        self.by_address.shrink_to_fit();
    }
}

impl Drop for CallPermit {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&self.merchant) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(running.remove(&self.merchant)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_address: u32, per_merchant: u32, at_once: u32) -> Limits {
        Limits::new(&config::Limits {
            calls_per_address_per_minute: per_address,
            calls_per_merchant_per_minute: per_merchant,
            calls: 100,
            calls_per_merchant: at_once,
        })
    }

    #[test]
    fn one_address_uses_up_its_own_calls_only() {
        let limits = limits(2, 100, 100);
        let client = |text: &str| ClientAddress(text.parse().expect("an address"));
        let taken = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|text| limits.count_address(client(text)));
        assert_eq!(taken, [true, true, false, true]);
    }

    #[test]
    fn a_merchants_place_is_free_again_when_its_call_is_over() {
        let limits = limits(100, 100, 1);
        let (acme, other) = (MerchantId::from("acme"), MerchantId::from("other"));
        let first = limits.count_merchant(&acme);
        assert!(first.is_some());
        assert!(limits.count_merchant(&acme).is_none());
        assert!(limits.count_merchant(&other).is_some());
        drop(first);
        assert!(limits.count_merchant(&acme).is_some());
    }
}
