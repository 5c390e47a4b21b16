//! Browsers' connections over real sockets, told the time.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;

use super::*;
use crate::media::webrtc::browser::TestResult;

/// A slot as of a call.
const OWNER: usize = 16;
/// A first byte as of DTLS (RFC 7983 section 7).
const DTLS: u8 = 22;
/// A first byte as of RTP.
const RTP: u8 = 0x80;

struct Bench {
    connections: Connections,
    address: SocketAddr,
    now: Instant,
    _poll: mio::Poll,
}

impl Bench {
    fn new() -> TestResult<Self> {
        let (poll, now) = (mio::Poll::new()?, Instant::now());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let connections = Connections::new(Some(listener), poll.registry().try_clone()?, now)?;
        Ok(Self { connections, address, now, _poll: poll })
    }

    /// A browser's end of a connection, and ours.
    fn connect(&mut self) -> TestResult<(TcpStream, Token)> {
        let token = Token(self.connections.next_token);
        let browser = TcpStream::connect(self.address)?;
        browser.set_read_timeout(Some(Duration::from_secs(20)))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.connections.next_token == token.0 && self.connections.by_peer.len() < MAX_CONNECTIONS {
            self.connections.accept(self.now);
            if Instant::now() > deadline {
                return Err("not accepted".into());
            }
        }
        Ok((browser, token))
    }

    /// What comes next, waited for.
    fn receive(&mut self, token: Token) -> TestResult<Received> {
        let (mut buffer, deadline) = ([0; rfc4571::MAX_FRAME], Instant::now() + Duration::from_secs(20));
        while Instant::now() < deadline {
            match self.connections.receive(token, &mut buffer, self.now) {
                Received::Nothing => thread::yield_now(),
                received @ (Received::Datagram { .. } | Received::Over { .. }) => return Ok(received),
            }
        }
        Err("nothing comes".into())
    }

    fn later(&mut self, time: Duration) -> Vec<(usize, SocketAddr)> {
        self.now += time;
        self.connections.sweep(self.now)
    }
}

fn is_closed(browser: &mut TcpStream) -> bool {
    matches!(browser.read(&mut [0; 16]), Ok(0)) || browser.take_error().is_ok_and(|error| error.is_some())
}

#[test]
fn who_does_not_say_for_which_call_it_is_is_closed_at_the_deadline() -> TestResult {
    let mut bench = Bench::new()?;
    let (mut silent, _) = bench.connect()?;
    // A byte now and then does not help.
    let (mut slow, slow_token) = bench.connect()?;
    slow.write_all(&[0])?;
    assert!(matches!(bench.connections.receive(slow_token, &mut [0; 16], bench.now), Received::Nothing));
    bench.later(INTRODUCTION - Duration::from_millis(1));
    assert_eq!(bench.connections.connections.len(), 2);
    assert!(bench.later(SWEEP).is_empty());
    assert!(bench.connections.connections.is_empty() && bench.connections.by_peer.is_empty());
    assert!(is_closed(&mut silent) && is_closed(&mut slow));
    Ok(())
}

#[test]
fn a_browser_that_is_silent_for_long_is_closed_and_its_call_told() -> TestResult {
    let mut bench = Bench::new()?;
    let (mut browser, token) = bench.connect()?;
    bench.connections.claim(token, OWNER);
    browser.write_all(&[0, 1, RTP])?;
    assert!(matches!(bench.receive(token)?, Received::Datagram { length: 1, owner: Some(OWNER), .. }));
    assert!(bench.later(IDLE - SWEEP).is_empty());
    assert_eq!(bench.later(SWEEP), [(OWNER, browser.local_addr()?)]);
    assert!(is_closed(&mut browser));
    Ok(())
}

#[test]
fn what_is_no_framing_ends_the_connection() -> TestResult {
    let mut bench = Bench::new()?;
    let (mut browser, token) = bench.connect()?;
    browser.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    assert!(matches!(bench.receive(token)?, Received::Over { owner: None, .. }));
    assert!(bench.connections.connections.is_empty());
    assert!(is_closed(&mut browser));
    Ok(())
}

#[test]
fn one_address_can_take_only_so_many_places_of_strangers() -> TestResult {
    let mut bench = Bench::new()?;
    let mut browsers = Vec::new();
    for _ in 0..MAX_STRANGERS_OF_ONE_ADDRESS {
        browsers.push(bench.connect()?);
    }
    let mut refused = TcpStream::connect(bench.address)?;
    refused.set_read_timeout(Some(Duration::from_millis(10)))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_closed(&mut refused) && Instant::now() < deadline {
        bench.connections.accept(bench.now);
    }
    assert_eq!(bench.connections.connections.len(), MAX_STRANGERS_OF_ONE_ADDRESS);
    assert!(Instant::now() < deadline, "not refused");
    // Known ones do not count.
    for (_, token) in browsers.drain(..2).collect::<Vec<_>>() {
        bench.connections.claim(token, OWNER);
    }
    bench.connect()?;
    Ok(())
}

#[test]
fn strangers_of_ipv6_are_counted_by_their_64_and_those_of_ipv4_each_by_itself() -> TestResult {
    let is_same =
        |a: &str, b: &str| Ok::<_, std::net::AddrParseError>(of_stranger(a.parse()?) == of_stranger(b.parse()?));
    assert!(is_same("2001:db8:1:2::1", "2001:db8:1:2:ffff::9")?);
    assert!(!is_same("2001:db8:1:2::1", "2001:db8:1:3::1")?);
    assert!(!is_same("192.0.2.1", "192.0.2.2")? && !is_same("::ffff:192.0.2.1", "::ffff:192.0.2.2")?);
    Ok(())
}

#[test]
fn one_call_can_have_only_so_many_connections_and_keeps_the_newest() -> TestResult {
    let mut bench = Bench::new()?;
    let mut browsers = Vec::new();
    for _ in 0..MAX_CONNECTIONS_OF_ONE_CALL + 3 {
        let (browser, token) = bench.connect()?;
        bench.connections.claim(token, OWNER);
        browsers.push((browser, token));
    }
    let kept: Vec<_> = bench.connections.connections.keys().copied().collect();
    let newest: Vec<_> = browsers.iter().skip(3).map(|(_, token)| *token).collect();
    assert_eq!(kept, newest);
    bench.connections.close_those_of(OWNER, |_| false);
    assert!(bench.connections.connections.is_empty());
    Ok(())
}

#[test]
fn a_browser_that_does_not_read_loses_whole_frames_of_audio_and_no_more_than_a_little_waits() -> TestResult {
    let mut bench = Bench::new()?;
    let (mut browser, token) = bench.connect()?;
    bench.connections.claim(token, OWNER);
    let (peer, length) = (browser.local_addr()?, 150_usize);
    let mut taken = Vec::new();
    // So much that it overflows whatever kernels hold: an hour of audio.
    for n in 0..200_000_u32 {
        let mut frame = vec![RTP; length];
        frame.splice(1..5, n.to_be_bytes());
        if bench.connections.send(peer, &frame) {
            taken.push(n);
        }
        let waiting = bench.connections.connections.get(&token).map_or(0, |connection| connection.outbox.len());
        assert!(waiting <= MAX_AUDIO_WAITING, "{waiting} bytes");
    }
    assert!(taken.len() < 100_000, "{} frames were taken: nobody reads them", taken.len());
    assert!(bench.connections.send(peer, &[DTLS; 1200]), "a handshake still finds room");
    let reader = thread::spawn(move || -> io::Result<Vec<Vec<u8>>> {
        let (mut deframer, mut frames) = (Deframer::default(), Vec::new());
        loop {
            let length = browser.read(deframer.room())?;
            deframer.filled(length);
            while let Ok(Some(frame)) = deframer.next_frame() {
                frames.push(frame.to_vec());
                if frames.last().is_some_and(|frame| frame.first() == Some(&DTLS)) {
                    return Ok(frames);
                }
            }
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reader.is_finished() && Instant::now() < deadline {
        bench.connections.receive(token, &mut [0; 16], bench.now);
    }
    let frames = reader.join().map_err(|_| "the reader panicked")??;
    let numbers = frames.iter().filter(|frame| frame.len() == length);
    let numbers: Vec<_> =
        numbers.filter_map(|frame| frame.get(1..5)?.try_into().ok().map(u32::from_be_bytes)).collect();
    assert_eq!((numbers, frames.len()), (taken.clone(), taken.len() + 1));
    Ok(())
}
