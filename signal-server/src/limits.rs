//! How much is too much: connections in all and of an address, calls started in a minute by address and by merchant, calls of a merchant at the same time, and
//! sockets of an address that have not said what they want.

use crate::client_address::ClientAddress;
use crate::config;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use protocol::MerchantId;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Addresses that are kept track of. When there are more, those that could not be refused now are forgotten; and should
/// that not help, strangers are refused: somebody is calling from everywhere.
const MAX_ADDRESSES: usize = 100_000;

/// Visitors' sockets that may wait for their `hello` at the same time: bounds what strangers can hold open.
const MAX_WAITING: u32 = 1_024;

/// Those of one address: many shoppers may share one, but they do not all click within the same moment.
const MAX_WAITING_PER_ADDRESS: u32 = 64;

/// The limits with their counters.
#[derive(Debug)]
pub(crate) struct Limits {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    checks: DefaultKeyedRateLimiter<IpAddr>,
    by_merchant: DefaultKeyedRateLimiter<MerchantId>,
    calls: Places<MerchantId>,
    connections: Places<IpAddr>,
    connections_in_all: Places<()>,
    waiting: Places<IpAddr>,
    waiting_in_all: Places<()>,
}

/// A merchant's running call. Gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct CallPermit(#[expect(dead_code, reason = "held for its drop")] Place<MerchantId>);

/// A connection. Gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(
    #[expect(dead_code, reason = "held for its drop")] Option<Place<IpAddr>>,
    #[expect(dead_code, reason = "held for its drop")] Place<()>,
);

/// A socket that has not said what it wants. Gives its place back when it is dropped.
#[derive(Debug)]
pub(crate) struct WaitingPermit(
    #[expect(dead_code, reason = "held for its drop")] Place<IpAddr>,
    #[expect(dead_code, reason = "held for its drop")] Place<()>,
);

impl Limits {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        let quota = |calls: u32| Quota::per_minute(NonZeroU32::new(calls).unwrap_or(NonZeroU32::MIN));
        Self {
            by_address: RateLimiter::keyed(quota(limits.calls_per_address_per_minute)),
            checks: RateLimiter::keyed(quota(limits.checks_per_address_per_minute)),
            by_merchant: RateLimiter::keyed(quota(limits.calls_per_merchant_per_minute)),
            calls: Places::new(limits.calls_per_merchant),
            connections: Places::new(limits.connections_per_address),
            connections_in_all: Places::new(limits.connections),
            waiting: Places::new(MAX_WAITING_PER_ADDRESS),
            waiting_in_all: Places::new(MAX_WAITING),
        }
    }

    /// Counts a connection; `None` when it is one too many. Those of a trusted proxy are many clients', and count in all only.
    pub(crate) fn count_connection(&self, peer: IpAddr, is_proxy: bool) -> Option<ConnectionPermit> {
        let own = match is_proxy {
            true => None,
            false => Some(self.connections.take(&ClientAddress(peer).limit_key())?),
        };
        Some(ConnectionPermit(own, self.connections_in_all.take(&())?))
    }

    /// Counts a socket that has said nothing yet; `None` when it is one too many.
    pub(crate) fn count_waiting(&self, client: ClientAddress) -> Option<WaitingPermit> {
        Some(WaitingPermit(self.waiting.take(&client.limit_key())?, self.waiting_in_all.take(&())?))
    }

    /// Counts a call of that address; `false` when it is one too many.
    pub(crate) fn count_address(&self, client: ClientAddress) -> bool {
        count(&self.by_address, client)
    }

    /// Counts a check from that address; `false` when it is one too many.
    pub(crate) fn count_check(&self, client: ClientAddress) -> bool {
        count(&self.checks, client)
    }

    /// Counts a call of that merchant; `None` when it is one too many, in this minute or at the same time. To be asked for
    /// merchants that exist only: they bound the table.
    pub(crate) fn count_merchant(&self, merchant: &MerchantId) -> Option<CallPermit> {
        let place = self.calls.take(merchant)?;
        self.by_merchant.check_key(merchant).ok()?;
        Some(CallPermit(place))
    }

    /// Counts a call that runs already, as far as there is room.
    pub(crate) fn count_running(&self, merchant: &MerchantId) -> Option<CallPermit> {
        self.calls.take(merchant).map(CallPermit)
    }

    /// Forgets who has not called for long enough. To be done now and then.
    pub(crate) fn forget_idle(&self) {
        self.by_address.retain_recent();
        self.by_merchant.retain_recent();
        self.checks.retain_recent();
        self.by_address.shrink_to_fit();
        self.checks.shrink_to_fit();
    }
}

fn count(by_address: &DefaultKeyedRateLimiter<IpAddr>, client: ClientAddress) -> bool {
    if by_address.len() >= MAX_ADDRESSES {
        by_address.retain_recent();
        if by_address.len() >= MAX_ADDRESSES {
            return false;
        }
    }
    by_address.check_key(&client.limit_key()).is_ok()
}

/// So many places for each of many.
#[derive(Clone, Debug)]
struct Places<K: Ord> {
    taken: Arc<Mutex<BTreeMap<K, u32>>>,
    max: u32,
}

/// One of them, until it is dropped.
#[derive(Debug)]
struct Place<K: Ord> {
    taken: Arc<Mutex<BTreeMap<K, u32>>>,
    key: K,
}

impl<K: Ord + Clone + Debug> Places<K> {
    fn new(max: u32) -> Self {
        Self { taken: Arc::default(), max }
    }

    fn take(&self, key: &K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key.clone()).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place { taken: Arc::clone(&self.taken), key: key.clone() })
    }
}

impl<K: Ord> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(taken.remove(&self.key)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(per_address: u32, at_once: u32) -> Limits {
        Limits::new(&config::Limits {
            calls_per_address_per_minute: per_address,
            calls_per_merchant: at_once,
            ..config::Limits::default()
        })
    }

    fn client(text: &str) -> ClientAddress {
        ClientAddress(text.parse().expect("an address"))
    }

    #[test]
    fn one_address_uses_up_its_own_calls_only() {
        let limits = limits(2, 100);
        let taken = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|text| limits.count_address(client(text)));
        assert_eq!(taken, [true, true, false, true]);
    }

    #[test]
    fn a_merchants_place_is_free_again_when_its_call_is_over() {
        let limits = limits(100, 1);
        let (acme, other) = (MerchantId::from("acme"), MerchantId::from("other"));
        let first = limits.count_merchant(&acme);
        assert!(first.is_some());
        assert!(limits.count_merchant(&acme).is_none());
        assert!(limits.count_merchant(&other).is_some());
        drop(first);
        assert!(limits.count_merchant(&acme).is_some());
    }

    #[test]
    fn one_address_cannot_take_all_places_of_those_who_have_said_nothing() {
        let limits = limits(100, 100);
        let greedy: Vec<_> = (0..MAX_WAITING).map_while(|_| limits.count_waiting(client("192.0.2.1"))).collect();
        assert_eq!(greedy.len(), MAX_WAITING_PER_ADDRESS as usize);
        assert!(limits.count_waiting(client("192.0.2.2")).is_some());
        drop(greedy);
        assert!(limits.count_waiting(client("192.0.2.1")).is_some());
    }
}
