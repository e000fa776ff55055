//! Waiting, for a while, until the hypervisor leaves both cores alone.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::awake;
use super::cpu::{between, read};

/// Share of a core's time that may be stolen before something is measured.
const STOLEN_MAX: f64 = 0.02;
/// How long is looked.
const LOOK: Duration = Duration::from_millis(250);
/// How long is waited before one job.
const WAIT: Duration = Duration::from_secs(10);

/// Time that is left for waiting.
pub struct Patience(Duration);

impl Patience {
    /// So much in all.
    pub const fn new(all: Duration) -> Self {
        Self(all)
    }

    /// Waits until little is stolen of both cores, or for as long as there is patience; the share at last.
    pub fn wait(&mut self, core: usize, far_core: usize) -> Result<f64> {
        let begun = Instant::now();
        loop {
            let stolen = {
                // Cores that halt are said to be stolen.
                let _awake = awake::hold();
                let before = read(core, far_core, &[], &[])?;
                thread::sleep(LOOK);
                between(&before, &read(core, far_core, &[], &[])?).stolen()
            };
            let waited = begun.elapsed();
            if stolen <= STOLEN_MAX || waited >= self.0.min(WAIT) {
                self.0 = self.0.saturating_sub(waited.saturating_sub(LOOK));
                return Ok(stolen);
            }
        }
    }
}
