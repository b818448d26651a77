//! The log: its level, and the form of its lines.

use super::reader::Section;

#[derive(Clone, Debug)]
pub struct Log {
    /// A level, or directives as in `warn,bulkhead=debug`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Log {
    pub(super) fn read(&mut self, section: &mut Section) {
        section.directives("level", &mut self.level);
        section.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)], &mut self.format);
    }
}
