//! The sections of `cargo xtask bench audio`: what each runs and what it needs installed first. Each is a binary of its own
//! that prints measurements; to add one, add a line to [`SECTIONS`].

use crate::setup;
use crate::shell;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// One table of `cargo xtask bench audio`.
pub(crate) struct Section {
    /// As it is chosen by `--section`; what belongs together has one name.
    pub(crate) name: &'static str,
    /// What it says, as the table's heading.
    pub(crate) about: &'static str,
    /// The package that holds the binary.
    pub(crate) package: &'static str,
    /// The binary; it runs in the network namespace with `RINGLET_BIN`, and `BENCH_PYTHON` if it has `python` packages.
    pub(crate) binary: &'static str,
    /// It measures the product, or loads its web assets: those are built first.
    pub(crate) product: bool,
    /// Programs, or files by their whole path, and the Debian packages that bring them.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// PyPI packages, at exact versions: they go into a virtual environment in the target folder.
    pub(crate) python: &'static [&'static str],
}

/// In the order in which they run.
pub(crate) const SECTIONS: &[Section] = &[
    Section {
        name: "echo",
        about: "the far end's echo in three rooms at three levels, by layer; what the layers cost",
        package: "echo",
        binary: "bench-echo",
        product: true,
        programs: &[("flite", "flite")],
        python: &[],
    },
    Section {
        name: "echo",
        about: "the same of the browser's own canceller, in real time, and beside it of no layer at all",
        package: "e2e",
        binary: "bench-browser-echo",
        product: false,
        programs: &[("flite", "flite"), ("pulseaudio", "pulseaudio"), ("parec", "pulseaudio-utils")],
        python: &[],
    },
    Section {
        name: "echo",
        about: "what the layers cost in Chromium, beside Node",
        package: "e2e",
        binary: "bench-browser-speed",
        product: true,
        programs: &[],
        python: &[],
    },
    Section {
        name: "dtmf",
        about: "digits in the conditions of ITU-T Q.24, a thousand each, and half an hour of speech; beside spandsp",
        package: "digits",
        binary: "bench-dtmf",
        product: false,
        programs: &[
            ("flite", "flite"),
            ("/usr/include/spandsp/dtmf.h", "libspandsp-dev"),
            ("/usr/share/asterisk/sounds/en_US_f_Allison", "asterisk-core-sounds-en-wav"),
        ],
        python: &[],
    },
    Section {
        name: "playout",
        about: "what playout makes of jitter: delay, concealment, time; a hundred networks each",
        package: "speech",
        binary: "bench-playout",
        product: false,
        programs: &[],
        python: &[],
    },
    Section {
        name: "speech",
        about: "speech through the whole gateway, both ways, over lossy networks, beside rtpengine; CPU and memory",
        package: "speech",
        binary: "bench-speech",
        product: true,
        programs: &[("rtpengine", "rtpengine-daemon"), ("flite", "flite")],
        python: &["numpy==2.4.6", "scipy==1.17.1", "pesq==0.0.4", "visqol-python==3.8.0", "ai-edge-litert==2.3.0"],
    },
];

/// Installs what the section needs and is not there.
pub(crate) fn ensure(section: &Section) -> Result<()> {
    let missing: Vec<&str> =
        section
            .programs
            .iter()
            .filter(|(program, _)| {
                if program.starts_with('/') { !Path::new(program).exists() } else { shell::which(program).is_none() }
            })
            .map(|(_, package)| *package)
            .collect();
    if !missing.is_empty() {
        eprintln!("Missing for the section {}: {}.", section.name, missing.join(", "));
        setup::apt_install(&missing)?;
    }
    if section.python.is_empty() {
        return Ok(());
    }
    // The list stands beside what it was installed from: another list is another environment.
    let stamp = environment().join("installed");
    let wanted = section.python.join("\n");
    if std::fs::read_to_string(&stamp)
        .is_ok_and(|installed| wanted.lines().all(|line| installed.lines().any(|it| it == line)))
    {
        return Ok(());
    }
    eprintln!("Missing for the section {}: PyPI's {}.", section.name, section.python.join(", "));
    if !python().exists() {
        shell::run(shell::program("python3").args(["-m", "venv"]).arg(environment()))?;
    }
    shell::run(shell::program(python()).args(["-m", "pip", "install", "--quiet"]).args(section.python))?;
    let before = std::fs::read_to_string(&stamp).unwrap_or_default();
    Ok(std::fs::write(stamp, format!("{before}{wanted}\n"))?)
}

/// The interpreter of the virtual environment.
pub(crate) fn python() -> PathBuf {
    environment().join("bin/python")
}

fn environment() -> PathBuf {
    shell::target().join("bench-python")
}
