//! Who is no party to the call, and knows a port of it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn a_flood_of_a_stranger_to_the_rtp_port_costs_the_far_end_no_audio() -> TestResult {
    let mut bench = Bench::new()?;
    bench.answer(Codec::Pcmu)?;
    let (stranger, to, is_over) =
        (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, bench.gateway_rtp, AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                (0..4).for_each(|_| drop(stranger.send_to(&[0], to)));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let lived = bench.live(Law::Mu, Some(1000.0), |browser, _| browser.heard.len() > 24_000);
        is_over.store(true, Ordering::Relaxed);
        lived
    })?;
    bench.tell(|call| MediaCommand::Close { call });
    let closed = bench.event()?;
    let MediaEvent::Closed { stats, .. } = closed else { return Err(format!("{closed:?}").into()) };
    assert!(stats.agent_packets > 100 && stats.agent_lost * 10 < stats.agent_packets, "{stats:?}");
    Ok(())
}
