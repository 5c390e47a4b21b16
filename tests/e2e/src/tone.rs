//! Tones: made for the microphone, found again in recordings. Not here: any codec.

use anyhow::{Context as _, Result, ensure};
use std::f64::consts::TAU;
use std::path::Path;

/// The rate that Chromium's file microphone takes without resampling.
const MICROPHONE_RATE: u32 = 48_000;

/// The lowest and highest frequency looked at, in Hz: what G.711 carries.
const BAND: (f64, f64) = (100.0, 3_600.0);

/// A tone counts as begun when the sound is that loud, in dB below full scale.
const AUDIBLE_DBFS: f64 = -45.0;

/// In how many places of a sound its loudest tone is looked for.
const EXCERPTS: usize = 5;

/// Mono sound.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// Between −1 and 1.
    pub samples: Vec<f32>,
}

impl Recording {
    /// A sine of `hertz`, `dbfs` below a full-scale sine, that repeats without a seam.
    pub fn sine(hertz: u32, dbfs: f64, seconds: u32) -> Self {
        let amplitude = 10_f64.powf(dbfs / 20.0);
        let step = TAU * f64::from(hertz) / f64::from(MICROPHONE_RATE);
        let samples =
            (0..MICROPHONE_RATE * seconds).map(|n| (amplitude * (step * f64::from(n)).sin()) as f32).collect();
        Self { rate: MICROPHONE_RATE, samples }
    }

    /// Writes 16-bit PCM.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_wav(&self, path: &Path) -> Result<()> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer =
            hound::WavWriter::create(path, spec).with_context(|| format!("cannot create {}", path.display()))?;
        for sample in &self.samples {
            writer.write_sample((sample * f32::from(i16::MAX)) as i16)?;
        }
        Ok(writer.finalize()?)
    }

    /// Reads 16-bit mono PCM.
    ///
    /// # Errors
    /// When the file is not that.
    pub fn read_wav(path: &Path) -> Result<Self> {
        let mut reader = hound::WavReader::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let spec = reader.spec();
        ensure!(spec.channels == 1 && spec.bits_per_sample == 16, "{} is not 16-bit mono: {spec:?}", path.display());
        let samples = reader.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32768.0)).collect::<Result<_, _>>()?;
        Ok(Self { rate: spec.sample_rate, samples })
    }

    /// The last `seconds` before the final half second, which the hang-up may have cut into.
    ///
    /// # Errors
    /// When there is less sound than that after its first audible tenth of a second.
    pub fn steady(&self, seconds: f64) -> Result<Self> {
        let block = self.rate as usize / 10;
        let begin = self
            .samples
            .chunks(block)
            .position(|chunk| rms_dbfs(chunk) > AUDIBLE_DBFS)
            .context("nothing but silence")?;
        let end = self.samples.len().saturating_sub(self.rate as usize / 2);
        let wanted = (seconds * f64::from(self.rate)) as usize;
        let from = end.saturating_sub(wanted);
        ensure!(
            from >= begin * block && end > from,
            "only {:.1} s of sound in a recording of {:.1} s",
            (self.samples.len() - begin * block) as f64 / f64::from(self.rate),
            self.samples.len() as f64 / f64::from(self.rate)
        );
        Ok(Self { rate: self.rate, samples: self.samples.get(from..end).unwrap_or_default().to_vec() })
    }

    /// The part that begins `from` and ends `to` seconds before the end.
    ///
    /// # Errors
    /// When the sound is shorter than that.
    pub fn before_end(&self, from: f64, to: f64) -> Result<Self> {
        let place = |seconds: f64| self.samples.len().checked_sub((seconds * f64::from(self.rate)) as usize);
        let part = place(from).zip(place(to)).and_then(|(from, to)| self.samples.get(from..to));
        let part = part.with_context(|| format!("no {from:.1} s to {to:.1} s before the end"))?;
        Ok(Self { rate: self.rate, samples: part.to_vec() })
    }

    /// How long it is.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// The level of one frequency, in dB against a full-scale sine: the median over blocks of a fifth of a second, so that
    /// a gap in the recording (the recorder shares a busy machine) does not pass for a quieter tone.
    pub fn level(&self, hertz: f64) -> f64 {
        median(self.levels(hertz)).unwrap_or(f64::NEG_INFINITY)
    }

    /// The highest level of one frequency in any of those blocks: of a short tone over other sound.
    pub fn peak(&self, hertz: f64) -> f64 {
        self.levels(hertz).into_iter().max_by(f64::total_cmp).unwrap_or(f64::NEG_INFINITY)
    }

    /// Where in the telephone band the loudest tone lies, in Hz, to within 1 Hz.
    pub fn loudest(&self) -> f64 {
        let scan = |from: f64, to: f64, step: f64, level: &dyn Fn(f64) -> f64| {
            let steps = ((to - from) / step) as u32;
            (0..=steps)
                .map(|n| from + step * f64::from(n))
                .map(|hertz| (hertz, level(hertz)))
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .map_or(from, |(hertz, _)| hertz)
        };
        // Tenths of a second tell where to look: a Hann window's main lobe is 4 bins of 10 Hz wide there. Several of them, since one may
        // be torn.
        let (tenth, length) = (self.rate as usize / 10, self.samples.len());
        let excerpts = (0..EXCERPTS).map(|n| self.samples.get(n * length / EXCERPTS..).unwrap_or_default());
        let found = excerpts
            .map(|rest| rest.get(..tenth).unwrap_or(rest))
            .map(|excerpt| scan(BAND.0, BAND.1, 5.0, &|hertz| goertzel(excerpt, self.rate, hertz)))
            .collect();
        let coarse = median(found).unwrap_or(BAND.0);
        scan(coarse - 5.0, coarse + 5.0, 1.0, &|hertz| self.level(hertz))
    }

    /// The level of the whole sound, in dB against a full-scale sine.
    pub fn loudness(&self) -> f64 {
        rms_dbfs(&self.samples)
    }

    /// Fails unless this is a tone of `hertz` (within 1 %) at `dbfs` (within 3 dB) with `other` 30 dB below it, and nothing else for more
    /// than a fifth of the time.
    ///
    /// # Errors
    /// What was found instead.
    pub fn require_only(&self, hertz: f64, dbfs: f64, other: f64) -> Result<()> {
        let loudest = self.loudest();
        let (level, stranger) = (self.level(loudest), self.level(other));
        let found = format!(
            "loudest is {loudest:.1} Hz at {level:.1} dBFS, {other} Hz is at {stranger:.1} dBFS, all together {:.1} dBFS",
            self.loudness()
        );
        ensure!((loudest / hertz - 1.0).abs() <= 0.01, "not a tone of {hertz} Hz: {found}");
        ensure!((level - dbfs).abs() <= 3.0, "{hertz} Hz should have {dbfs:.1} dBFS: {found}");
        ensure!(level - stranger >= 30.0, "{other} Hz is in it: {found}");
        let strangers = self.strangers(loudest);
        // What a codec makes of a stream that lost its beginning may burst once; what else is in it, is there for longer.
        let fifths = self.samples.len() / (self.rate as usize / 5);
        ensure!(strangers.len() * 5 <= fifths, "something else is in it: {found}; {}", strangers.join("; "));
        Ok(())
    }

    /// The fifths of a second that are at least 1 dB louder than the tone of `hertz` alone is: when, and how.
    fn strangers(&self, hertz: f64) -> Vec<String> {
        let (block, level) = (self.rate as usize / 5, self.level(hertz));
        let describe = |(n, samples): (usize, &[f32])| {
            let loudness = rms_dbfs(samples);
            let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            let tone = goertzel(samples, self.rate, hertz);
            let found =
                format!("{loudness:.1} dBFS at {:.1} s, {tone:.1} of it the tone, peak {peak:.2}", n as f64 / 5.0);
            (loudness - level > 1.0).then_some(found)
        };
        self.samples.chunks_exact(block).enumerate().filter_map(describe).collect()
    }

    /// Fails unless in at least `share` of the fifths of a second there is a tone of `hertz` at `dbfs`, give or take `within` dB, with
    /// `other` 15 dB below it: over a network that loses and delays, where the rest is made up and not clean.
    ///
    /// # Errors
    /// What was found instead.
    pub fn require_mostly(&self, (hertz, dbfs): (f64, f64), other: f64, (within, share): (f64, f64)) -> Result<()> {
        let (wanted, strange) = (self.levels(hertz), self.levels(other));
        let is_tone =
            |(level, stranger): &(&f64, &f64)| (**level - dbfs).abs() <= within && **level - **stranger >= 15.0;
        let good = wanted.iter().zip(&strange).filter(is_tone).count();
        ensure!(
            !wanted.is_empty() && good as f64 >= share * wanted.len() as f64,
            "{hertz} Hz of {dbfs:.1} dBFS is in {good} of {} fifths of a second: {wanted:.0?}, {other} Hz: {strange:.0?}",
            wanted.len()
        );
        Ok(())
    }

    /// When a tone begins again, in seconds from the start, each time after a pause: tones that last longer than 100 ms.
    pub fn beginnings(&self, hertz: f64, dbfs: f64) -> Vec<f64> {
        let block = self.rate as usize / 25;
        let is_loud: Vec<bool> =
            self.samples.chunks_exact(block).map(|block| goertzel(block, self.rate, hertz) > dbfs).collect();
        let mut beginnings = Vec::new();
        let mut at = 0;
        for run in is_loud.chunk_by(|a, b| a == b) {
            if run.first() == Some(&true) && run.len() >= 3 {
                beginnings.push(at as f64 / 25.0);
            }
            at += run.len();
        }
        beginnings
    }

    /// The longest time in which no tone of `hertz` is heard, in seconds: to the end, and from the first time that it is heard.
    ///
    /// # Errors
    /// When it is never heard.
    pub fn longest_gap(&self, hertz: f64) -> Result<f64> {
        let block = self.rate as usize / 50;
        let is_loud: Vec<bool> =
            self.samples.chunks_exact(block).map(|block| goertzel(block, self.rate, hertz) > AUDIBLE_DBFS).collect();
        let first = is_loud.iter().position(|loud| *loud).with_context(|| format!("{hertz} Hz is never heard"))?;
        let heard = is_loud.get(first..).unwrap_or_default();
        Ok(heard.split(|loud| *loud).map(<[bool]>::len).max().unwrap_or_default() as f64 / 50.0)
    }

    /// How long each stretch is in which one frequency is louder than `dbfs`, in seconds, in order. Gaps of less than 60 ms are none.
    pub fn bursts(&self, hertz: f64, dbfs: f64) -> Vec<f64> {
        let step = self.rate as usize / 100;
        let (mut bursts, mut gap) = (Vec::new(), usize::MAX);
        for piece in self.samples.windows(2 * step).step_by(step) {
            if goertzel(piece, self.rate, hertz) <= dbfs {
                gap = gap.saturating_add(1);
                continue;
            }
            match bursts.last_mut().filter(|_| gap < 6) {
                Some(length) => *length += (gap + 1) as f64 / 100.0,
                None => bursts.push(0.01),
            }
            gap = 0;
        }
        bursts
    }

    /// The level of one frequency in each fifth of a second, in dB against a full-scale sine.
    pub fn levels(&self, hertz: f64) -> Vec<f64> {
        let blocks = self.samples.chunks_exact(self.rate as usize / 5);
        blocks.map(|block| goertzel(block, self.rate, hertz)).collect()
    }
}

/// The level of one frequency by Goertzel's algorithm under a Hann window, in dB against a full-scale sine.
fn goertzel(samples: &[f32], rate: u32, hertz: f64) -> f64 {
    let n = samples.len() as f64;
    let coefficient = 2.0 * (TAU * hertz / f64::from(rate)).cos();
    let (mut s1, mut s2) = (0.0, 0.0);
    for (i, sample) in samples.iter().enumerate() {
        let window = 1.0 - (TAU * i as f64 / n).cos();
        let s0 = window.mul_add(f64::from(*sample), coefficient * s1 - s2);
        (s2, s1) = (s1, s0);
    }
    let power = s1.mul_add(s1, s2 * s2) - coefficient * s1 * s2;
    // The window's mean is 1, so a full-scale sine has the magnitude n / 2.
    10.0 * (power.max(1e-12) / (n / 2.0).powi(2)).log10()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Against a full-scale sine, whose mean square is 1/2.
fn rms_dbfs(samples: &[f32]) -> f64 {
    let square: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / samples.len().max(1) as f64;
    10.0 * (2.0 * square).max(1e-12).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(parts: &[(u32, f64)]) -> Recording {
        let mut sum = Recording { rate: MICROPHONE_RATE, samples: vec![0.0; 2 * MICROPHONE_RATE as usize] };
        for (hertz, dbfs) in parts {
            for (sample, other) in sum.samples.iter_mut().zip(Recording::sine(*hertz, *dbfs, 2).samples) {
                *sample += other;
            }
        }
        sum
    }

    #[test]
    fn a_tone_is_found_at_its_frequency_and_level() {
        let tone = mix(&[(997, -12.0)]);
        assert!((tone.loudest() - 997.0).abs() <= 1.0, "{}", tone.loudest());
        assert!((tone.level(997.0) + 12.0).abs() < 0.05, "{}", tone.level(997.0));
        assert!((tone.loudness() + 12.0).abs() < 0.05, "{}", tone.loudness());
    }

    #[test]
    fn a_second_tone_passes_at_31_db_below_and_fails_at_29() {
        assert!(mix(&[(1000, -12.0), (440, -43.0)]).require_only(1000.0, -12.0, 440.0).is_ok());
        assert!(mix(&[(1000, -12.0), (440, -41.0)]).require_only(1000.0, -12.0, 440.0).is_err());
    }

    #[test]
    fn a_tone_that_is_off_by_2_percent_or_4_db_fails() {
        assert!(mix(&[(1020, -12.0)]).require_only(1000.0, -12.0, 440.0).is_err());
        assert!(mix(&[(1000, -16.0)]).require_only(1000.0, -12.0, 440.0).is_err());
        assert!(mix(&[(1008, -14.0)]).require_only(1000.0, -12.0, 440.0).is_ok());
    }

    #[test]
    fn a_gap_in_the_recording_is_no_quieter_tone_and_noise_is_something_else() {
        let mut torn = mix(&[(440, -7.0)]);
        // Half a period is missing: what follows is the opposite of what came before.
        torn.samples.drain(48_000..48_055);
        assert!(torn.require_only(440.0, -7.0, 1000.0).is_ok());
        assert!(mix(&[(440, -7.0), (2000, -9.0)]).require_only(440.0, -7.0, 1000.0).is_err());
    }

    #[test]
    fn a_burst_is_no_other_sound_and_one_that_stays_is() {
        let burst = |samples: usize| {
            let mut sound = mix(&[(1000, -12.0)]);
            let loud = Recording::sine(300, -3.0, 1).samples.into_iter().take(samples);
            sound.samples.iter_mut().skip(9_600).zip(loud).for_each(|(sample, loud)| *sample += loud);
            sound.require_only(1000.0, -12.0, 440.0)
        };
        assert!(burst(2 * 9_600).is_ok());
        let failed = burst(3 * 9_600).map_err(|error| error.to_string());
        assert!(failed.as_ref().is_err_and(|error| error.contains("-2.5 dBFS at 0.2 s")), "{failed:?}");
    }

    #[test]
    fn a_sound_that_is_torn_where_it_begins_is_the_tone_that_it_is() {
        let mut torn = mix(&[(440, -7.0)]);
        torn.samples.drain(2_400..2_455);
        assert!((torn.loudest() - 440.0).abs() <= 1.0, "{}", torn.loudest());
    }

    #[test]
    fn a_tone_with_holes_is_mostly_there_and_its_longest_gap_may_be_the_last() {
        let mut torn = mix(&[(440, -7.0)]);
        torn.samples.get_mut(..9_600).unwrap_or_default().fill(0.0);
        torn.samples.get_mut(48_000..67_200).unwrap_or_default().fill(0.0);
        assert!(torn.require_mostly((440.0, -7.0), 1000.0, (3.0, 0.7)).is_ok());
        assert!(torn.require_mostly((440.0, -7.0), 1000.0, (3.0, 0.8)).is_err());
        assert!(torn.require_mostly((1000.0, -7.0), 440.0, (3.0, 0.1)).is_err());
        let gap = |of: &Recording| of.longest_gap(440.0).unwrap_or_default();
        assert!((gap(&torn) - 0.4).abs() < 0.05, "{}", gap(&torn));
        torn.samples.extend(vec![0.0; MICROPHONE_RATE as usize]);
        assert!((gap(&torn) - 1.0).abs() < 0.05, "{}", gap(&torn));
        assert!(torn.longest_gap(1000.0).is_err());
    }

    #[test]
    fn a_tone_is_told_each_time_that_it_begins() {
        let mut short = mix(&[(330, -22.0)]);
        short.samples.get_mut(..24_000).unwrap_or_default().fill(0.0);
        short.samples.get_mut(33_600..40_800).unwrap_or_default().fill(0.0);
        assert_eq!(short.beginnings(330.0, -35.0).len(), 2, "{:?}", short.beginnings(330.0, -35.0));
        assert!(short.beginnings(660.0, -35.0).is_empty());
    }

    #[test]
    fn a_part_is_found_by_its_distance_from_the_end() {
        let mut two = mix(&[(1000, -12.0)]);
        two.samples.extend(mix(&[(440, -12.0)]).samples);
        let part = |from, to| two.before_end(from, to).map(|part| part.loudest()).unwrap_or_default();
        assert!((part(3.5, 2.5) - 1000.0).abs() <= 1.0);
        assert!((part(1.5, 0.5) - 440.0).abs() <= 1.0);
        assert!(two.before_end(4.5, 0.0).is_err());
    }

    #[test]
    fn bursts_of_a_tone_are_counted_with_their_lengths() {
        let silence = |ms: usize| vec![0.0; ms * MICROPHONE_RATE as usize / 1_000];
        let tone = |ms: usize| Recording::sine(1_047, -20.0, 1).samples.drain(..ms * 48).collect::<Vec<_>>();
        let samples = [silence(300), tone(120), silence(400), tone(60), silence(200), tone(60), silence(100)].concat();
        let bursts = Recording { rate: MICROPHONE_RATE, samples }.bursts(1_047.0, -35.0);
        assert_eq!(bursts.len(), 3, "{bursts:?}");
        assert!(bursts.iter().zip([0.12, 0.06, 0.06]).all(|(found, made)| (found - made).abs() < 0.025), "{bursts:?}");
    }

    #[test]
    fn the_steady_part_leaves_out_the_silence_before_and_needs_enough_sound() {
        let mut late = mix(&[(1000, -12.0)]);
        late.samples.splice(0..0, vec![0.0; MICROPHONE_RATE as usize]);
        assert!((late.steady(1.4).map(|part| part.loudness()).unwrap_or_default() + 12.0).abs() < 0.1);
        assert!(late.steady(1.9).is_err());
        assert!(Recording { rate: 8000, samples: vec![0.0; 80_000] }.steady(1.0).is_err());
    }
}
