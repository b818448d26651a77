//! Times two things alternately and keeps the median of each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long a round takes at least.
const ROUND: Duration = Duration::from_millis(10);

pub struct Comparison {
    pub what: &'static str,
    pub ours: (&'static str, f64),
    pub other: (&'static str, f64),
    pub unit: &'static str,
    /// What the ratio should be at most, or at least where more is better.
    pub aim: Option<&'static str>,
}

impl Comparison {
    fn ratio(&self) -> f64 {
        self.ours.1 / self.other.1
    }

    pub fn to_json(&self) -> Value {
        json!({
            "what": self.what, "unit": self.unit, "ratio": self.ratio(), "aim": self.aim,
            "ours": { "what": self.ours.0, "value": self.ours.1 },
            "other": { "what": self.other.0, "value": self.other.1 },
        })
    }
}

/// Microseconds that each of two pieces of work takes: medians over alternating rounds.
pub async fn alternately(rounds: usize, mut ours: impl AsyncFnMut(), mut other: impl AsyncFnMut()) -> (f64, f64) {
    let (ours_count, other_count) = (calibrate(&mut ours).await, calibrate(&mut other).await);
    let (mut ours_times, mut other_times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours_times.push(round(&mut ours, ours_count).await);
        other_times.push(round(&mut other, other_count).await);
    }
    (median(ours_times), median(other_times))
}

/// Microseconds that one piece of work takes.
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

pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

pub fn print(comparisons: &[Comparison]) {
    for comparison in comparisons {
        let Comparison { what, ours, other, unit, aim } = comparison;
        println!("{what}");
        println!("    {:<58} {:>10.1} {unit}", ours.0, ours.1);
        println!("    {:<58} {:>10.1} {unit}", other.0, other.1);
        let aim = aim.map(|aim| format!("   (aim: {aim})")).unwrap_or_default();
        println!("    {:<58} {:>10.2}{aim}\n", "ratio", comparison.ratio());
    }
}
