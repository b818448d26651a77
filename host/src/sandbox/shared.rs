//! The data of a plugin that its instances share.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::runtime::Model;

/// Immutable data that all instances of a plugin share.
pub(crate) struct Shared {
    pub model: Arc<str>,
    pub stage: Arc<str>,
    pub assets: BTreeMap<String, Bytes>,
    pub graphs: BTreeMap<String, Arc<dyn Model>>,
    /// True under `--dev`, where whoever calls the plugin may read the text of its panics.
    pub dev: bool,
}
