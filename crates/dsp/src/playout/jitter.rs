//! What the network does: the fastest transit of late, and how much later the others are.

use crate::SampleRate;

/// Bins of 2.5 ms up to 320 ms; what is later counts as that.
const BINS: usize = 128;
const BINS_PER_SECOND: i64 = 400;

/// The share of packets that shall be in time.
const PERCENTILE: f32 = 0.95;

/// What is assumed before anything is measured: 30 ms, weighing as much as four packets.
const PRIOR_BIN: usize = 11;
const PRIOR_PACKETS: f32 = 4.0;

/// Packets that the estimate remembers: 2 s of 20 ms ones, so that a disturbance is forgotten in 5 s. Fewer make a 95th percentile jump
/// about.
const MEMORY: f32 = 100.0;

/// The fastest transit is that of the last 2 s, so that it follows drift and changes of route.
const BUCKETS: usize = 8;
const BUCKET_MS: u32 = 250;

#[derive(Clone, Debug)]
pub(super) struct Jitter {
    rate: SampleRate,
    fastest: [i64; BUCKETS],
    bucket: usize,
    bucket_since: u64,
    measured: bool,
    share: [f32; BINS],
    weight: f32,
}

impl Jitter {
    pub(super) const fn new(rate: SampleRate) -> Self {
        let mut share = [0.0; BINS];
        share[PRIOR_BIN] = 1.0;
        let fastest = [i64::MAX; BUCKETS];
        Self { rate, fastest, bucket: 0, bucket_since: 0, measured: false, share, weight: PRIOR_PACKETS }
    }

    /// Forgets the transits, which mean nothing to another sender; the jitter is the network's and stays.
    pub(super) fn restart(&mut self) {
        self.fastest = [i64::MAX; BUCKETS];
        self.measured = false;
    }

    /// Takes the transit of a packet: arrival less timestamp, in samples.
    pub(super) fn measure(&mut self, transit: i64, now: u64) {
        if now.saturating_sub(self.bucket_since) >= u64::from(self.rate.samples(BUCKET_MS)) {
            // One bucket per arrival at most: a pause of the sender says nothing about the network.
            self.bucket = (self.bucket + 1) % BUCKETS;
            self.bucket_since = now;
            self.lower(transit, true);
        }
        self.lower(transit, false);
        let Some(base) = self.base() else { return };
        let lateness = (transit - base) * BINS_PER_SECOND / i64::from(self.rate.hz());
        let bin = usize::try_from(lateness).unwrap_or_default().min(BINS - 1);
        self.weight = (self.weight + 1.0).min(MEMORY);
        let weight = 1.0 / self.weight;
        for (index, share) in self.share.iter_mut().enumerate() {
            let next = *share * (1.0 - weight) + if index == bin { weight } else { 0.0 };
            // Cut before it gets denormal.
            *share = if next > 1e-12 { next } else { 0.0 };
        }
    }

    /// The fastest transit; `None` before the first packet.
    pub(super) fn base(&self) -> Option<i64> {
        self.measured.then(|| self.fastest.iter().copied().min().unwrap_or_default())
    }

    /// By how much 95 % of the packets are later than the fastest at most, samples.
    pub(super) fn percentile(&self) -> i64 {
        let mut sum = 0.0;
        let below = self.share.iter().take_while(|share| {
            sum += **share;
            sum < PERCENTILE
        });
        (below.count() as i64 + 1) * i64::from(self.rate.hz()) / BINS_PER_SECOND
    }

    fn lower(&mut self, transit: i64, anew: bool) {
        self.measured = true;
        if let Some(fastest) = self.fastest.get_mut(self.bucket) {
            *fastest = if anew { transit } else { transit.min(*fastest) };
        }
    }
}
