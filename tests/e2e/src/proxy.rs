//! The only way out of a network that lets nothing pass but HTTPS through its proxy: HTTP's CONNECT (RFC 9110 section 9.3.6), to port
//! 443 alone. It resolves every name to the server under test. Not here: the rules that let nothing else out.

use crate::setup::TLS_PORT;
use crate::wait::eventually;
use anyhow::Result;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Where it listens.
pub const PORT: u16 = 3_128;

/// How long a proxy before this one may take to let go of its address.
const FREE: Duration = Duration::from_secs(5);

/// A browser says what it wants at once.
const ASKED_WITHIN: Duration = Duration::from_secs(10);

/// A browser's request has a few hundred bytes.
const MAX_HEAD: usize = 8_192;

/// A running proxy. Dropping it ends it, and all connections through it.
#[derive(Debug)]
pub struct Proxy {
    asked: Arc<Mutex<Vec<(String, bool)>>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Listens on `listen`, and connects to port 443 of `server` whatever name it is asked for.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(listen: IpAddr, server: IpAddr) -> Result<Self> {
        let address = SocketAddr::new(listen, PORT);
        let listener = eventually("the address is free", FREE, async || Ok(TcpListener::bind(address).await?)).await?;
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::clone(&asked);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((browser, _)) = listener.accept().await {
                connections.spawn(connect(browser, server, Arc::clone(&told)));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { asked, _accepting: accepting })
    }

    /// What it was asked to connect to, and whether it did.
    pub fn asked(&self) -> Vec<(String, bool)> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn connect(mut browser: TcpStream, server: IpAddr, asked: Arc<Mutex<Vec<(String, bool)>>>) {
    let Ok(Some(target)) = timeout(ASKED_WITHIN, target(&mut browser)).await else { return };
    let address = address_of(&target, server);
    asked.lock().unwrap_or_else(PoisonError::into_inner).push((target, address.is_some()));
    let connected = match address {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(mut far) = connected else {
        let _ = browser.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        return;
    };
    if browser.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut browser, &mut far).await;
    }
}

/// What stands after the method, CONNECT or not: of anything else than CONNECT no port is allowed.
async fn target(browser: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Behind the head everything is the tunnel's.
        head.push(browser.read_u8().await.ok()?);
        if head.len() > MAX_HEAD {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

/// Where a target leads to; nowhere but to the port of HTTPS.
fn address_of(target: &str, server: IpAddr) -> Option<SocketAddr> {
    let (host, port) = target.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port == TLS_PORT)?;
    Some(SocketAddr::new(host.parse().unwrap_or(server), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::BRIDGE;

    #[test]
    fn only_the_port_of_https_is_connected_to_whatever_the_name() {
        let to = |target| address_of(target, BRIDGE).map(|address| address.to_string());
        assert_eq!(to("shop.example:443").as_deref(), Some("10.99.0.1:443"));
        assert_eq!(to("10.99.0.7:443").as_deref(), Some("10.99.0.7:443"));
        assert_eq!(to("10.99.0.1:4433"), None);
        assert_eq!(to("http://shop.example/"), None);
    }
}
