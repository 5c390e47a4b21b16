//! The sixteen keys of a telephone.

use crate::Hertz;
use crate::dtmf::{HIGH_GROUP, LOW_GROUP};
use core::fmt;

/// A DTMF digit, held as its event code (RFC 4733, section 3.2): 0–9, 10 is `*`, 11 is `#`, 12–15 are A–D.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digit(u8);

impl Digit {
    /// All sixteen, by event code.
    pub const ALL: [Self; 16] = [
        Self(0),
        Self(1),
        Self(2),
        Self(3),
        Self(4),
        Self(5),
        Self(6),
        Self(7),
        Self(8),
        Self(9),
        Self(10),
        Self(11),
        Self(12),
        Self(13),
        Self(14),
        Self(15),
    ];

    /// By event code; `None` for events that are not digits.
    pub const fn from_event(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// By character; letters in either case.
    pub const fn from_char(character: char) -> Option<Self> {
        match character {
            '0'..='9' => Some(Self(character as u8 - b'0')),
            '*' => Some(Self(10)),
            '#' => Some(Self(11)),
            'A'..='D' => Some(Self(character as u8 - b'A' + 12)),
            'a'..='d' => Some(Self(character as u8 - b'a' + 12)),
            _ => None,
        }
    }

    /// The event code, 0–15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// The character on the key.
    pub const fn as_char(self) -> char {
        (match self.0 {
            0..=9 => b'0' + self.0,
            10 => b'*',
            11 => b'#',
            _ => b'A' + self.0 - 12,
        }) as char
    }

    /// The key in row `row` (697, 770, 852, 941 Hz) and column `column` (1209, 1336, 1477, 1633 Hz) of ITU-T Q.23's key pad.
    pub(crate) const fn at(row: usize, column: usize) -> Self {
        Self(match (row & 3, column & 3) {
            (row, 3) => 12 + row as u8,
            (3, 0) => 10,
            (3, 1) => 0,
            (3, _) => 11,
            (row, column) => (row * 3 + column + 1) as u8,
        })
    }

    /// Its two tones (ITU-T Q.23): of the row, of the column.
    pub fn frequencies(self) -> (Hertz, Hertz) {
        let (row, column) = self.place();
        let of = |group: [f32; 4], at: usize| Hertz(group.get(at).copied().unwrap_or_default());
        (of(LOW_GROUP, row), of(HIGH_GROUP, column))
    }

    /// Row and column on the key pad.
    pub(crate) const fn place(self) -> (usize, usize) {
        match self.0 {
            0 => (3, 1),
            10 => (3, 0),
            11 => (3, 2),
            12..=15 => (self.0 as usize - 12, 3),
            _ => ((self.0 as usize - 1) / 3, (self.0 as usize - 1) % 3),
        }
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_char(f, self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_character_and_one_place() {
        let keypad = ["123A", "456B", "789C", "*0#D"];
        for (row, keys) in keypad.iter().enumerate() {
            for (column, key) in keys.chars().enumerate() {
                let digit = Digit::from_char(key).unwrap();
                assert_eq!((digit.as_char(), digit.place(), Digit::at(row, column)), (key, (row, column), digit));
            }
        }
        assert_eq!(Digit::ALL.map(Digit::event), core::array::from_fn(|code| code as u8));
        assert_eq!((Digit::from_event(16), Digit::from_char('x')), (None, None));
        assert_eq!(Digit::from_char('d'), Digit::from_event(15));
    }
}
