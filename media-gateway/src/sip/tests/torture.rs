//! The 49 messages of RFC 4475, each to the port of a running stack, which must live on.

use super::*;
use tokio::net::UdpSocket;

const OPTIONS: &str = "OPTIONS sip:x@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKBRANCH;rport\r\n\
    From: <sip:t@127.0.0.1>;tag=t\r\nTo: <sip:x@127.0.0.1>\r\nCall-ID: BRANCH\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";

/// Sends an OPTIONS and wants a 200, whatever else comes.
async fn is_alive(socket: &UdpSocket, branch: &str) -> bool {
    let port = socket.local_addr().unwrap().port().to_string();
    socket.send(OPTIONS.replace("PORT", &port).replace("BRANCH", branch).as_bytes()).await.unwrap();
    let mut buffer = [0; 65536];
    let answer = async {
        loop {
            let length = socket.recv(&mut buffer).await.unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.contains(&format!("Call-ID: {branch}\r\n")) {
                break text.starts_with("SIP/2.0 200");
            }
        }
    };
    timeout(Duration::from_secs(2), answer).await.unwrap_or(false)
}

#[tokio::test]
async fn torture_messages_do_not_kill_the_stack() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rfc4475");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 49);
    for accept_calls in [false, true] {
        let ours = Ours::start_with(Vec::new(), |settings| settings.accept_calls = accept_calls).await;
        let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        socket.connect(ours.handle.local_addr()).await.unwrap();
        for (nth, file) in files.iter().enumerate() {
            socket.send(&std::fs::read(file).unwrap()).await.unwrap();
            assert!(is_alive(&socket, &format!("b{nth}")).await, "after {}", file.display());
        }
    }
}

#[tokio::test]
async fn torture_messages_over_tcp_cost_at_most_their_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rfc4475");
    let ours = Ours::start(Vec::new()).await;
    for file in std::fs::read_dir(folder).unwrap() {
        let mut stream = tokio::net::TcpStream::connect(ours.handle.local_addr()).await.unwrap();
        stream.write_all(&std::fs::read(file.unwrap().path()).unwrap()).await.unwrap();
        let mut buffer = [0; 4096];
        // A response, the end of the connection, or nothing: all are fine.
        let _ = timeout(Duration::from_millis(20), stream.read(&mut buffer)).await;
    }
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    socket.connect(ours.handle.local_addr()).await.unwrap();
    assert!(is_alive(&socket, "last").await);
}
