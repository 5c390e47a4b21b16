//! How many connections there may be.

use super::harness::{PATIENCE, TestApp};
use crate::config::Limits;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

const EACH: u32 = 8;

async fn connect(app: &TestApp, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    socket.connect(app.address).await.unwrap()
}

/// Asks for something small, on a connection that stays open. `false` when it was closed instead.
async fn is_served(connection: &mut TcpStream) -> bool {
    // It may be closed already.
    drop(connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await);
    let mut first = [0; 12];
    match timeout(PATIENCE, connection.read_exact(&mut first)).await.unwrap() {
        Ok(_) => &first == b"HTTP/1.1 200",
        Err(_) => false,
    }
}

async fn open(app: &TestApp, from: &str, count: u32) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut connection = connect(app, from).await;
        if is_served(&mut connection).await {
            open.push(connection);
        }
    }
    open
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_the_others_are_served_meanwhile() {
    let limits = Limits { connections_per_address: EACH, ..Limits::default() };
    let app = TestApp::builder().no_gateway().limits(limits).start().await;
    let greedy = open(&app, "127.0.0.2", EACH + 3).await;
    assert_eq!(greedy.len() as u32, EACH);
    assert_eq!(open(&app, "127.0.0.3", 1).await.len(), 1);
    drop(greedy);
    // A connection that goes gives its place back as soon as the server has noticed.
    let again = async { while open(&app, "127.0.0.2", 1).await.is_empty() {} };
    timeout(PATIENCE, again).await.unwrap();
}

#[tokio::test]
async fn a_trusted_proxy_has_as_many_as_there_may_be_in_all() {
    let limits = Limits { connections_per_address: 1, connections: EACH, ..Limits::default() };
    let builder = TestApp::builder().no_gateway().limits(limits);
    let app = builder.configure(|config| config.trusted_proxies = vec!["127.0.0.2/32".parse().unwrap()]).start().await;
    let proxied = open(&app, "127.0.0.2", EACH + 3).await;
    assert_eq!(proxied.len() as u32, EACH);
}
