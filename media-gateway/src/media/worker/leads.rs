//! Whose a datagram of the WebRTC socket is, by the address that it comes from: a STUN request, its integrity checked, has come from
//! there before. Not here: which request is believed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tracing::error;

use super::Slot;

/// The browser's addresses that are remembered for a call: its candidates behind NATs.
const MAX_ADDRESSES: usize = 16;

/// For how long an address that was heard is nobody else's, whatever another call's party writes into the source of its requests.
/// Audio comes every 20 ms; a browser that is gone is silent for longer before anybody has its port.
const HELD: Duration = Duration::from_secs(2);

/// Which address leads to which call.
#[derive(Debug, Default)]
pub(super) struct Leads(HashMap<SocketAddr, Lead>);

#[derive(Clone, Copy, Debug)]
struct Lead {
    slot: Slot,
    heard: Instant,
}

impl Leads {
    /// The call that something from there is for.
    pub(super) fn follow(&mut self, source: SocketAddr, now: Instant) -> Option<Slot> {
        let lead = self.0.get_mut(&source)?;
        lead.heard = now;
        Some(lead.slot)
    }

    /// Whether the address leads to that call.
    pub(super) fn lead_to(&self, source: SocketAddr, slot: Slot) -> bool {
        self.0.get(&source).is_some_and(|lead| lead.slot == slot)
    }

    /// Whether the address may lead to that call from now on: it does, or to none, or to one that has not been heard from there.
    pub(super) fn may_lead_to(&self, source: SocketAddr, slot: Slot, now: Instant) -> bool {
        self.0.get(&source).is_none_or(|lead| lead.slot == slot || now.saturating_duration_since(lead.heard) >= HELD)
    }

    /// From now on the address leads there.
    pub(super) fn lead(&mut self, source: SocketAddr, slot: Slot, now: Instant) {
        self.0.insert(source, Lead { slot, heard: now });
    }

    /// The call has that address no more. Another that has it now keeps it.
    pub(super) fn forget(&mut self, source: SocketAddr, slot: Slot) {
        if self.lead_to(source, slot) {
            self.0.remove(&source);
        }
    }
}

/// Adds an address of the browser's; the oldest of too many is given back.
pub(super) fn remember(addresses: &mut Vec<SocketAddr>, source: SocketAddr) -> Option<SocketAddr> {
    if addresses.contains(&source) {
        return None;
    }
    let forgotten = (addresses.len() == MAX_ADDRESSES).then(|| addresses.remove(0));
    addresses.push(source);
    forgotten
}

/// Looks for the call that a stranger's bytes are for. Should that panic (our bug, or a library's), they are for none: a datagram must
/// not end the thread of all calls.
pub(super) fn guarded(find: impl FnOnce() -> Option<Slot>) -> Option<Slot> {
    catch_unwind(AssertUnwindSafe(find)).unwrap_or_else(|_| {
        error!("reading a stranger's datagram panicked");
        None
    })
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a panic is what is tested")]
mod tests {
    use super::*;

    const A: Slot = 16;
    const B: Slot = 18;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    #[test]
    fn an_address_that_is_heard_is_not_taken_from_its_call() {
        let (mut leads, mut now) = (Leads::default(), Instant::now());
        leads.lead(at(1), A, now);
        for _ in 0..10 {
            now += HELD - Duration::from_millis(1);
            assert!(!leads.may_lead_to(at(1), B, now) && leads.may_lead_to(at(1), A, now));
            assert_eq!(leads.follow(at(1), now), Some(A));
        }
        assert!(leads.may_lead_to(at(1), B, now + HELD) && leads.may_lead_to(at(2), B, now));
    }

    #[test]
    fn a_call_that_forgets_an_address_leaves_it_to_the_call_that_has_it_now() {
        let (mut leads, now) = (Leads::default(), Instant::now());
        leads.lead(at(1), A, now);
        leads.lead(at(1), B, now);
        leads.forget(at(1), A);
        assert_eq!(leads.follow(at(1), now), Some(B));
        leads.forget(at(1), B);
        assert_eq!(leads.follow(at(1), now), None);
    }

    #[test]
    fn the_oldest_of_too_many_addresses_is_given_back_and_none_stands_twice() {
        let mut addresses = Vec::new();
        for port in 1..=16 {
            assert_eq!((remember(&mut addresses, at(port)), remember(&mut addresses, at(port))), (None, None));
        }
        assert_eq!(remember(&mut addresses, at(17)), Some(at(1)));
        assert_eq!(addresses.len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_panic_over_a_strangers_datagram_makes_it_nobodys() {
        assert_eq!(guarded(|| Some(A)), Some(A));
        assert_eq!(guarded(|| panic!("a bug")), None);
    }
}
