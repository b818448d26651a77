//! Conformance with ONNX: its own operator tests, and graphs whose results come from ONNX Runtime. Each has the same result
//! here or is refused when it is loaded; a different result, or an error in a run, fails a test.
//!
//! The programs in `tests/onnx` write the cases. With `BULKHEAD_ONNX_SHOW=refused` the tests print why cases are refused.

mod case;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use case::{Case, Outcome};

/// Folder of ONNX's operator tests.
const NODES: &str = "BULKHEAD_ONNX_NODES";

/// Folder of graphs of which runtimes are known to be wrong.
const GRAPHS: &str = "BULKHEAD_ONNX_GRAPHS";

/// Folder of scikit-learn's estimators.
const ESTIMATORS: &str = "BULKHEAD_ONNX_ESTIMATORS";

/// The kind of outcome whose cases are printed.
const SHOW: &str = "BULKHEAD_ONNX_SHOW";

/// The end of the name of a case that has the parameters of another as weights.
const WITH_WEIGHTS: &str = ".weights";

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operators.md");

struct Ran {
    name: String,
    operator: String,
    outcome: Outcome,
}

#[test]
fn every_operator_test_of_onnx_has_its_result_or_is_refused() {
    let ran = run_all(NODES);
    let table = table(&ran);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    let written = std::fs::read_to_string(TABLE).unwrap_or_default();
    assert!(written == table, "docs/operators.md is not what the tests show; write it with BLESS=1");
}

#[test]
fn graphs_have_the_results_of_onnx_runtime_or_are_refused() {
    run_all(GRAPHS);
}

#[test]
fn estimators_have_the_results_of_onnx_runtime_or_are_refused() {
    run_all(ESTIMATORS);
}

/// Runs the cases of a folder, and fails if one is wrong.
fn run_all(folder: &str) -> Vec<Ran> {
    let folder = std::env::var_os(folder).expect("run the tests with `cargo xtask test`");
    let mut folders: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "{} has no cases", folder.display());
    let ran: Vec<Ran> = folders.iter().map(|folder| run(folder)).collect();
    let shown = std::env::var(SHOW).unwrap_or_default();
    for Ran { name, operator, outcome } in ran.iter().filter(|ran| ran.outcome.kind() == shown) {
        println!("{operator} {name}: {}", outcome.text());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    ran.iter().for_each(|ran| *counts.entry(ran.outcome.kind()).or_default() += 1);
    println!("{counts:?}");
    let wrong = ran.iter().filter(|ran| matches!(ran.outcome, Outcome::Differs(_) | Outcome::Failed(_)));
    let wrong: Vec<String> = wrong.map(|ran| format!("{} {}", ran.name, ran.outcome.text())).collect();
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
    ran
}

fn run(folder: &Path) -> Ran {
    let case = Case::read(folder);
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let outcome = case.run();
    Ran { name, operator: case.operator, outcome }
}

/// Counts of an operator's tests: as they are, with parameters as weights, refused, not exchanged.
type Counts = [usize; 4];

fn table(ran: &[Ran]) -> String {
    let passes_with_weights: Vec<&str> = ran
        .iter()
        .filter(|ran| matches!(ran.outcome, Outcome::Passed))
        .filter_map(|ran| ran.name.strip_suffix(WITH_WEIGHTS))
        .collect();
    let mut counts: BTreeMap<&str, Counts> = BTreeMap::new();
    for case in ran.iter().filter(|ran| !ran.name.ends_with(WITH_WEIGHTS)) {
        let column = match case.outcome {
            Outcome::Passed => 0,
            Outcome::NotExchanged => 3,
            _ if passes_with_weights.contains(&case.name.as_str()) => 1,
            _ => 2,
        };
        counts.entry(&case.operator).or_default()[column] += 1;
    }
    let mut text = String::from(INTRODUCTION);
    let total = counts.values().fold(Counts::default(), |sum, own| std::array::from_fn(|at| sum[at] + own[at]));
    for (operator, [passed, with_weights, refused, not_exchanged]) in [("**all**", total)].into_iter().chain(counts) {
        let _ = writeln!(text, "| {operator} | {passed} | {with_weights} | {refused} | {not_exchanged} |");
    }
    text
}

const INTRODUCTION: &str = "\
# ONNX operators

This table is what ONNX's own operator tests show of the native runtime. It is written by a test
(`host/src/runtime/tract/conformance`), which runs each of them through the loader that serves models. No test gives a
different result, and none fails in a run: what this host does not compute as ONNX defines it is refused when a bundle is
uploaded, with the operator, the node and the reason.

- *pass*: the result is the expected one.
- *pass with weights*: an input that is a parameter, such as a shape or axes, has to be a weight of the graph, as exporters
  write it; a size that depends on values of a request is refused.
- *refused*: the operator, an attribute, a datatype or a version is not served.
- *not exchanged*: an input or output has a type that clients cannot exchange, such as a sequence or a text.

Operators of `ai.onnx.ml` and `com.microsoft` that are served are listed in `host/src/runtime/tract/onnx/table.rs`.

| operator | pass | pass with weights | refused | not exchanged |
|---|---:|---:|---:|---:|
";
