//! The start tags of an HTML page with their attributes and lines: enough to find script tags and `<meta>`s that stand in the
//! source. Not a parser of documents: entities stay as they are, and what scripts add is not seen.

use std::collections::BTreeMap;

/// A start tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag {
    /// In lower case.
    pub(super) name: String,
    /// Where it begins, from 1.
    pub(super) line: usize,
    attributes: BTreeMap<String, String>,
}

impl Tag {
    /// An attribute's value; empty when it has none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }
}

/// All start tags but those in comments and scripts.
pub(super) fn tags(page: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (page, 1);
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        line += count_lines(before);
        let end = if from.starts_with("<!--") {
            from.find("-->").map_or(from.len(), |it| it + 3)
        } else if from.chars().nth(1).is_some_and(|it| it.is_ascii_alphabetic()) {
            let (tag, length) = tag(from, line);
            let length = if tag.name == "script" {
                length + script_length(from.get(length..).unwrap_or_default())
            } else {
                length
            };
            found.push(tag);
            length
        } else {
            1
        };
        let (passed, after) = from.split_at(end.min(from.len()));
        line += count_lines(passed);
        rest = after;
    }
    found
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|it| *it == b'\n').count()
}

/// Up to the script's end tag; without one, nothing after it is a script's either.
fn script_length(text: &str) -> usize {
    text.to_ascii_lowercase().find("</script").unwrap_or(text.len())
}

/// The tag at the beginning of the text, and its length in bytes.
fn tag(text: &str, line: usize) -> (Tag, usize) {
    let inner = text.get(1..).unwrap_or_default();
    let name = inner.split(|it: char| it.is_whitespace() || it == '>' || it == '/').next().unwrap_or_default();
    let mut tag = Tag { name: name.to_ascii_lowercase(), line, attributes: BTreeMap::new() };
    let mut rest = inner.get(name.len()..).unwrap_or_default();
    loop {
        rest = rest.trim_start_matches(|it: char| it.is_whitespace() || it == '/');
        if rest.is_empty() || rest.starts_with('>') {
            return (tag, text.len() - rest.len() + rest.len().min(1));
        }
        let name = rest.split(|it: char| it.is_whitespace() || "=>/".contains(it)).next().unwrap_or_default();
        // A stray `=` or quote passes as a name of one character.
        let name = if name.is_empty() { rest.get(..1).unwrap_or(rest) } else { name };
        rest = rest.get(name.len()..).unwrap_or_default().trim_start();
        let mut value = "";
        if let Some(after) = rest.strip_prefix('=') {
            let after = after.trim_start();
            (value, rest) = match after.chars().next().filter(|it| matches!(it, '"' | '\'')) {
                Some(quote) => after.get(1..).and_then(|it| it.split_once(quote)).unwrap_or((after, "")),
                None => after.split_at(after.find(|it: char| it.is_whitespace() || it == '>').unwrap_or(after.len())),
            };
        }
        tag.attributes.entry(name.to_ascii_lowercase()).or_insert_with(|| value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_with_their_attributes_and_lines_and_not_in_comments_or_scripts() {
        let page = "<!doctype html>\n<HTML Lang=en>\n<!-- <a href=x>\n--><script>if (a<b) '<img>'</script>\n<p a=\"1 > 2\" b = 'c' d e=f>";
        let seen: Vec<_> = tags(page).into_iter().map(|tag| (tag.name.clone(), tag.line, tag)).collect();
        let names: Vec<_> = seen.iter().map(|(name, line, _)| (name.as_str(), *line)).collect();
        assert_eq!(names, [("html", 2), ("script", 4), ("p", 5)]);
        let last = &seen.last().expect("a tag").2;
        assert_eq!(["a", "b", "d", "e"].map(|name| last.get(name)), [Some("1 > 2"), Some("c"), Some(""), Some("f")]);
        assert_eq!(seen.first().and_then(|(_, _, tag)| tag.get("lang")), Some("en"));
    }

    #[test]
    fn a_page_that_is_cut_anywhere_ends() {
        let page = "<p a='<' \u{e9}=\"\u{e9}\"><!-- x --><script src=a>x</script><x =\"/>";
        for end in (0..=page.len()).filter(|end| page.is_char_boundary(*end)) {
            tags(page.get(..end).unwrap_or_default());
        }
    }
}
