//! What holds the messages' three forms together: golden JSON, serde, and the readers and writers without serde; and the
//! files that are printed from here.
//!
//! `UPDATE=1 cargo test -p protocol` writes goldens and printed files anew; look at the difference before it goes in.

mod goldens;
mod printed;
mod readers;

use std::path::Path;
use std::{env, fs};

/// Fails when the file does not hold the text; with `UPDATE=1` writes it instead.
fn assert_fresh(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if env::var_os("UPDATE").is_some() {
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{} is not fresh: run UPDATE=1 cargo test -p protocol. It should be:\n{text}",
        path.display()
    );
}
