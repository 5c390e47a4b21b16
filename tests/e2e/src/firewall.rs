//! Networks that let something not pass, or not all of it: rules of the namespace's own firewall, taken back at the end of the test.

use anyhow::{Context as _, Result, ensure};
use std::process::Command;

/// Datagrams or segments from and to a port, dropped without a word, as firewalls do.
#[derive(Debug)]
pub struct Dropped {
    rules: Vec<Vec<String>>,
    protocol: &'static str,
}

impl Dropped {
    /// UDP from and to a port of this namespace.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn udp(port: u16) -> Result<Self> {
        Self::new("udp", port, None)
    }

    /// Some of the UDP from and to a port of this namespace, picked at random: `share` is 0 to 1.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn some_udp(port: u16, share: f64) -> Result<Self> {
        Self::new("udp", port, Some(share))
    }

    /// TCP from and to a port of this namespace.
    ///
    /// # Errors
    /// When iptables refuses.
    pub fn tcp(port: u16) -> Result<Self> {
        Self::new("tcp", port, None)
    }

    fn new(protocol: &'static str, port: u16, share: Option<f64>) -> Result<Self> {
        let mut dropped = Self { rules: Vec::new(), protocol };
        // Everything in one namespace comes in over INPUT, both ways; a rule of OUTPUT would be an error at the sender.
        for end in ["--dport", "--sport"] {
            let mut rule = vec![end.to_owned(), port.to_string()];
            if let Some(share) = share {
                let words = ["-m", "statistic", "--mode", "random", "--probability"];
                rule.extend(words.into_iter().map(str::to_owned).chain([share.to_string()]));
            }
            dropped.iptables("-I", &rule)?;
            dropped.rules.push(rule);
        }
        Ok(dropped)
    }

    fn iptables(&self, act: &str, rule: &[String]) -> Result<()> {
        let arguments = [act, "INPUT", "-p", self.protocol];
        let done = Command::new("iptables").args(arguments).args(rule).args(["-j", "DROP"]).output();
        let done = done.context("iptables cannot be run")?;
        ensure!(done.status.success(), "iptables {act} {rule:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        for rule in &self.rules {
            if let Err(error) = self.iptables("-D", rule) {
                eprintln!("a rule of the firewall stays: {error:#}");
            }
        }
    }
}
