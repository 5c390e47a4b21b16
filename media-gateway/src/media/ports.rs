//! The RTP ports of the SIP side: which are free, and sockets bound to those that are not.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::ops::RangeInclusive;

use metrics::gauge;
use rand::seq::SliceRandom as _;

/// Ports that are tried for one socket. Other programs may hold some of the range, and the process whose place this one has taken
/// holds those of its calls; if so many in a row are held, the range is misconfigured.
const MAX_ATTEMPTS: usize = 4_096;

/// The sockets of one RTP session, non-blocking.
#[derive(Debug)]
pub(crate) struct RtpSockets {
    /// On the even port.
    pub rtp: UdpSocket,
    /// On the odd port above it.
    pub rtcp: UdpSocket,
}

/// The even ports of a range, in no order that anybody knows. A port that is given back is used again last, so that a stray packet of an
/// old call finds nobody.
#[derive(Debug)]
pub(crate) struct Ports {
    ip: IpAddr,
    free: VecDeque<u16>,
    taken: usize,
}

impl Ports {
    /// All even ports of the range, its last included: RTCP is on the odd port above (RFC 3550 section 11).
    pub(crate) fn new(ip: IpAddr, range: RangeInclusive<u16>) -> Self {
        let mut free: Vec<u16> = range.filter(|port| port % 2 == 0).collect();
        // Who means to be the first to speak to a port shall not know which is next.
        free.shuffle(&mut rand::rng());
        let ports = Self { ip, free: free.into(), taken: 0 };
        ports.show();
        ports
    }

    /// A pair of bound sockets, and RTP's port.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when no port is free; what the system says otherwise.
    pub(crate) fn take(&mut self) -> io::Result<(RtpSockets, u16)> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..MAX_ATTEMPTS.min(self.free.len()) {
            let Some(port) = self.free.pop_front() else { break };
            match bind(self.ip, port) {
                Ok(sockets) => {
                    self.taken += 1;
                    self.show();
                    return Ok((sockets, port));
                }
                Err(error) => last = error,
            }
            self.free.push_back(port);
        }
        Err(last)
    }

    /// Gives a port back; its socket must be closed.
    pub(crate) fn give_back(&mut self, port: u16) {
        self.free.push_back(port);
        self.taken = self.taken.saturating_sub(1);
        self.show();
    }

    fn show(&self) {
        gauge!("ringlet_rtp_ports").set(self.taken as f64);
    }
}

fn bind(ip: IpAddr, port: u16) -> io::Result<RtpSockets> {
    let bind = |port| {
        let socket = UdpSocket::bind((ip, port))?;
        socket.set_nonblocking(true)?;
        Ok::<_, io::Error>(socket)
    };
    Ok(RtpSockets { rtp: bind(port)?, rtcp: bind(port + 1)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn ports_are_even_and_come_back() -> io::Result<()> {
        let mut ports = Ports::new(Ipv4Addr::LOCALHOST.into(), 30_411..=30_415);
        let (first, a) = ports.take()?;
        let (_second, b) = ports.take()?;
        assert_eq!((a.min(b), a.max(b)), (30_412, 30_414));
        assert!(ports.take().is_err(), "30415 is odd");
        drop(first);
        ports.give_back(a);
        assert_eq!(ports.take()?.1, a);
        Ok(())
    }

    #[test]
    fn a_range_has_as_many_ports_as_it_has_even_numbers() {
        let count = |range| Ports::new(Ipv4Addr::LOCALHOST.into(), range).free.len();
        assert_eq!([count(20_000..=20_010), count(20_001..=20_003), count(20_001..=20_001)], [6, 1, 0]);
    }

    #[test]
    fn nobody_can_tell_which_port_is_next() {
        let [a, b] = [(); 2].map(|()| Ports::new(Ipv4Addr::LOCALHOST.into(), 20_000..=29_999).free);
        assert_ne!(a, b);
        let sorted = |ports: VecDeque<u16>| ports.into_iter().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(a), sorted(b));
    }

    #[test]
    fn a_port_that_another_program_holds_is_passed_over() -> io::Result<()> {
        let _other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 30_423))?;
        let mut ports = Ports::new(Ipv4Addr::LOCALHOST.into(), 30_422..=30_425);
        assert_eq!(ports.take()?.1, 30_424);
        Ok(())
    }
}
