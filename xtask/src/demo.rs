//! `cargo xtask run`: `ringlet run` with the demo's configuration, and `ringlet phone` in the terminal as the call centre.
//!
//! The servers themselves are in `ringlet`; only starting and ending the two is here.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Where the demo's shop is, as `ringlet/demo.toml` says.
const SHOP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// A debug build opens its store and its ports within a second; a laden machine takes longer.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// The terminal has sent Ctrl-C to the children as well; this long they get before they are told by name.
const CTRL_C_GRACE: Duration = Duration::from_secs(2);
/// `ringlet` ends its calls on SIGTERM; then it is killed.
const TERM_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(100);

/// Runs the demo until Ctrl-C, or until one of the two ends; `true` if both ended well.
pub(crate) fn run(ringlet: &Path) -> Result<bool> {
    let folder = shell::target().join("demo");
    fs::create_dir_all(&folder)?;
    let config = folder.join("ringlet.toml");
    fs::copy(shell::root().join("ringlet/demo.toml"), &config).context("ringlet/demo.toml")?;
    if TcpStream::connect_timeout(&SHOP, POLL).is_ok() {
        bail!("something else already listens on {SHOP}; end it first");
    }
    let interrupted = interrupts()?;
    eprintln!("Starting ringlet with {} …", config.display());
    let mut server = Command::new(ringlet);
    server.current_dir(&folder).args(["run", "--config"]).arg(&config).stdin(Stdio::null());
    let mut server = server.spawn().context("starting ringlet run")?;
    let ready = wait_until_healthy(&mut server, &interrupted);
    let mut phone = None;
    if let Ok(true) = ready {
        eprintln!("\n  The demo shop:  http://127.0.0.1:8080\n");
        eprintln!("  Click one of its buttons and allow the microphone: the phone below answers.");
        eprintln!("  Ctrl-C ends everything.\n");
        let mut command = Command::new(ringlet);
        let started = command.current_dir(&folder).arg("phone").spawn().context("starting ringlet phone");
        let mut child = started.inspect_err(|_| drop(server.kill()))?;
        wait_for_an_end(&mut [&mut server, &mut child], &interrupted)?;
        phone = Some(child);
    }
    let mut children: Vec<&mut Child> = std::iter::once(&mut server).chain(phone.as_mut()).collect();
    let well = end(&mut children)?;
    ready.map(|_| well)
}

/// Ctrl-C, SIGTERM, SIGHUP. Handled, so that this process outlives its children and can see them to their end.
fn interrupts() -> Result<Receiver<()>> {
    let (sender, receiver) = sync_channel(1);
    ctrlc::set_handler(move || {
        // A second Ctrl-C while the first is pending says nothing new.
        let _ = sender.try_send(());
    })?;
    Ok(receiver)
}

/// `true` once `/healthz` answers, `false` if interrupted before.
fn wait_until_healthy(server: &mut Child, interrupted: &Receiver<()>) -> Result<bool> {
    let deadline = Instant::now() + START_DEADLINE;
    while !is_healthy() {
        if let Some(status) = server.try_wait()? {
            bail!("ringlet run ended before it was ready ({status})");
        }
        if Instant::now() > deadline {
            // The caller ends it.
            bail!("http://{SHOP}/healthz does not answer within {} s", START_DEADLINE.as_secs());
        }
        if !matches!(interrupted.recv_timeout(POLL), Err(RecvTimeoutError::Timeout)) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_healthy() -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&SHOP, POLL)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status == *b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

fn wait_for_an_end(children: &mut [&mut Child], interrupted: &Receiver<()>) -> Result<()> {
    while matches!(interrupted.recv_timeout(POLL), Err(RecvTimeoutError::Timeout)) {
        for child in children.iter_mut() {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
        }
    }
    eprintln!("\nEnding …");
    Ok(())
}

/// Sees every child to its end; `true` if all ended well, be it by a signal.
fn end(children: &mut [&mut Child]) -> Result<bool> {
    wait_for_all(children, CTRL_C_GRACE)?;
    for child in children.iter_mut() {
        if child.try_wait()?.is_none() {
            // The standard library can only kill; the shell has the gentler signal built in.
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &child.id().to_string()]).status()?;
        }
    }
    wait_for_all(children, TERM_DEADLINE)?;
    let mut well = true;
    for child in children.iter_mut() {
        if child.try_wait()?.is_none() {
            eprintln!("process {} does not end by itself and is killed", child.id());
            child.kill()?;
            well = false;
        }
        // No code: it ended by the signal that we sent.
        well &= child.wait()?.code().is_none_or(|code| code == 0);
    }
    Ok(well)
}

fn wait_for_all(children: &mut [&mut Child], limit: Duration) -> Result<()> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        let mut running = false;
        for child in children.iter_mut() {
            running |= child.try_wait()?.is_none();
        }
        if !running {
            break;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_ignores_ctrl_c_is_told_to_terminate() -> Result<()> {
        let mut child = Command::new("sh").args(["-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done"]).spawn()?;
        assert!(end(&mut [&mut child])?);
        assert_eq!(child.wait()?.code(), Some(0));
        Ok(())
    }

    #[test]
    fn a_child_that_fails_is_told_apart_from_one_that_ends_well() -> Result<()> {
        let mut child = Command::new("false").spawn()?;
        assert!(!end(&mut [&mut child])?);
        Ok(())
    }
}
