//! Decoded samples: the recent past, which concealment and time scaling look back on, and what waits to be played.

use super::stretch::{Direction, fade};

/// The longest packet of audio: Opus's 120 ms (RFC 6716, section 2.1.4) at 48 kHz.
pub(super) const MAX_FRAME: usize = 5_760;

/// The past that is kept: 48.75 ms at 48 kHz (ITU-T G.711 Appendix I, clause I.2.1).
pub(super) const MAX_HISTORY: usize = 2_340;

/// The past, a packet, and room for what waits before it (20 ms) and what slowing down inserts (12.5 ms).
const CAPACITY: usize = MAX_HISTORY + MAX_FRAME + 1_628;

#[derive(Clone, Debug)]
pub(super) struct Pcm {
    samples: [f32; CAPACITY],
    next: usize,
    end: usize,
}

impl Pcm {
    pub(super) const fn new() -> Self {
        // A past of silence, so that there always is one.
        Self { samples: [0.0; CAPACITY], next: MAX_HISTORY, end: MAX_HISTORY }
    }

    /// Forgets past and future.
    pub(super) fn clear(&mut self) {
        self.samples.fill(0.0);
        (self.next, self.end) = (MAX_HISTORY, MAX_HISTORY);
    }

    /// Samples that wait.
    pub(super) const fn waiting(&self) -> usize {
        self.end - self.next
    }

    /// Everything held, and the index in it of the next sample to be played.
    pub(super) fn view(&self) -> (&[f32], usize) {
        (self.samples.get(..self.end).unwrap_or_default(), self.next)
    }

    /// The samples that wait.
    pub(super) fn ahead(&self) -> &[f32] {
        self.samples.get(self.next..self.end).unwrap_or_default()
    }

    pub(super) fn ahead_mut(&mut self) -> &mut [f32] {
        self.samples.get_mut(self.next..self.end).unwrap_or_default()
    }

    /// Lets `write` append up to `most` samples; it says how many it has. Returns the appended ones.
    pub(super) fn append(&mut self, most: usize, write: impl FnOnce(&mut [f32]) -> usize) -> &mut [f32] {
        if self.end + most > CAPACITY {
            let first = self.next.saturating_sub(MAX_HISTORY);
            self.samples.copy_within(first..self.end, 0);
            self.next -= first;
            self.end -= first;
        }
        let most = most.min(CAPACITY - self.end);
        let room = self.samples.get_mut(self.end..self.end + most).unwrap_or_default();
        let written = write(room).min(most);
        let from = self.end;
        self.end += written;
        let appended = self.samples.get_mut(from..from + written).unwrap_or_default();
        // A decoder's mishap must not ring on through history.
        appended.iter_mut().filter(|sample| !sample.is_finite()).for_each(|sample| *sample = 0.0);
        appended
    }

    /// Takes the first `skip` samples out of the last `of` appended.
    pub(super) fn drop_first(&mut self, skip: usize, of: usize) {
        let from = self.end.saturating_sub(of).max(self.next);
        let skip = skip.min(self.end - from);
        self.samples.copy_within(from + skip..self.end, from);
        self.end -= skip;
    }

    /// Plays into `out`; returns how many samples there were.
    pub(super) fn play(&mut self, out: &mut [f32]) -> usize {
        let length = out.len().min(self.waiting());
        if let (Some(out), Some(from)) = (out.get_mut(..length), self.samples.get(self.next..self.next + length)) {
            out.copy_from_slice(from);
        }
        self.next += length;
        length
    }

    /// Jumps over `lag` samples, or back by as many, cross-fading over `overlap`. The caller has seen that there are so many.
    pub(super) fn splice(&mut self, direction: Direction, lag: usize, overlap: usize) {
        let head = self.next;
        match direction {
            Direction::Forward if self.waiting() >= lag + overlap => {
                for k in 0..overlap {
                    self.blend(head + k, head + k, head + lag + k, k, overlap);
                }
                self.samples.copy_within(head + lag + overlap..self.end, head + overlap);
                self.end -= lag;
            }
            Direction::Back if head >= lag && self.waiting() >= overlap && self.end + lag <= CAPACITY => {
                self.samples.copy_within(head..self.end, head + lag);
                self.end += lag;
                self.samples.copy_within(head - lag..head, head);
                for k in 0..overlap {
                    self.blend(head + k, head + lag + k, head + k, k, overlap);
                }
            }
            Direction::Forward | Direction::Back => {}
        }
    }

    /// Whether [`Self::splice`] backwards by `lag` has room.
    pub(super) const fn has_room(&self, lag: usize) -> bool {
        self.end + lag <= CAPACITY && self.next >= lag
    }

    fn blend(&mut self, to: usize, out: usize, into: usize, k: usize, overlap: usize) {
        let at = |index: usize| self.samples.get(index).copied().unwrap_or_default();
        let blended = fade(at(out), at(into), k, overlap);
        if let Some(sample) = self.samples.get_mut(to) {
            *sample = blended;
        }
    }
}
