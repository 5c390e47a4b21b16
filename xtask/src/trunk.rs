//! What `trunk serve` calls after each build of its page: the shop and the newest assets go where Trunk serves from.
//!
//! The running signal-server has the assets of its own build inside, under their hashed names, and its panel asks for
//! those; so the new bytes go out under the old names. Not for anything but the live-reload loop: see Trunk.toml.

use crate::web::{Dist, without_hash};
use anyhow::{Context, Result};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// Where `cargo xtask run` serves.
const SERVER: &str = "127.0.0.1:8080";
/// Where Trunk serves, as Trunk.toml says.
const OURS: &str = "http://localhost:8081";
/// A server on the same machine answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fills Trunk's staging folder.
pub(crate) fn fill_staging(dist: &Dist) -> Result<()> {
    let staging = std::env::var_os("TRUNK_STAGING_DIR").context("TRUNK_STAGING_DIR is not set: Trunk calls this")?;
    let panel = served_panel().with_context(|| format!("no panel at {SERVER}: is `cargo xtask run` on?"))?;
    for (name, bytes) in dist.read()? {
        if let Some(name) = name_in_staging(&name, &panel) {
            put(&Path::new(&staging).join(name), &bytes)?;
        }
    }
    Ok(())
}

/// The panel as the running server gives it out.
fn served_panel() -> Result<String> {
    let mut stream = TcpStream::connect(SERVER)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /panel?merchant=acme&link=sales HTTP/1.0\r\nHost: localhost:8080\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// Where a file of `www/dist` goes; `None` if the server's own must be used, because it is filled for each visitor.
fn name_in_staging(name: &str, panel: &str) -> Option<String> {
    if let Some(page) = name.strip_prefix("shop/") {
        return Some(page.to_owned());
    }
    let Some(file) = name.strip_prefix("a/") else { return (name == "ringlet.js").then(|| name.to_owned()) };
    let named = panel.split(['"', '\'']).filter_map(|word| word.strip_prefix("a/"));
    let old = named.into_iter().find(|old| without_hash(old) == without_hash(file));
    Some(format!("a/{}", old.unwrap_or(file)))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::create_dir_all(path.parent().context("a file in the root folder")?)?;
    // Trunk's own page, with its live-reload script in it, stands for the shop's first.
    if !path.exists() {
        fs::write(path, bytes)?;
    }
    if path.extension().is_some_and(|extension| extension == "html") {
        fs::write(path, fs::read_to_string(path)?.replace("{{RINGLET_URL}}", OURS))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_assets_go_out_under_the_names_that_the_running_server_gives() {
        let panel = r#"<link href="a/panel-00000001.css"><script src="a/panel-00000002.js"></script>"#;
        let name = |name| name_in_staging(name, panel);
        assert_eq!(name("a/panel-ffffffff.js").as_deref(), Some("a/panel-00000002.js"));
        assert_eq!(name("a/new-ffffffff.js").as_deref(), Some("a/new-ffffffff.js"));
        assert_eq!(name("shop/cart.html").as_deref(), Some("cart.html"));
        assert_eq!(name("ringlet.js").as_deref(), Some("ringlet.js"));
        assert_eq!(name("panel.html"), None);
    }
}
