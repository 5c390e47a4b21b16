//! Order and loss of one RTP stream by its sequence numbers (RFC 3550 appendix A.1 and A.3). It neither holds nor reorders
//! packets.

/// RFC 3550 appendix A.1: a step forward up to this is loss, a larger one is a restart.
const MAX_DROPOUT: u16 = 3000;
/// RFC 3550 appendix A.1: a step backward up to this is a late packet.
pub(super) const MAX_MISORDER: u16 = 100;

/// What a packet's sequence number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The stream's first packet, or its first after a restart of the sender.
    First,
    /// In order; so many packets before it have not come.
    Next {
        /// How many are missing directly before it.
        missing: u16,
    },
    /// It comes after one that was sent later, or for the second time.
    Late,
    /// Far from what was expected. Not to be used: a packet that follows it proves a restart (RFC 3550 A.1).
    Suspect,
}

/// The sequence numbers of one sender.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    highest: Option<u16>,
    wraps: u16,
    suspect: Option<u16>,
    expected: u64,
    received: u64,
}

impl Sequence {
    /// Takes the next packet's sequence number.
    pub(crate) fn arrive(&mut self, number: u16) -> Arrival {
        let Some(highest) = self.highest else {
            self.restart(number);
            return Arrival::First;
        };
        let step = number.wrapping_sub(highest);
        if (1..MAX_DROPOUT).contains(&step) {
            self.wraps = self.wraps.wrapping_add(u16::from(number < highest));
            self.highest = Some(number);
            self.suspect = None;
            self.expected += u64::from(step);
            self.received += 1;
            return Arrival::Next { missing: step - 1 };
        }
        if step == 0 || step > u16::MAX - MAX_MISORDER {
            // A duplicate counts as received, as in RFC 3550 A.3: loss is an estimate that never goes below zero.
            self.received += 1;
            return Arrival::Late;
        }
        if self.suspect == Some(number) {
            self.restart(number);
            return Arrival::First;
        }
        self.suspect = Some(number.wrapping_add(1));
        Arrival::Suspect
    }

    /// Forgets the numbers, not the counts: the sender's SSRC has changed.
    pub(crate) fn forget(&mut self) {
        self.highest = None;
        self.wraps = 0;
        self.suspect = None;
    }

    /// Packets that came, late ones included.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Packets that should have come.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// The highest number, extended by its wraps (RFC 3550 section 6.4.1).
    pub(crate) fn highest(&self) -> u32 {
        u32::from(self.wraps) << 16 | u32::from(self.highest.unwrap_or(0))
    }

    /// Packets that never came, as far as the sequence numbers tell.
    pub(crate) fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.received)
    }

    fn restart(&mut self, number: u16) {
        self.highest = Some(number);
        self.suspect = None;
        self.expected += 1;
        self.received += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: impl IntoIterator<Item = u16>) -> (Vec<Arrival>, Sequence) {
        let mut sequence = Sequence::default();
        (numbers.into_iter().map(|number| sequence.arrive(number)).collect(), sequence)
    }

    #[test]
    fn a_wrap_is_no_loss() {
        let (arrivals, sequence) = arrivals([65_534, 65_535, 0, 1]);
        assert_eq!(arrivals.get(2), Some(&Arrival::Next { missing: 0 }));
        assert_eq!((sequence.received(), sequence.lost(), sequence.highest()), (4, 0, 0x1_0001));
    }

    #[test]
    fn a_gap_counts_as_lost_until_the_late_packet_comes() {
        let (_, mut sequence) = arrivals([10, 12, 13]);
        assert_eq!(sequence.lost(), 1);
        assert_eq!(sequence.arrive(11), Arrival::Late);
        assert_eq!(sequence.lost(), 0);
    }

    #[test]
    fn a_jump_is_believed_only_when_a_second_packet_follows_it() {
        let (arrivals, sequence) = arrivals([1, 2, 30_000, 3, 30_000, 30_001, 30_002]);
        use Arrival::{First, Next, Suspect};
        let next = Next { missing: 0 };
        assert_eq!(arrivals, [First, next, Suspect, next, Suspect, First, next]);
        assert_eq!(sequence.lost(), 0);
    }
}
