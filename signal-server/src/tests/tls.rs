//! TLS of our own with certificate files.

use super::harness::{TestApp, eventually};
use crate::Tls;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Writes a fresh certificate for localhost.
pub(super) fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("certificate.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

async fn connect(app: &TestApp, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    connect_with(app, trusted, "http/1.1").await
}

/// Connects and offers one application protocol (RFC 7301).
pub(super) async fn connect_with(
    app: &TestApp,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let tcp = TcpStream::connect(app.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

#[tokio::test]
async fn a_renewed_certificate_is_served_without_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let first = certify(folder.path());
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let app = TestApp::builder()
        .no_gateway()
        .configure(|config| {
            config.public_url = "https://localhost".parse().unwrap();
            config.tls = Tls::Files { certificate, key };
        })
        .start()
        .await;
    let mut stream = connect(&app, &first).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("strict-transport-security: max-age="), "{answer}");

    let second = certify(folder.path());
    eventually("the new certificate is served", async || connect(&app, &second).await.ok()).await;
    assert!(connect(&app, &first).await.is_err(), "the old one is served no more");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_an_error_at_the_start() {
    let folder = tempfile::TempDir::new().unwrap();
    let (certificate, key) = (folder.path().join("none.pem"), folder.path().join("none.key"));
    let database = folder.path().join("ringlet.sqlite");
    let listen = vec![std::net::SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = crate::Config { listen, database, tls: Tls::Files { certificate, key }, ..crate::Config::default() };
    let error = crate::serve(config, None, tokio_util::sync::CancellationToken::new(), None).await.unwrap_err();
    assert!(error.to_string().contains("none.pem"), "{error}");
}
