//! A gauge that counts something for as long as it lasts, however it ends.

use crate::telemetry::Gauge;

/// Adds one to a gauge until it is dropped.
pub(super) struct Counted<'a>(&'a Gauge);

impl Counted<'_> {
    pub(super) fn begin(gauge: &Gauge) -> Counted<'_> {
        gauge.inc();
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
