//! The network that the tests run in: `lo` and a bridge `br0` with 10.99.0.1, made by `cargo xtask test`. Not made here.

use crate::lane::{self, Lane};
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The bridge's address: browsers make ICE candidates of it, and baresip, which refuses `lo`, listens on it.
pub const BRIDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));

/// The right to the stage, held until it is dropped: tests and benches share one folder, and a bench measures the machine.
#[derive(Debug)]
pub struct Alone {
    /// Where logs, recordings and pictures go: `tests/artifacts`, or this lane's folder in it.
    pub artifacts: PathBuf,
    root: PathBuf,
    _locks: [File; 2],
}

impl Alone {
    /// The right to play one test, held until it is dropped: beside another lane's, or `alone`.
    ///
    /// # Errors
    /// When the lock cannot be made.
    pub fn turn(&self, alone: bool) -> Result<File> {
        lane::turn(&self.root, alone)
    }
}

/// Refuses any network but the tests' own: a browser in the machine's namespace would do ICE with its real addresses. Then
/// waits until no other run of tests or benches is on the stage but other lanes, in whatever namespace that is.
///
/// # Errors
/// When there is an interface besides `lo` and `br0`, or no `br0`; when the folder cannot be made.
pub fn enter() -> Result<Alone> {
    require()?;
    // HTTP clients and the browser driver's socket are made with rustls, although nobody speaks TLS. A second call is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../artifacts"));
    fs::create_dir_all(&root)?;
    let (root, lane) = (root.canonicalize()?, Lane::of_this_process()?);
    let locks = lane.enter(&root)?;
    Ok(Alone { artifacts: lane.folder(&root), root, _locks: locks })
}

fn require() -> Result<()> {
    // Not /sys/class/net: that shows the namespace in which /sys was mounted.
    let table = std::fs::read_to_string("/proc/self/net/dev").context("cannot read /proc/self/net/dev")?;
    let names: Vec<&str> = table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim()).collect();
    if let Some(stranger) = names.iter().find(|name| !matches!(**name, "lo" | "br0")) {
        bail!(
            "this network has the interface {stranger}: run `cargo xtask test`, which makes a namespace for the tests"
        );
    }
    if !names.contains(&"br0") {
        bail!("this network has no br0: run `cargo xtask test`, which makes a namespace for the tests");
    }
    Ok(())
}

/// Whether somebody holds a UDP port in this namespace.
///
/// # Errors
/// When the kernel's table cannot be read.
pub fn udp_port_is_taken(port: u16) -> Result<bool> {
    let table = std::fs::read_to_string("/proc/self/net/udp").context("cannot read /proc/self/net/udp")?;
    let suffix = format!(":{port:04X}");
    Ok(table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).any(|local| local.ends_with(&suffix)))
}
