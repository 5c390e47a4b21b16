//! How much a call may cost: what the visitor chose ([`Quality`]) and what the network lets through, as Opus parameters for what we
//! send and as an SDP answer for what the browser sends.
//!
//! Deliberately not here: the encoder, and any measurement. Reports come from the browser's RTCP.

use std::fmt::Write as _;
use std::time::Duration;

use protocol::visitor::Quality;

/// What redundancy (FEC) of narrow-band speech costs, in bit/s: libopus leaves it out of less than some 18 kbit/s together.
const FEC_BITRATE: i32 = 8_000;

/// The loss that is expected before the first report, in percent. Wi-Fi and mobile networks lose some, and the first report
/// comes after 5 s.
const INITIAL_LOSS: f32 = 5.0;

/// Below this, in percent, redundancy costs more than it mends.
const LEAST_LOSS: f32 = 1.0;

/// Beyond this, in percent, libopus trades more quality for redundancy than helps.
const MOST_LOSS: f32 = 30.0;

/// How fast the estimate falls when reports do: it rises at once.
const DECAY: f32 = 0.25;

/// Loss from which on it is no longer chance but a queue that overflows, in percent.
const CONGESTED_LOSS: f32 = 20.0;

/// With less loss, in percent, a round trip that is longer than the shortest by so much tells the same: a queue has filled.
const QUEUED_LOSS: f32 = 2.0;
const QUEUED_RTT: Duration = Duration::from_millis(300);

/// Reports without a sign of congestion until packets become small again.
const CALM_REPORTS: u8 = 4;

/// On a congested path a packet holds 60 ms: of 20 ms packets more than half is headers.
const CONGESTED_PIECES: usize = 3;

/// Narrow-band speech needs no less.
const CONGESTED_BITRATE: i32 = 12_000;

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpusSettings {
    /// Bit/s of payload, on average.
    pub bitrate: i32,
    /// Pieces of 20 ms in a packet: 1 to 3.
    pub pieces: usize,
    /// The loss that redundancy is laid out for, in percent; 0 is none.
    pub expected_loss: i32,
    /// Whether silence is left out.
    pub dtx: bool,
    /// libopus' complexity, 0 to 10.
    pub complexity: i32,
}

/// What was chosen, and what reports have said since.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adaptation {
    quality: Quality,
    loss: f32,
    shortest_rtt: Option<Duration>,
    /// Reports until the path counts as calm; 0 when it is.
    congested: u8,
}

impl Adaptation {
    /// Nothing has been reported.
    pub(crate) fn new(quality: Quality) -> Self {
        Self { quality, loss: INITIAL_LOSS, shortest_rtt: None, congested: 0 }
    }

    /// The visitor has chosen, or another page has.
    pub(crate) fn choose(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// Takes a report of the browser (RFC 3550 section 6.4.1): the share of our packets that were lost, 0 to 1, and the round trip.
    pub(crate) fn report(&mut self, lost: f32, round_trip: Option<Duration>) {
        let lost = if lost.is_finite() { lost.clamp(0.0, 1.0) * 100.0 } else { 0.0 };
        self.loss = if lost > self.loss { lost } else { self.loss + (lost - self.loss) * DECAY };
        self.shortest_rtt = [self.shortest_rtt, round_trip].into_iter().flatten().min();
        let longer = round_trip.zip(self.shortest_rtt).map_or(Duration::ZERO, |(now, least)| now.saturating_sub(least));
        if lost >= CONGESTED_LOSS || (lost >= QUEUED_LOSS && longer >= QUEUED_RTT) {
            self.congested = CALM_REPORTS;
        } else {
            self.congested = self.congested.saturating_sub(1);
        }
    }

    /// How to encode now.
    pub(crate) fn settings(&self) -> OpusSettings {
        let (bitrate, pieces, dtx, complexity) = chosen(self.quality);
        let expected_loss = if self.loss < LEAST_LOSS { 0 } else { self.loss.min(MOST_LOSS).ceil() as i32 };
        let bitrate = if self.congested > 0 { bitrate.min(CONGESTED_BITRATE) } else { bitrate };
        let bitrate = if expected_loss > 0 { bitrate + FEC_BITRATE } else { bitrate };
        let pieces = if self.congested > 0 { CONGESTED_PIECES } else { pieces };
        OpusSettings { bitrate, pieces, expected_loss, dtx, complexity }
    }
}

/// Bit/s without redundancy, pieces of 20 ms in a packet, whether silence is left out, complexity. What is sent on is what a telephone
/// carries, 4 kHz wide, so that little is enough: narrow-band speech is transparent from some 16 kbit/s. Complexity 5 costs half the
/// CPU of 10 and is not told from it by ear.
fn chosen(quality: Quality) -> (i32, usize, bool, i32) {
    match quality {
        Quality::Saver => (12_000, 3, true, 5),
        Quality::Standard => (24_000, 1, false, 5),
        Quality::Best => (40_000, 1, false, 9),
    }
}

/// Adds to our SDP answer what the browser's own encoder is to do (RFC 7587 section 6.1, RFC 8866 section 6.4): in the section of
/// `mid`, for the payload type `opus`.
pub(crate) fn with_quality(answer: &str, mid: &str, opus: u8, quality: Quality) -> String {
    let (bitrate, pieces, dtx, _) = chosen(quality);
    let packet_ms = pieces * 20;
    let is_ours = |section: &str| section.lines().any(|line| line.trim_end().strip_prefix("a=mid:") == Some(mid));
    let format = format!("a=fmtp:{opus} ");
    let mut text = String::with_capacity(answer.len() + 128);
    for section in sections(answer) {
        if !is_ours(section) {
            text.push_str(section);
            continue;
        }
        for line in section.lines() {
            text.push_str(line);
            if line.starts_with(&format) {
                // The far end hears 4 kHz: bits for more would be lost on it.
                let most = bitrate + FEC_BITRATE;
                let _ = write!(text, ";maxaveragebitrate={most};maxplaybackrate=8000;usedtx={}", u8::from(dtx));
            }
            text.push_str("\r\n");
        }
        let _ = write!(text, "a=ptime:{packet_ms}\r\na=maxptime:{}\r\n", packet_ms.max(60));
    }
    text
}

/// The session's part, then one for each `m=` line.
fn sections(sdp: &str) -> Vec<&str> {
    let starts = sdp.match_indices("\nm=").map(|(at, _)| at + 1);
    let bounds: Vec<usize> = std::iter::once(0).chain(starts).chain([sdp.len()]).collect();
    bounds.windows(2).filter_map(|pair| sdp.get(*pair.first()?..*pair.last()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn redundancy_follows_the_reported_loss_up_at_once_and_down_slowly() {
        let mut adaptation = Adaptation::new(Quality::Standard);
        assert_eq!((adaptation.settings().bitrate, adaptation.settings().expected_loss), (32_000, 5));
        adaptation.report(0.12, Some(40 * MS));
        assert_eq!(adaptation.settings().expected_loss, 12);
        adaptation.report(0.0, Some(40 * MS));
        assert_eq!(adaptation.settings().expected_loss, 9);
        for _ in 0..10 {
            adaptation.report(0.0, Some(40 * MS));
        }
        assert_eq!((adaptation.settings().bitrate, adaptation.settings().expected_loss), (24_000, 0));
        adaptation.report(f32::NAN, None);
        adaptation.report(7.0, None);
        assert_eq!(adaptation.settings().expected_loss, 30);
    }

    #[test]
    fn a_congested_path_gets_fewer_and_larger_packets_until_it_is_calm() {
        for (lost, round_trip) in [(0.25, 40), (0.03, 500)] {
            let mut adaptation = Adaptation::new(Quality::Best);
            adaptation.report(0.03, Some(40 * MS));
            assert_eq!((adaptation.settings().pieces, adaptation.settings().bitrate), (1, 48_000));
            adaptation.report(lost, Some(round_trip * MS));
            assert_eq!((adaptation.settings().pieces, adaptation.settings().bitrate), (3, 20_000));
            for _ in 0..3 {
                adaptation.report(0.0, Some(40 * MS));
                assert_eq!(adaptation.settings().pieces, 3);
            }
            adaptation.report(0.0, Some(40 * MS));
            assert_eq!(adaptation.settings().pieces, 1);
        }
    }

    #[test]
    fn the_visitor_who_saves_gets_a_third_of_the_packets_and_half_the_bits() {
        let mut adaptation = Adaptation::new(Quality::Saver);
        let settings = adaptation.settings();
        assert_eq!((settings.bitrate, settings.pieces, settings.dtx), (20_000, 3, true));
        adaptation.choose(Quality::Standard);
        assert_eq!((adaptation.settings().pieces, adaptation.settings().dtx), (1, false));
    }

    #[test]
    fn only_the_answers_own_audio_section_is_touched() {
        let sdp = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=fmtp:111 minptime=10\r\nm=audio 0 X 111\r\na=mid:1\r\na=fmtp:111 minptime=10\r\n";
        let answer = with_quality(sdp, "1", 111, Quality::Saver);
        let (before, after) = answer.split_at(sdp.find("m=audio 0").unwrap_or_default());
        assert_eq!(before, "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=fmtp:111 minptime=10\r\n");
        assert_eq!(
            after,
            "m=audio 0 X 111\r\na=mid:1\r\n\
             a=fmtp:111 minptime=10;maxaveragebitrate=20000;maxplaybackrate=8000;usedtx=1\r\na=ptime:60\r\na=maxptime:60\r\n"
        );
    }
}
