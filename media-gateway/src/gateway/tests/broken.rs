//! A gateway that cannot go on.

use super::*;
use crate::media::MediaCommand;
use crate::{RemoteError, Signal, run_gateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_media_thread_is_gone_hangs_up_and_ends_as_broken() -> TestResult {
    let mut bench = Bench::new().await?;
    let _browser = bench.browser().await?;
    let (far, offer) = bench.dial().await?;
    bench.far_end.answer(&far, &offer)?;
    assert!(matches!(bench.event().await?, Event::Answered { .. }));
    let Bench { gateway, mut far_end, .. } = bench;
    let (media, handle) = (gateway.handle.media.clone(), gateway.handle.clone());
    // Nobody is there; it tries until the gateway has stopped.
    let (url, path) = ("ws://127.0.0.1:9/ws/gateway".to_owned(), None);
    let signal = Signal { url, path, secret: "secret".to_owned(), hold: PATIENCE };
    let served = tokio::spawn(async move { run_gateway(gateway, &signal).await });
    // Unasked for by the control task, as when it panics.
    media.send(MediaCommand::Shutdown).await;
    timeout(PATIENCE, handle.broken()).await?;
    loop {
        if let Some(SipEvent::Bye { call }) = timeout(PATIENCE, far_end.events.recv()).await? {
            assert_eq!(call, far);
            break;
        }
    }
    timeout(PATIENCE, handle.stopped()).await?;
    assert!(matches!(timeout(PATIENCE, served).await??, Err(RemoteError::Broken)));
    Ok(())
}
