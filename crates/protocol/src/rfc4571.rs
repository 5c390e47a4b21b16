//! Datagrams over a byte stream: each behind its length in two bytes, network order (RFC 4571 section 2), as ICE over TCP
//! wants them (RFC 6544 section 3). Not here: sockets, and what the datagrams mean.

use alloc::boxed::Box;
use alloc::vec;

/// The longest datagram that is taken: none of WebRTC is longer, since it must fit an Ethernet frame when it goes over UDP.
pub const MAX_FRAME: usize = 2048;

/// The bytes before each datagram.
pub const HEADER: usize = 2;

/// What waits in a [`Deframer`]: one whole frame, and as much again so that a read takes several small ones.
const BUFFER: usize = 2 * (HEADER + MAX_FRAME);

/// A length that is not to be believed: the stream cannot be read any further, and the connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLong(
    /// In bytes.
    pub usize,
);

impl core::fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "a frame of {} bytes; {MAX_FRAME} are the most", self.0)
    }
}

impl core::error::Error for FrameTooLong {}

/// The two bytes that go before a datagram of this length.
///
/// # Errors
/// [`FrameTooLong`] beyond [`MAX_FRAME`].
pub const fn header(length: usize) -> Result<[u8; HEADER], FrameTooLong> {
    if length > MAX_FRAME {
        return Err(FrameTooLong(length));
    }
    Ok((length as u16).to_be_bytes())
}

/// Whether a stream that begins with this byte can be a framed one: the upper half of a length up to [`MAX_FRAME`]. Nothing else
/// that is spoken on a web server's port begins so: a TLS record begins with 22 (RFC 8446 section 5.1), a request of HTTP/1
/// or the preface of HTTP/2 with a letter.
pub const fn begins_with(first: u8) -> bool {
    first as usize <= MAX_FRAME >> 8
}

/// Cuts a stream into datagrams, however its bytes arrive. It holds a fixed number of bytes.
///
/// Turns of [`Self::room`], [`Self::filled`] and, until it has none, [`Self::next_frame`].
#[derive(Debug)]
pub struct Deframer {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Self { buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0 }
    }
}

impl Deframer {
    /// Where to put what is read from the stream; never empty when [`Self::next_frame`] had none.
    pub fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// So many bytes were put there.
    pub fn filled(&mut self, length: usize) {
        self.end = self.buffer.len().min(self.end + length);
    }

    /// The next datagram, `None` until more has been read. Empty frames, which carry nothing (RFC 4571 section 2), are skipped.
    ///
    /// # Errors
    /// [`FrameTooLong`], again and again: there is no way to find the next frame.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        loop {
            let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
            let Some((header, rest)) = waiting.split_first_chunk::<HEADER>() else { return Ok(None) };
            let length = usize::from(u16::from_be_bytes(*header));
            if length > MAX_FRAME {
                return Err(FrameTooLong(length));
            }
            if rest.len() < length {
                return Ok(None);
            }
            let begin = self.start + HEADER;
            self.start = begin + length;
            if length > 0 {
                return Ok(self.buffer.get(begin..begin + length));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let frames = datagrams.iter().flat_map(|datagram| {
            header(datagram.len()).into_iter().flatten().chain(datagram.iter().copied()).collect::<Vec<_>>()
        });
        frames.collect()
    }

    /// What comes out when the stream arrives in pieces of these lengths, over and over.
    fn deframed(stream: &[u8], pieces: &[usize]) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let (mut deframer, mut rest, mut out) = (Deframer::default(), stream, Vec::new());
        for piece in pieces.iter().cycle() {
            let room = deframer.room();
            assert!(!room.is_empty(), "no room, and no frame");
            let taken = (*piece).clamp(1, room.len()).min(rest.len());
            let (now, later) = rest.split_at(taken);
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            deframer.filled(taken);
            rest = later;
            while let Some(frame) = deframer.next_frame()? {
                out.push(frame.to_vec());
            }
            if rest.is_empty() {
                break;
            }
        }
        Ok(out)
    }

    #[test]
    fn the_length_stands_before_each_datagram_in_network_order() {
        assert_eq!(framed(&[vec![7; 258], vec![1]]).get(..2), Some(&[1, 2][..]));
        assert_eq!(header(MAX_FRAME + 1), Err(FrameTooLong(MAX_FRAME + 1)));
    }

    #[test]
    fn a_frame_that_is_too_long_ends_the_stream_for_good() {
        let mut deframer = Deframer::default();
        deframer.room().iter_mut().zip([0xff, 0xff]).for_each(|(to, from)| *to = from);
        deframer.filled(2);
        for _ in 0..2 {
            assert_eq!(deframer.next_frame(), Err(FrameTooLong(0xffff)));
        }
    }

    #[test]
    fn empty_frames_carry_nothing() {
        assert_eq!(deframed(&[0, 0, 0, 0, 0, 1, 9, 0, 0], &[1]), Ok(vec![vec![9]]));
    }

    #[test]
    fn neither_tls_nor_http_begins_like_a_frame() {
        let stun_request_of_300_bytes = 300_u16.to_be_bytes();
        assert!(stun_request_of_300_bytes.first().is_some_and(|first| begins_with(*first)));
        assert!([22, 0x80, b'G', b'P', b'O', b'C', b'\r', b'\n', b' '].iter().all(|first| !begins_with(*first)));
    }

    proptest! {
        #[test]
        fn datagrams_come_out_as_they_went_in_wherever_the_stream_is_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..MAX_FRAME + 1), 0..8),
            pieces in prop::collection::vec(1..5000_usize, 1..5),
        ) {
            prop_assert_eq!(deframed(&framed(&datagrams), &pieces), Ok(datagrams));
        }
    }
}
