//! Expected values are what Magika 1.0.3 gives for the same label and score.

use bulkhead_guest::prelude::*;
use bulkhead_guest::testing;

use super::{Config, FileLabel, Mode};

const MODEL: &str = r#"{"target_labels_space": ["markdown", "png", "python", "randombytes", "randomtxt", "sqlite",
    "zig"], "thresholds": {"markdown": 0.75, "zig": 0.9}, "medium_confidence_threshold": 0.5,
    "overwrite_map": {"randombytes": "unknown", "randomtxt": "txt"}, "block_size": 4096}"#;

const KNOWLEDGE: &str = r#"{
    "empty": {"mime_type": "inode/x-empty", "group": "inode", "description": "Empty file", "is_text": false},
    "markdown": {"mime_type": "text/markdown", "group": "text", "description": "Markdown document", "is_text": true},
    "odd": {"mime_type": null, "group": null, "description": null, "is_text": true},
    "png": {"mime_type": "image/png", "group": "image", "description": "PNG image", "is_text": false},
    "python": {"mime_type": "text/x-python", "group": "code", "description": "Python source", "is_text": true},
    "randombytes": {"mime_type": "application/octet-stream", "group": "unknown",
        "description": "Random bytes", "is_text": false},
    "randomtxt": {"mime_type": "text/plain", "group": "text", "description": "Random text", "is_text": true},
    "sqlite": {"mime_type": null, "group": "application", "description": "SQLITE database", "is_text": false},
    "txt": {"mime_type": "text/plain", "group": "text", "description": "Generic text document", "is_text": true},
    "unknown": {"mime_type": "application/octet-stream", "group": "unknown",
        "description": "Unknown binary data", "is_text": false},
    "zig": {"mime_type": "text/zig", "group": "code", "description": "Zig source", "is_text": true}
}"#;

const LABELS: [&str; 7] = ["markdown", "png", "python", "randombytes", "randomtxt", "sqlite", "zig"];

fn plugin(model: &str, knowledge: &str, mode: Mode) -> Result<FileLabel, String> {
    testing::asset("config.min.json", model);
    testing::asset("content_types_kb.min.json", knowledge);
    FileLabel::init(Config { mode, ..Config::default() }).map_err(|error| error.to_string())
}

/// Probabilities with `score` at `label`, and 0 elsewhere.
fn row(label: &str, score: f32) -> [f32; 7] {
    LABELS.map(|other| if other == label { score } else { 0.0 })
}

fn run(mode: Mode, rows: &[[f32; 7]], verdicts: &[&str]) -> Result<Outputs, Failure> {
    let probabilities = Tensor::new(&[rows.len() as u64, 7], rows.as_flattened())?;
    let verdicts = Tensor::bytes(&[verdicts.len() as u64], verdicts)?;
    let inputs = Inputs::from([("probabilities", probabilities), ("verdict", verdicts)]);
    plugin(MODEL, KNOWLEDGE, mode).unwrap().process(inputs, &Parameters::default())
}

fn texts(outputs: &Outputs, name: &str) -> Vec<String> {
    let texts = outputs.get(name).unwrap().byte_strings().unwrap();
    texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
}

#[track_caller]
fn check(mode: Mode, label: &str, score: f32, wanted: &str) {
    let outputs = run(mode, &[row(label, score)], &[""]).unwrap();
    assert_eq!(texts(&outputs, "label"), [wanted], "{label} at {score}, {mode:?}");
    assert_eq!(&*outputs.get("score").unwrap().view::<f32>().unwrap(), [score]);
}

#[test]
fn high_confidence_asks_what_the_model_asks_of_this_type() {
    check(Mode::HighConfidence, "markdown", 0.75, "markdown");
    check(Mode::HighConfidence, "markdown", 0.74, "txt");
    check(Mode::HighConfidence, "python", 0.5, "python");
    check(Mode::HighConfidence, "python", 0.49, "txt");
    check(Mode::HighConfidence, "png", 0.49, "unknown");
}

#[test]
fn the_threshold_is_compared_in_double_precision() {
    check(Mode::HighConfidence, "zig", 0.9, "txt");
    check(Mode::HighConfidence, "zig", 0.900_000_04, "zig");
}

#[test]
fn medium_confidence_asks_the_same_of_all_types() {
    check(Mode::MediumConfidence, "markdown", 0.5, "markdown");
    check(Mode::MediumConfidence, "markdown", 0.49, "txt");
    check(Mode::MediumConfidence, "png", 0.49, "unknown");
}

#[test]
fn best_guess_takes_any_word() {
    check(Mode::BestGuess, "markdown", 0.01, "markdown");
    check(Mode::BestGuess, "randombytes", 0.01, "unknown");
}

#[test]
fn some_labels_are_overwritten_however_sure_the_network_is() {
    for score in [0.49, 0.95] {
        check(Mode::HighConfidence, "randombytes", score, "unknown");
        check(Mode::HighConfidence, "randomtxt", score, "txt");
    }
}

#[test]
fn of_equal_probabilities_the_first_counts() {
    let outputs = run(Mode::BestGuess, &[[0.0, 0.4, 0.4, 0.1, 0.1, 0.0, 0.0]], &[""]).unwrap();
    assert_eq!(texts(&outputs, "label"), ["png"]);
}

#[test]
fn a_verdict_overrides_the_network() {
    let rows = [row("png", 0.99), row("png", 0.98), row("sqlite", 0.9)];
    let outputs = run(Mode::HighConfidence, &rows, &["empty", "", ""]).unwrap();
    assert_eq!(texts(&outputs, "label"), ["empty", "png", "sqlite"]);
    assert_eq!(texts(&outputs, "mime_type"), ["inode/x-empty", "image/png", "application/octet-stream"]);
    assert_eq!(texts(&outputs, "group"), ["inode", "image", "application"]);
    assert_eq!(texts(&outputs, "description"), ["Empty file", "PNG image", "SQLITE database"]);
    assert_eq!(&*outputs.get("score").unwrap().view::<f32>().unwrap(), [1.0, 0.98, 0.9]);
}

#[test]
fn gaps_in_what_is_known_are_filled() {
    let outputs = run(Mode::HighConfidence, &[row("png", 0.99)], &["odd"]).unwrap();
    assert_eq!(texts(&outputs, "mime_type"), ["text/plain"]);
    assert_eq!(texts(&outputs, "group"), ["unknown"]);
    assert_eq!(texts(&outputs, "description"), ["odd"]);
}

#[test]
fn an_empty_batch_has_no_answers() {
    let outputs = run(Mode::HighConfidence, &[], &[]).unwrap();
    assert_eq!(outputs.get("label").unwrap().shape(), [0]);
}

#[test]
fn inputs_that_disagree_are_another_stage_s_fault() {
    for (verdicts, wanted) in [(&["", ""][..], "1 rows, and verdict 2"), (&["gibberish"], "the label \"gibberish\"")] {
        match run(Mode::HighConfidence, &[row("png", 0.99)], verdicts) {
            Err(Failure::Internal(text)) => assert!(text.contains(wanted), "{text}"),
            other => panic!("{verdicts:?}: {other:?}"),
        }
    }
}

#[test]
fn refuses_assets_that_do_not_belong_together() {
    for (asset, from, to, wanted) in [
        ("config.min.json", "\"zig\"]", "\"zog\"]", "nothing is known of the label \"zog\""),
        ("config.min.json", "\"txt\"}", "\"text\"}", "nothing is known of the label \"text\""),
        ("config.min.json", "\"thresholds\"", "\"bounds\"", "missing field `thresholds`"),
        ("content_types_kb.min.json", "\"unknown\": {", "\"other\": {", "nothing is known of the label \"unknown\""),
        ("content_types_kb.min.json", "\"is_text\": true", "\"is_text\": 1", "invalid type"),
    ] {
        let change = |name: &str, text: &str| if asset == name { text.replacen(from, to, 1) } else { text.into() };
        let model = change("config.min.json", MODEL);
        let knowledge = change("content_types_kb.min.json", KNOWLEDGE);
        let error = plugin(&model, &knowledge, Mode::default()).err().unwrap();
        assert!(error.contains(wanted), "{from} -> {to}: {error}");
    }
    let error = plugin(
        r#"{"target_labels_space": [], "thresholds": {}, "medium_confidence_threshold": 0.5,
        "overwrite_map": {}}"#,
        KNOWLEDGE,
        Mode::default(),
    )
    .err()
    .unwrap();
    assert!(error.contains("names no label"), "{error}");
}

#[test]
fn modes_are_named_as_magika_names_them() {
    let config: Config = serde_json::from_str(r#"{"mode": "best_guess"}"#).unwrap();
    assert_eq!(config.mode, Mode::BestGuess);
    let config: Config = serde_json::from_str("{}").unwrap();
    assert_eq!(config.mode, Mode::HighConfidence);
    let error = serde_json::from_str::<Config>(r#"{"mode": "sure"}"#).err().unwrap().to_string();
    assert!(error.contains("sure") && error.contains("high_confidence"), "{error}");
}
