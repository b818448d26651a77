//! A reader of TOML tables. It reads key by key into typed fields, and collects every mistake, unknown keys included.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::address::{is_name, is_origin, parse_address};
use super::log_level::parse_directives;
use super::units;

/// All mistakes in a configuration, one per line.
#[derive(Debug, PartialEq)]
pub struct ConfigErrors(Vec<String>);

impl ConfigErrors {
    pub fn one(text: String) -> Self {
        ConfigErrors(vec![text])
    }

    pub(super) fn named(self, file: &Path) -> Self {
        ConfigErrors(self.0.into_iter().map(|mistake| format!("{}: {mistake}", file.display())).collect())
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Likeness of two keys, from 0 to 1, above which one is taken for a slip of the other.
const ALIKE: f64 = 0.85;

/// A table that is being read. Each key is taken out once, and keys that are left at the end are unknown.
pub(super) struct Section {
    name: String,
    table: Table,
    known: Vec<&'static str>,
    mistakes: Vec<String>,
}

impl Section {
    pub(super) fn parse(text: &str) -> Result<Section, ConfigErrors> {
        let table = text.parse::<Table>().map_err(|error| ConfigErrors::one(error.to_string().trim_end().into()))?;
        Ok(Section::new(String::new(), table))
    }

    /// Reads a JSON object with the same keys and units as a file.
    pub(super) fn from_json(object: &serde_json::Map<String, serde_json::Value>) -> Result<Section, ConfigErrors> {
        let mut table = Table::new();
        for (key, value) in object {
            let value = Value::try_from(value).map_err(|_| ConfigErrors::one(format!("{key} must not be {value}")))?;
            table.insert(key.clone(), value);
        }
        Ok(Section::new(String::new(), table))
    }

    fn new(name: String, table: Table) -> Section {
        Section { name, table, known: Vec::new(), mistakes: Vec::new() }
    }

    pub(super) fn section(&mut self, key: &'static str, read: impl FnOnce(&mut Section)) {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(other) => return self.mistake(key, "a table", &other),
        };
        let mut section = Section::new(format!("{}{key}.", self.name), table);
        read(&mut section);
        section.note_unknown_keys();
        self.mistakes.append(&mut section.mistakes);
    }

    /// Reports that a key is missing which other keys of the section require.
    pub(super) fn missing(&mut self, key: &str, why: &str) {
        self.mistakes.push(format!("{}{key} is missing: {why}", self.name));
    }

    pub(super) fn finish(mut self) -> Result<(), ConfigErrors> {
        self.note_unknown_keys();
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigErrors(self.mistakes)) }
    }

    /// A level of the log, or directives.
    pub(super) fn directives(&mut self, key: &'static str, place: &mut String) {
        self.read(key, place, |value| parse_directives(value.as_str().unwrap_or_default()));
    }

    pub(super) fn path(&mut self, key: &'static str, place: &mut Option<PathBuf>) {
        self.read(key, place, |value| {
            let text = value.as_str().filter(|text| !text.is_empty());
            text.map(|text| Some(PathBuf::from(text))).ok_or_else(|| "a path".into())
        });
    }

    /// A list of names of hosts, without ports.
    pub(super) fn host_names(&mut self, key: &'static str, place: &mut Vec<String>) {
        self.texts(key, place, is_name, "a list of names without ports, such as [\"models.example.com\"]");
    }

    /// A list of origins of web pages, in the form in which browsers send them, or `*`.
    pub(super) fn origins(&mut self, key: &'static str, place: &mut Vec<String>) {
        let wanted = "a list of origins such as [\"https://app.example.com\"], without a path or a slash at the end and in lower case, or [\"*\"]";
        self.texts(key, place, |text| text == "*" || is_origin(text), wanted);
    }

    fn texts(&mut self, key: &'static str, place: &mut Vec<String>, fits: fn(&str) -> bool, wanted: &str) {
        self.read(key, place, |value| {
            let text = |value: &Value| value.as_str().filter(|text| fits(text)).map(str::to_owned);
            let texts = value.as_array().and_then(|values| values.iter().map(text).collect());
            texts.ok_or_else(|| wanted.to_owned())
        });
    }

    pub(super) fn address(&mut self, key: &'static str, place: &mut SocketAddr) {
        self.read(key, place, |value| parse_address(value.as_str().unwrap_or_default()));
    }

    pub(super) fn duration(&mut self, key: &'static str, place: &mut Duration) {
        self.read(key, place, |value| units::parse_duration(value.as_str().unwrap_or_default()));
    }

    /// A time that may be `0s`.
    pub(super) fn duration_or_none(&mut self, key: &'static str, place: &mut Duration) {
        self.read(key, place, |value| match value.as_str().unwrap_or_default().trim() {
            "0" | "0s" => Ok(Duration::ZERO),
            text => units::parse_duration(text).map_err(|wanted| format!("\"0s\", or {wanted}")),
        });
    }

    pub(super) fn bytes(&mut self, key: &'static str, range: RangeInclusive<u64>, place: &mut u64) {
        self.read(key, place, |value| {
            let bytes = whole(value, units::parse_bytes)?;
            if range.contains(&bytes) {
                return Ok(bytes);
            }
            let (low, high) = (units::format_bytes(*range.start()), units::format_bytes(*range.end()));
            Err(format!("a size from {low} to {high}"))
        });
    }

    pub(super) fn count(&mut self, key: &'static str, range: RangeInclusive<u64>, place: &mut u64) {
        self.read(key, place, |value| {
            let count = whole(value, units::parse_count)?;
            if range.contains(&count) {
                return Ok(count);
            }
            let (low, high) = (units::format_count(*range.start()), units::format_count(*range.end()));
            Err(format!("a count from {low} to {high}"))
        });
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<usize>, place: &mut usize) {
        self.read(key, place, |value| {
            let number = value.as_integer().and_then(|n| usize::try_from(n).ok());
            let number = number.filter(|n| range.contains(n));
            number.ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
        });
    }

    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)], place: &mut T) {
        self.read(key, place, |value| {
            let chosen = choices.iter().find(|(name, _)| value.as_str() == Some(name));
            let names = || choices.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
            chosen.map(|(_, choice)| *choice).ok_or_else(names)
        });
    }

    fn read<T>(&mut self, key: &'static str, place: &mut T, parse: impl FnOnce(&Value) -> Result<T, String>) {
        let Some(value) = self.take(key) else { return };
        match parse(&value) {
            Ok(parsed) => *place = parsed,
            Err(wanted) => self.mistake(key, &wanted, &value),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// Adds a mistake that only its reader can see.
    pub(super) fn refuse(&mut self, mistake: String) {
        self.mistakes.push(mistake);
    }

    fn mistake(&mut self, key: &str, wanted: &str, got: &Value) {
        self.mistakes.push(format!("{}{key} must be {wanted}, not {got}", self.name));
    }

    fn note_unknown_keys(&mut self) {
        for key in self.table.keys() {
            let alike = self.known.iter().map(|known| (strsim::jaro_winkler(known, key), known));
            let nearest = alike.max_by(|one, other| one.0.total_cmp(&other.0)).filter(|(alike, _)| *alike > ALIKE);
            let hint = match nearest.map(|(_, known)| known) {
                Some(nearest) => format!("did you mean \"{nearest}\"?"),
                None => format!("the known keys are {}", self.known.join(", ")),
            };
            let place = match self.name.trim_end_matches('.') {
                "" => String::new(),
                section => format!(" of [{section}]"),
            };
            self.mistakes.push(format!("there is no key \"{key}\"{place}; {hint}"));
        }
    }
}

/// Reads a number, or a string with a unit.
fn whole(value: &Value, parse: impl FnOnce(&str) -> Result<u64, String>) -> Result<u64, String> {
    match value {
        Value::Integer(number) => parse(&number.to_string()),
        Value::String(text) => parse(text),
        _ => parse(""),
    }
}
