//! RTCP of the SIP side (RFC 3550 section 6): our reports of what we send and hear, and what the far end's reports say.
//! One sender and one receiver, so the interval is the minimum and nothing needs to be scaled.

use std::time::{Duration, Instant};

use rtcp_types::{
    Compound, CompoundBuilder, Packet, ReceiverReport, ReportBlock, ReportBlockBuilder, RtcpPacketWriterExt, Sdes,
    SdesChunk, SdesItem, SenderReport,
};
use tracing::{debug, trace};

/// RFC 3550 section 6.2: the recommended minimum is 5 s; each wait is 0.5 to 1.5 times that, so that sessions do not
/// report in step.
const MIN_INTERVAL_MS: u32 = 2500;
const INTERVAL_SPREAD_MS: u32 = 5000;

/// A sender report with one block, and a description with a short name.
const MAX_REPORT: usize = 128;

/// RFC 3550 section 6.5.1: what names us beside the SSRC. It tells nothing of the machine (RFC 7022).
const CNAME: &str = "ringlet";

/// What the RTP session has counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    /// Ours.
    pub ssrc: u32,
    /// Packets that we sent, wrapping.
    pub sent_packets: u32,
    /// Octets of payload that we sent, wrapping.
    pub sent_octets: u32,
    /// The timestamp of our stream now.
    pub timestamp: u32,
    /// The far end's, once it was heard.
    pub heard: Option<Heard>,
}

/// What was heard of the far end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// Its SSRC.
    pub ssrc: u32,
    /// The highest sequence number, extended by its wraps.
    pub highest: u32,
    /// Packets that should have come.
    pub expected: u64,
    /// Packets that came.
    pub received: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1), in ticks.
    pub jitter: u32,
}

/// When to report, and what reports need of the past.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// NTP time at `start` (RFC 3550 section 4): seconds since 1900 in 32.32 fixed point.
    ntp: u64,
    start: Instant,
    due: Option<Instant>,
    interval: Duration,
    sent_before: u32,
    counted_before: (u64, u64),
    /// The middle 32 bits of the NTP time in the far end's last sender report, and when that came.
    last_sr: Option<(u32, Instant)>,
}

impl Reporter {
    /// A reporter for which `now` is `ntp`; `random` spreads the reports of sessions.
    pub(crate) fn new(ntp: u64, random: u32, now: Instant) -> Self {
        let interval = Duration::from_millis(u64::from(MIN_INTERVAL_MS + random % INTERVAL_SPREAD_MS));
        Self { ntp, start: now, due: None, interval, sent_before: 0, counted_before: (0, 0), last_sr: None }
    }

    /// The far end is known: reports begin.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.due.get_or_insert(now + self.interval);
    }

    /// When a report is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// The report that is due, if one is.
    pub(crate) fn report(&mut self, session: &Session, now: Instant) -> Option<Vec<u8>> {
        self.due.filter(|due| *due <= now)?;
        self.due = Some(now + self.interval);
        let block = session.heard.map(|heard| self.block(&heard, now));
        let chunk = SdesChunk::builder(session.ssrc).add_item(SdesItem::builder(SdesItem::CNAME, CNAME));
        let has_sent = std::mem::replace(&mut self.sent_before, session.sent_packets) != session.sent_packets;
        let compound = if has_sent {
            let report = SenderReport::builder(session.ssrc)
                .ntp_timestamp(self.ntp_at(now))
                .rtp_timestamp(session.timestamp)
                .packet_count(session.sent_packets)
                .octet_count(session.sent_octets);
            Compound::builder()
                .add_packet(block.into_iter().fold(report, |report, block| report.add_report_block(block)))
        } else {
            let report = ReceiverReport::builder(session.ssrc);
            Compound::builder()
                .add_packet(block.into_iter().fold(report, |report, block| report.add_report_block(block)))
        };
        write(compound.add_packet(Sdes::builder().add_chunk(chunk)))
    }

    /// Takes a compound packet of the far end.
    pub(crate) fn handle(&mut self, datagram: &[u8], now: Instant) {
        let compound = match Compound::parse(datagram) {
            Ok(compound) => compound,
            Err(error) => return trace!(%error, "no RTCP"),
        };
        for packet in compound.flatten() {
            match packet {
                Packet::Sr(report) => {
                    self.last_sr = Some((middle(report.ntp_timestamp()), now));
                    report.report_blocks().for_each(|block| self.told(&block, now));
                }
                Packet::Rr(report) => report.report_blocks().for_each(|block| self.told(&block, now)),
                Packet::App(_)
                | Packet::Bye(_)
                | Packet::Sdes(_)
                | Packet::TransportFeedback(_)
                | Packet::PayloadFeedback(_)
                | Packet::Xr(_)
                | Packet::Unknown(_) => {}
            }
        }
    }

    fn told(&self, block: &ReportBlock<'_>, now: Instant) {
        // RFC 3550 section 6.4.1: round trip = A − LSR − DLSR, in 1/65536 s.
        let (last, delay) = (block.last_sender_report_timestamp(), block.delay_since_last_sender_report_timestamp());
        let round_trip = middle(self.ntp_at(now)).wrapping_sub(last).wrapping_sub(delay);
        // A far end that rounds its delay up makes a short round trip negative.
        let round_trip = u32::try_from(round_trip.cast_signed()).unwrap_or(0);
        let round_trip_ms = (last != 0).then_some(u64::from(round_trip) * 1000 / 65_536);
        let (lost, jitter) = (block.fraction_lost(), block.interarrival_jitter());
        debug!(ssrc = block.ssrc(), lost_256ths = lost, jitter, round_trip_ms, "what the far end hears of us");
    }

    fn block(&mut self, heard: &Heard, now: Instant) -> ReportBlockBuilder {
        let (expected, received) = std::mem::replace(&mut self.counted_before, (heard.expected, heard.received));
        let expected = heard.expected.saturating_sub(expected);
        let lost = expected.saturating_sub(heard.received.saturating_sub(received));
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0).min(255) as u8;
        // 24 bits, signed; late and doubled packets do not make it negative here.
        let cumulative = heard.expected.saturating_sub(heard.received).min(0x7F_FFFF) as u32;
        let (last, delay) = self.last_sr.map_or((0, 0), |(last, came)| {
            let delay = now.saturating_duration_since(came).as_micros() * 65_536 / 1_000_000;
            (last, u32::try_from(delay).unwrap_or(u32::MAX))
        });
        ReportBlock::builder(heard.ssrc)
            .fraction_lost(fraction)
            .cumulative_lost(cumulative)
            .extended_sequence_number(heard.highest)
            .interarrival_jitter(heard.jitter)
            .last_sender_report_timestamp(last)
            .delay_since_last_sender_report_timestamp(delay)
    }

    fn ntp_at(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start);
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp.wrapping_add(elapsed.as_secs() << 32).wrapping_add(fraction)
    }
}

fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

fn write(compound: CompoundBuilder<'_>) -> Option<Vec<u8>> {
    let mut datagram = vec![0; MAX_REPORT];
    match compound.write_into(&mut datagram) {
        Ok(length) => {
            datagram.truncate(length);
            Some(datagram)
        }
        Err(error) => {
            debug!(%error, "RTCP not written");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::browser::TestResult;

    const NTP: u64 = 0x1234_5678_9ABC_DEF0;

    fn session(sent_packets: u32, received: u64) -> Session {
        let heard = Heard { ssrc: 7, highest: 0x1_0003, expected: 200, received, jitter: 12 };
        Session { ssrc: 99, sent_packets, sent_octets: sent_packets * 160, timestamp: 8000, heard: Some(heard) }
    }

    fn due(reporter: &mut Reporter, session: &Session) -> TestResult<(Vec<u8>, Instant)> {
        let at = reporter.poll_timeout().ok_or("nothing is due")?;
        assert_eq!(reporter.report(session, at - Duration::from_millis(1)), None);
        Ok((reporter.report(session, at).ok_or("no report")?, at))
    }

    #[test]
    fn a_sender_reports_what_it_sent_and_what_it_missed() -> TestResult {
        let start = Instant::now();
        let mut reporter = Reporter::new(NTP, 2500, start);
        reporter.begin(start);
        let (datagram, at) = due(&mut reporter, &session(250, 150))?;
        assert_eq!(at, start + Duration::from_secs(5));
        let mut compound = Compound::parse(&datagram)?;
        let Some(Ok(Packet::Sr(report))) = compound.next() else { return Err("no sender report".into()) };
        assert_eq!((report.ssrc(), report.packet_count(), report.octet_count()), (99, 250, 40_000));
        assert_eq!(report.ntp_timestamp(), NTP + (5 << 32));
        let block = report.report_blocks().next().ok_or("no block")?;
        assert_eq!(
            (block.fraction_lost(), block.cumulative_lost(), block.extended_sequence_number()),
            (64, 50, 0x1_0003)
        );
        assert!(matches!(compound.next(), Some(Ok(Packet::Sdes(_)))), "a description belongs to each report");
        Ok(())
    }

    #[test]
    fn who_sends_nothing_reports_what_it_hears_and_how_long_ago_the_last_report_came() -> TestResult {
        let start = Instant::now();
        let mut reporter = Reporter::new(NTP, 0, start);
        reporter.begin(start);
        let mut theirs = Reporter::new(NTP, 0, start);
        theirs.begin(start);
        let (datagram, at) = due(&mut theirs, &session(1, 200))?;
        reporter.handle(&datagram, at - Duration::from_secs(1));
        let (datagram, _) = due(&mut reporter, &session(0, 200))?;
        let Some(Ok(Packet::Rr(report))) = Compound::parse(&datagram)?.next() else { return Err("no report".into()) };
        let block = report.report_blocks().next().ok_or("no block")?;
        assert_eq!(block.last_sender_report_timestamp(), middle(theirs.ntp_at(at)));
        assert_eq!(block.delay_since_last_sender_report_timestamp(), 65_536);
        Ok(())
    }

    #[test]
    fn what_is_no_rtcp_does_no_harm() {
        let now = Instant::now();
        let mut reporter = Reporter::new(NTP, 0, now);
        for length in 0..64 {
            for first in [0x00, 0x80, 0x81, 0x9F, 0xBF] {
                for kind in 190..=210 {
                    let mut datagram = vec![0xFF; length];
                    datagram.iter_mut().zip([first, kind, 0, 6]).for_each(|(to, from)| *to = from);
                    reporter.handle(&datagram, now);
                }
            }
        }
    }
}
