//! HTTP replies, and the HTTP client that all tests share.

use std::io::Read;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

/// An HTTP reply of any status.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub bytes: Vec<u8>,
    /// `bytes` as text, with invalid UTF-8 replaced.
    pub body: String,
}

impl Reply {
    pub(crate) fn from(mut response: ureq::http::Response<ureq::Body>) -> Result<Reply> {
        let header = |(name, value): (&ureq::http::HeaderName, &ureq::http::HeaderValue)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let headers = response.headers().iter().map(header).collect();
        let mut bytes = Vec::new();
        response.body_mut().as_reader().read_to_end(&mut bytes)?;
        let body = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Reply { status: response.status().as_u16(), headers, bytes, body })
    }

    /// An error unless the status is 200.
    pub fn ok(self) -> Result<Reply> {
        anyhow::ensure!(self.status == 200, "{self:?}");
        Ok(self)
    }

    /// An error unless the reply has this status and code, and an error text that contains all of these parts.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str, parts: &[&str]) -> Result<Reply> {
        let body = self.json();
        let text = body["error"].as_str().unwrap_or_default();
        let told = self.status == status && body["code"] == code && parts.iter().all(|part| text.contains(part));
        let caller = std::panic::Location::caller();
        anyhow::ensure!(told, "{caller}: expected {status} {code} {parts:?}, got: {self:?}");
        Ok(self)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The data of an output, which must exist.
    pub fn output(&self, name: &str) -> Vec<Value> {
        let body = self.json();
        let outputs = body["outputs"].as_array().unwrap_or_else(|| panic!("{self:?}"));
        let output =
            outputs.iter().find(|output| output["name"] == name).unwrap_or_else(|| panic!("no {name}: {self:?}"));
        output["data"].as_array().unwrap_or_else(|| panic!("{self:?}")).clone()
    }
}

pub(crate) fn agent() -> &'static ureq::Agent {
    static AGENT: std::sync::OnceLock<ureq::Agent> = std::sync::OnceLock::new();
    AGENT.get_or_init(|| {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        config.timeout_global(Some(Duration::from_secs(120))).max_idle_connections_per_host(64).build().into()
    })
}
