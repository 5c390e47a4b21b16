//! `ringlet init`: writes the commented configuration.

use crate::config::TEMPLATE;
use anyhow::{Context as _, bail};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

/// Writes the file; one that exists stays as it is.
pub(crate) fn init(path: &Path) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // Passwords and keys will stand in it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => file.write_all(TEMPLATE.as_bytes()).with_context(|| format!("cannot write {}", path.display())),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already and stays as it is; move it away, or name another with --config", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot create {}", path.display())),
    }
}
