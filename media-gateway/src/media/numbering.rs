//! Numbers of packets of audio in a stream that uses some sequence numbers for something else (events, comfort noise), which is no loss:
//! as if those were not there, in whatever order packets come.
//!
//! Deliberately not here: whether a packet is of the stream ([`super::sequence`]).

use std::collections::VecDeque;

use super::sequence::MAX_MISORDER;

/// The numbers of one stream's audio.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    left_out: u16,
    /// What was left out last, for audio that comes behind it and stands before it: as far back as any packet is taken.
    recent: VecDeque<u16>,
    newest_audio: Option<u16>,
}

impl Numbering {
    /// The packet with this number holds no audio.
    pub(super) fn leave_out(&mut self, number: u16) {
        // Audio behind it has its number already, and what follows goes on from there.
        let is_late = self.newest_audio.is_some_and(|newest| is_behind(newest, number));
        if is_late || self.recent.contains(&number) {
            return;
        }
        if self.recent.len() == usize::from(MAX_MISORDER) {
            self.recent.pop_front();
        }
        self.recent.push_back(number);
        self.left_out = self.left_out.wrapping_add(1);
    }

    /// The number of a packet of audio.
    pub(super) fn audio(&mut self, number: u16) -> u16 {
        if !self.newest_audio.is_some_and(|newest| is_behind(newest, number)) {
            self.newest_audio = Some(number);
        }
        let later = self.recent.iter().filter(|it| is_behind(**it, number)).count();
        number.wrapping_sub(self.left_out).wrapping_add(later as u16)
    }
}

/// Whether `number` was overtaken by `other`.
fn is_behind(other: u16, number: u16) -> bool {
    (1..=MAX_MISORDER).contains(&other.wrapping_sub(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What becomes of a stream of audio (`a`) and others, whose packets arrive in this order.
    fn numbered(stream: &str, first: u16, order: &[usize]) -> Vec<u16> {
        let (mut numbering, kinds) = (Numbering::default(), stream.as_bytes());
        let mut numbers = Vec::new();
        for at in order {
            let number = first.wrapping_add(*at as u16);
            match kinds.get(*at) {
                Some(b'a') => numbers.push(numbering.audio(number).wrapping_sub(first)),
                _ => numbering.leave_out(number),
            }
        }
        numbers
    }

    #[test]
    fn audio_is_numbered_without_a_gap_and_without_a_double_when_it_and_events_overtake_each_other() {
        for (name, stream, order, expected) in [
            ("in order", "aaeea", vec![0, 1, 2, 3, 4], vec![0, 1, 2]),
            ("audio behind an event", "aaeea", vec![0, 2, 1, 3, 4], vec![0, 1, 2]),
            ("an event behind audio", "aaeaa", vec![0, 1, 3, 2, 4], vec![0, 1, 3, 4]),
            ("an event behind an event", "aeeaa", vec![0, 2, 1, 3, 4], vec![0, 1, 2]),
            ("an event twice", "aeaa", vec![0, 1, 1, 2, 1, 3], vec![0, 1, 2]),
            ("an event lost", "aeaa", vec![0, 2, 3], vec![0, 2, 3]),
        ] {
            for first in [0, 65_533] {
                assert_eq!(numbered(stream, first, &order), expected, "{name}, from {first}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_two_packets_of_audio_get_one_number_and_their_order_stays(
            stream in "[ae]{1,300}",
            shifts in prop::collection::vec(0..20_usize, 300),
            first: u16,
        ) {
            let mut order: Vec<usize> = (0..stream.len()).collect();
            order.sort_by_key(|at| at + shifts.get(*at).copied().unwrap_or_default());
            let audio: Vec<usize> =
                order.iter().copied().filter(|at| stream.as_bytes().get(*at) == Some(&b'a')).collect();
            let mut pairs: Vec<_> = audio.into_iter().zip(numbered(&stream, first, &order)).collect();
            pairs.sort_unstable();
            // Late events leave gaps, never more than they are.
            prop_assert!(pairs.iter().all(|(at, number)| usize::from(*number) <= *at), "{pairs:?}");
            prop_assert!(pairs.windows(2).all(|pair| matches!(pair, [(_, a), (_, b)] if a < b)), "{pairs:?}");
        }

        #[test]
        fn what_is_remembered_is_bounded(count in 0..300_u16) {
            let mut numbering = Numbering::default();
            (0..count).for_each(|number| numbering.leave_out(number));
            prop_assert!(numbering.recent.len() <= usize::from(MAX_MISORDER));
            prop_assert_eq!(numbering.audio(count), 0);
        }
    }
}
