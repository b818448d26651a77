//! Tokenisation of a file for a Magika model. It follows `magika.py` of Magika 1.0.3 exactly; where that file's comments
//! differ from its code (the comments strip short files at both ends), it follows the code.

use serde::Deserialize;

use crate::ends::Ends;

/// The verdict that leaves the decision to the network.
const NO_VERDICT: &str = "";
const EMPTY: &str = "empty";
const TEXT: &str = "txt";
const BINARY: &str = "unknown";

/// The part of a model's `config.min.json` that describes its input. Sizes are in bytes of the file, one token each.
#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    beg_size: usize,
    mid_size: usize,
    end_size: usize,
    use_inputs_at_offsets: bool,
    /// Files with fewer bytes than this after leading white space are not given to the network.
    min_file_size_for_dl: usize,
    /// The token for a position without a byte.
    padding_token: i32,
    /// Bytes that are read at each end, before white space is stripped.
    pub block_size: u64,
}

impl Model {
    pub(crate) fn parse(config: &str) -> Result<Model, String> {
        let model: Model = serde_json::from_str(config).map_err(|error| error.to_string())?;
        model.check()?;
        Ok(model)
    }

    /// Number of tokens of a file.
    pub(crate) fn width(&self) -> usize {
        self.beg_size + self.end_size
    }

    /// Appends the tokens of a file: its beginning, padded at the end, then its end, padded at the start.
    pub(crate) fn tokenize(&self, ends: &Ends, tokens: &mut Vec<i32>) {
        let until = tokens.len() + self.width();
        let beginning = without_leading_space(&ends.head);
        let end = without_trailing_space(&ends.tail);
        let end = &end[end.len().saturating_sub(self.end_size)..];
        tokens.extend(beginning.iter().take(self.beg_size).copied().map(i32::from));
        tokens.resize(until - end.len(), self.padding_token);
        tokens.extend(end.iter().copied().map(i32::from));
    }

    /// The label of a file that is not given to the network, else `NO_VERDICT`. Text is detected with the white space
    /// included, and in the first block only: a block that ends within a character does not count as text.
    pub(crate) fn verdict(&self, ends: &Ends) -> &'static str {
        if without_leading_space(&ends.head).len() >= self.min_file_size_for_dl {
            return NO_VERDICT;
        }
        match std::str::from_utf8(&ends.head) {
            Ok("") => EMPTY,
            Ok(_) => TEXT,
            Err(_) => BINARY,
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.mid_size != 0 || self.use_inputs_at_offsets {
            let (mid_size, at_offsets) = (self.mid_size, self.use_inputs_at_offsets);
            return Err(format!(
                "the model looks into the middle of files (mid_size is {mid_size}, use_inputs_at_offsets is \
                 {at_offsets}); take one that sees their two ends only, as standard_v3_3 does"
            ));
        }
        self.check_end("beg_size", self.beg_size)?;
        self.check_end("end_size", self.end_size)?;
        if !(1..=self.beg_size).contains(&self.min_file_size_for_dl) {
            let (minimum, beg_size) = (self.min_file_size_for_dl, self.beg_size);
            return Err(format!("min_file_size_for_dl is {minimum}, and must be between 1 and beg_size, {beg_size}"));
        }
        if (0..=255).contains(&self.padding_token) {
            return Err(format!("padding_token is {}, and must not be the value of a byte", self.padding_token));
        }
        Ok(())
    }

    fn check_end(&self, name: &str, size: usize) -> Result<(), String> {
        let block = self.block_size;
        let fits = (size as u64) < block;
        if fits { Ok(()) } else { Err(format!("{name} is {size}, and must be less than block_size, {block}")) }
    }
}

/// True for the bytes that Python's `bytes.strip` removes. `u8::is_ascii_whitespace` lacks the vertical tab.
fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn without_leading_space(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| !is_space(byte)).unwrap_or(bytes.len());
    &bytes[first..]
}

fn without_trailing_space(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| !is_space(byte));
    &bytes[..last.map_or(0, |last| last + 1)]
}
