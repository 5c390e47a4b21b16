//! What the machine must have: what is missing, why it is needed, how it is installed here.
//!
//! Looks at files only, so that it costs nothing when nothing is missing. Not here: building anything of Ringlet's own.

mod npm;
mod privilege;

use crate::{namespace, shell, wasm};
use anyhow::{Result, bail};
pub(crate) use privilege::{is_root, privilege};
use std::fs;

/// For what the machine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Needs {
    /// `build`, `run`, `sizes`, `tidy`.
    Build,
    /// `test`, `bench`: a browser, SIP peers and a network namespace as well.
    Test,
}

/// A program that comes from the system's packages.
struct Tool {
    /// One of these is enough.
    programs: &'static [&'static str],
    debian: &'static str,
    ubuntu: &'static str,
    why: &'static str,
    needs: Needs,
}

const TOOLS: [Tool; 12] = [
    Tool::same(&["cc"], "gcc", "links Rust, compiles libopus, SQLite and AWS-LC", Needs::Build),
    Tool::same(&["cmake"], "cmake", "configures libopus", Needs::Build),
    Tool::same(&["make", "ninja"], "make", "builds libopus", Needs::Build),
    Tool {
        programs: &["chromium", "chromium-browser", "google-chrome"],
        debian: "chromium",
        ubuntu: "chromium-browser",
        why: "the browser of the end-to-end tests",
        needs: Needs::Test,
    },
    Tool {
        programs: &["chromedriver", "chromium.chromedriver"],
        debian: "chromium-driver",
        ubuntu: "chromium-chromedriver",
        why: "drives the browser (WebDriver)",
        needs: Needs::Test,
    },
    Tool {
        programs: &["firefox-esr", "firefox"],
        debian: "firefox-esr",
        ubuntu: "firefox",
        why: "another browser for the end-to-end tests",
        needs: Needs::Test,
    },
    // A desktop that has PipeWire cannot have both: there the test that needs it is left out.
    Tool::same(&["pulseaudio", "pipewire-pulse"], "pulseaudio", "a sound card without one, for Firefox", Needs::Test),
    Tool::same(&["parec"], "pulseaudio-utils", "hears what Firefox plays", Needs::Test),
    Tool::same(&["sipp"], "sip-tester", "an independent SIP peer with scenarios (SIPp)", Needs::Test),
    Tool::same(&["baresip"], "baresip-core", "an independent SIP phone that records what it hears", Needs::Test),
    Tool::same(&["ip"], "iproute2", "the bridge in the tests' network namespace", Needs::Test),
    Tool::same(&["iptables"], "iptables", "loses packets in the tests' network namespace", Needs::Test),
];

/// The oldest Node that esbuild and TypeScript run on.
const NODE_MAJOR: u32 = 18;

/// Installs what is missing for `needs`, saying what and why; an error names the commands to type where it cannot.
pub(crate) fn ensure(needs: Needs) -> Result<()> {
    let missing: Vec<&Tool> = TOOLS.iter().filter(|tool| tool.needs <= needs && !tool.is_there()).collect();
    if !missing.is_empty() {
        install_tools(&missing)?;
    }
    check_node()?;
    npm::ensure()?;
    wasm::ensure()?;
    if needs == Needs::Test {
        namespace::check()?;
        if shell::which("cargo-nextest").is_none() {
            eprintln!("cargo-nextest is not here: `cargo test` is used. Faster: cargo install --locked cargo-nextest");
        }
    }
    Ok(())
}

/// Installs Debian or Ubuntu packages, with the lists brought up to date first. Nothing gives way to them: PulseAudio would take the place of
/// a desktop's PipeWire.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    let install = ["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove"];
    let install: Vec<&str> = install.into_iter().chain(packages.iter().copied()).collect();
    if shell::which("apt-get").is_none() {
        bail!("install these with your system's package manager (Debian's names): {}", packages.join(" "));
    }
    privilege().run(&[&["apt-get", "update"], &install])
}

impl Tool {
    const fn same(programs: &'static [&'static str], package: &'static str, why: &'static str, needs: Needs) -> Self {
        Self { programs, debian: package, ubuntu: package, why, needs }
    }

    fn is_there(&self) -> bool {
        self.programs.iter().any(|program| shell::which(program).is_some())
    }
}

fn install_tools(missing: &[&Tool]) -> Result<()> {
    let ubuntu = fs::read_to_string("/etc/os-release").unwrap_or_default().lines().any(|line| line == "ID=ubuntu");
    let package = |tool: &&Tool| if ubuntu { tool.ubuntu } else { tool.debian };
    for tool in missing {
        eprintln!("Missing: {} — {}.", package(tool), tool.why);
    }
    apt_install(&missing.iter().map(package).collect::<Vec<_>>())
}

fn check_node() -> Result<()> {
    let cure = "apt-get install nodejs npm, or see https://nodejs.org";
    if shell::which("node").is_none() || shell::which("npm").is_none() {
        bail!("Node {NODE_MAJOR} or later with npm is needed: esbuild, wasm-opt and tsc run on it. {cure}");
    }
    let version = shell::output(shell::program("node").arg("--version"))?;
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR => Ok(()),
        _ => bail!("Node {NODE_MAJOR} or later is needed, this is {}. {cure}", version.trim()),
    }
}

fn node_major(version: &str) -> Option<u32> {
    version.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_version_is_read() {
        assert_eq!(node_major("v20.20.2\n"), Some(20));
        assert_eq!(node_major("command not found"), None);
    }

    #[test]
    fn building_needs_no_browser_and_no_sip_peer() {
        let names = |needs| TOOLS.iter().filter(|tool| tool.needs <= needs).map(|tool| tool.debian).collect::<Vec<_>>();
        assert_eq!(names(Needs::Build), ["gcc", "cmake", "make"]);
        assert_eq!(names(Needs::Test).len(), TOOLS.len());
    }
}
