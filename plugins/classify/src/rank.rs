//! Arithmetic on a row of scores.

use std::cmp::Ordering;

/// The indices of the `count` best scores, best first. Equal scores keep their order, and NaN comes last.
pub(crate) fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let order = |a: &usize, b: &usize| better(scores[*a], scores[*b]).then(a.cmp(b));
    let mut indices: Vec<usize> = (0..scores.len()).collect();
    if count < indices.len() {
        // Sorting a thousand classes to show five would be most of the work.
        indices.select_nth_unstable_by(count, order);
        indices.truncate(count);
    }
    indices.sort_unstable_by(order);
    indices
}

fn better(a: f32, b: f32) -> Ordering {
    a.is_nan().cmp(&b.is_nan()).then_with(|| b.partial_cmp(&a).unwrap_or(Ordering::Equal))
}

/// exp(score) over the sum of all of them. NaN stays NaN, and is left out of the sum.
pub(crate) fn softmax(scores: &[f32]) -> Vec<f32> {
    // Only the differences of scores matter; without the subtraction, a score of 100 would become infinite.
    let greatest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let sum: f32 = powers.iter().filter(|power| !power.is_nan()).sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_best_first() {
        let scores = [0.1, 0.7, f32::NAN, 0.7, -3.0, f32::INFINITY];
        assert_eq!(best(&scores, 6), [5, 1, 3, 0, 4, 2]);
        assert_eq!(best(&scores, 2), [5, 1]);
        assert_eq!(best(&[f32::NAN, f32::NEG_INFINITY], 1), [1]);
        assert!(best(&[], 0).is_empty());
    }

    #[test]
    fn probabilities_sum_to_one_whatever_the_scores() {
        for scores in [vec![1.0, 2.0, 3.0], vec![1000.0, 0.0, -1000.0], vec![-1e30, -1e30], vec![0.5]] {
            let sum: f32 = softmax(&scores).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{scores:?}: {sum}");
        }
        let thirds = softmax(&[1.0, 1.0, f32::NAN, 1.0]);
        assert!((thirds[0] - 1.0 / 3.0).abs() < 1e-6 && thirds[2].is_nan(), "{thirds:?}");
    }
}
