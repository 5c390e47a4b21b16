//! A network namespace of the test's own: loopback, a bridge at 10.99.0.1/24, a default route that leads nowhere.
//!
//! Browsers and SIP peers run in it, on any machine, and reach nothing outside it.

use crate::setup::is_root;
use crate::shell;
use anyhow::{Result, bail};
use std::path::Path;
use std::process::{Command, Stdio};

/// Chromium gathers candidates only on an interface that a default route goes through, hence the bridge and the route.
const PREPARE: &str = "
    ip link set lo up
    ip link add br0 type bridge
    ip addr add 10.99.0.1/24 dev br0
    ip link set br0 up
    ip route add default via 10.99.0.254 dev br0
    exec \"$@\"";

/// The program, to be run in a namespace of its own.
pub(crate) fn inside(binary: &Path) -> Command {
    let mut command = unshare();
    // The administrator's folders hold ip and iptables, and are not in everybody's PATH.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command.args(["sh", "-euc", PREPARE, "sh"]).arg(binary);
    command
}

/// Whether this user may make one.
pub(crate) fn check() -> Result<()> {
    let tried = unshare().args(["true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if tried.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "`{}` is refused here, and the end-to-end tests run in a network namespace. As root it works everywhere; \
         for other users:\n    sudo sysctl -w kernel.unprivileged_userns_clone=1                  # Debian\n    \
         sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0    # Ubuntu 24.04 and later",
        shell::display(&unshare())
    )
}

fn unshare() -> Command {
    let mut command = shell::program("unshare");
    command.arg("--net");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_has_its_bridge_and_no_way_out() -> Result<()> {
        if check().is_err() {
            eprintln!("not tested: no namespaces for this user");
            return Ok(());
        }
        let links = shell::output(inside(Path::new("ip")).args(["-brief", "address"]))?;
        assert!(links.contains("10.99.0.1/24"), "{links}");
        let names: Vec<_> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(names, ["lo", "br0"]);
        Ok(())
    }
}
