//! `/errors`: the catalogue of all codes as a page, and as JSON for the check page. Printed from the declarations.

use crate::app::App;
use crate::panel;
use axum::extract::State;
use axum::response::Response;
use protocol::check::Finding;
use protocol::error::ErrorCode;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Code, sentence for the shopper, cause and cure for the engineer.
type Entry = (&'static str, &'static str, &'static str);

/// `GET /errors`; `#RL-101` leads to one.
pub(crate) async fn show(State(app): State<App>) -> Response {
    let Some(template) = app.assets.page("errors.html") else { return panel::not_built() };
    let mut entries = String::new();
    for (code, shopper, engineer) in catalogue() {
        let [shopper, engineer] = [shopper, engineer].map(panel::escape);
        let _ = writeln!(
            entries,
            "<section id=\"{code}\"><h2><a href=\"#{code}\">{code}</a></h2><p>{shopper}</p><p class=\"cure\">{}</p></section>",
            code_marks(&engineer)
        );
    }
    panel::page(&app, template.replace("{{ENTRIES}}", &entries), "'none'")
}

/// `{"RL-101": [shopper, engineer], …}`, to stand in a `<script type="application/json">`.
pub(crate) fn as_json() -> String {
    let entries: BTreeMap<_, _> = catalogue().map(|(code, shopper, engineer)| (code, [shopper, engineer])).collect();
    // `</script>` would end the block.
    serde_json::to_string(&entries).unwrap_or_default().replace('<', "\\u003c")
}

fn catalogue() -> impl Iterator<Item = Entry> {
    let errors = ErrorCode::ALL.iter().map(|it| (it.word(), it.shopper(), it.engineer()));
    errors.chain(Finding::ALL.iter().map(|it| (it.word(), it.shopper(), it.engineer())))
}

/// Markdown's back-ticks as HTML; an odd one stays.
fn code_marks(text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    let marked = parts.len() % 2 == 1;
    let mut out = String::new();
    for (n, part) in parts.into_iter().enumerate() {
        match (marked, n % 2) {
            (true, 1) => out.extend(["<code>", part, "</code>"]),
            (false, 1) => out.extend(["`", part]),
            _ => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_ticks_become_code_and_an_odd_one_stays() {
        assert_eq!(code_marks("set `a` and `b`."), "set <code>a</code> and <code>b</code>.");
        assert_eq!(code_marks("it's 5` long"), "it's 5` long");
    }

    #[test]
    fn the_catalogue_stands_in_a_script_block_whatever_it_says() {
        let json = as_json();
        assert!(!json.contains('<'));
        let entries: BTreeMap<String, [String; 2]> = serde_json::from_str(&json).unwrap_or_default();
        assert_eq!(entries.len(), ErrorCode::ALL.len() + Finding::ALL.len());
    }
}
