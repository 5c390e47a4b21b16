//! `cargo xtask sizes`: what a first call costs on the wire, file by file, against the budget.

use crate::report::{Measurement, Report, print_table};
use crate::shell;
use crate::web::Dist;
use anyhow::{Context, Result};

/// Every file that a first call loads, in the order of loading, with its budgets in bytes (raw, gzip).
const FILES: [(&str, Option<f64>, Option<f64>); 8] = [
    ("ringlet.js", Some(10_000.0), Some(3_000.0)),
    ("panel.html", None, None),
    ("a/next.js", None, None),
    ("a/panel.css", None, None),
    ("a/panel.js", None, None),
    ("a/phone.wasm", None, None),
    ("a/worklet.js", None, None),
    ("a/engine.wasm", None, Some(10_000.0)),
];

/// What is fetched when it is first needed, and never by a first call where UDP passes.
const LATER: [(&str, Option<f64>, Option<f64>); 7] = [
    ("a/canceller.wasm", None, Some(100_000.0)),
    ("a/sound.js", None, Some(8_000.0)),
    ("a/line.js", None, Some(1_000.0)),
    ("a/line-worklet.js", None, Some(1_000.0)),
    ("a/line.wasm", None, Some(20_000.0)),
    ("a/opus-worker.js", None, Some(500.0)),
    ("a/opus.wasm", None, Some(220_000.0)),
];

/// The sum of `FILES`, gzip, in bytes.
const SUM_GZIP: f64 = 50_000.0;

/// Node's zlib and brotli are the reference implementations, at the settings that a build would precompress with.
const COMPRESS: &str = "
    const zlib = require('zlib'), quality = { [zlib.constants.BROTLI_PARAM_QUALITY]: 11 };
    for (const file of process.argv.slice(1)) {
        const raw = require('fs').readFileSync(file);
        console.log(raw.length, zlib.gzipSync(raw, { level: 9 }).length, zlib.brotliCompressSync(raw, { params: quality }).length);
    }";

/// Bytes of one file, or of all.
#[derive(Clone, Copy, Default)]
struct Weight {
    raw: f64,
    gzip: f64,
    brotli: f64,
}

/// Weighs the files, prints a table or JSON lines, and says what is over budget.
pub(crate) fn weigh(dist: &Dist, json: bool) -> Result<Report> {
    let paths = FILES.iter().chain(&LATER).map(|(name, ..)| dist.file(name)).collect::<Result<Vec<_>>>()?;
    let text = shell::output(shell::program("node").args(["-e", COMPRESS]).args(&paths))?;
    let weights = text.lines().map(Weight::parse).collect::<Option<Vec<_>>>().context("node printed no sizes")?;
    let (report, rows) = judge(&weights);
    if json {
        report.print_json();
    } else {
        print_table(&["bytes", "raw", "gzip", "brotli"], &rows);
    }
    for over in report.0.iter().filter(|measurement| !measurement.holds()) {
        eprintln!("Over budget: {} is {} bytes, {} allowed.", over.name, over.value, over.target.unwrap_or_default());
    }
    Ok(report)
}

impl Weight {
    fn parse(line: &str) -> Option<Self> {
        let mut numbers = line.split_whitespace().map(|word| word.parse::<f64>().ok());
        Some(Self { raw: numbers.next()??, gzip: numbers.next()??, brotli: numbers.next()?? })
    }

    fn row(self, name: &str) -> Vec<String> {
        vec![name.to_owned(), self.raw.to_string(), self.gzip.to_string(), self.brotli.to_string()]
    }

    fn measurements(self, name: &str, raw: Option<f64>, gzip: Option<f64>) -> [Measurement; 3] {
        [("raw", self.raw, raw), ("gzip", self.gzip, gzip), ("brotli", self.brotli, None)].map(
            |(what, value, target)| Measurement {
                target,
                ..Measurement::new(format!("{name} {what}"), value, "bytes")
            },
        )
    }
}

/// The weights of `FILES` and `LATER`, in their order, beside the budgets.
fn judge(weights: &[Weight]) -> (Report, Vec<Vec<String>>) {
    let mut report = Report::default();
    let mut rows = Vec::new();
    let mut sum = Weight::default();
    for (&(name, raw, gzip), weight) in FILES.iter().zip(weights) {
        sum.raw += weight.raw;
        sum.gzip += weight.gzip;
        sum.brotli += weight.brotli;
        rows.push(weight.row(name));
        report.0.extend(weight.measurements(name, raw, gzip));
    }
    rows.push(sum.row("sum"));
    report.0.extend(sum.measurements("sum", None, Some(SUM_GZIP)));
    for (&(name, raw, gzip), weight) in LATER.iter().zip(weights.iter().skip(FILES.len())) {
        rows.push(weight.row(&format!("{name} (only when needed)")));
        report.0.extend(weight.measurements(name, raw, gzip));
    }
    (report, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_over_budget_fails_in_either_measure() {
        let within = Weight { raw: 9_999.0, gzip: 2_999.0, brotli: 2_500.0 };
        let rest = Weight { raw: 1_000.0, gzip: 500.0, brotli: 400.0 };
        let weights = |loader| [vec![loader], vec![rest; FILES.len() - 1]].concat();
        assert!(judge(&weights(within)).0.all_hold());
        assert!(!judge(&weights(Weight { raw: 10_001.0, ..within })).0.all_hold());
        assert!(!judge(&weights(Weight { gzip: 3_001.0, ..within })).0.all_hold());
    }

    #[test]
    fn the_sum_has_a_budget_of_its_own() {
        let weights = vec![Weight { raw: 9_000.0, gzip: 2_900.0, brotli: 2_000.0 }; FILES.len()];
        assert!(judge(&weights).0.all_hold());
        let mut heavy = weights;
        if let Some(phone) = heavy.get_mut(4) {
            phone.gzip = 40_000.0;
        }
        assert!(!judge(&heavy).0.all_hold());
    }

    #[test]
    fn what_is_fetched_later_has_its_budget_and_is_no_part_of_the_sum() {
        let mut weights = vec![Weight { raw: 900.0, gzip: 900.0, brotli: 900.0 }; FILES.len()];
        weights.push(Weight { raw: 200_000.0, gzip: 90_000.0, brotli: 80_000.0 });
        assert!(judge(&weights).0.all_hold());
        weights.push(Weight::default());
        if let Some(later) = weights.get_mut(FILES.len()) {
            later.gzip = 110_000.0;
        }
        assert!(!judge(&weights).0.all_hold());
    }

    #[test]
    fn nodes_lines_are_read() {
        assert!(Weight::parse("100 60 50").is_some_and(|weight| weight.gzip == 60.0));
        assert!(Weight::parse("100 60").is_none());
    }
}
