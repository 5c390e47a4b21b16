//! The card of all codes, on paper: Chromium prints it, and no row is torn or cut.

use crate::Program;
use anyhow::{Context as _, Result, ensure};
use e2e::print::{A4, LETTER, Page, Paper, pages};
use e2e::scene::{FarEnd, Scene, Stage};
use protocol::command::DEFAULTS;
use serde_json::json;

/// A merchant with a page for everything.
const MANY: usize = 60;

/// The card's margin on paper, in points: 14 mm; and where nothing may be, a hair less.
const PAGE_MARGIN: f64 = 39.7;
const MARGIN: f64 = 39.0;

/// What of a page may stay empty, but of the last: the next row did not fit.
const EMPTY: f64 = 0.2;

/// How far above the end of a page a heading is pushed, in points: there is no room for a row below.
const NEAR: f64 = 20.0;

/// Makes links of headings, codes and words, by which they are found on paper; how many rows there are.
const MARK: &str = "
    const mark = (cell, name) => {
      const link = document.createElement('a');
      link.href = `https://card.example/${name}`;
      link.style.cssText = 'display: block; color: inherit; text-decoration: none';
      link.append(...cell.childNodes);
      cell.append(link);
    };
    document.querySelectorAll('caption').forEach((cell, at) => mark(cell, `caption-${at}`));
    const rows = document.querySelectorAll('tr');
    rows.forEach((row, at) => [...row.cells].forEach((cell, column) => mark(cell, `${at}-${column}`)));
    return rows.length";

pub(crate) fn tests(program: &mut Program<'_>) {
    program.test("a_card_of_all_codes_prints_with_no_row_torn_or_cut", Stage::with(FarEnd::Nobody), prints);
}

async fn prints(scene: &mut Scene) -> Result<()> {
    let card = scene.server.card().await?;
    for paper in [A4, LETTER] {
        let pages = printed(scene, &card, paper, DEFAULTS.len(), 0.0).await?.len();
        ensure!(pages == 1, "the usual codes take {pages} pages of {}", paper.name);
    }
    for row in 0..MANY {
        // As long as each may be, and as short.
        let (sequence, label, url) = if row % 3 == 0 {
            let label = "Returns, refunds and exchanges of shoes that were worn outside, ".repeat(2);
            let label: String = label.chars().take(100).collect();
            (format!("*5{row:02}86420975"), label, format!("/{}?code={{sequence}}", "deeper/".repeat(row)))
        } else {
            (format!("*4{row:02}"), format!("Page {row}"), format!("/page-{row}.html"))
        };
        scene.server.command(&sequence, &json!({"action": "page", "url": url, "label": label})).await?;
    }
    let rows = DEFAULTS.len() + MANY;
    for paper in [A4, LETTER] {
        let pages = printed(scene, &card, paper, rows, 0.0).await?;
        is_full(&pages)?;
        ensure!((3..=6).contains(&pages.len()), "{rows} codes take {} pages of {}", pages.len(), paper.name);
        let heading = pages.iter().flat_map(|page| &page.links).find(|link| link.to.ends_with("caption-1"));
        let heading = heading.context("there is no second heading")?;
        printed(scene, &card, paper, rows, heading.bottom - PAGE_MARGIN - NEAR).await?;
    }
    Ok(())
}

/// Prints the card with its second table so many points further down, and looks at each page.
async fn printed(scene: &Scene, card: &str, paper: Paper, rows: usize, down: f64) -> Result<Vec<Page>> {
    scene.browser.show(card).await?;
    let marked = scene.browser.in_page(MARK).await?;
    ensure!(marked == rows, "the card has {marked} rows, not {rows}");
    let push = format!("document.querySelectorAll('table')[1]?.style.setProperty('margin-top', '{down}pt')");
    scene.browser.in_page(&push).await?;
    let pdf = scene.browser.print(paper).await?;
    std::fs::write(scene.directory().join(format!("card-{rows}-{}-{down:.0}.pdf", paper.name)), &pdf)?;
    let pages = pages(&pdf)?;
    is_whole(&pages, rows).with_context(|| format!("{rows} rows on {}, {down:.0} points down", paper.name))?;
    Ok(pages)
}

/// Each row is on one page with all that belongs to it, within the margins; a heading is above what it heads.
fn is_whole(pages: &[Page], rows: usize) -> Result<()> {
    for row in 0..rows {
        let name = format!("https://card.example/{row}-");
        let parts = |page: &Page| page.links.iter().filter(|link| link.to.starts_with(&name)).count();
        let found: Vec<usize> = pages.iter().map(parts).filter(|parts| *parts > 0).collect();
        ensure!(found == [2], "of code and words of row {row} there are {found:?} on the pages that have any");
    }
    for (at, page) in pages.iter().enumerate() {
        for link in &page.links {
            let inside = link.left >= MARGIN && link.right <= page.width - MARGIN && link.bottom >= MARGIN;
            ensure!(inside && link.top <= page.height - MARGIN, "in the margin of page {at}: {link:?}");
        }
        let lowest = page.links.iter().min_by(|one, other| one.bottom.total_cmp(&other.bottom));
        let lowest = lowest.with_context(|| format!("page {at} is empty"))?;
        ensure!(!lowest.to.contains("caption"), "a heading is the last on page {at}");
    }
    Ok(())
}

/// No page is half empty but the last.
fn is_full(pages: &[Page]) -> Result<()> {
    let (_, full) = pages.split_last().context("nothing was printed")?;
    for (at, page) in full.iter().enumerate() {
        let lowest = page.links.iter().map(|link| link.bottom).fold(page.height, f64::min);
        ensure!(lowest < page.height * EMPTY, "page {at} is empty from {lowest} points down");
    }
    Ok(())
}
