//! One port for the web and for browsers' audio: what begins like ICE over TCP goes to the gateway, unread.

use super::harness::{PATIENCE, TestApp};
use super::tls::{certify, connect_with};
use crate::Tls;
use std::io::Read as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// A STUN request (RFC 8489 section 5) without attributes, framed (RFC 4571).
const FRAMED: [u8; 22] = [0, 20, 0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

async fn is_handed_over(app: &TestApp, sockets: &mut mpsc::Receiver<std::net::TcpStream>) {
    let mut browser = TcpStream::connect(app.address).await.unwrap();
    browser.write_all(&FRAMED).await.unwrap();
    let mut socket = timeout(PATIENCE, sockets.recv()).await.unwrap().unwrap();
    assert_eq!(socket.peer_addr().unwrap(), browser.local_addr().unwrap());
    let mut unread = [0; FRAMED.len()];
    socket.read_exact(&mut unread).unwrap();
    assert_eq!(unread, FRAMED);
}

#[tokio::test]
async fn audio_is_told_from_http_by_its_first_byte() {
    let (sender, mut sockets) = mpsc::channel(4);
    let app = TestApp::builder().sockets(sender).start().await;
    is_handed_over(&app, &mut sockets).await;
    assert_eq!(app.get("/healthz").await.status(), 200);
    // One byte at a time is still HTTP.
    let mut slow = TcpStream::connect(app.address).await.unwrap();
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n" {
        slow.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(sockets.try_recv().is_err(), "HTTP was handed over");
}

#[tokio::test]
async fn audio_is_told_from_tls_whose_application_protocol_is_agreed_on_as_ever() {
    let folder = tempfile::TempDir::new().unwrap();
    let trusted = certify(folder.path());
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    let (sender, mut sockets) = mpsc::channel(4);
    let builder = TestApp::builder().no_gateway().sockets(sender).configure(|config| {
        config.public_url = "https://localhost".parse().unwrap();
        config.tls = Tls::Files { certificate, key };
    });
    let app = builder.start().await;
    is_handed_over(&app, &mut sockets).await;
    for protocol in ["h2", "http/1.1"] {
        let stream = connect_with(&app, &trusted, protocol).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    }
    assert!(sockets.try_recv().is_err(), "TLS was handed over");
}

#[tokio::test]
async fn without_a_gateway_that_wants_it_audio_is_nobodys() {
    let app = TestApp::builder().start().await;
    let mut browser = TcpStream::connect(app.address).await.unwrap();
    browser.write_all(&FRAMED).await.unwrap();
    let mut answer = Vec::new();
    // The web server answers that this is no HTTP, or just closes.
    drop(timeout(PATIENCE, browser.read_to_end(&mut answer)).await.unwrap());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
}
