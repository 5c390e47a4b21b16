//! What measuring commands print: a table for people, one JSON object a line for machines.

use crate::shell;
use serde_json::{Map, Value, json};
use std::ops::Add;

/// One measured value beside what it should be.
pub(crate) struct Measurement {
    /// What was measured: `panel.js gzip`, `click to answered p95, warm`.
    pub(crate) name: String,
    /// The value, in `unit`.
    pub(crate) value: f64,
    /// `bytes`, `ms`, `calls`.
    pub(crate) unit: String,
    /// The most that is allowed, if a budget stands for it.
    pub(crate) target: Option<f64>,
    /// Whom it was compared with, and our value divided by theirs.
    pub(crate) peer: Option<(String, f64)>,
}

/// The measurements of one command.
#[derive(Default)]
pub(crate) struct Report(pub(crate) Vec<Measurement>);

/// How many checks held and how many did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Measurement {
    /// A value without a budget.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.to_owned(), target: None, peer: None }
    }

    /// Whether it is within its budget.
    pub(crate) fn holds(&self) -> bool {
        self.target.is_none_or(|target| self.value <= target)
    }

    /// `{"name","value","unit","target","holds"}`, and `"peer"`, `"ratio"` where something was compared.
    pub(crate) fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(self.name));
        object.insert("value".to_owned(), number(self.value));
        object.insert("unit".to_owned(), json!(self.unit));
        object.insert("target".to_owned(), self.target.map_or(Value::Null, number));
        object.insert("holds".to_owned(), json!(self.holds()));
        if let Some((peer, ratio)) = &self.peer {
            object.insert("peer".to_owned(), json!(peer));
            object.insert("ratio".to_owned(), json!(ratio));
        }
        Value::Object(object)
    }

    /// Reads what [`Measurement::json`] wrote; `None` for a line that is something else. `holds` is worked out anew,
    /// unless the line says `false`: a lower bound is the writer's to judge.
    pub(crate) fn parse(line: &str) -> Option<(Self, bool)> {
        let object: Map<String, Value> = serde_json::from_str(line).ok()?;
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let float = |key: &str| object.get(key).and_then(Value::as_f64);
        let peer = text("peer").zip(float("ratio"));
        let holds = object.get("holds").and_then(Value::as_bool)?;
        let (name, value, unit) = (text("name")?, float("value")?, text("unit")?);
        Some((Self { name, value, unit, target: float("target"), peer }, holds))
    }
}

impl Report {
    /// Whether everything is within its budget.
    pub(crate) fn all_hold(&self) -> bool {
        self.0.iter().all(Measurement::holds)
    }

    /// Prints one JSON object a line.
    pub(crate) fn print_json(&self) {
        for measurement in &self.0 {
            shell::print(&format!("{}\n", measurement.json()));
        }
    }

    /// The checks among the measurements.
    pub(crate) fn tally(&self) -> Tally {
        self.0.iter().filter(|m| m.target.is_some()).map(|m| Tally::of(m.holds())).fold(Tally::default(), Tally::add)
    }
}

impl Tally {
    /// One check.
    pub(crate) fn of(holds: bool) -> Self {
        Self { passed: u32::from(holds), failed: u32::from(!holds) }
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

/// Prints rows under heads: the first column to the left, the others to the right.
pub(crate) fn print_table(heads: &[&str], rows: &[Vec<String>]) {
    shell::print(&table(heads, rows));
}

fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = heads.iter().map(|&head| head.to_owned()).collect();
    let width = |column: usize| {
        rows.iter().chain([&head]).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..heads.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Whole numbers without a point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    fn with_target(value: f64, target: f64) -> Measurement {
        Measurement { target: Some(target), ..Measurement::new("sum gzip", value, "KB") }
    }

    #[test]
    fn a_value_over_its_target_does_not_hold() {
        assert!(with_target(50.0, 50.0).holds());
        assert!(!with_target(50.1, 50.0).holds());
        assert!(Measurement::new("engine raw", 1e9, "bytes").holds());
    }

    #[test]
    fn json_lines_have_the_agreed_keys() -> anyhow::Result<()> {
        let mut measurement = with_target(35.5, 50.0);
        let expected = json!({"name": "sum gzip", "value": 35.5, "unit": "KB", "target": 50, "holds": true});
        assert_eq!(measurement.json(), expected);
        measurement.peer = Some(("other SDK".to_owned(), 0.75));
        let (read, holds) = Measurement::parse(&measurement.json().to_string()).context("unreadable")?;
        assert!(holds);
        assert_eq!(
            (read.name, read.target, read.peer),
            ("sum gzip".into(), Some(50.0), Some(("other SDK".into(), 0.75)))
        );
        assert!(Measurement::parse("12 calls done").is_none());
        Ok(())
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "1000".to_owned()]];
        assert_eq!(table(&["file", "raw"], &rows), "file   raw\na        1\nlong  1000\n");
    }
}
