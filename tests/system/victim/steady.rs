//! The victim: one client, whose calls go one after another with a pause between them.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use system_tests::sockets::Wire;

use crate::connections::Place;

/// Pause between two calls.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) struct Victim<'a> {
    place: &'a Place,
    wire: Wire,
    header: String,
}

/// The victim's calls beside one neighbour.
#[derive(Default)]
pub(super) struct Calls {
    /// Latency of each answered call.
    took: Vec<Duration>,
    /// Errors of the calls that were not answered, or not correctly.
    pub(super) lost: Vec<String>,
    /// Requests or connections that the neighbour made.
    pub(super) acts: u64,
}

impl Victim<'_> {
    pub(super) fn new(place: &Place) -> Result<Victim<'_>> {
        let wire = Wire::connect(place.host.address())?;
        Ok(Victim { place, wire, header: format!("authorization: Bearer {}\r\n", place.calm) })
    }

    pub(super) fn call_until(mut self, end: Instant) -> Result<Calls> {
        let mut calls = Calls::default();
        while Instant::now() < end {
            let sent = f64::from(u16::try_from(calls.took.len() % 1000)?);
            let began = Instant::now();
            match self.call(sent) {
                Ok(()) => calls.took.push(began.elapsed()),
                Err(error) => {
                    calls.lost.push(format!("{error:#}"));
                    self.wire = Wire::connect(self.place.host.address())?;
                }
            }
            std::thread::sleep(PAUSE);
        }
        ensure!(!calls.took.is_empty(), "no call of the victim was answered: {:?}", calls.lost);
        Ok(calls)
    }

    fn call(&mut self, sent: f64) -> Result<()> {
        let input = json!({ "name": "input", "datatype": "FP32", "shape": [1], "data": [sent] });
        let body = json!({ "inputs": [input] }).to_string();
        let (status, answer) = self.wire.ask("/v2/models/echo/infer", &self.header, body.as_bytes())?;
        ensure!(status == 200, "{status}: {}", String::from_utf8_lossy(&answer));
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(answer["outputs"][0]["data"] == json!([sent]), "sent {sent}, and got {answer}");
        Ok(())
    }
}

impl Calls {
    pub(super) fn sort(&mut self) {
        self.took.sort();
    }

    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let at = self.took.len() * percent / 100;
        self.took[at.min(self.took.len() - 1)]
    }

    /// A row of the table. The ratio is that of the 99th percentiles.
    pub(super) fn line(&self, neighbour: &str, base: &Calls) -> String {
        let [p50, p99, max] = [50, 99, 100].map(|percent| self.percentile(percent).as_secs_f64() * 1000.0);
        let ratio = self.percentile(99).as_secs_f64() / base.percentile(99).as_secs_f64();
        let (calls, lost, acts) = (self.took.len(), self.lost.len(), self.acts);
        format!("{neighbour:24} {calls:8} {lost:5} {p50:6.2}ms {p99:6.2}ms {max:6.2}ms {ratio:6.2} {acts:5}")
    }
}
