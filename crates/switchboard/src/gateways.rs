//! The registered gateways: who has which trunk, and who carries how much. Not here: what they say about calls.

use crate::MAX_GATEWAYS;
use protocol::gateway::VERSION;
use protocol::{CallId, GatewayId, TrunkName};
use std::collections::{BTreeMap, BTreeSet};

/// Why a gateway cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It speaks another version of [`protocol::gateway`].
    #[error("the gateway speaks protocol version {0}, this server version {VERSION}")]
    Version(u32),
    /// [`MAX_GATEWAYS`] are registered.
    #[error("{MAX_GATEWAYS} gateways are registered already")]
    TooMany,
}

/// The registered gateways.
#[derive(Debug, Default)]
pub(crate) struct Gateways(BTreeMap<GatewayId, Gateway>);

#[derive(Debug)]
struct Gateway {
    capacity: u32,
    trunks: Vec<TrunkName>,
    calls: BTreeSet<CallId>,
}

impl Gateways {
    /// Takes a gateway up. The name must not be registered; see [`remove`](Self::remove).
    pub(crate) fn register(
        &mut self,
        gateway: GatewayId,
        version: u32,
        capacity: u32,
        trunks: Vec<TrunkName>,
    ) -> Result<(), Refusal> {
        if version != VERSION {
            return Err(Refusal::Version(version));
        }
        if self.0.len() >= MAX_GATEWAYS {
            return Err(Refusal::TooMany);
        }
        self.0.insert(gateway, Gateway { capacity, trunks, calls: BTreeSet::new() });
        Ok(())
    }

    /// Whether it is registered.
    pub(crate) fn has(&self, gateway: &GatewayId) -> bool {
        self.0.contains_key(gateway)
    }

    /// A gateway that is registered says anew what it can take.
    pub(crate) fn renew(&mut self, gateway: &GatewayId, capacity: u32, trunks: Vec<TrunkName>) {
        if let Some(gateway) = self.0.get_mut(gateway) {
            (gateway.capacity, gateway.trunks) = (capacity, trunks);
        }
    }

    /// Forgets a gateway; gives back the calls that it carried.
    pub(crate) fn remove(&mut self, gateway: &GatewayId) -> BTreeSet<CallId> {
        self.0.remove(gateway).map(|gateway| gateway.calls).unwrap_or_default()
    }

    /// Puts a call on the least loaded gateway (calls in proportion to capacity, then by name) that has the trunk and
    /// room.
    pub(crate) fn assign(&mut self, call: &CallId, trunk: &TrunkName) -> Option<GatewayId> {
        let (id, gateway) = self
            .0
            .iter_mut()
            .filter(|(_, gateway)| gateway.trunks.contains(trunk) && gateway.has_room())
            .min_by(|(_, a), (_, b)| (a.load() * u64::from(b.capacity)).cmp(&(b.load() * u64::from(a.capacity))))?;
        gateway.calls.insert(call.clone());
        Some(id.clone())
    }

    /// The least loaded gateway that has the trunk, if one is named, and takes calls at all. Checks are not counted.
    pub(crate) fn for_check(&self, trunk: Option<&TrunkName>) -> Option<&GatewayId> {
        let usable = self
            .0
            .iter()
            .filter(|(_, gateway)| gateway.capacity > 0 && trunk.is_none_or(|trunk| gateway.trunks.contains(trunk)));
        usable.min_by_key(|(_, gateway)| gateway.load()).map(|(id, _)| id)
    }

    /// Whether some gateway has the trunk and room.
    pub(crate) fn can_take(&self, trunk: &TrunkName) -> bool {
        self.0.values().any(|gateway| gateway.trunks.contains(trunk) && gateway.has_room())
    }

    /// Puts a call on the gateway that carries it already.
    pub(crate) fn adopt(&mut self, call: &CallId, gateway: &GatewayId) {
        if let Some(gateway) = self.0.get_mut(gateway) {
            gateway.calls.insert(call.clone());
        }
    }

    /// Takes a call off its gateway.
    pub(crate) fn unassign(&mut self, call: &CallId, gateway: &GatewayId) {
        if let Some(gateway) = self.0.get_mut(gateway) {
            gateway.calls.remove(call);
        }
    }

    /// How many are registered.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Gateway {
    fn load(&self) -> u64 {
        self.calls.len() as u64
    }

    fn has_room(&self) -> bool {
        self.load() < u64::from(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateways(table: &[(&str, u32, &[&str])]) -> Gateways {
        let mut gateways = Gateways::default();
        for (name, capacity, trunks) in table {
            let trunks = trunks.iter().map(|trunk| TrunkName::from(*trunk)).collect();
            assert_eq!(gateways.register(GatewayId::from(*name), VERSION, *capacity, trunks), Ok(()));
        }
        gateways
    }

    fn assign(gateways: &mut Gateways, call: &str, trunk: &str) -> Option<String> {
        gateways.assign(&CallId::from(call), &TrunkName::from(trunk)).map(|id| id.to_string())
    }

    #[test]
    fn a_call_goes_to_the_gateway_with_the_smallest_share_of_its_capacity_in_use() {
        let mut gateways = gateways(&[("a", 1, &["pstn"]), ("b", 4, &["pstn"])]);
        let chosen: Vec<_> = ["1", "2", "3", "4", "5", "6"].map(|call| assign(&mut gateways, call, "pstn")).into();
        let expected = ["a", "b", "b", "b", "b"].map(|name| Some(name.to_owned()));
        assert_eq!(chosen.split_last(), Some((&None, expected.as_slice())));
    }

    #[test]
    fn a_call_goes_only_to_a_gateway_that_has_its_trunk() {
        let mut gateways = gateways(&[("a", 9, &["pbx"]), ("b", 9, &["pstn", "pbx"])]);
        assert_eq!(assign(&mut gateways, "1", "pstn").as_deref(), Some("b"));
        assert_eq!(assign(&mut gateways, "2", "fax"), None);
    }

    #[test]
    fn a_gateway_of_another_version_is_refused() {
        let mut gateways = Gateways::default();
        let refused = gateways.register(GatewayId::from("a"), VERSION + 1, 1, Vec::new());
        assert_eq!(refused, Err(Refusal::Version(VERSION + 1)));
    }

    #[test]
    fn no_more_gateways_register_than_the_table_may_hold() {
        let mut gateways = Gateways::default();
        for n in 0..MAX_GATEWAYS {
            assert_eq!(gateways.register(GatewayId::new(format!("g{n}")), VERSION, 1, Vec::new()), Ok(()));
        }
        assert_eq!(gateways.register(GatewayId::from("last"), VERSION, 1, Vec::new()), Err(Refusal::TooMany));
    }
}
