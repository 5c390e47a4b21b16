//! From the far end's keys to commands. A code begins with a star; it is over when no longer one can come of it, when a pause, a
//! `#` or the next star ends it. What is no command passes as plain digits, as soon as that is clear.
//!
//! The table is asked for at each star, so that what the merchant changes counts for running calls from the next code on.
//! Not here: what a command does.

use crate::commands::{Act, CommandTable};
use protocol::command::{MAX_KEYS, is_plain_key};
use std::time::{Duration, Instant};

/// How long the table may take to come; the store answers within milliseconds or is in trouble.
pub(crate) const LOOK_UP: Duration = Duration::from_secs(2);

/// Keys that wait for the table: who presses more than ten a second is no person.
pub(crate) const MAX_WAITING: usize = 2 * MAX_KEYS;

/// A key of the far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) digit: char,
    pub(crate) duration_ms: u32,
    pub(crate) at: Instant,
}

/// What has become of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The table is wanted: [`Keys::handle_table`].
    AskTable,
    /// A plain digit.
    Digit(Key),
    /// A command.
    Command { sequence: String, act: Act },
}

/// Collects keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// What nothing has become of yet; begins with a star.
    held: Vec<Key>,
    table: Table,
    /// A command was done at once: a `#` until then still belongs to it.
    closes_until: Option<Instant>,
    heard: Vec<Heard>,
}

/// The table for the code that is being keyed.
#[derive(Debug, Default)]
enum Table {
    #[default]
    None,
    Asked(Instant),
    Known(CommandTable),
}

impl Keys {
    /// A key came up.
    pub(crate) fn handle_key(&mut self, key: Key) {
        self.handle_timeout(key.at);
        if self.held.is_empty() && key.digit == '*' {
            self.table = Table::Asked(key.at);
            self.heard.push(Heard::AskTable);
        }
        match &self.table {
            Table::Asked(_) if self.held.len() < MAX_WAITING => self.held.push(key),
            Table::Asked(_) => {
                self.pass();
                self.heard.push(Heard::Digit(key));
            }
            Table::Known(_) | Table::None => self.take(key),
        }
    }

    /// The table has come, or cannot be had.
    pub(crate) fn handle_table(&mut self, table: Option<CommandTable>, now: Instant) {
        if !matches!(self.table, Table::Asked(_)) {
            return;
        }
        let Some(table) = table else { return self.pass() };
        self.table = Table::Known(table.clone());
        for key in std::mem::take(&mut self.held) {
            self.handle_pause(key.at);
            if matches!(self.table, Table::None) && key.digit == '*' {
                // One table does for all that has waited for it.
                self.table = Table::Known(table.clone());
            }
            self.take(key);
        }
        self.handle_timeout(now);
    }

    /// The time has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        match self.table {
            Table::Asked(at) if now >= at + LOOK_UP => self.pass(),
            Table::Asked(_) | Table::Known(_) | Table::None => self.handle_pause(now),
        }
    }

    /// When [`Self::handle_timeout`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.table {
            Table::None => None,
            Table::Asked(at) => Some(*at + LOOK_UP),
            Table::Known(table) => self.held.last().map(|key| key.at + table.pause),
        }
    }

    /// What has become of keys, in order.
    pub(crate) fn drain(&mut self) -> Vec<Heard> {
        std::mem::take(&mut self.heard)
    }

    fn handle_pause(&mut self, now: Instant) {
        let Table::Known(table) = &self.table else { return };
        if self.held.last().is_some_and(|last| now >= last.at + table.pause) {
            self.settle();
        }
    }

    fn take(&mut self, key: Key) {
        let closes = self.closes_until.take().is_some_and(|until| key.at < until);
        match (key.digit, &self.table) {
            ('#', _) if self.held.is_empty() && closes => {}
            ('#', Table::Known(table)) if table.acts.contains_key(&self.sequence()) => self.settle(),
            ('*', Table::Known(table)) => {
                // The star that ends one code begins the next.
                let table = table.clone();
                self.settle();
                self.table = Table::Known(table);
                self.go_on(key);
            }
            (digit, Table::Known(_)) if is_plain_key(digit) && !self.held.is_empty() => self.go_on(key),
            _ => {
                self.pass();
                self.heard.push(Heard::Digit(key));
            }
        }
    }

    /// Adds the key to the code, and acts when no longer code can come of it.
    fn go_on(&mut self, key: Key) {
        self.held.push(key);
        let Table::Known(table) = &self.table else { return };
        let (sequence, until) = (self.sequence(), key.at + table.pause);
        if table.goes_on(&sequence) {
            return;
        }
        if table.acts.contains_key(&sequence) {
            self.closes_until = Some(until);
        }
        self.settle();
    }

    /// The code is complete, whatever it is.
    fn settle(&mut self) {
        let sequence = self.sequence();
        let act = match &self.table {
            Table::Known(table) => table.acts.get(&sequence).cloned(),
            Table::Asked(_) | Table::None => None,
        };
        match act {
            Some(act) => {
                self.held.clear();
                self.table = Table::None;
                self.heard.push(Heard::Command { sequence, act });
            }
            None => self.pass(),
        }
    }

    /// It is no command.
    fn pass(&mut self) {
        self.table = Table::None;
        self.heard.extend(self.held.drain(..).map(Heard::Digit));
    }

    fn sequence(&self) -> String {
        self.held.iter().map(|key| key.digit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PAUSE: Duration = Duration::from_millis(1_500);

    fn table(sequences: &[&str]) -> CommandTable {
        let acts = sequences.iter().map(|it| ((*it).to_owned(), Act::Impossible)).collect::<BTreeMap<_, _>>();
        CommandTable { acts, pause: PAUSE }
    }

    /// Each command in brackets, each digit as it is, and when they became known, in ms.
    fn told(heard: Vec<Heard>, at: u64, lines: &mut Vec<(u64, String)>) {
        lines.extend(heard.into_iter().filter_map(|heard| match heard {
            Heard::AskTable => None,
            Heard::Digit(key) => Some((at, key.digit.to_string())),
            Heard::Command { sequence, .. } => Some((at, format!("[{sequence}]"))),
        }));
    }

    /// What becomes of keys at these times (in ms), whose table comes after `delay`.
    fn collect(table: &CommandTable, keys: &[(u64, char)], delay: u64) -> Vec<(u64, String)> {
        let epoch = Instant::now();
        let at = |ms: u64| epoch + Duration::from_millis(ms);
        let (mut collector, mut lines) = (Keys::default(), Vec::new());
        let mut asked: Option<u64> = None;
        let mut pending: std::collections::VecDeque<_> = keys.iter().copied().collect();
        loop {
            let due = collector.deadline().map(|due| (due - epoch).as_millis() as u64);
            let comes = asked.map(|ms| ms + delay);
            let next_key = pending.front().map(|(ms, _)| *ms);
            let Some(now) = [due, comes, next_key].into_iter().flatten().min() else { return lines };
            if comes == Some(now) {
                asked = None;
                collector.handle_table(Some(table.clone()), at(now));
            } else if due == Some(now) {
                collector.handle_timeout(at(now));
            } else if let Some((ms, digit)) = pending.pop_front() {
                collector.handle_key(Key { digit, duration_ms: 100, at: at(ms) });
            }
            let heard = collector.drain();
            asked = if heard.contains(&Heard::AskTable) { Some(now) } else { asked };
            told(heard, now, &mut lines);
        }
    }

    /// The same by looking at the whole text with its gaps, code by code.
    fn reference(table: &CommandTable, keys: &[(u64, char)]) -> Vec<(u64, String)> {
        let pause = PAUSE.as_millis() as u64;
        let (mut lines, mut at, mut closes) = (Vec::new(), 0, None);
        while let Some((ms, digit)) = keys.get(at).copied() {
            if digit != '*' {
                at += 1;
                let closed = closes.take().is_some_and(|until| ms < until) && digit == '#';
                lines.extend((!closed).then(|| (ms, digit.to_string())));
                continue;
            }
            closes = None;
            let followers = keys.get(at + 1..).unwrap_or_default().iter();
            let joined = followers.zip(keys.get(at..).unwrap_or_default()).take_while(|((next, key), (before, _))| {
                (key.is_ascii_digit() || ('A'..='D').contains(key)) && next - before < pause
            });
            let run: Vec<(u64, char)> = std::iter::once((ms, digit)).chain(joined.map(|(next, _)| *next)).collect();
            let word = |length: usize| run.iter().take(length).map(|(_, key)| *key).collect::<String>();
            let grows = |word: &str| table.acts.keys().any(|it| it.len() > word.len() && it.starts_with(word));
            // As many keys as can belong to a code, and one more where that shows that they do not.
            let length = (1..=run.len()).find(|length| !grows(&word(*length))).unwrap_or(run.len());
            let (sequence, last) = (word(length), run.get(length - 1).map_or(ms, |(ms, _)| *ms));
            let known = table.acts.contains_key(&sequence);
            at += length;
            let next = keys.get(at).copied().filter(|(ms, _)| ms - last < pause);
            let settled = match next {
                _ if !grows(&sequence) => last,
                Some((ms, _)) => ms,
                None => last + pause,
            };
            if known {
                lines.push((settled, format!("[{sequence}]")));
                if !grows(&sequence) {
                    closes = Some(last + pause);
                } else if matches!(next, Some((_, '#'))) {
                    at += 1;
                }
            } else {
                lines.extend(sequence.chars().map(|key| (settled, key.to_string())));
            }
        }
        lines
    }

    fn text(lines: &[(u64, String)]) -> String {
        lines.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn the_longest_code_counts_and_a_pause_a_hash_or_a_star_ends_one_that_could_go_on() {
        let table = table(&["*7", "*76", "*22", "*763A"]);
        let quick = |text: &str| text.chars().enumerate().map(|(n, key)| (n as u64 * 200, key)).collect::<Vec<_>>();
        for (keys, expected) in [
            ("*22", "[*22]"),
            ("*22#5", "[*22]5"),
            ("*22##", "[*22]#"),
            ("*22*22", "[*22][*22]"),
            ("*76", "[*76]"),
            ("*76#", "[*76]"),
            ("*7*76*22", "[*7][*76][*22]"),
            ("*763A1", "[*763A]1"),
            ("*763", "*763"),
            ("*764", "*764"),
            ("*75", "*75"),
            ("*99#12", "*99#12"),
            ("*", "*"),
            ("*#", "*#"),
            ("**22", "*[*22]"),
            ("12#4", "12#4"),
        ] {
            assert_eq!(text(&collect(&table, &quick(keys), 0)), expected, "{keys}");
        }
        assert_eq!(text(&collect(&table, &[(0, '*'), (200, '7'), (1_700, '6')], 3)), "[*7]6", "a pause between");
    }

    #[test]
    fn a_code_that_cannot_go_on_acts_with_its_last_key_and_others_when_the_pause_has_passed() {
        let table = table(&["*7", "*76"]);
        let keys = |text: &str| text.chars().zip([0, 200, 400]).map(|(key, ms)| (ms, key)).collect::<Vec<_>>();
        assert_eq!(collect(&table, &keys("*76"), 5), [(400, "[*76]".to_owned())]);
        assert_eq!(collect(&table, &keys("*7"), 5), [(1_700, "[*7]".to_owned())]);
        let digits = [(200, "*".to_owned()), (200, "8".to_owned())];
        assert_eq!(collect(&table, &keys("*8"), 5), digits, "what is clear waits for nothing");
    }

    #[test]
    fn keys_whose_table_does_not_come_pass_as_digits_and_are_bounded() {
        let table = table(&["*76"]);
        let keys = [(0, '*'), (200, '7'), (400, '6')];
        let digits = [(2_000, "*".to_owned()), (2_000, "7".to_owned()), (2_000, "6".to_owned())];
        assert_eq!(collect(&table, &keys, 60_000), digits);
        let flood: Vec<(u64, char)> = (0..100).map(|n| (n, if n == 0 { '*' } else { '1' })).collect();
        assert_eq!(collect(&table, &flood, 1_500).len(), 100);
        let mut collector = Keys::default();
        for (ms, digit) in flood {
            collector.handle_key(Key { digit, duration_ms: 1, at: Instant::now() + Duration::from_millis(ms) });
            assert!(collector.held.len() <= MAX_WAITING);
        }
    }

    proptest! {
        #[test]
        fn any_keys_become_what_a_look_at_the_whole_text_makes_of_them(
            sequences in prop::collection::vec("\\*[01]{1,3}", 0..8),
            keys in prop::collection::vec((prop_oneof![6 => 50..800_u64, 1 => 1_400..1_600_u64, 1 => 1_500..4_000_u64],
                prop::sample::select(vec!['*', '*', '0', '0', '1', '1', '#', 'A'])), 0..40),
            delay in prop_oneof![4 => Just(0_u64), 2 => 0..50_u64, 1 => 0..1_900_u64],
        ) {
            let table = table(&sequences.iter().map(String::as_str).collect::<Vec<_>>());
            let mut now = 0;
            let keys: Vec<(u64, char)> = keys.into_iter().map(|(gap, key)| { now += gap; (now, key) }).collect();
            let (found, expected) = (collect(&table, &keys, delay), reference(&table, &keys));
            prop_assert_eq!(text(&found), text(&expected), "{:?}", keys);
            for ((late, _), (soon, _)) in found.iter().zip(&expected) {
                prop_assert!(late >= soon && *late <= soon + delay, "{found:?} for {expected:?}");
            }
        }
    }
}
