//! The far end of a call: an RTP socket that speaks PCMU every 20 ms and keeps what it hears.

use crate::ear::Heard;
use crate::network::Rtp;
use crate::script::{PACKET, Script};
use anyhow::Result;
use dsp::g711::Law;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A phone before its call.
#[derive(Debug)]
pub(crate) struct Phone {
    socket: UdpSocket,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Phone {
    /// Binds a port of `ip`.
    ///
    /// # Errors
    /// When none is free.
    pub(crate) fn bind(ip: IpAddr) -> Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Speaks to `to` until `end`; gives then what it heard.
    ///
    /// # Errors
    /// When the socket cannot be shared.
    pub(crate) fn speak(self, to: SocketAddr, script: Script, end: Instant) -> Result<JoinHandle<Vec<Heard>>> {
        let mouth = self.socket.try_clone()?;
        thread::spawn(move || speak(&mouth, to, &script, end));
        Ok(thread::spawn(move || listen(&self.socket, end).unwrap_or_default()))
    }
}

fn speak(socket: &UdpSocket, to: SocketAddr, script: &Script, end: Instant) {
    let mut due = script.first_packet(Instant::now());
    for sequence in 0_u16.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if due >= end {
            return;
        }
        let mut payload = [0; 160];
        Law::Mu.encode(&script.packet(due), &mut payload);
        let mut packet = vec![0x80, 0];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend(0x5EED_5EED_u32.to_be_bytes());
        packet.extend(payload);
        let _ = socket.send_to(&packet, to);
        due += PACKET;
    }
}

fn listen(socket: &UdpSocket, end: Instant) -> Result<Vec<Heard>> {
    let mut heard = Vec::new();
    let mut buffer = [0; 2048];
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    while Instant::now() < end {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
        let at = Instant::now();
        if let Some(Rtp { payload_type: 0, sequence, timestamp, ssrc, payload }) =
            Rtp::parse(buffer.get(..length).unwrap_or_default())
        {
            heard.push(Heard { at, sequence, timestamp, ssrc, payload: payload.to_vec() });
        }
    }
    Ok(heard)
}
