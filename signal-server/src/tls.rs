//! TLS of our own: certificate files that are read again when they change, or a certificate by ACME. Not here: TLS of a
//! proxy in front of us.

use crate::Error;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsConfig;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, axum::AxumAcceptor};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How often the certificate files are looked at. Whoever renews certificates does so weeks before they end.
#[cfg(not(test))]
const LOOK: Duration = Duration::from_secs(60);
#[cfg(test)]
const LOOK: Duration = Duration::from_millis(50);

/// Reads certificate and key.
pub(crate) async fn from_files(certificate: &Path, key: &Path) -> Result<RustlsConfig, Error> {
    RustlsConfig::from_pem_file(certificate, key).await.map_err(|source| Error::Certificate {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

/// Reads the files again whenever one of them has changed. A pair that does not fit, as between two writes, changes
/// nothing: the next look tries again. Never ends by itself.
pub(crate) async fn reload_on_change(config: RustlsConfig, certificate: PathBuf, key: PathBuf) {
    let mut seen = changed_at(&certificate, &key).await;
    loop {
        sleep(LOOK).await;
        let now = changed_at(&certificate, &key).await;
        if now == seen {
            continue;
        }
        match config.reload_from_pem_file(&certificate, &key).await {
            Ok(()) => {
                tracing::info!(certificate = %certificate.display(), "read the changed certificate");
                seen = now;
            }
            Err(error) => {
                tracing::warn!(%error, certificate = %certificate.display(), "the changed certificate cannot be used yet")
            }
        }
    }
}

async fn changed_at(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    let modified = async |path| tokio::fs::metadata(path).await.and_then(|it| it.modified()).ok();
    [modified(certificate).await, modified(key).await]
}

/// How long a client may take for its TLS handshake; [`RustlsAcceptor`](axum_server::tls_rustls::RustlsAcceptor) has the
/// same.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Accepts by ACME's acceptor, which knows no deadline, within [`HANDSHAKE`].
#[derive(Clone)]
pub(crate) struct AcmeAcceptor(AxumAcceptor);

impl<S: Send + 'static> Accept<TcpStream, S> for AcmeAcceptor {
    type Stream = <AxumAcceptor as Accept<TcpStream, S>>::Stream;
    type Service = S;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = timeout(HANDSHAKE, self.0.accept(stream, service));
        Box::pin(async { accepted.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) })
    }
}

/// Begins to get, and then to renew, a certificate; gives the acceptor and the task that does it, which never ends by
/// itself.
pub(crate) fn acme(
    domains: &[String],
    contacts: &[String],
    cache: PathBuf,
    staging: bool,
) -> (AcmeAcceptor, impl Future<Output = ()> + use<>) {
    let mut state = AcmeConfig::new(domains)
        .contact(contacts.iter().map(|it| if it.contains(':') { it.clone() } else { format!("mailto:{it}") }))
        .cache(DirCache::new(cache))
        .directory_lets_encrypt(!staging)
        .state();
    let mut rustls = state.default_rustls_config();
    if let Some(config) = std::sync::Arc::get_mut(&mut rustls) {
        config.alpn_protocols.splice(0..0, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }
    let acceptor = AcmeAcceptor(state.axum_acceptor(rustls));
    let task = async move {
        while let Some(event) = state.next().await {
            match event {
                Ok(event) => tracing::info!(?event, "certificate"),
                Err(error) => tracing::error!(%error, "getting a certificate failed: trying again later"),
            }
        }
    };
    (acceptor, task)
}
