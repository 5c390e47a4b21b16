//! Runs SIPp scenarios.

use super::{LOOPBACK, PATIENCE};
use crate::config::Transport;
use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// A running scenario, one call long.
pub(super) struct Sipp {
    pub(super) port: u16,
    pub(super) transport: Transport,
    child: Child,
    folder: PathBuf,
}

impl Sipp {
    /// A scenario that waits for us.
    pub(super) async fn answering(scenario: &str, transport: Transport, keys: &[(&str, &str)]) -> Self {
        let port = free_port();
        let sipp = Self::spawn(scenario, transport, port, None, keys);
        let deadline = Instant::now() + PATIENCE;
        while !sipp.is_listening() {
            assert!(Instant::now() < deadline, "SIPp does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sipp
    }

    /// A scenario that calls us.
    pub(super) fn calling(scenario: &str, transport: Transport, us: SocketAddr) -> Self {
        Self::spawn(scenario, transport, free_port(), Some(us), &[])
    }

    fn spawn(scenario: &str, transport: Transport, port: u16, us: Option<SocketAddr>, keys: &[(&str, &str)]) -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let nth = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ringlet-sipp-{}-{nth}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sipp").join(scenario).with_extension("xml");
        // SIPp's own `-key` cannot stand in a status line.
        let text = std::fs::read_to_string(file).unwrap();
        let text = keys.iter().fold(text, |text, (key, value)| text.replace(&format!("[{key}]"), value));
        std::fs::write(folder.join("scenario.xml"), text).unwrap();
        let mut command = Command::new("sipp");
        command.current_dir(&folder).args(["-sf", "scenario.xml", "-i", "127.0.0.1", "-m", "1", "-nostdin"]);
        command.args(["-p", &port.to_string(), "-timeout", "18s", "-timeout_error", "-recv_timeout", "15000"]);
        command.args(["-trace_msg", "-message_file", "messages", "-trace_err", "-error_file", "errors"]);
        command.args(["-trace_logs", "-log_file", "log", "-t", if transport == Transport::Udp { "u1" } else { "t1" }]);
        if let Some(us) = us {
            command.arg(us.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot run sipp ({error}): run cargo xtask setup"));
        Self { port, transport, child, folder }
    }

    /// As the system's table says: whoever binds the port to find out may have it when SIPp wants it.
    fn is_listening(&self) -> bool {
        let (table, any) = match self.transport {
            Transport::Udp => ("/proc/net/udp", ""),
            Transport::Tcp => ("/proc/net/tcp", "00000000:0000 0A"),
        };
        let local = format!(": 0100007F:{:04X} {any}", self.port);
        std::fs::read_to_string(table).is_ok_and(|table| table.contains(&local))
    }

    /// Wants the scenario to have come to its end as it is written. Tells what it logged.
    pub(super) async fn succeeded(mut self) -> String {
        let status = timeout(PATIENCE, self.child.wait()).await;
        let read = |name| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let fine = matches!(&status, Ok(Ok(status)) if status.success());
        assert!(fine, "{status:?}\n{}\n{}", read("errors"), read("messages"));
        read("log")
    }

    /// The messages that it has seen and sent so far.
    pub(super) fn messages(&self) -> String {
        std::fs::read_to_string(self.folder.join("messages")).unwrap_or_default()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // Left-over files in the temporary folder are no reason to fail.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free for UDP and TCP, below those that systems give out by themselves: nobody takes it before SIPp does.
/// Test processes that run at the same time search from different places.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = std::process::id() * 16 + NEXT.fetch_add(1, Ordering::Relaxed);
        let address = SocketAddr::new(LOOPBACK, 10_000 + (nth % 10_000) as u16);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return address.port();
        }
    }
}
