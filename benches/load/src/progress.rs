//! A progress bar for long runs, shown on a terminal only.

use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

pub fn progress(steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {pos}/{len} {msg}")?;
    let progress = ProgressBar::new(steps as u64).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(500));
    Ok(progress)
}
