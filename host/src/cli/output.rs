//! Output of commands for people: aligned tables, and foreign text that cannot steer the terminal.

use std::fmt::{self, Write};
use std::io::IsTerminal;

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

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

/// A table whose columns are as wide as their widest cell on a terminal, where some letters take two columns.
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

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let coloured = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (column, (text, width)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width - text.width());
                let colour = if number == 0 { Some(BOLD) } else { colour(text) };
                let text = match colour.filter(|_| coloured) {
                    Some(colour) => format!("\x1b[{colour}m{text}\x1b[0m"),
                    None => text.clone(),
                };
                let (before, after) = if column < self.numbers { ("", &*gap) } else { (&*gap, "") };
                write!(line, "{before}{text}{after}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

const BOLD: u8 = 1;

/// Colours of the states that an operator looks for.
fn colour(state: &str) -> Option<u8> {
    match state {
        "ready" | "active" | "valid" => Some(32),
        "loading" | "inactive" | "retired" => Some(33),
        "failed" | "revoked" | "disabled" | "expired" | "damaged" => Some(31),
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
}
