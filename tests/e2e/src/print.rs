//! What Chromium prints: pages, and which links stand where on them. It writes both as plain text into its PDFs, so that a test can follow
//! whatever it has made a link. Not here: text and pictures, which are for people to look at.

use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What is printed on, upright.
#[derive(Clone, Copy, Debug)]
pub struct Paper {
    /// Its name.
    pub name: &'static str,
    /// Width in cm.
    pub width_cm: f64,
    /// Height in cm.
    pub height_cm: f64,
}

/// ISO 216.
pub const A4: Paper = Paper { name: "A4", width_cm: 21.0, height_cm: 29.7 };

/// ANSI/ASME Y14.1, size A.
pub const LETTER: Paper = Paper { name: "letter", width_cm: 21.59, height_cm: 27.94 };

/// A page, in points of 1/72 inch, from the lower left corner.
#[derive(Clone, Debug)]
pub struct Page {
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Its links.
    pub links: Vec<Link>,
}

/// A link: one for each page on which a part of it is.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where it leads.
    pub to: String,
    /// Its left edge.
    pub left: f64,
    /// Its lower edge.
    pub bottom: f64,
    /// Its right edge.
    pub right: f64,
    /// Its upper edge.
    pub top: f64,
}

/// The pages of a PDF of Chromium's, in order.
///
/// # Errors
/// When it is none.
pub fn pages(pdf: &[u8]) -> Result<Vec<Page>> {
    let text = String::from_utf8_lossy(pdf);
    let objects: BTreeMap<u32, &str> = text.split("endobj").filter_map(object).collect();
    let tree = objects.values().find(|body| body.contains("/Type /Pages") && !body.contains("/Parent"));
    let kids = references(tree.context("the PDF has no pages")?, "/Kids");
    let mut pages = Vec::new();
    leaves(&objects, &kids, &mut pages)?;
    Ok(pages)
}

/// Follows the tree of pages (ISO 32000-1 section 7.7.3), which a long document has in several levels.
fn leaves(objects: &BTreeMap<u32, &str>, kids: &[u32], pages: &mut Vec<Page>) -> Result<()> {
    for kid in kids {
        let body = objects.get(kid).with_context(|| format!("the PDF has no object {kid}"))?;
        if body.contains("/Type /Pages") {
            leaves(objects, &references(body, "/Kids"), pages)?;
            continue;
        }
        let links = references(body, "/Annots");
        let links = links.iter().filter_map(|link| objects.get(link).copied()).filter_map(link).collect();
        let [_, _, width, height] = four(body, "/MediaBox").context("a page without a size")?;
        pages.push(Page { width, height, links });
    }
    Ok(())
}

fn object(piece: &str) -> Option<(u32, &str)> {
    let (head, body) = piece.split_once(" 0 obj")?;
    Some((head.split_whitespace().last()?.parse().ok()?, body))
}

fn link(body: &str) -> Option<Link> {
    let (to, _) = body.split_once("/URI (")?.1.split_once(')')?;
    let [left, bottom, right, top] = four(body, "/Rect")?;
    Some(Link { to: to.to_owned(), left, bottom, right, top })
}

/// What stands in an array, references with all their parts.
fn array<'a>(body: &'a str, key: &str) -> Option<&'a str> {
    Some(body.split_once(key)?.1.split_once('[')?.1.split_once(']')?.0)
}

fn numbers<T: FromStr>(text: &str) -> Vec<T> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn four(body: &str, key: &str) -> Option<[f64; 4]> {
    numbers(array(body, key)?).try_into().ok()
}

/// `12 0 R 15 0 R`: the numbers of the objects.
fn references(body: &str, key: &str) -> Vec<u32> {
    numbers(array(body, key).unwrap_or_default()).into_iter().step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_on_their_pages_in_the_order_of_the_tree() -> Result<()> {
        let pdf = b"%PDF-1.4\n\
            1 0 obj\n<</Type /Pages\n/Count 2\n/Kids [3 0 R 2 0 R]>>\nendobj\n\
            2 0 obj\n<</Type /Page\n/Parent 1 0 R\n/MediaBox [0 0 10 20]>>\nendobj\n\
            3 0 obj\n<</Type /Page\n/Parent 1 0 R\n/MediaBox [0 0 595.92 842.88]\n/Annots [4 0 R]>>\nendobj\n\
            4 0 obj\n<</Type /Annot\n/Rect [1 2 3.5 4]\n/A <</S /URI\n/URI (https://a.example/)>>>>\nendobj\n";
        let [first, second] = pages(pdf)?.try_into().ok().context("not two pages")?;
        let [link] = first.links.try_into().ok().context("not one link")?;
        assert_eq!((link.to.as_str(), link.right, first.height), ("https://a.example/", 3.5, 842.88));
        assert!(second.links.is_empty() && second.width == 10.0);
        Ok(())
    }
}
