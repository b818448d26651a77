//! Output of commands: JSON for programs; for people aligned tables, and foreign text that cannot steer the terminal.

use std::fmt::{self, Write};
use std::io::IsTerminal;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The form of a command's outcome, also of its failure.
#[derive(Args, Clone, Copy)]
pub(super) struct Output {
    /// Print the outcome as JSON: a list as an array, anything else as an object
    #[arg(long = "json", global = true)]
    pub json: bool,
}

/// A mistake in the command line that is found after the arguments were read. The exit code is that of a wrong argument.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub String);

/// A failure with JSON of its own, such as the host's refusal.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub text: String,
    pub json: Value,
}

impl Output {
    /// Prints an outcome: as JSON with `--json`, otherwise the text that `for_people` makes of it.
    pub(super) fn tell(self, outcome: &Value, for_people: impl FnOnce(&Value) -> String) -> Result<()> {
        match self.json {
            true => super::print(&serde_json::to_string_pretty(outcome)?),
            false => super::print(&for_people(outcome)),
        }
    }

    /// Prints why a command failed: with `--json` also as JSON, of the form of the host's refusals.
    pub(super) fn tell_failure(self, error: &anyhow::Error) {
        if self.json {
            let local = || json!({ "error": format!("{error:#}"), "code": "command_failed" });
            let json = error.downcast_ref::<Failure>().map_or_else(local, |failure| failure.json.clone());
            // A failure to print is ignored: the exit code reports the error, too.
            let _ = super::print(&json.to_string());
        }
        eprintln!("bulkhead: {error:#}");
    }
}

/// Digits of a digest or of a key's hint that tables show; commands accept them in the place of all 64.
const SHORT: usize = 12;

/// The first digits of a digest or of a key's hint.
pub(super) fn short(digest: &Value) -> String {
    let text = cell(digest);
    let digits = text.strip_prefix("sha256:").unwrap_or(&text);
    digits.chars().take(SHORT).collect()
}

/// Escapes characters that would move the cursor, or hide or reorder letters: others may have written the text.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}

/// The same as [`plain`], but line breaks stay.
pub(super) fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

/// A value of the host's JSON, on one line.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => plain(text),
        Value::Array(values) => list(values.iter().map(cell)),
        Value::Object(fields) => list(fields.iter().map(|(key, value)| format!("{}={}", plain(key), cell(value)))),
        other => other.to_string(),
    }
}

pub(super) fn list(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "-".into() } else { parts.join(", ") }
}

/// The elements of an array; none for any other value.
pub(super) fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The fields of an object; none for any other value.
pub(super) fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// A table whose columns are as wide as their widest cell, where some letters take two columns. On a terminal that is narrower
/// than the table, the widest columns are made narrower, and their cells continue on further lines.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// The first column of numbers; they are aligned at the right.
    numbers: usize,
}

impl Table {
    pub(super) fn new<const N: usize>(heads: [&str; N]) -> Table {
        Table { rows: vec![heads.map(str::to_uppercase).into()], numbers: N }
    }

    /// Makes the last columns, as many as given, columns of numbers.
    pub(super) fn with_numbers(mut self, columns: usize) -> Table {
        self.numbers -= columns;
        self
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The table, or the given text if it has no rows.
    pub(super) fn or(self, nothing: &str) -> String {
        if self.rows.len() == 1 { nothing.into() } else { self.to_string().trim_end().into() }
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].width()).max().unwrap_or_default()
    }
}

impl Table {
    /// The widths of the columns, in a table that is `most` wide if that is possible.
    fn widths(&self, most: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        loop {
            let total = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
            let widest = widths.iter_mut().max();
            match widest.filter(|widest| total > most && **widest > NARROWEST) {
                Some(widest) => *widest = (*widest - 1).max(NARROWEST),
                None => return widths,
            }
        }
    }

    fn render(&self, most: usize, coloured: bool) -> Result<String, fmt::Error> {
        let widths = self.widths(most);
        let mut table = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<Vec<String>> = row.iter().zip(&widths).map(|(text, width)| wrap(text, *width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                let mut shown = String::new();
                for (column, (parts, width)) in cells.iter().zip(&widths).enumerate() {
                    let text = parts.get(line).map_or("", String::as_str);
                    let gap = " ".repeat(width.saturating_sub(text.width()));
                    let colour = if number == 0 { Some(BOLD) } else { colour(&row[column]) };
                    let text = match colour.filter(|_| coloured && !text.is_empty()) {
                        Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
                        None => text.to_owned(),
                    };
                    let (before, after) = if column < self.numbers { ("", &*gap) } else { (&*gap, "") };
                    write!(shown, "{before}{text}{after}{:GAP$}", "")?;
                }
                writeln!(table, "{}", shown.trim_end())?;
            }
        }
        Ok(table)
    }
}

/// Spaces between two columns.
const GAP: usize = 2;

/// Width below which no column is made narrower, so that a digest's first digits stay on one line.
const NARROWEST: usize = SHORT;

/// The lines of a cell that is at most `width` wide, broken at spaces where that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
    for word in text.split_inclusive(' ') {
        if !line.is_empty() && used + word.trim_end().width() > width {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or_default();
            if letter != ' ' && used + wide > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(letter);
            used += wide;
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_terminal = std::io::stdout().is_terminal();
        let coloured = on_terminal && std::env::var_os("NO_COLOR").is_none();
        // A program that reads the table gets one line for each row.
        let width = terminal_size::terminal_size().filter(|_| on_terminal);
        let most = width.map_or(usize::MAX, |(width, _)| usize::from(width.0));
        f.write_str(&self.render(most, coloured)?)
    }
}

const BOLD: u8 = 1;

/// Colours of the states that an operator looks for.
fn colour(state: &str) -> Option<u8> {
    match state {
        "ready" | "active" | "valid" => Some(32),
        "loading" | "inactive" | "retired" | "not yet" => Some(33),
        "failed" | "revoked" | "disabled" | "expired" | "ended" | "damaged" => Some(31),
        _ => None,
    }
}

fn steers(character: char) -> bool {
    let invisible = ['\u{61c}', '\u{feff}'].contains(&character)
        || ('\u{200b}'..='\u{200f}').contains(&character)
        || ('\u{2028}'..='\u{202e}').contains(&character)
        || ('\u{2060}'..='\u{206f}').contains(&character);
    character.is_control() || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\u{202e}c\r\n"), "a\\u{1b}[2Jb\\u{202e}c\\r\\n");
        assert_eq!(plain_lines("größer …\nzwei\x07"), "größer …\nzwei\\u{7}");
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["name", "requests"]).with_numbers(1);
        table.row(["a".into(), "7".into()]);
        table.row(["lönger".into(), "1000".into()]);
        assert_eq!(table.or("none"), "NAME    REQUESTS\na              7\nlönger      1000");
        assert_eq!(Table::new(["name"]).or("none"), "none");
        let mut wide = Table::new(["name", "tenant"]);
        wide.row(["数字".into(), "a".into()]);
        wide.row(["digits".into(), "b".into()]);
        assert_eq!(wide.or("none"), "NAME    TENANT\n数字    a\ndigits  b");
    }

    #[test]
    fn a_wide_table_fits_the_terminal() {
        let mut table = Table::new(["model", "versions", "labels"]);
        table.row([
            "digits".into(),
            "1.0.0 ready, 1.1.0 ready, 1.2.0 failed".into(),
            "stable=1.0.0, canary=1.1.0".into(),
        ]);
        let wrapped = table.render(40, false).unwrap();
        assert!(wrapped.lines().all(|line| line.width() <= 40), "{wrapped}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(words(&wrapped), words(&table.render(usize::MAX, false).unwrap()), "nothing is left out");
        assert_eq!(table.render(usize::MAX, false).unwrap().lines().count(), 2);
        assert_eq!(wrap("数字数字", 4), ["数字", "数字"]);
        // A look at the whole line for each letter would take far longer than a test may.
        assert_eq!(wrap(&"x".repeat(4 << 20), 2 << 20).len(), 2);
        assert_eq!(short(&json!("sha256:0123456789abcdef")), "0123456789ab");
    }
}
