//! Finds the line of a key, so that a complaint about a value can point at it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A position in the file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// One step from a table or list to what it holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The text of a file with the means to find keys in it.
pub(crate) struct Lines<'a> {
    text: &'a str,
    table: Option<Spanned<DeTable<'a>>>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, table: DeTable::parse(text).ok() }
    }

    /// The position of the deepest part of `path` that the file has: a default's position is that of its table.
    pub(crate) fn find(&self, path: &[Step<'_>]) -> Position {
        let mut offset = 0;
        let mut table = self.table.as_ref().map(Spanned::get_ref);
        let mut list = None;
        for step in path {
            let found: Option<(usize, &Spanned<DeValue<'_>>)> = match step {
                Step::Key(name) => table.and_then(|table| {
                    table.iter().find(|(key, _)| key.get_ref() == name).map(|(key, value)| (key.span().start, value))
                }),
                Step::Index(index) => list
                    .and_then(|list: &toml::de::DeArray<'_>| list.get(*index))
                    .map(|value: &Spanned<DeValue<'_>>| (value.span().start, value)),
            };
            let Some((start, value)) = found else { break };
            offset = start;
            table = value.get_ref().as_table();
            list = value.get_ref().as_array();
        }
        position(self.text, offset)
    }
}

/// The position of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Position { line, column }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_a_list_of_tables_is_found_at_its_line() {
        let lines = Lines::new("[http]\n\n[[trunk]]\nname = \"a\"\n[[trunk]]\nname = \"b\"\n  host = \"c\"\n");
        let host = lines.find(&[Step::Key("trunk"), Step::Index(1), Step::Key("host")]);
        assert_eq!(host, Position { line: 7, column: 3 });
    }

    #[test]
    fn a_default_is_found_at_the_nearest_table() {
        let lines = Lines::new("[http]\n\n[http.tls]\nmode = \"files\"\n");
        let key = lines.find(&[Step::Key("http"), Step::Key("tls"), Step::Key("certificate")]);
        assert_eq!(key.line, 3);
    }
}
