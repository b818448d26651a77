//! Runs a network five times for each picture, unchanged and shifted by one pixel in each direction, and averages the
//! probabilities.
//!
//! This is a use of the import `graphs`: the plugin prepares the inputs and combines the outputs, while the network runs
//! natively. All five copies of all pictures go to the graph in one batch.

use bulkhead_guest::{NoConfig, graphs::Graph, prelude::*};

/// Names of the graph in the manifest and of its tensors.
const GRAPH: &str = "cnn";
const IMAGE: &str = "image";
const LOGITS: &str = "logits";

const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 10;

/// Shifts in pixels, as (down, right).
const MOVES: [(isize, isize); 5] = [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)];

pub struct ShiftedAverage;

impl Plugin for ShiftedAverage {
    type Config = NoConfig;

    fn init(_: NoConfig) -> Result<Self, InitError> {
        Ok(ShiftedAverage)
    }

    fn signature(&self) -> Signature {
        let (side, classes) = (dimension(SIDE), dimension(CLASSES));
        Signature::new().input(IMAGE, Datatype::Fp32, [-1, 1, side, side]).output(
            "probabilities",
            Datatype::Fp32,
            [-1, classes],
        )
    }

    fn process(&self, inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let pictures = inputs.get(IMAGE)?.view::<f32>()?;
        let count = pictures.shape()[0];
        let logits = ask(&moved_copies(&pictures))?;
        let probabilities = average(&logits);
        Ok(Outputs::new().with("probabilities", Tensor::new(&[count, CLASSES as u64], &probabilities)?))
    }
}

fn dimension(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// The logits of all pictures, concatenated.
fn ask(pictures: &[f32]) -> Result<Vec<f32>, Failure> {
    let count = (pictures.len() / PIXELS) as u64;
    let batch = Tensor::new(&[count, 1, SIDE as u64, SIDE as u64], pictures)?;
    let answer = Graph::open(GRAPH)?.run(Inputs::from([(IMAGE, batch)]))?;
    let missing = || Failure::internal(format!("graph \"{GRAPH}\" has no output \"{LOGITS}\""));
    let logits = answer.get(LOGITS).ok_or_else(missing)?;
    let wanted = [count, CLASSES as u64];
    if logits.shape() != wanted {
        let shape = logits.shape();
        return Err(Failure::internal(format!("graph \"{GRAPH}\" gave \"{LOGITS}\" of {shape:?}, wanted {wanted:?}")));
    }
    Ok(logits.view::<f32>()?.to_vec())
}

fn moved_copies(pictures: &[f32]) -> Vec<f32> {
    let (pictures, _) = pictures.as_chunks::<PIXELS>();
    pictures.iter().flat_map(|picture| MOVES.map(|(down, right)| moved(picture, down, right))).flatten().collect()
}

/// The picture shifted, with black at the border that enters.
fn moved(picture: &[f32; PIXELS], down: isize, right: isize) -> [f32; PIXELS] {
    let inside = |at: &usize| *at < SIDE;
    std::array::from_fn(|i| {
        let row = (i / SIDE).checked_add_signed(-down).filter(inside);
        let column = (i % SIDE).checked_add_signed(-right).filter(inside);
        row.zip(column).map_or(0.0, |(row, column)| picture[row * SIDE + column])
    })
}

/// Mean probabilities over the copies of each picture.
fn average(logits: &[f32]) -> Vec<f32> {
    let (rows, _) = logits.as_chunks::<CLASSES>();
    let mean = |copies: &[[f32; CLASSES]]| {
        let probabilities: Vec<_> = copies.iter().map(softmax).collect();
        std::array::from_fn::<f32, CLASSES, _>(|class| {
            probabilities.iter().map(|copy| copy[class]).sum::<f32>() / MOVES.len() as f32
        })
    };
    rows.chunks_exact(MOVES.len()).flat_map(mean).collect()
}

fn softmax(logits: &[f32; CLASSES]) -> [f32; CLASSES] {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers = logits.map(|logit| (logit - greatest).exp());
    let sum: f32 = powers.iter().sum();
    powers.map(|power| power / sum)
}

bulkhead_guest::plugin!(ShiftedAverage);

#[cfg(test)]
mod tests {
    use bulkhead_guest::testing;

    use super::*;

    fn run(pictures: &[f32]) -> Result<Vec<f32>, Failure> {
        let count = (pictures.len() / PIXELS) as u64;
        let tensor = Tensor::new(&[count, 1, 8, 8], pictures).unwrap();
        let outputs = ShiftedAverage.process(Inputs::from([(IMAGE, tensor)]), &Parameters::default())?;
        let probabilities = outputs.get("probabilities").unwrap();
        assert_eq!(probabilities.shape(), [count, 10]);
        Ok(probabilities.view::<f32>().unwrap().to_vec())
    }

    /// A network whose logit of class n is 50 if pixel n of the first row is white.
    fn reads_the_first_row(mut inputs: Inputs) -> Result<Outputs, String> {
        let image = inputs.take(IMAGE).unwrap();
        assert_eq!(image.shape()[0] % 5, 0, "all copies come in one batch");
        let pixels = image.view::<f32>().unwrap();
        let logits = |picture: &[f32]| -> [f32; CLASSES] {
            std::array::from_fn(|n| if n < 8 { picture[n] * 50.0 } else { 0.0 })
        };
        let logits: Vec<f32> = pixels.chunks_exact(PIXELS).flat_map(logits).collect();
        Ok(Outputs::new().with(LOGITS, Tensor::new(&[image.shape()[0], 10], &logits).unwrap()))
    }

    fn white_at(row: usize, column: usize) -> [f32; PIXELS] {
        std::array::from_fn(|i| if i == row * SIDE + column { 1.0 } else { 0.0 })
    }

    fn close(got: &[f32], wanted: &[f32]) {
        let same = got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same, "{got:?} is not {wanted:?}");
    }

    #[test]
    fn averages_over_the_five_places() {
        testing::graph(GRAPH, reads_the_first_row);
        // Unshifted, the pixel gives class 3; shifted left or right it gives 2 or 4. Shifted up or down it leaves the first
        // row, and all classes are equally probable.
        let mut wanted = [0.04; CLASSES];
        wanted[2..5].copy_from_slice(&[0.24, 0.24, 0.24]);
        close(&run(&white_at(0, 3)).unwrap(), &wanted);
        // A pixel of the second row enters the first row when shifted up.
        let mut wanted = [0.08; CLASSES];
        wanted[0] = 0.28;
        close(&run(&white_at(1, 0)).unwrap(), &wanted);
    }

    #[test]
    fn keeps_the_pictures_of_a_batch_apart() {
        testing::graph(GRAPH, reads_the_first_row);
        let pictures = [white_at(0, 1), white_at(5, 5), white_at(0, 6)];
        let together = run(pictures.as_flattened()).unwrap();
        let alone: Vec<f32> = pictures.iter().flat_map(|picture| run(picture).unwrap()).collect();
        assert_eq!(together, alone);
    }

    #[test]
    fn moves_each_way_and_fills_with_black() {
        let picture: [f32; PIXELS] = std::array::from_fn(|i| i as f32 + 1.0);
        for (row, column) in [(0isize, 0isize), (0, 7), (7, 0), (7, 7), (3, 4)] {
            let at = |row: isize, column: isize| match (0..8).contains(&row) && (0..8).contains(&column) {
                true => picture[(row * 8 + column).cast_unsigned()],
                false => 0.0,
            };
            for (down, right) in MOVES {
                let got = moved(&picture, down, right)[(row * 8 + column).cast_unsigned()];
                assert_eq!(got, at(row - down, column - right), "{row} {column} {down} {right}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_graph_that_does_not_fit() {
        testing::graph(GRAPH, |_| Ok(Outputs::new().with(LOGITS, Tensor::new(&[1, 2], &[0.0f32; 2]).unwrap())));
        let failure = run(&[0.0; PIXELS]).unwrap_err();
        assert_eq!(failure, Failure::Internal("graph \"cnn\" gave \"logits\" of [1, 2], wanted [5, 10]".into()));
        testing::graph(GRAPH, |_| Ok(Outputs::new()));
        assert_eq!(
            run(&[0.0; PIXELS]).unwrap_err(),
            Failure::Internal("graph \"cnn\" has no output \"logits\"".into())
        );
        testing::graph(GRAPH, |_| Err("out of order".into()));
        assert_eq!(run(&[0.0; PIXELS]).unwrap_err(), Failure::Internal("out of order".into()));
    }
}
