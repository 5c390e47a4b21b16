//! Playout: an adaptive jitter buffer. RTP packets of one stream in, an even flow of samples out, at a delay that follows the
//! network: the 95th percentile of the measured jitter, and one block; one packet more where packets are lost that the next one can
//! recover. It tells time in samples, never by a clock of its own.
//!
//! How the delay changes, gentlest first: in silence; by whole pitch periods in speech (WSOLA), which keeps the pitch; in what is
//! concealed anyhow; by dropping packets, only beyond [`Config::max_delay_ms`]. A lost packet is recovered from the next one (FEC),
//! else concealed by the codec, else as ITU-T G.711 Appendix I does.
//!
//! Deliberately not here: RTP parsing, the decoders themselves ([`Codec`] is implemented beside them), mixing, resampling.

mod buffer;
mod conceal;
mod g711;
mod jitter;
mod pcm;
mod redundancy;
mod store;
mod stream;
mod stretch;

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use buffer::Playout;
pub use g711::G711;

/// A moment on the caller's clock, counted in samples of the playout's rate from any origin. It must not run backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleTime(pub u64);

/// The parts of an RTP packet (RFC 3550, section 5.1) that playout looks at.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Synchronisation source: another one is another sender, and everything starts anew.
    pub ssrc: u32,
    /// Sequence number; tells loss from a pause of the sender.
    pub sequence: u16,
    /// Timestamp, in ticks of the RTP clock; says when the packet is played.
    pub timestamp: u32,
    /// What [`Codec::decode`] is given.
    pub payload: &'a [u8],
}

/// The codec's side of playout. Audio is `f32`, full scale ±1.0, at the playout's rate; each function returns how many samples it
/// wrote, 0 when it cannot do what is asked.
pub trait Codec {
    /// Decodes a packet, of 120 ms at most.
    fn decode(&mut self, payload: &[u8], pcm: &mut [f32]) -> usize;

    /// Recovers the packet before `next`, which is lost, from redundancy inside `next` (Opus: RFC 6716, section 2.1.7). `pcm` has the
    /// length of the lost packet. `next` is decoded afterwards.
    fn recover(&mut self, next: &[u8], pcm: &mut [f32]) -> usize {
        let _ = (next, pcm);
        0
    }

    /// Whether [`Codec::recover`] would succeed with `next`. Where such packets are lost, playout waits for the ones behind them.
    fn has_redundancy(&self, next: &[u8]) -> bool {
        let _ = next;
        false
    }

    /// Conceals a loss, or makes the comfort noise of a pause, with the decoder's own means; `pcm` has a multiple of 2.5 ms, 10 ms at
    /// most. With 0 playout does as ITU-T G.711 Appendix I.
    fn conceal(&mut self, pcm: &mut [f32]) -> usize {
        let _ = pcm;
        0
    }

    /// Forgets the past: the sender has restarted.
    fn reset(&mut self) {}
}

/// Bounds of the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The least that is aimed at, milliseconds. 0 leaves all to the measurement.
    pub min_delay_ms: u32,
    /// The most that is held, milliseconds, 400 at most: what the network brings beyond it is dropped, oldest first.
    pub max_delay_ms: u32,
}

impl Default for Config {
    /// 0 to 200 ms: beyond 150 ms people begin to talk over each other (ITU-T G.114).
    fn default() -> Self {
        Self { min_delay_ms: 0, max_delay_ms: 200 }
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// It waits for its turn.
    Stored,
    /// It waits for its turn, and is the first after a restart of the sender.
    Restarted,
    /// Its turn is over: dropped.
    Late,
    /// It was here already: dropped.
    Duplicate,
    /// Its numbers do not follow: dropped; when the next packet follows it, the sender has restarted (as RFC 3550, appendix A.1).
    Suspect,
    /// Of the sender before this one: dropped.
    Stale,
    /// Empty, or longer than the buffer was made for: dropped.
    BadLength,
}

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Something to hear, at least in part.
    Sound,
    /// Nothing: the stream has not begun, or is over and has faded.
    Silence,
}

/// Counts since construction, and the state of now. Durations are in samples, delays in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets given, whatever became of them.
    pub received: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets dropped to keep the delay under its cap, or for want of room.
    pub overflowed: u64,
    /// Packets that could not be placed or decoded.
    pub malformed: u64,
    /// Times the sender has restarted.
    pub restarts: u64,
    /// Samples recovered by FEC.
    pub recovered: u64,
    /// Samples that stand for what was not there in time: concealment, comfort noise, and silence before the stream.
    pub concealed: u64,
    /// Samples put in to slow down.
    pub inserted: u64,
    /// Samples taken out to catch up.
    pub removed: u64,
    /// How long what is played now was held, beyond the fastest packet's transit.
    pub delay_ms: u32,
    /// What the delay is steered to.
    pub target_ms: u32,
    /// Audio that is held, decoded or not; never above the cap, but for a single packet.
    pub held_ms: u32,
}

impl Stats {
    const ZERO: Self = Self {
        received: 0,
        late: 0,
        duplicate: 0,
        overflowed: 0,
        malformed: 0,
        restarts: 0,
        recovered: 0,
        concealed: 0,
        inserted: 0,
        removed: 0,
        delay_ms: 0,
        target_ms: 0,
        held_ms: 0,
    };
}
