//! Expected values are what Magika 1.0.3 gives for the same bytes with the same sizes.

use bulkhead_guest::prelude::*;
use bulkhead_guest::testing;

use super::{Config, FileFeatures};

/// Like a real model's configuration, but with a block of 16 bytes instead of 4096.
const MODEL: &str = r#"{"beg_size": 8, "mid_size": 0, "end_size": 8, "use_inputs_at_offsets": false,
    "padding_token": 256, "min_file_size_for_dl": 4, "block_size": 16,
    "target_labels_space": ["txt"], "version_major": 3}"#;

fn plugin(model: &str, batch: i64) -> Result<FileFeatures, String> {
    testing::asset("config.min.json", model);
    FileFeatures::init(Config { batch, ..Config::default() }).map_err(|error| error.to_string())
}

fn run(files: &[&[u8]]) -> Outputs {
    let files = Tensor::bytes(&[files.len() as u64], files).unwrap();
    plugin(MODEL, -1).unwrap().process(Inputs::from([("file", files)]), &Parameters::default()).unwrap()
}

/// The tokens of each file as bytes, with `~` for padding, and its verdict.
fn seen(outputs: &Outputs) -> Vec<(Vec<u8>, String)> {
    let features = outputs.get("features").unwrap().view::<i32>().unwrap();
    let verdicts = outputs.get("verdict").unwrap().byte_strings().unwrap();
    assert_eq!(features.shape(), [verdicts.len() as u64, 16]);
    let byte = |token: &i32| if *token == 256 { b'~' } else { u8::try_from(*token).unwrap() };
    let tokens = features.rows().map(|row| row.iter().map(byte).collect());
    tokens.zip(verdicts.into_iter().map(|verdict| String::from_utf8(verdict).unwrap())).collect()
}

#[track_caller]
fn check(file: &[u8], tokens: &[u8; 16], verdict: &str) {
    assert_eq!(seen(&run(&[file])), [(tokens.to_vec(), verdict.to_string())], "{}", file.escape_ascii());
}

#[test]
fn takes_both_ends_of_a_file() {
    check(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"01234567STUVWXYZ", "");
    check(b"        abcdefghijklmnopqrst     ", b"abcdefghmnopqrst", "");
}

#[test]
fn the_ends_of_a_short_file_overlap_and_are_padded() {
    check(b"abcdefghij", b"abcdefghcdefghij", "");
    check(b" abcd", b"abcd~~~~~~~ abcd", "");
}

#[test]
fn only_the_outer_white_space_of_each_end_goes() {
    check(b" \t\n\x0b\x0c\rabcd  ", b"abcd  ~~\n\x0b\x0c\rabcd", "");
    check(b"abc \t   ", b"abc \t   ~~~~~abc", "");
    check(b"\x1c\x85abc\xa0", b"\x1c\x85abc\xa0~~~~\x1c\x85abc\xa0", "");
}

#[test]
fn a_file_with_too_little_in_it_gets_its_verdict_here() {
    check(b"", b"~~~~~~~~~~~~~~~~", "empty");
    check(b"ab", b"ab~~~~~~~~~~~~ab", "txt");
    check(b"ab\xff", b"ab\xff~~~~~~~~~~ab\xff", "unknown");
    check(b" abc", b"abc~~~~~~~~~ abc", "txt");
    check(b"        ", b"~~~~~~~~~~~~~~~~", "txt");
}

#[test]
fn white_space_for_a_whole_block_hides_what_comes_after() {
    check(b"                abcdefghijkl                   ", b"~~~~~~~~~~~~~~~~", "txt");
}

#[test]
fn a_block_that_ends_within_a_character_is_no_text() {
    check("               \u{e9}abcd".as_bytes(), b"\xc3~~~~~~~  \xc3\xa9abcd", "unknown");
}

#[test]
fn a_batch_is_its_files_one_by_one() {
    let files: [&[u8]; 4] = [b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"", b" abcd", b"ab\xff"];
    let alone: Vec<_> = files.iter().flat_map(|file| seen(&run(&[file]))).collect();
    assert_eq!(seen(&run(&files)), alone);
    assert_eq!(seen(&run(&[])), []);
}

#[test]
fn the_signature_tells_how_many_files_it_takes() {
    let signature = plugin(MODEL, 1).unwrap().signature();
    assert_eq!(signature.inputs[0].shape, [1]);
    assert_eq!(signature.outputs[0].shape, [1, 16]);
}

#[test]
fn refuses_a_model_that_it_would_serve_wrongly() {
    for (from, to, wanted) in [
        ("\"mid_size\": 0", "\"mid_size\": 4", "mid_size is 4"),
        ("offsets\": false", "offsets\": true", "use_inputs_at_offsets is true"),
        ("\"beg_size\": 8", "\"beg_size\": 16", "beg_size is 16, and must be less than block_size, 16"),
        ("\"end_size\": 8", "\"end_size\": 17", "end_size is 17"),
        ("dl\": 4", "dl\": 9", "between 1 and beg_size, 8"),
        ("dl\": 4", "dl\": 0", "min_file_size_for_dl is 0"),
        ("256", "0", "padding_token is 0"),
        ("\"beg_size\": 8,", "", "missing field `beg_size`"),
    ] {
        let error = plugin(&MODEL.replacen(from, to, 1), -1).err().unwrap();
        assert!(error.contains(wanted) && error.contains("config.min.json"), "{from} -> {to}: {error}");
    }
}

#[test]
fn refuses_a_batch_that_is_none() {
    for batch in [0, -2] {
        let error = plugin(MODEL, batch).err().unwrap();
        assert!(error.contains(&format!("batch is {batch}")), "{error}");
    }
}
