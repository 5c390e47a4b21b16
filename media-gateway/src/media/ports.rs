//! The RTP ports of the SIP side: which are free, and sockets bound to those that are not.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;

use metrics::gauge;

/// Ports that are tried for one socket. Other programs may hold some of the range; if they hold this many in a row, the range
/// is misconfigured.
const MAX_ATTEMPTS: usize = 16;

/// The even ports of a range. A port that is given back is used again last, so that a stray packet of an old call finds
/// nobody.
#[derive(Debug)]
pub(crate) struct Ports {
    ip: IpAddr,
    free: VecDeque<u16>,
    taken: usize,
}

impl Ports {
    /// All even ports of the range whose odd neighbour, for RTCP, lies in it as well (RFC 3550 section 11).
    pub(crate) fn new(ip: IpAddr, range: RangeInclusive<u16>) -> Self {
        let last = *range.end();
        Self { ip, free: range.filter(|port| port % 2 == 0 && *port < last).collect(), taken: 0 }
    }

    /// A bound, non-blocking socket.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when no port is free; what the system says otherwise.
    pub(crate) fn take(&mut self) -> io::Result<(UdpSocket, SocketAddr)> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..MAX_ATTEMPTS.min(self.free.len()) {
            let Some(port) = self.free.pop_front() else { break };
            match bind(SocketAddr::new(self.ip, port)) {
                Ok(bound) => {
                    self.taken += 1;
                    self.show();
                    return Ok(bound);
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

fn bind(address: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn ports_are_even_and_come_back() -> io::Result<()> {
        let mut ports = Ports::new(Ipv4Addr::LOCALHOST.into(), 39_411..=39_415);
        let (first, a) = ports.take()?;
        let (_second, b) = ports.take()?;
        assert_eq!((a.port(), b.port()), (39_412, 39_414));
        assert!(ports.take().is_err(), "39415 has no neighbour for RTCP");
        drop(first);
        ports.give_back(a.port());
        assert_eq!(ports.take()?.1.port(), a.port());
        Ok(())
    }

    #[test]
    fn a_port_that_another_program_holds_is_passed_over() -> io::Result<()> {
        let _other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 39_422))?;
        let mut ports = Ports::new(Ipv4Addr::LOCALHOST.into(), 39_422..=39_425);
        assert_eq!(ports.take()?.1.port(), 39_424);
        Ok(())
    }
}
