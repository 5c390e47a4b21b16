//! What is wrong with a configuration, in words: file, line, what, cure.

use super::locate::{Position, position};
use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) at: Option<Position>,
    pub(crate) what: String,
    pub(crate) cure: String,
}

/// All that is wrong with one file.
#[derive(Debug)]
pub(crate) struct Problems {
    pub(crate) path: PathBuf,
    pub(crate) list: Vec<Problem>,
}

impl Problems {
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let cure = if error.kind() == std::io::ErrorKind::NotFound {
            "`ringlet init` writes one with every default.".to_owned()
        } else {
            "Let the user that runs ringlet read it.".to_owned()
        };
        Self { path: path.to_owned(), list: vec![Problem { at: None, what: format!("cannot be read: {error}"), cure }] }
    }

    pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let message = error.message().to_owned();
        let cure = unknown_key(&message)
            .unwrap_or_else(|| "Correct the line; `ringlet init` shows every key with its default.".into());
        let at = error.span().map(|span| position(text, span.start));
        Self { path: path.to_owned(), list: vec![Problem { at, what: message, cure }] }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", self.path.display())?;
            if let Some(Position { line, column }) = problem.at {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}\n  cure: {}", problem.what.trim_end(), problem.cure)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// For "unknown field `x`, expected one of `a`, `b`": which key was probably meant.
fn unknown_key(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message.contains("unknown field").then(|| quoted.next())??;
    let nearest = quoted.min_by_key(|known| distance(unknown, known))?;
    Some(if distance(unknown, nearest) <= unknown.len().max(4) / 2 {
        format!("Did you mean `{nearest}`?")
    } else {
        "Remove the line; `ringlet init` shows every key.".into()
    })
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let (mut diagonal, mut left) = (i, i + 1);
        let mut next = vec![left];
        for (above, y) in row.iter().skip(1).zip(b.chars()) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_proposed_and_a_far_one_is_not() {
        assert_eq!(
            unknown_key("unknown field `lisen`, expected `listen` or `tls`").as_deref(),
            Some("Did you mean `listen`?")
        );
        assert!(
            unknown_key("unknown field `colour`, expected `listen`").is_some_and(|cure| cure.starts_with("Remove"))
        );
        assert_eq!(unknown_key("expected a string"), None);
    }
}
