//! Embeds `www/dist`, which `cargo xtask build` makes, into the library: static files by memory-serve, HTML templates as
//! text. Where it is not built yet, nothing is embedded and the server says so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let var = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| io::Error::other(format!("no {name}")));
    let dist = var("CARGO_MANIFEST_DIR")?.join("../www/dist");
    // A path that is missing would let cargo run this script, and compile the library, every time.
    fs::create_dir_all(&dist)?;
    memory_serve::load_names_directories([("dist", dist.clone())], true);

    let mut templates = Vec::new();
    find_html(&dist.canonicalize()?, &mut templates)?;
    templates.sort();
    let root = dist.canonicalize()?;
    let mut code = String::from("&[");
    for path in templates {
        let name = path.strip_prefix(&root).map_err(io::Error::other)?;
        write!(code, "({:?}, include_str!({:?})),", name.display().to_string(), path.display().to_string())
            .map_err(io::Error::other)?;
    }
    code.push(']');
    fs::write(var("OUT_DIR")?.join("templates.rs"), code)
}

fn find_html(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_html(&path, found)?;
        } else if path.extension().is_some_and(|it| it == "html") {
            found.push(path);
        }
    }
    Ok(())
}
