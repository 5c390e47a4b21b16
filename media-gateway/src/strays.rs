//! Datagrams that come to a port of ours and are another process's: of one that this one has taken the place of, and whose calls
//! still run. They go there over a pair of Unix sockets, each with the address that it came from. Not here: whose they are.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

/// Family, address and port.
pub(crate) const HEADER_BYTES: usize = 1 + 16 + 2;

const IPV4: u8 = 4;
const IPV6: u8 = 6;

/// Both ends, non-blocking. Messages keep their boundaries; when one end is closed the other reads an empty one.
///
/// # Errors
/// What the system says.
pub(crate) fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
    let (here, there) = socket2::Socket::pair(socket2::Domain::UNIX, socket2::Type::SEQPACKET, None)?;
    here.set_nonblocking(true)?;
    there.set_nonblocking(true)?;
    // The type is told by the system; std's names no other that reads and writes whole messages.
    Ok((OwnedFd::from(here).into(), OwnedFd::from(there).into()))
}

/// The message for a datagram.
pub(crate) fn write(source: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let (family, ip) = match source.ip() {
        IpAddr::V4(ip) => (IPV4, ip.to_ipv6_mapped()),
        IpAddr::V6(ip) => (IPV6, ip),
    };
    [&[family][..], &ip.octets(), &source.port().to_be_bytes(), datagram].concat()
}

/// The datagram in a message, and where it came from.
pub(crate) fn read(message: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (&[family], rest) = message.split_first_chunk()?;
    let (&ip, rest) = rest.split_first_chunk::<16>()?;
    let (&port, datagram) = rest.split_first_chunk()?;
    let ip = Ipv6Addr::from(ip);
    let ip = if family == IPV4 { IpAddr::V4(ip.to_ipv4_mapped()?) } else { IpAddr::V6(ip) };
    Some((SocketAddr::new(ip, u16::from_be_bytes(port)), datagram))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_keeps_its_bounds_and_its_source_and_the_end_is_told() -> io::Result<()> {
        let (here, there) = pair()?;
        let mut buffer = [0; 64];
        for source in ["192.0.2.7:4433", "[2001:db8::7]:5060", "[::ffff:192.0.2.7]:1"] {
            let Ok(source) = source.parse::<SocketAddr>() else { unreachable!("an address") };
            for datagram in [&b"ab"[..], b"c"] {
                there.send(&write(source, datagram))?;
            }
            for datagram in [&b"ab"[..], b"c"] {
                let length = here.recv(&mut buffer)?;
                assert_eq!(read(buffer.get(..length).unwrap_or_default()), Some((source, datagram)));
            }
        }
        assert_eq!(here.recv(&mut buffer).map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
        drop(there);
        assert_eq!(here.recv(&mut buffer)?, 0);
        assert_eq!(read(&[IPV4; HEADER_BYTES - 1]), None);
        Ok(())
    }
}
