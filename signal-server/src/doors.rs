//! What a connection meets before TLS and HTTP: whether there is room for it, in all and for its address, and how long it may
//! say nothing. Until its first byte it costs a place and nothing else. Not here: what is spoken then.

use crate::app::App;
use crate::limits::ConnectionPermit;
use crate::metrics::Counted;
use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use metrics::counter;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client may take to its first byte, as long as to a request's head: browsers open connections in advance.
const FIRST_BYTE: Duration = Duration::from_secs(30);

/// Accepts by `inner` what there is room for, once it speaks. In all that is spoken here, the client speaks first.
#[derive(Clone)]
pub(crate) struct Doors<A> {
    /// Tells media from the web, TLS.
    pub(crate) inner: A,
    /// Who counts.
    pub(crate) app: App,
}

/// A connection with its place.
pub(crate) struct Placed<S> {
    stream: S,
    _permit: ConnectionPermit,
    _counted: Counted,
}

impl<A, S> Accept<TcpStream, S> for Doors<A>
where
    A: Accept<TcpStream, S> + Clone + Send + 'static,
    A::Future: Send,
    S: Send + 'static,
{
    type Stream = Placed<A::Stream>;
    type Service = A::Service;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Self { inner, app } = self.clone();
        Box::pin(async move {
            let peer = stream.peer_addr()?.ip().to_canonical();
            let is_proxy = app.config.trusted_proxies.iter().any(|network| network.contains(&peer));
            let Some(permit) = app.limits.count_connection(peer, is_proxy) else {
                counter!("ringlet_connections_refused_total").increment(1);
                tracing::debug!(%peer, "one connection too many");
                return Err(io::Error::other("one connection too many"));
            };
            let counted = Counted::connection();
            first_byte(&stream).await?;
            let (stream, service) = inner.accept(stream, service).await?;
            Ok((Placed { stream, _permit: permit, _counted: counted }, service))
        })
    }
}

/// Waits for the first byte, and leaves it there.
async fn first_byte(stream: &TcpStream) -> io::Result<()> {
    match timeout(FIRST_BYTE, stream.peek(&mut [0])).await?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Placed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Placed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_let_go_after_half_a_minute() {
        let (_silent, stream) = pair().await;
        let begun = tokio::time::Instant::now();
        assert_eq!(first_byte(&stream).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), FIRST_BYTE.as_secs());
    }

    #[tokio::test]
    async fn a_client_that_speaks_or_goes_is_not_waited_for() {
        let (mut speaks, stream) = pair().await;
        speaks.write_all(b"G").await.unwrap();
        first_byte(&stream).await.unwrap();
        let (goes, stream) = pair().await;
        drop(goes);
        assert_eq!(first_byte(&stream).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
