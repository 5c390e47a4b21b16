//! Lanes: a call mostly waits, so two of the tests' processes run beside each other, each in a network namespace and a folder of its own,
//! and each with every other test. Not here: what is measured, which has the machine to itself.

use anyhow::{Context as _, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Names this process's lane, as `1/2`; `cargo xtask test` sets it.
const VARIABLE: &str = "E2E_LANE";

/// One of several processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// From 1 on.
    number: usize,
    of: usize,
}

impl Lane {
    /// What the environment says; where it says nothing, all is in one lane.
    ///
    /// # Errors
    /// When it says something else.
    pub fn of_this_process() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{VARIABLE} is {text:?}, not like 1/2")),
            Err(_) => Ok(Self { number: 1, of: 1 }),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let (number, of) = text.split_once('/').context("no slash")?;
        let lane = Self { number: number.parse()?, of: of.parse()? };
        ensure!((1..=lane.of).contains(&lane.number), "there is no such lane");
        Ok(lane)
    }

    /// Whether the test at this place of the program is played here.
    pub fn has(self, place: usize) -> bool {
        place % self.of == self.number - 1
    }

    /// Where this lane's logs, recordings and pictures go.
    pub(crate) fn folder(self, artifacts: &Path) -> PathBuf {
        if self.of == 1 { artifacts.to_owned() } else { artifacts.join(format!("lane-{}", self.number)) }
    }

    /// Waits until nobody has the stage that this lane cannot share it with: another run of the same lane, or one that has no lanes, such as a
    /// bench, which measures the machine.
    pub(crate) fn enter(self, artifacts: &Path) -> Result<[File; 2]> {
        let (all, own) = (lock(artifacts, "lock")?, lock(&self.folder(artifacts), "lane")?);
        for (file, is_shared) in [(&own, false), (&all, self.of > 1)] {
            if if is_shared { file.try_lock_shared() } else { file.try_lock() }.is_err() {
                eprintln!("Waiting for another run of tests or benches to end …");
                if is_shared { file.lock_shared() } else { file.lock() }?;
            }
        }
        Ok([all, own])
    }
}

/// The right to play a test, held until it is dropped: beside another lane's, or `alone`.
///
/// # Errors
/// When the lock cannot be made.
pub(crate) fn turn(artifacts: &Path, alone: bool) -> Result<File> {
    let turn = lock(artifacts, "turn")?;
    if alone { turn.lock() } else { turn.lock_shared() }?;
    Ok(turn)
}

fn lock(folder: &Path, name: &str) -> Result<File> {
    fs::create_dir_all(folder)?;
    File::create(folder.join(name)).with_context(|| format!("cannot make {name} in {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_is_in_one_lane() -> Result<()> {
        let lanes = ["1/3", "2/3", "3/3"].map(Lane::parse).into_iter().collect::<Result<Vec<_>>>()?;
        for place in 0..20 {
            assert_eq!(lanes.iter().filter(|lane| lane.has(place)).count(), 1, "{place}");
        }
        for nonsense in ["", "1", "0/2", "3/2", "1/0", "a/b"] {
            assert!(Lane::parse(nonsense).is_err(), "{nonsense}");
        }
        Ok(())
    }
}
