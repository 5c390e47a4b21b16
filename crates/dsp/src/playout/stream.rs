//! The numbers of a stream: wrap undone, and restarts of the sender told from packets that are merely late.

use super::Packet;
use super::store::Place;
use crate::SampleRate;

/// Further from the fastest transit than this is no jitter.
const MAX_DEVIATION_MS: u32 = 1_000;

/// So long packets of the sender before are refused: those still under way must not bring it back.
const STALE_MS: u32 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Here(Place),
    Restart(Place),
    Suspect,
    Stale,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    ssrc: u32,
    sequence: i64,
    ticks: i64,
}

/// Wraps are undone against the newest packet.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    clock: SampleRate,
    rate: SampleRate,
    last: Option<Last>,
    suspect: Option<u16>,
    /// The SSRC before this one, and until when it is refused.
    former: Option<(u32, u64)>,
}

impl Stream {
    pub(super) const fn new(clock: SampleRate, rate: SampleRate) -> Self {
        Self { clock, rate, last: None, suspect: None, former: None }
    }

    /// Places a packet that arrives at `now`, where the fastest transit is `base`.
    pub(super) fn place(&mut self, packet: &Packet<'_>, now: u64, base: Option<i64>) -> Placed {
        let Some(last) = self.last else { return self.restart(packet) };
        if packet.ssrc != last.ssrc {
            if self.former.is_some_and(|(ssrc, until)| ssrc == packet.ssrc && now < until) {
                return Placed::Stale;
            }
            self.former = Some((last.ssrc, now.saturating_add(u64::from(self.rate.samples(STALE_MS)))));
            return self.restart(packet);
        }
        let steps = i64::from(packet.sequence.wrapping_sub(last.sequence as u16) as i16);
        let ticks = i64::from(packet.timestamp.wrapping_sub(last.ticks as u32) as i32);
        let next = Last { ssrc: last.ssrc, sequence: last.sequence + steps, ticks: last.ticks + ticks };
        let place = self.in_samples(next);
        let deviation = base.map_or(0, |base| (transit(now, place.at) - base).abs());
        if steps.signum() * ticks.signum() < 0 || deviation > i64::from(self.rate.samples(MAX_DEVIATION_MS)) {
            // RFC 3550, appendix A.1: two in a row are a restart, one alone is a stray.
            if self.suspect == Some(packet.sequence) {
                return self.restart(packet);
            }
            self.suspect = Some(packet.sequence.wrapping_add(1));
            return Placed::Suspect;
        }
        self.suspect = None;
        if ticks > 0 {
            self.last = Some(next);
        }
        Placed::Here(place)
    }

    /// Whatever comes next is a stream of its own.
    pub(super) const fn forget(&mut self) {
        self.last = None;
        self.suspect = None;
        self.former = None;
    }

    fn restart(&mut self, packet: &Packet<'_>) -> Placed {
        let (sequence, ticks) = (i64::from(packet.sequence), i64::from(packet.timestamp));
        let last = Last { ssrc: packet.ssrc, sequence, ticks };
        self.last = Some(last);
        self.suspect = None;
        Placed::Restart(self.in_samples(last))
    }

    fn in_samples(&self, last: Last) -> Place {
        let at = (last.ticks * i64::from(self.rate.hz())).div_euclid(i64::from(self.clock.hz()));
        Place { sequence: last.sequence, at }
    }
}

/// Arrival less timestamp: means something only against another one.
pub(super) fn transit(now: u64, at: i64) -> i64 {
    i64::try_from(now).unwrap_or(i64::MAX / 2).saturating_sub(at)
}
