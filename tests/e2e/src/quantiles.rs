//! What the benches print of many measurements: one JSON line a quantile or count, as `cargo xtask bench` reads them.

#![expect(clippy::print_stdout, reason = "JSON lines are the benches' result")]

use serde_json::json;

/// Prints minimum, median, 95th percentile and maximum of times in ms. A target is one for the 95th percentile.
/// Nothing at all where nothing was measured.
pub fn print(name: &str, mut times: Vec<f64>, target_of_p95: Option<f64>) {
    if times.is_empty() {
        return;
    }
    times.sort_by(f64::total_cmp);
    for (quantile, q) in [("minimum", 0.0), ("median", 0.5), ("p95", 0.95), ("maximum", 1.0)] {
        let place = (times.len().saturating_sub(1) as f64 * q).ceil() as usize;
        let value = times.get(place).copied().unwrap_or(f64::NAN);
        let target = target_of_p95.filter(|_| quantile == "p95");
        let line = json!({
            "name": format!("{name}, {quantile}"),
            "value": (value * 10.0).round() / 10.0,
            "unit": "ms",
            "target": target,
            "holds": target.is_none_or(|target| value <= target),
        });
        println!("{line}");
    }
}

/// Prints how many there were of what there should be none of.
pub fn print_none_of(name: &str, count: usize) {
    println!("{}", json!({ "name": name, "value": count, "unit": "", "target": 0, "holds": count == 0 }));
}
