//! How much the suppressor takes of a word that finds it closed: from where the word can be heard at the microphone to what is sent when
//! the switch is half open. It is closed where the far end speaks, and the echo hides beginnings; in pauses it is open, and nothing is lost.

use anyhow::Result;
use dsp::suppress::Suppressor;

use echo::speech::{RATE, power, say};

/// Of one and two syllables, that begin with plosives, fricatives, nasals and vowels.
const WORDS: [&str; 12] =
    ["Yes", "No", "Please", "Okay", "Sorry", "Hello", "Right", "Monday", "Twelve", "Four", "Thank you", "But"];

/// A word begins where 4 ms of it are no more than so much below its active level: what is fainter nobody misses.
const BEGINS: f32 = 0.05;

/// Words come so often, s.
const APART: f32 = 1.7;

/// Milliseconds that are lost of each word that finds the switch closed. Words of that active level are spoken again and again, from
/// the second `from` on, over `mic`, which holds the echo of `far`.
pub(crate) fn measure(words: &[Vec<f32>], level: f32, mic: &[f32], far: &[f32], from: usize) -> Vec<f32> {
    let mut near = mic.to_vec();
    let (mut begins, mut at) = (Vec::new(), from);
    for word in words.iter().cycle() {
        if at + word.len() > near.len() {
            break;
        }
        near.iter_mut().skip(at).zip(word).for_each(|(near, word)| *near += level * word);
        let begin = word.chunks(192).position(|piece| power(piece) > BEGINS).unwrap_or_default();
        begins.push(at + begin * 192);
        at += (APART * RATE.hz() as f32) as usize;
    }
    let mut suppressor = Suppressor::new(RATE);
    let pairs = near.iter().zip(far);
    // How late the microphone is sent where the switch is open.
    let open: Vec<Option<usize>> = pairs
        .map(|(mic, far)| {
            suppressor.process(*mic, *far);
            (suppressor.gain() >= 0.5).then(|| suppressor.late())
        })
        .collect();
    let waits = begins.into_iter().filter_map(|begin| {
        let rest = open.get(begin..).filter(|rest| rest.first() == Some(&None))?;
        // The word after it is another.
        let rest = rest.get(..(APART * RATE.hz() as f32) as usize).unwrap_or(rest);
        let opened = rest.iter().enumerate().find_map(|(opened, late)| late.map(|late| (opened, late)));
        // What is sent at that moment was said so much before.
        let lost = opened.map_or(rest.len(), |(opened, late)| opened.saturating_sub(late));
        Some(lost as f32 * 1_000.0 / RATE.hz() as f32)
    });
    waits.collect()
}

/// The voice as late as the suppressor sends what `mic` holds of it.
pub(crate) fn as_late(voice: &[f32], mic: &[f32], far: &[f32]) -> Vec<f32> {
    let mut suppressor = Suppressor::new(RATE);
    let samples = mic.iter().zip(far).enumerate();
    let late = samples.map(|(at, (mic, far))| {
        suppressor.process(*mic, *far);
        at.checked_sub(suppressor.late()).and_then(|said| voice.get(said)).copied().unwrap_or_default()
    });
    late.collect()
}

/// Each word, with an active level of 1.
///
/// # Errors
/// When flite is missing.
pub(crate) fn words() -> Result<Vec<Vec<f32>>> {
    WORDS.iter().map(|word| say(word, "rms", false)).collect()
}

/// The share `of` of them lies below this.
pub(crate) fn quantile(values: &mut [f32], of: f32) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(((values.len().max(1) - 1) as f32 * of) as usize).copied().unwrap_or_default()
}
