//! Files of the plugin's own bundle. The manifest lists them in `assets` and asks for `imports = ["assets"]`.

use crate::InitError;
use crate::backend;

/// The whole file, by its path as written in the manifest.
pub fn read(path: &str) -> Result<Vec<u8>, InitError> {
    backend::read_asset(path).map_err(InitError::from)
}

/// The whole file, which must be JSON of this type.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &str) -> Result<T, InitError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| format!("the asset {path} does not have the expected structure: {error}").into())
}

/// The whole file as text; an error when it is not UTF-8.
pub fn read_text(path: &str) -> Result<String, InitError> {
    String::from_utf8(read(path)?).map_err(|_| format!("the asset {path} is not UTF-8").into())
}
