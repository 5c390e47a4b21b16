//! A call whose audio goes as frames over the visitor's socket, in two columns as in `walkthroughs.rs`.

use super::bench::*;
use crate::{Config, Page};
use protocol::visitor::{FrameCodec, MAX_KEYS, VisitorRequest};

fn frames(codec: Option<FrameCodec>) -> crate::Input {
    says(VisitorRequest::Frames { codec })
}

fn keys(digits: &str) -> crate::Input {
    says(VisitorRequest::Keys { digits: digits.to_owned() })
}

#[test]
fn audio_goes_as_frames_while_webrtc_does_not_pass_and_moves_up_again() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1")]);
    bench.walk::<Step>([
        (frames(Some(FrameCodec::G711)).into(), "visitor error RL-405"),
        (offer().into(), "g1 offer O"),
        (sdp_answer().into(), "visitor answer A"),
        (frames(Some(FrameCodec::G711)).into(), "frames between visitor and g1 · g1 frames g711"),
        (media_up().into(), ""),
        (keys("*7").into(), "g1 press *7"),
        (keys(&"1".repeat(MAX_KEYS + 1)).into(), "visitor error RL-405"),
        (frames(Some(FrameCodec::Opus)).into(), "frames between visitor and g1 · g1 frames opus"),
        (Step::Wait(50), ""),
        (frames(None).into(), "no frames · g1 frames off"),
    ]);
}

#[test]
fn frames_of_a_page_that_has_gone_are_off_before_the_next_one_offers() {
    let mut bench = Bench::new(Config::default());
    bench.prepare([registered("g1", 10, &[]), arrived("c1"), offer(), sdp_answer(), ready(), media_up(), answered()]);
    bench.prepare([frames(Some(FrameCodec::G711))]);
    bench.walk::<Step>([
        (lost(1).into(), "g1 away c1"),
        (
            resumes(2, 1).into(),
            "no frames · g1 frames off · page 2 welcome Acme/Sales · page 2 resumed answered 0 · page 2 token 2",
        ),
        (offer_of(2).into(), "g1 offer O2"),
        (
            says_at(Page(2), VisitorRequest::Frames { codec: Some(FrameCodec::G711) }).into(),
            "frames between page 2 and g1 · g1 frames g711",
        ),
        (sdp_answer().into(), "page 2 answer A"),
    ]);
}
