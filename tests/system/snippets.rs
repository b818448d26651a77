//! The clients' document: each example prints the output that the document shows.

use std::fs;
use std::process::Output;

use anyhow::{Context, Result, bail};
use system_tests::{Block, Reader, Start, blocks, component, example, prepared, repository};

/// A text that an example imports, and the environment that provides it.
const ENVIRONMENTS: [(&str, &str); 6] = [
    ("tritonclient.http", "BULKHEAD_CLIENTS"),
    ("tritonclient.grpc", "BULKHEAD_PYTHON_GRPC"),
    ("grpc_reflection", "BULKHEAD_PYTHON_GRPC"),
    ("tensorflow_serving", "BULKHEAD_PYTHON_TFSERVING"),
    ("kserve", "BULKHEAD_PYTHON_OTHERS"),
    ("ovmsclient", "BULKHEAD_PYTHON_OTHERS"),
];

#[test]
fn every_example_prints_the_documented_output() -> Result<()> {
    let blocks = blocks("clients.md")?;
    let manifest = blocks.iter().find(|block| block.language == "toml").context("the manifest of echo")?;
    let (digits, files) = example("digits")?;
    let (romanize, networks) = example("romanize")?;
    let start = Start::default().bundle(&digits, &files).bundle(&romanize, &networks);
    let host = start.bundle(&manifest.text, &[component("identity")]).start()?;
    let reader = Reader::of(&host)?;
    fs::copy(repository().join("examples/digits/held-out/00-is-2.png"), reader.folder.path().join("digit.png"))?;
    let mut ran = 0;
    for pair in blocks.windows(2).filter(|pair| matches!(&*pair[0].language, "sh" | "python" | "js")) {
        let [example, printed] = pair else { bail!("windows of two") };
        check(example, printed, &run(&reader, example)?)?;
        ran += 1;
    }
    assert!(ran >= 20, "{ran}");
    for (module, _) in ENVIRONMENTS {
        assert!(blocks.iter().any(|block| block.text.contains(module)), "no example of {module}");
    }
    Ok(())
}

fn run(reader: &Reader, example: &Block) -> Result<Output> {
    if example.language == "sh" {
        return reader.shell(&example.text);
    }
    if example.language == "js" {
        return reader.node(&prepared("BULKHEAD_PYTHON_OTHERS"), &example.text);
    }
    let environment = ENVIRONMENTS.iter().find(|(module, _)| example.text.contains(module));
    let (_, variable) = environment.with_context(|| format!("line {}: which environment?", example.line))?;
    reader.python(&prepared(variable), &example.text)
}

fn check(example: &Block, printed: &Block, output: &Output) -> Result<()> {
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = example.line;
    anyhow::ensure!(printed.language == "text", "the example in line {line} has nothing beside it that it prints");
    anyhow::ensure!(output.status.success(), "the example in line {line} failed:\n{said}\n{errors}");
    let same = is_like(said.trim_end(), printed.text.trim_end());
    anyhow::ensure!(same, "the example in line {line} prints\n{said}\nand not\n{}\n{errors}", printed.text);
    Ok(())
}

/// True if the text matches the pattern, in which `…` stands for any text.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
        last = Some(part);
    }
    // The text after the last `…` must be the end.
    rest.is_empty() || last.is_some_and(|last| text.ends_with(last))
}

#[test]
fn three_dots_stand_for_anything() {
    for (text, pattern, like) in [
        ("a 1 b", "a … b", true),
        ("a 1 b", "a 1 b", true),
        ("a 1 b", "a", false),
        ("a 1 b", "a …", true),
        ("a b b", "a … b", true),
        ("a 1 c", "a … b", false),
    ] {
        assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
    }
}
