//! Packets that wait to be decoded, in the order of their timestamps whatever the order of their arrival.

/// How many wait at most: 400 ms of packets of 6.25 ms; nobody sends shorter ones for long.
pub(super) const PACKETS: usize = 64;

/// Where a packet lies in the stream: extended sequence number, and timestamp in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) sequence: i64,
    pub(super) at: i64,
}

#[derive(Clone, Copy, Debug)]
struct Slot<const PAYLOAD: usize> {
    place: Option<Place>,
    length: usize,
    payload: [u8; PAYLOAD],
}

/// What [`Store::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Insert {
    Stored,
    Duplicate,
    Full,
}

#[derive(Clone, Debug)]
pub(super) struct Store<const PAYLOAD: usize> {
    slots: [Slot<PAYLOAD>; PACKETS],
}

impl<const PAYLOAD: usize> Store<PAYLOAD> {
    pub(super) const fn new() -> Self {
        Self { slots: [Slot { place: None, length: 0, payload: [0; PAYLOAD] }; PACKETS] }
    }

    pub(super) fn insert(&mut self, place: Place, payload: &[u8]) -> Insert {
        let is_known = |known: Place| known.at == place.at || known.sequence == place.sequence;
        if self.slots.iter().any(|slot| slot.place.is_some_and(is_known)) {
            return Insert::Duplicate;
        }
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.place.is_none()) else { return Insert::Full };
        slot.place = Some(place);
        slot.length = payload.len().min(PAYLOAD);
        slot.payload.iter_mut().zip(payload).for_each(|(to, from)| *to = *from);
        Insert::Stored
    }

    /// The packet whose turn comes first.
    pub(super) fn first(&self) -> Option<(Place, &[u8])> {
        let slots = self.slots.iter().filter_map(|slot| Some((slot.place?, slot)));
        let (place, slot) = slots.min_by_key(|(place, _)| place.at)?;
        Some((place, slot.payload.get(..slot.length)?))
    }

    pub(super) fn remove(&mut self, place: Place) {
        self.slots.iter_mut().filter(|slot| slot.place == Some(place)).for_each(|slot| slot.place = None);
    }

    pub(super) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.place = None);
    }

    /// Samples between the first packet's timestamp and the last one's.
    pub(super) fn span(&self) -> i64 {
        let places = || self.slots.iter().filter_map(|slot| Some(slot.place?.at));
        places().max().unwrap_or_default() - places().min().unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.place.is_none())
    }
}
