//! One TCP port for the web and for browsers' audio: what begins like ICE over TCP (RFC 6544) is handed to the gateway in this
//! process, before TLS or HTTP has read a byte. Not here: what becomes of it there.

use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use protocol::rfc4571;
use std::io;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Where connections go that are the gateway's.
pub(crate) type Sockets = mpsc::Sender<std::net::TcpStream>;

/// Accepts by `web` what is not the gateway's.
#[derive(Clone, Debug)]
pub(crate) struct SharedPort<A> {
    /// TLS, or nothing.
    pub(crate) web: A,
    /// `None`: all is the web's.
    pub(crate) sockets: Option<Sockets>,
}

impl<A, S> Accept<TcpStream, S> for SharedPort<A>
where
    A: Accept<TcpStream, S> + Clone + Send + 'static,
    A::Future: Send,
    S: Send + 'static,
{
    type Stream = A::Stream;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(A::Stream, A::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { web, sockets } = self.clone();
        Box::pin(async move {
            match sockets {
                Some(sockets) if begins_like_media(&stream).await? => Err(hand_over(stream, &sockets)),
                Some(_) | None => web.accept(stream, service).await,
            }
        })
    }
}

/// Looks at the first byte, which is there, and leaves it there.
async fn begins_like_media(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    Ok(length > 0 && first.into_iter().all(rfc4571::begins_with))
}

/// The web server forgets a connection that comes to it as an error, and says nothing.
fn hand_over(stream: TcpStream, sockets: &Sockets) -> io::Error {
    let handed = stream.into_std().map(|stream| sockets.try_send(stream));
    match handed {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a media connection is closed: the gateway does not take it"),
        Err(error) => return error,
    }
    io::Error::other("handed over to the gateway")
}
