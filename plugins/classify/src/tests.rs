use bulkhead_guest::{Value, testing};
use serde_json::{Value as Json, json};

use super::*;

const ROW: [f32; 4] = [0.1, 0.6, -2.0, 0.3];

fn start(config: Json) -> Result<Classify, String> {
    let config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Classify::init(config).map_err(|error| error.to_string())
}

fn run(classify: &Classify, shape: &[u64], scores: &[f32], top_k: Option<i64>) -> Result<Outputs, Failure> {
    let input = classify.signature().inputs.remove(0);
    let inputs = Inputs::from([(input.name, Tensor::new(shape, scores).unwrap())]);
    let parameters = top_k.map_or(Parameters::default(), |k| Parameters::from([(TOP_K, Value::Integer(k))]));
    classify.process(inputs, &parameters)
}

fn labels(outputs: &Outputs) -> Vec<String> {
    let labels = outputs.get("label").unwrap().byte_strings().unwrap();
    labels.into_iter().map(|label| String::from_utf8(label).unwrap()).collect()
}

fn scores(outputs: &Outputs) -> Vec<f32> {
    outputs.get("score").unwrap().view::<f32>().unwrap().to_vec()
}

fn indices(outputs: &Outputs) -> Vec<i32> {
    outputs.get("index").unwrap().view::<i32>().unwrap().to_vec()
}

#[test]
fn gives_the_best_class_of_each_row() {
    let outputs = run(&start(json!({})).unwrap(), &[2, 2], &[0.1, 0.9, 0.8, 0.2], None).unwrap();
    assert_eq!(outputs.get("label").unwrap().shape(), [2, 1]);
    assert_eq!(labels(&outputs), ["1", "0"]);
    assert_eq!(scores(&outputs), [0.9, 0.8]);
    assert_eq!(indices(&outputs), [1, 0]);
}

#[test]
fn gives_labels_from_the_asset() {
    testing::asset("animals.txt", "ant\nbee\r\ncat\ndog\n");
    let classify = start(json!({ "labels": "animals.txt", "top-k": 3, "input": "scores" })).unwrap();
    assert_eq!(classify.signature().inputs[0].shape, [-1, 4]);
    assert_eq!(labels(&run(&classify, &[1, 4], &ROW, None).unwrap()), ["bee", "dog", "ant"]);
}

#[test]
fn softmax_makes_probabilities() {
    let classify = start(json!({ "softmax": true, "top-k": 2 })).unwrap();
    let outputs = run(&classify, &[1, 2], &[0.0, 3f32.ln()], None).unwrap();
    let scores = scores(&outputs);
    assert!((scores[0] - 0.75).abs() < 1e-6 && (scores[1] - 0.25).abs() < 1e-6, "{scores:?}");
}

#[test]
fn hides_what_is_below_the_threshold() {
    let classify = start(json!({ "threshold": 0.3, "top-k": 4 })).unwrap();
    let outputs = run(&classify, &[1, 4], &ROW, None).unwrap();
    assert_eq!(labels(&outputs), ["1", "3", "", ""]);
    assert_eq!(scores(&outputs), [0.6, 0.3, 0.0, 0.0]);
    assert_eq!(indices(&outputs), [1, 3, -1, -1]);
}

#[test]
fn shows_negative_scores_where_no_threshold_is_given() {
    let outputs = run(&start(json!({ "top-k": 2 })).unwrap(), &[1, 2], &[-2.0, f32::NEG_INFINITY], None).unwrap();
    assert_eq!(indices(&outputs), [0, 1]);
}

#[test]
fn orders_what_is_not_a_number_last_and_hides_it() {
    for softmax in [false, true] {
        let classify = start(json!({ "softmax": softmax, "top-k": 2 })).unwrap();
        assert_eq!(indices(&run(&classify, &[1, 2], &[f32::NAN, 0.5], None).unwrap()), [1, -1]);
        let nothing = run(&classify, &[1, 2], &[f32::NAN; 2], None).unwrap();
        assert_eq!((labels(&nothing), scores(&nothing)), (vec![String::new(); 2], vec![0.0; 2]));
    }
}

#[test]
fn a_request_may_ask_for_another_number_of_classes() {
    let classify = start(json!({ "top-k": 2 })).unwrap();
    for k in [1, 4] {
        let outputs = run(&classify, &[1, 4], &ROW, Some(k)).unwrap();
        assert_eq!(outputs.get("score").unwrap().shape(), [1, k.cast_unsigned()]);
    }
    for k in [0, -1, 5, i64::MIN] {
        let failure = run(&classify, &[1, 4], &ROW, Some(k)).unwrap_err();
        let wanted = format!("parameter \"top_k\" is {k}: it must be 1 to 4, the number of classes");
        assert_eq!(failure, Failure::InvalidInput(wanted));
    }
}

#[test]
fn an_empty_batch_has_no_answers() {
    let outputs = run(&start(json!({ "top-k": 2 })).unwrap(), &[0, 4], &[], None).unwrap();
    assert_eq!(outputs.get("label").unwrap().shape(), [0, 2]);
}

#[test]
fn names_both_numbers_where_labels_and_scores_differ() {
    testing::asset("two.txt", "a\nb");
    let Failure::Internal(text) =
        run(&start(json!({ "labels": "two.txt" })).unwrap(), &[1, 4], &ROW, None).unwrap_err()
    else {
        panic!("the client cannot mend it");
    };
    assert!(text.contains("4 scores") && text.contains("two.txt has 2 labels"), "{text}");
    let Failure::Internal(text) = run(&start(json!({ "top-k": 9 })).unwrap(), &[1, 4], &ROW, None).unwrap_err() else {
        panic!("the client cannot mend it");
    };
    assert!(text.contains("top-k is 9") && text.contains("4 scores"), "{text}");
}

#[test]
fn refuses_a_configuration_that_cannot_be_meant() {
    testing::asset("two.txt", "a\nb");
    testing::asset("empty.txt", "");
    for (config, wanted) in [
        (json!({ "topk": 2 }), "unknown field `topk`"),
        (json!({ "top-k": 0 }), "top-k must be 1 or more"),
        (json!({ "labels": "two.txt", "top-k": 3 }), "top-k is 3, and two.txt has 2 labels"),
        (json!({ "labels": "empty.txt" }), "empty.txt has no labels"),
        (json!({ "labels": "other.txt" }), "other.txt"),
    ] {
        let error = start(config.clone()).err().unwrap();
        assert!(error.contains(wanted), "{config}: {error}");
    }
}
