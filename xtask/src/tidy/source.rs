//! Source text as the rules see it: without comments, without what strings say, without tests.
//!
//! A scanner of a few rules that fits Rust and JavaScript alike; not a parser.

/// Rust or JavaScript, as far as the scanner minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    JavaScript,
}

impl Language {
    /// By the file's name.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "js" | "mjs" | "ts" => Some(Self::JavaScript),
            _ => None,
        }
    }
}

/// The text with every character of comments and of strings' contents replaced by a space: lines and columns stay.
pub(crate) fn code_only(text: &str, language: Language) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, code.chars().next_back(), language);
        let (taken, after) = rest.split_at(blank.unwrap_or(first.len_utf8()));
        if blank.is_some() {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push(first);
        }
        rest = after;
    }
    code
}

/// The text before its unit tests, which stand last.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests").map_or(text, |(before, _)| before)
}

/// Every function longer than `limit` lines: the line (from 1) it starts at, and its length.
///
/// Goes by indentation, which rustfmt (and the style of `www/`) guarantees: a body ends at the next line that starts with
/// `}` as far to the right as the function's first line.
pub(crate) fn long_functions(code: &str, language: Language, limit: usize) -> Vec<(usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| starts_function(line, language)) {
        let closes = |line: &&str| {
            indent(line) == indent(lines.get(start).copied().unwrap_or_default()) && line.trim_start().starts_with('}')
        };
        let length = lines.iter().skip(start + 1).position(closes).map_or(1, |end| end + 2);
        // An arrow around a whole file is a module, not a function.
        if length > limit && !(indent(line) == 0 && line.starts_with('(')) {
            found.push((start + 1, length));
        }
    }
    found
}

fn starts_function(line: &str, language: Language) -> bool {
    let line = line.trim();
    match language {
        Language::Rust => line.split_whitespace().any(|word| word == "fn") && !line.ends_with([';', '}']),
        Language::JavaScript => {
            let control = ["if ", "for ", "while ", "switch ", "} ", "do ", "with ", "return (", "catch "];
            let method = line.ends_with(") {") && !control.iter().any(|word| line.starts_with(word));
            line.ends_with('{') && (method || line.contains("function") || line.ends_with("=> {"))
        }
    }
}

/// How many bytes at the start of `rest` are a comment or a string; `None` if it is code.
fn blank_length(rest: &str, before: Option<char>, language: Language) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    match (language, rest.chars().next()?) {
        (_, '"') => Some(quoted(rest, '"')),
        (Language::JavaScript, quote @ ('\'' | '`')) => Some(quoted(rest, quote)),
        (Language::Rust, 'r') if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') => raw_string(rest),
        (Language::Rust, '\'') => char_literal(rest),
        _ => None,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`; not a raw identifier.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.get(1..)?.chars().take_while(|&c| c == '#').count();
    let body = rest.get(1 + hashes..)?.strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close).map_or(body.len(), |end| end + close.len());
    Some(2 + hashes + end)
}

/// `'x'`, `'\n'`; not a lifetime.
fn char_literal(rest: &str) -> Option<usize> {
    let inner = rest.get(1..)?;
    let first = inner.chars().next()?;
    if first == '\\' {
        return Some(quoted(rest, '\''));
    }
    inner.get(first.len_utf8()..)?.starts_with('\'').then(|| 2 + first.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "let a = \"unsafe \\\" x\"; // unsafe\n/* unsafe\n*/ let b = r#\"unsafe\"#; let c = '\"'; unsafe {}";
        let code = code_only(text, Language::Rust);
        assert_eq!(code.matches("unsafe").count(), 1);
        assert!(code.ends_with("unsafe {}"));
        assert_eq!(code.lines().count(), 3);
        assert_eq!(code.len(), text.len());
    }

    #[test]
    fn a_lifetime_does_not_open_a_string() {
        assert!(code_only("fn f<'a>(x: &'a str) { unsafe {} }", Language::Rust).contains("unsafe"));
        assert!(!code_only("let x = 'unsafe'; `unsafe`", Language::JavaScript).contains("unsafe"));
    }

    #[test]
    fn only_functions_over_the_limit_are_found() {
        let function = |head: &str, lines: usize| format!("{head} {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        let rust = function("pub fn long()", 71) + &function("fn short()", 70);
        assert_eq!(long_functions(&rust, Language::Rust, 70), [(1, 71)]);
        for head in ["function long()", "const long = async () =>", "export default function ()"] {
            assert_eq!(long_functions(&function(head, 71), Language::JavaScript, 70), [(1, 71)], "{head}");
        }
        assert_eq!(long_functions(&function("for (const a of b)", 90), Language::JavaScript, 70), []);
        assert_eq!(long_functions(&function("(() =>", 90), Language::JavaScript, 70), []);
    }
}
