//! Descriptions of the labels: Magika's `content_types_kb.min.json`, with missing fields filled in as Magika does.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;

/// A file type.
#[derive(Debug)]
pub(crate) struct Kind {
    pub label: String,
    pub mime_type: String,
    pub group: String,
    pub description: String,
    pub is_text: bool,
}

pub(crate) struct Knowledge(BTreeMap<String, Rc<Kind>>);

#[derive(Deserialize)]
struct Entry {
    mime_type: Option<String>,
    group: Option<String>,
    description: Option<String>,
    is_text: bool,
}

impl Knowledge {
    pub(crate) fn parse(text: &str) -> Result<Knowledge, String> {
        let entries: BTreeMap<String, Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let kinds = entries.into_iter().map(|(label, entry)| (label.clone(), Rc::new(Kind::of(label, entry))));
        Ok(Knowledge(kinds.collect()))
    }

    pub(crate) fn find(&self, label: &str) -> Result<&Rc<Kind>, String> {
        self.0.get(label).ok_or_else(|| format!("nothing is known of the label \"{label}\""))
    }
}

impl Kind {
    fn of(label: String, entry: Entry) -> Kind {
        let any = if entry.is_text { "text/plain" } else { "application/octet-stream" };
        Kind {
            mime_type: entry.mime_type.unwrap_or_else(|| any.into()),
            group: entry.group.unwrap_or_else(|| "unknown".into()),
            description: entry.description.unwrap_or_else(|| label.clone()),
            is_text: entry.is_text,
            label,
        }
    }
}
