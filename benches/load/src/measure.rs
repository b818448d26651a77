//! Measures two pieces of work alternately and takes the median of each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Minimum time of a round.
const ROUND: Duration = Duration::from_millis(10);

pub struct Comparison {
    pub what: &'static str,
    pub ours: (&'static str, f64),
    pub other: (&'static str, f64),
    pub unit: &'static str,
    pub aim: Option<Aim>,
}

/// Target for the ratio of the two sides.
#[derive(Clone, Copy)]
pub enum Aim {
    AtMost(f64),
    /// A lower bound, for quantities of which more is better.
    AtLeast(f64),
}

impl Aim {
    fn met(self, ratio: f64) -> bool {
        match self {
            Aim::AtMost(bound) => ratio <= bound,
            Aim::AtLeast(bound) => ratio >= bound,
        }
    }
}

impl std::fmt::Display for Aim {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Aim::AtMost(bound) => write!(formatter, "at most {bound}"),
            Aim::AtLeast(bound) => write!(formatter, "at least {bound}"),
        }
    }
}

impl Comparison {
    fn ratio(&self) -> f64 {
        self.ours.1 / self.other.1
    }

    fn to_json(&self) -> Value {
        let ratio = self.ratio();
        json!({
            "what": self.what, "unit": self.unit, "ratio": ratio,
            "aim": self.aim.map(|aim| aim.to_string()), "met": self.aim.map(|aim| aim.met(ratio)),
            "ours": { "what": self.ours.0, "value": self.ours.1 },
            "other": { "what": self.other.0, "value": self.other.1 },
        })
    }
}

/// Median microseconds of each of two pieces of work, over alternating rounds.
pub async fn alternately(rounds: usize, mut ours: impl AsyncFnMut(), mut other: impl AsyncFnMut()) -> (f64, f64) {
    let (ours_count, other_count) = (calibrate(&mut ours).await, calibrate(&mut other).await);
    let (mut ours_times, mut other_times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours_times.push(round(&mut ours, ours_count).await);
        other_times.push(round(&mut other, other_count).await);
    }
    (median(ours_times), median(other_times))
}

/// Median microseconds of one piece of work.
pub async fn alone(rounds: usize, mut work: impl AsyncFnMut()) -> f64 {
    let count = calibrate(&mut work).await;
    let mut times = Vec::new();
    for _ in 0..rounds {
        times.push(round(&mut work, count).await);
    }
    median(times)
}

async fn calibrate(work: &mut impl AsyncFnMut()) -> u32 {
    let mut count = 1;
    loop {
        let started = Instant::now();
        for _ in 0..count {
            work().await;
        }
        if started.elapsed() >= ROUND {
            return count;
        }
        count *= 2;
    }
}

async fn round(work: &mut impl AsyncFnMut(), count: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..count {
        work().await;
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

/// The median; NaN for an empty list.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

pub fn print(comparisons: &[Comparison], as_json: bool) {
    if as_json {
        let rows: Vec<_> = comparisons.iter().map(Comparison::to_json).collect();
        return println!("{}", json!({ "comparisons": rows }));
    }
    for comparison in comparisons {
        let Comparison { what, ours, other, unit, aim } = comparison;
        println!("{what}");
        println!("    {:<58} {:>10.1} {unit}", ours.0, ours.1);
        println!("    {:<58} {:>10.1} {unit}", other.0, other.1);
        let ratio = comparison.ratio();
        let verdict = |aim: &Aim| format!("   (aim: {aim}{})", if aim.met(ratio) { "" } else { ", missed" });
        println!("    {:<58} {ratio:>10.2}{}\n", "ratio", aim.as_ref().map(verdict).unwrap_or_default());
    }
}
