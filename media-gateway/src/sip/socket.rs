//! The UDP socket under rsipstack, and the one thing that rsipstack cannot do with it: answer requests of methods that it
//! does not know. It drops them; RFC 3261 section 8.2.1 wants a response, else the sender repeats them for 32 s.
//!
//! Over TCP the same request costs its connection, which rsipstack closes.

use super::shared_port::SharedPort;
use md5::{Digest as _, Md5};
use rsipstack::{platform::net, sip::Method};
use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc};
use tokio::net::UdpSocket;
use tracing::debug;

type Io<'a, T> = Pin<Box<dyn Future<Output = rsipstack::Result<T>> + Send + 'a>>;

/// A UDP socket that answers unknown methods with 501 itself, and that another process may share.
pub(super) struct Socket {
    pub(super) udp: UdpSocket,
    pub(super) port: Arc<SharedPort>,
}

impl net::UdpSocket for Socket {
    fn recv_from<'a, 'b, 'c>(&'a self, buffer: &'b mut [u8]) -> Io<'c, (usize, SocketAddr)>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async move {
            loop {
                let (length, from) = self.port.receive(&self.udp, buffer).await?;
                let Some(response) = buffer.get(..length).and_then(not_implemented) else { return Ok((length, from)) };
                debug!(%from, "request of an unknown method");
                // It is repeated if this is lost.
                let _ = self.udp.send_to(response.as_bytes(), from).await;
            }
        })
    }

    fn send_to<'a, 'b, 'c>(&'a self, datagram: &'b [u8], to: SocketAddr) -> Io<'c, usize>
    where
        'a: 'c,
        'b: 'c,
    {
        Box::pin(async move { Ok(self.udp.send_to(datagram, to).await?) })
    }

    fn local_addr(&self) -> rsipstack::Result<SocketAddr> {
        Ok(self.udp.local_addr()?)
    }
}

/// The 501 to a request of a method that rsipstack does not know; stateless, so that a repeated request gets the same.
fn not_implemented(datagram: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let (request_line, headers) = head.split_once("\r\n")?;
    let (method, rest) = request_line.split_once(' ')?;
    let token = method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte));
    if !token || !rest.ends_with(" SIP/2.0") || method.parse::<Method>().is_ok() {
        return None;
    }
    let header = |long: &'static str, short: &'static str| {
        headers.split("\r\n").filter(move |line| {
            let name = line.split(':').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short)
        })
    };
    let mut lines: Vec<String> = header("Via", "v").map(str::to_owned).collect();
    if lines.is_empty() {
        return None;
    }
    let call_id = header("Call-ID", "i").next()?;
    let mut to = header("To", "t").next()?.to_owned();
    if super::dialog::tag_of(&to).is_none() {
        to.push_str(&format!(";tag={}", hex::encode(Md5::digest(call_id))));
    }
    lines.extend([
        header("From", "f").next()?.to_owned(),
        to,
        call_id.to_owned(),
        header("CSeq", "CSeq").next()?.to_owned(),
    ]);
    let allow = super::server::ALLOW;
    Some(format!(
        "SIP/2.0 501 Not Implemented\r\n{}\r\nAllow: {allow}\r\nContent-Length: 0\r\n\r\n",
        lines.join("\r\n")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unknown_methods_are_answered() {
        let request = |line: &str| {
            format!(
                "{line}\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:b@b>\r\ni: x\r\nCSeq: 1 JUMP\r\n\r\n"
            )
        };
        let answer = not_implemented(request("JUMP sip:b@b SIP/2.0").as_bytes()).unwrap_or_default();
        assert!(answer.starts_with("SIP/2.0 501 Not Implemented\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"), "{answer}");
        assert!(answer.contains("\r\nTo: <sip:b@b>;tag="), "{answer}");
        for line in ["INVITE sip:b@b SIP/2.0", "SIP/2.0 200 OK", "JUMP sip:b@b HTTP/1.1", "<!> sip:b@b SIP/2.0", ""] {
            assert_eq!(not_implemented(request(line).as_bytes()), None, "{line}");
        }
        assert_eq!(not_implemented(b"JUMP sip:b@b SIP/2.0\r\nTo: <sip:b@b>\r\n\r\n"), None);
        assert_eq!(not_implemented(&[0xff, 0xfe]), None);
    }
}
