//! Label files: each names the classes of an output, one a line.

use std::collections::BTreeMap;

use super::Bundle;
use super::error::{ActivateError, LabelsError, MAX_LABEL, MAX_LINES};
use super::manifest::PipelineEntry;
use crate::pipeline::Labels;
use crate::tenant::Reservation;
use crate::tensor::{self, Signature};

/// Memory of a label in addition to its text: the `String`, and the allocator's overhead.
const LABEL_BYTES: u64 = (size_of::<String>() + 16) as u64;

/// Reads the labels of classes, by output. Their memory is counted before they are stored.
pub(super) fn read(
    entry: &PipelineEntry,
    bundle: &Bundle,
    signature: &Signature,
    reservation: &mut Reservation,
) -> Result<BTreeMap<String, Labels>, ActivateError> {
    let mut read = BTreeMap::new();
    for (output, file) in &entry.labels {
        if !signature.outputs.iter().any(|spec| *spec.name == **output) {
            let known = tensor::names(&signature.outputs);
            return Err(LabelsError::OfNothing { output: output.clone(), known }.into());
        }
        let content = bundle.file(file)?;
        let (text, lines) = check(file, &content)?;
        reservation.add(text.len() as u64 + lines as u64 * LABEL_BYTES)?;
        let classes = text.lines().map(str::to_owned).collect();
        read.insert(output.clone(), Labels { file: file.clone(), classes });
    }
    Ok(read)
}

/// Checks a file, and returns its text and its number of lines.
fn check<'a>(file: &str, content: &'a [u8]) -> Result<(&'a str, usize), LabelsError> {
    let text = std::str::from_utf8(content).map_err(|_| LabelsError::NotText { file: file.into() })?;
    let lines = text.lines().count();
    if lines > MAX_LINES {
        return Err(LabelsError::Lines { file: file.into(), lines });
    }
    match text.lines().enumerate().find(|(_, label)| label.len() > MAX_LABEL) {
        None => Ok((text, lines)),
        Some((at, label)) => Err(LabelsError::Long { file: file.into(), line: at + 1, bytes: label.len() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_short_and_not_too_many() {
        assert_eq!(check("l", b"cat\ndog\n").unwrap().1, 2);
        check("l", "x".repeat(1024).as_bytes()).unwrap();
        let refused = |content: &[u8]| check("l.txt", content).unwrap_err().to_string();
        let long = format!("cat\n{}\ndog", "x".repeat(1025));
        assert_eq!(refused(long.as_bytes()), "labels: line 2 of l.txt has 1025 bytes; at most 1024 are allowed");
        assert_eq!(
            refused("\n".repeat(1_000_001).as_bytes()),
            "labels: l.txt has 1000001 lines; at most 1000000 are allowed"
        );
        assert_eq!(refused(b"\xff"), "labels: l.txt is not UTF-8");
    }
}
