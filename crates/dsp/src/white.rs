//! White noise: the same in every run and on every target.

/// A generator of it.
#[derive(Clone, Debug)]
pub struct WhiteNoise(u32);

impl WhiteNoise {
    /// Each begins alike.
    pub fn new() -> Self {
        Self(0x2545_F491)
    }

    /// Marsaglia's xorshift, uniform in −1 … 1: a variance of 1/3.
    pub fn next_sample(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.cast_signed() as f32 / 2_147_483_648.0
    }
}

impl Default for WhiteNoise {
    fn default() -> Self {
        Self::new()
    }
}
