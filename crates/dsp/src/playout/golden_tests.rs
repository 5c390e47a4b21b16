//! One golden table per policy: a script of a network, and what playout made of it, for people to judge.

use super::Config;
use super::testing::{Numbered, Sound, listen, send};
use crate::testing::Random;

fn speech(number: u32) -> Sound {
    if number % 75 < 50 { Sound::Tone(200.0) } else { Sound::Silence }
}

fn table(delay_ms: impl FnMut(u32) -> Option<f64>, has_fec: bool) -> std::string::String {
    let mut codec = Numbered::new(speech);
    codec.has_fec = has_fec;
    listen(send(300, delay_ms), codec, 6_000, 20, Config::default()).table(200)
}

#[test]
fn jitter_that_comes_and_goes() {
    let mut random = Random::new(1);
    insta::assert_snapshot!(table(
        |number| Some(if (100..200).contains(&number) { f64::from(random.between(0.0, 60.0)) } else { 0.0 }),
        false
    ));
}

#[test]
fn a_spike_of_300_ms() {
    insta::assert_snapshot!(table(
        |number| Some(if (100..115).contains(&number) { f64::from(115 - number) * 20.0 } else { 0.0 }),
        false
    ));
}

#[test]
fn loss_of_10_percent_without_fec() {
    let mut random = Random::new(2);
    insta::assert_snapshot!(table(|_| (random.unit() >= 0.1).then_some(0.0), false));
}

#[test]
fn loss_of_10_percent_with_fec() {
    let mut random = Random::new(2);
    insta::assert_snapshot!(table(|_| (random.unit() >= 0.1).then_some(0.0), true));
}

#[test]
fn pauses_of_the_sender() {
    let mut sent = send(300, |number| (number % 75 < 50).then_some(0.0));
    for (packet, sequence) in sent.iter_mut().zip(0..) {
        packet.sequence = sequence;
    }
    insta::assert_snapshot!(listen(sent, Numbered::new(speech), 6_000, 20, Config::default()).table(200));
}

#[test]
fn another_sender_takes_over() {
    let mut sent = send(300, |_| Some(0.0));
    for packet in &mut sent[150..] {
        (packet.ssrc, packet.timestamp) = (2, packet.timestamp.wrapping_add(123_456));
    }
    insta::assert_snapshot!(listen(sent, Numbered::new(speech), 6_000, 20, Config::default()).table(200));
}

#[test]
fn a_clock_1000_ppm_slow() {
    insta::assert_snapshot!(table(|number| Some(f64::from(number) * 0.02), false));
}

#[test]
fn a_clock_1000_ppm_fast() {
    insta::assert_snapshot!(table(|number| Some(20.0 - f64::from(number) * 0.02), false));
}

#[test]
fn every_packet_twice_and_each_third_behind_the_next() {
    let sent = send(300, |number| Some(if number % 3 == 1 { 25.0 } else { 0.0 }));
    let twice = sent.iter().flat_map(|packet| [*packet; 2]).collect();
    insta::assert_snapshot!(listen(twice, Numbered::new(speech), 6_000, 20, Config::default()).table(200));
}

#[test]
fn an_outage_of_600_ms_that_ends_in_a_burst_beyond_the_cap() {
    insta::assert_snapshot!(table(
        |number| Some(if (100..130).contains(&number) { f64::from(130 - number) * 20.0 } else { 0.0 }),
        false
    ));
}

#[test]
fn loss_of_10_percent_with_the_codecs_own_concealment() {
    let mut random = Random::new(2);
    let mut codec = Numbered::new(speech);
    codec.has_plc = true;
    let sent = send(300, |_| (random.unit() >= 0.1).then_some(0.0));
    insta::assert_snapshot!(listen(sent, codec, 6_000, 20, Config::default()).table(200));
}

#[test]
fn the_same_sender_begins_anew() {
    let mut sent = send(300, |_| Some(0.0));
    for packet in &mut sent[150..] {
        (packet.sequence, packet.timestamp) =
            (packet.sequence.wrapping_add(30_000), packet.timestamp.wrapping_sub(900_000));
    }
    insta::assert_snapshot!(listen(sent, Numbered::new(speech), 6_000, 20, Config::default()).table(200));
}

#[test]
fn losses_for_which_redundancy_is_waited_for_and_their_end() {
    // One in 20 for 10 s, then none.
    let sent = send(1_500, |number| (number >= 500 || number % 20 != 7).then_some(5.0));
    let mut codec = Numbered::new(speech);
    codec.has_fec = true;
    insta::assert_snapshot!(listen(sent, codec, 30_000, 20, Config::default()).table(1_000));
}

#[test]
fn a_packet_a_second_that_comes_after_its_turn() {
    insta::assert_snapshot!(table(|number| Some(if number % 50 == 30 { 120.0 } else { 0.0 }), false));
}
