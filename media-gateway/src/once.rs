//! A far end may send one key several ways at the same time: as an event, by INFO, as a tone. This tells the second report of a press from a
//! second press. Pure: it is told the time.
//!
//! A way never reports one press twice ([`crate::media`] sees to that), so what a way reports again is another press. Ways are matched by
//! when the key went down, since they tell it at different moments: when it is up, after its first second, with the delay of playout. An
//! INFO's duration may be made up: it is of a press that was still down when it came, or up just before, as well.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far apart two ways may see the same key go down: an INFO that is sent again after SIP's T1 of 500 ms, the guess in one that is
/// sent before the key is up, playout's delay.
const APART: Duration = Duration::from_millis(1_000);

/// Presses that are remembered: a press every 100 ms, for longer than two ways are apart.
const REMEMBERED: usize = 16;

/// Longer than anybody holds a key: one that nobody has told to be up is up by then.
const LONGEST: Duration = Duration::from_secs(10);

/// A tone that begins so long before the end of the key that an event told of is a piece of it: packets that are lost in the middle of a
/// tone make two. Not later, since another press is as near.
const TORN: Duration = Duration::from_millis(60);

/// How a key came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// RFC 4733.
    Event = 1,
    /// SIP INFO.
    Info = 2,
    /// In the audio.
    Tone = 4,
}

/// The presses of one call's far end.
#[derive(Debug, Default)]
pub(crate) struct Once(VecDeque<Press>);

#[derive(Debug)]
struct Press {
    digit: char,
    down: Instant,
    /// The sum of the [`Way`]s that have told it.
    ways: u8,
    /// For how long it was down, if an event has told so.
    held: Duration,
    /// Those of them by which it is down still.
    down_by: u8,
    /// When it came up, as far as events and tones have told.
    up: Option<Instant>,
    /// When it came by INFO.
    informed: Option<Instant>,
    /// When it went down by an event.
    event: Option<Instant>,
    /// When it began as a tone.
    tone: Option<Instant>,
}

impl Press {
    fn new(digit: char, down: Instant) -> Self {
        let (up, informed, event, tone) = (None, None, None, None);
        Self { digit, down, ways: 0, held: Duration::ZERO, down_by: 0, up, informed, event, tone }
    }

    fn tell(&mut self, way: Way, down: Instant, held: Duration, now: Instant) {
        self.ways |= way as u8;
        match way {
            Way::Event => (self.event, self.held) = (Some(down), held),
            // One that is sent before the key is up guesses.
            Way::Info => self.informed = Some(now),
            Way::Tone => self.tone = Some(down),
        }
        if way != Way::Info {
            self.down_by |= way as u8;
        }
    }

    fn is_down(&self, ways: u8, now: Instant) -> bool {
        self.down_by & ways != 0 && now.saturating_duration_since(self.down) < LONGEST
    }

    /// Whether a report that comes at `now`, of a key that went down at `down`, may be of this press.
    fn fits(&self, way: Way, down: Instant, now: Instant) -> bool {
        let apart = self.down.max(down) - self.down.min(down);
        let came_with_it = match way {
            Way::Info => {
                let is_just_up = self.up.is_some_and(|up| now.saturating_duration_since(up) <= APART);
                self.is_down(u8::MAX, now) || is_just_up
            }
            Way::Event | Way::Tone => self.informed.is_some_and(|informed| informed >= down),
        };
        apart <= APART || came_with_it
    }

    /// Whether a tone that began at `down` is a piece of this one's.
    fn is_torn(&self, down: Instant, now: Instant) -> bool {
        let since = self.tone.and_then(|tone| down.checked_duration_since(tone));
        let event = self.event.filter(|_| self.is_down(Way::Event as u8, now));
        let held = event.map_or(self.held, |event| now.saturating_duration_since(event));
        since.is_some_and(|since| since + TORN < held)
    }
}

impl Once {
    /// Whether a key that `way` reports at `now`, held for so long until then, is a press that no other way has reported.
    pub(crate) fn is_new(&mut self, way: Way, digit: char, held: Duration, now: Instant) -> bool {
        let (bit, down) = (way as u8, now.checked_sub(held).unwrap_or(now));
        let is_piece = |press: &Press| press.digit == digit && press.is_torn(down, now);
        if way == Way::Tone && self.0.iter().any(is_piece) {
            return false;
        }
        // In the order of presses: what this way has told already lies before what it tells now.
        let told = self.0.iter().rposition(|press| press.digit == digit && press.ways & bit != 0);
        let next = told.map_or(0, |told| told + 1);
        let twin = self.0.iter_mut().skip(next).find(|press| press.digit == digit && press.fits(way, down, now));
        match twin {
            Some(press) => press.tell(way, down, held, now),
            None => {
                if self.0.len() == REMEMBERED {
                    self.0.pop_front();
                }
                let mut press = Press::new(digit, down);
                press.tell(way, down, held, now);
                self.0.push_back(press);
                return true;
            }
        }
        false
    }

    /// The key that `way` has reported last is up, held for so long.
    pub(crate) fn up(&mut self, way: Way, digit: char, held: Duration, now: Instant) {
        let told = |press: &&mut Press| press.digit == digit && press.ways & way as u8 != 0;
        let Some(press) = self.0.iter_mut().rfind(told) else { return };
        press.down_by &= !(way as u8);
        press.up = Some(now);
        if way == Way::Event {
            press.held = held;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const WAYS: [Way; 3] = [Way::Event, Way::Info, Way::Tone];

    /// What is counted of reports `(ms, way, digit, held ms)`. Events and tones that are held for longer than a second are reported
    /// after that, as the media thread does.
    fn counted(reports: Vec<(u64, Way, char, u64)>) -> String {
        let (start, mut once, mut counted) = (Instant::now() + Duration::from_secs(60), Once::default(), String::new());
        let mut told = Vec::new();
        for (at, way, digit, held) in reports {
            let early = if way == Way::Info { 0 } else { held.saturating_sub(1_000) };
            told.push((at - early, 0, way, digit, held - early));
            told.push((at, 1, way, digit, held));
        }
        // What is told at the same time is told in order.
        told.sort_by_key(|(at, is_up, ..)| (*at, *is_up));
        let ms = Duration::from_millis;
        for (at, is_up, way, digit, held) in told {
            let now = start + ms(at);
            match (is_up, way) {
                (0, _) if once.is_new(way, digit, ms(held), now) => counted.push(digit),
                (1, Way::Event | Way::Tone) => once.up(way, digit, ms(held), now),
                _ => {}
            }
        }
        counted
    }

    type Case = (&'static str, Vec<(u64, Way, char, u64)>, &'static str);

    fn count(cases: impl IntoIterator<Item = Case>) {
        for (name, reports, expected) in cases {
            assert_eq!(counted(reports), expected, "{name}");
        }
    }

    #[test]
    fn a_press_that_comes_three_ways_counts_once_and_two_presses_count_twice() {
        use Way::{Event, Info, Tone};
        count([
            ("three ways", vec![(100, Event, '5', 80), (105, Info, '5', 80), (190, Tone, '5', 80)], "5"),
            ("one way twice", vec![(100, Event, '5', 80), (250, Event, '5', 80)], "55"),
            (
                "two ways twice",
                vec![(100, Event, '5', 80), (160, Info, '5', 80), (250, Event, '5', 80), (310, Info, '5', 80)],
                "55",
            ),
            (
                "a slow way",
                vec![(100, Event, '5', 80), (250, Event, '5', 80), (600, Info, '5', 80), (750, Info, '5', 80)],
                "55",
            ),
            ("INFO when the key goes down", vec![(0, Info, '5', 250), (700, Event, '5', 700)], "5"),
            (
                "other keys between",
                vec![
                    (100, Event, '1', 80),
                    (200, Event, '2', 80),
                    (300, Event, '1', 80),
                    (310, Tone, '1', 290),
                    (320, Tone, '2', 200),
                    (400, Tone, '1', 80),
                ],
                "121",
            ),
            ("much later", vec![(100, Event, '5', 80), (1_500, Info, '5', 80)], "55"),
            ("a tone with a gap", vec![(200, Event, '5', 200), (160, Tone, '5', 60), (300, Tone, '5', 100)], "5"),
            ("two tones", vec![(100, Tone, '5', 80), (260, Tone, '5', 80)], "55"),
            (
                "one way misses the first press",
                vec![(100, Info, '5', 80), (400, Event, '5', 80), (410, Info, '5', 80)],
                "55",
            ),
        ]);
    }

    #[test]
    fn a_key_that_is_held_for_long_counts_once_whatever_an_info_makes_up() {
        use Way::{Event, Info, Tone};
        count([
            (
                "held for long, told after a second and when up",
                vec![(4_000, Event, '5', 4_000), (4_000, Info, '5', 4_000)],
                "5",
            ),
            ("held for long, INFO guesses", vec![(1_300, Event, '5', 1_300), (1_305, Info, '5', 250)], "5"),
            ("held for long, INFO comes late", vec![(3_000, Event, '5', 3_000), (3_600, Info, '5', 100)], "5"),
            ("held for long as a tone, INFO guesses", vec![(3_000, Tone, '5', 3_000), (2_950, Info, '5', 250)], "5"),
            ("INFO names more than there was", vec![(100, Info, '5', 2_000), (105, Event, '5', 100)], "5"),
            (
                "held for long twice",
                vec![
                    (1_500, Event, '5', 1_500),
                    (1_505, Info, '5', 250),
                    (3_100, Event, '5', 1_500),
                    (3_105, Info, '5', 250),
                ],
                "55",
            ),
            (
                "held for long and then shortly",
                vec![
                    (1_500, Event, '5', 1_500),
                    (1_700, Event, '5', 100),
                    (1_990, Info, '5', 250),
                    (2_000, Info, '5', 250),
                ],
                "55",
            ),
            (
                "held for long, a tone with gaps",
                vec![
                    (3_000, Event, '5', 3_000),
                    (2_000, Tone, '5', 1_950),
                    (2_500, Tone, '5', 450),
                    (3_080, Tone, '5', 500),
                ],
                "5",
            ),
            ("by INFO alone after a long one", vec![(3_000, Event, '5', 3_000), (4_100, Info, '5', 80)], "55"),
        ]);
    }

    proptest! {
        #[test]
        fn each_press_counts_once_whatever_ways_tell_it_and_how_late(
            presses in prop::collection::vec((prop::sample::select(vec!['1', '2', '*']), prop_oneof![4 => 60..400_u64, 1 => 400..4_000_u64], 60..1_500_u64), 1..40),
            ways in prop::sample::subsequence(WAYS.to_vec(), 1..=3),
            delays in prop::array::uniform3(0..600_u64),
            early in any::<bool>(),
            guesses in any::<bool>(),
            jitter in prop::collection::vec(0..120_u64, 120),
        ) {
            let (mut reports, mut jitter, mut now, mut last) = (Vec::new(), jitter.into_iter().cycle(), 0, BTreeMap::new());
            for (digit, held, pause) in &presses {
                for (way, delay) in WAYS.iter().zip(delays).filter(|(way, _)| ways.contains(way)) {
                    // A guess at what nobody knows yet, where INFO is sent as the key goes down.
                    let (told, held) = match way {
                        Way::Info if early => (0, 160),
                        Way::Info if guesses => (*held, 250),
                        Way::Event | Way::Info | Way::Tone => (*held, *held),
                    };
                    // No way overtakes itself.
                    let last = last.entry(*way as u8).or_insert(0);
                    *last = (now + told + delay + jitter.next().unwrap_or(0)).max(*last);
                    reports.push((*last, *way, *digit, held));
                }
                now += held + pause;
            }
            let pressed: String = presses.iter().map(|(digit, ..)| *digit).collect();
            prop_assert_eq!(counted(reports), pressed);
        }

        #[test]
        fn what_ways_lose_makes_no_press_of_its_own_and_none_is_lost_that_stands_alone(
            presses in prop::collection::vec((prop::sample::select(vec!['1', '2', '*']), 1..8_u8, 60..3_000_u64), 1..40),
            delays in prop::array::uniform3(0..600_u64),
        ) {
            let (mut reports, mut now, mut alone, mut before) = (Vec::new(), 0, true, BTreeMap::new());
            for (digit, ways, pause) in &presses {
                let told = WAYS.iter().zip(delays).filter(|(way, _)| **way as u8 & ways != 0);
                reports.extend(told.map(|(way, delay)| (now + 100 + delay, *way, *digit, 100)));
                // Two ways of two presses of one key look like two ways of one, if they are near.
                let again = before.insert(*digit, now);
                alone &= again.is_none_or(|again| now - again > 1_000 + 600);
                now += 100 + pause;
            }
            let counted = counted(reports);
            prop_assert!(counted.len() <= presses.len(), "{counted}");
            if alone {
                prop_assert_eq!(counted.len(), presses.len());
            }
        }

        #[test]
        fn what_is_remembered_is_bounded(count in 0..200_u64) {
            let (now, mut once) = (Instant::now(), Once::default());
            for index in 0..count {
                once.is_new(Way::Event, '1', Duration::ZERO, now + Duration::from_millis(index));
            }
            prop_assert!(once.0.len() <= REMEMBERED);
        }
    }
}
