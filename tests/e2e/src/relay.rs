//! A TCP relay between browser and server that can be cut, as networks are. It forwards bytes and understands none.

use crate::wait::eventually;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const FREE: Duration = Duration::from_secs(5);

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    cut: Arc<watch::Sender<bool>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Listens at `from` and forwards to `to`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(from: SocketAddr, to: SocketAddr) -> Result<Self> {
        // That of the test before may take a moment to go.
        let listener = eventually("the address is free", FREE, async || Ok(TcpListener::bind(from).await?)).await?;
        let cut = Arc::new(watch::Sender::new(false));
        let signal = Arc::clone(&cut);
        let accepting = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut signal = signal.subscribe();
                tokio::spawn(async move {
                    if *signal.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = signal.changed() => {}
                    }
                });
            }
        });
        Ok(Self { cut, accepting })
    }

    /// Closes every connection, and new ones as soon as they come.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Forwards again.
    pub fn restore(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.accepting.abort();
    }
}
