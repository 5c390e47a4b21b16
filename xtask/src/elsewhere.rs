//! Tests that cargo's own run of the workspace does not reach: the worklet's modules as WASM and some of the panel's scripts, in Node, the arithmetic of engine
//! and Opus held against a native build's bit for bit; and the bodies of the fuzz targets over their committed corpora.

use crate::suite::counted;
use crate::{report::Tally, shell, wasm};
use anyhow::Result;

/// The tests of what browsers run as scripts.
const SCRIPTS: &[&str] = &[
    "www/check/score.test.mjs",
    "www/widget/panel.test.mjs",
    "www/widget/worklet.test.mjs",
    "www/widget/sound/connection.test.mjs",
    "www/widget/sound/echo.test.mjs",
    "www/widget/sound/source.test.mjs",
    "www/widget/sound/sound.test.mjs",
    "www/widget/sound/speaker.test.mjs",
];

/// Builds the engine with its checksum exported, and meets it as a worklet does.
pub(crate) fn engine_in_wasm() -> Result<Tally> {
    // A folder of its own: the engine that ships is built without the feature.
    let target_dir = shell::target().join("wasm-vectors");
    let mut cargo = wasm::cargo()?;
    cargo.args(["build", "--package", "engine", "--features", "vectors", "--profile", "wasm"]);
    shell::run(cargo.args(["--target", wasm::TARGET]).arg("--target-dir").arg(&target_dir))?;
    let mut node = shell::program("node");
    node.args(["--test", "--test-reporter=tap", "softphone-wasm/engine/abi.test.mjs"]);
    let engine = target_dir.join(wasm::TARGET).join("wasm/engine.wasm");
    let tally = counted(node.current_dir(shell::root()).env("ENGINE_WASM", engine))?;
    let mut node = shell::program("node");
    node.args(["--test", "--test-reporter=tap"]).args(SCRIPTS);
    let tally = tally + counted(node.current_dir(shell::root()))?;
    // The others as they were built for `www/dist`.
    let modules = [("canceller", "canceller"), ("line", "line"), ("opus", "opus_module")];
    modules.into_iter().try_fold(tally, |tally, (folder, _)| {
        let mut node = shell::program("node");
        node.args(["--test", "--test-reporter=tap", &format!("softphone-wasm/modules/{folder}/abi.test.mjs")]);
        // Of Opus the line is half.
        for (folder, name) in modules {
            let module = shell::target().join("wasm").join(wasm::TARGET).join(format!("wasm/{name}.wasm"));
            node.env(format!("{}_WASM", folder.to_uppercase()), module);
        }
        Ok(tally + counted(node.current_dir(shell::root()))?)
    })
}

/// Runs what the fuzzers run, over what they have found worth keeping.
pub(crate) fn fuzz_corpora() -> Result<Tally> {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--manifest-path", "fuzz/Cargo.toml", "--target-dir"]).arg(shell::target().join("fuzz"));
    counted(cargo.current_dir(shell::root()))
}
