//! `/v2/logging` and `/v2/trace/setting`: the settings that an operator may change while the host runs.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Method;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::level_filters::LevelFilter;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::http::request_body::BodyReader;
use crate::telemetry::log::{self, Level, LogError};

/// Settings of the log. A level includes all more severe ones: a log with information has warnings and errors, too.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct LogSettings {
    /// Always empty, because the log goes to standard error.
    log_file: &'static str,
    log_info: bool,
    log_warning: bool,
    log_error: bool,
    /// 0 for none, 1 for debug, 2 for trace.
    log_verbose_level: u64,
    log_format: &'static str,
    /// The level, or the directives, as in the configuration.
    log_level: String,
}

/// Changes to the settings of the log. A field that is absent or null stays as it is. `log_level` takes precedence over the
/// other levels.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogChanges {
    log_file: Option<String>,
    log_info: Option<bool>,
    log_warning: Option<bool>,
    log_error: Option<bool>,
    log_verbose_level: Option<u8>,
    log_format: Option<String>,
    log_level: Option<String>,
}

const LOG_FORMAT: &str = "default";

/// Answers `/v2/logging`; the caller must have checked the role.
pub(crate) async fn logging(bodies: &BodyReader, head: &Parts, body: Body) -> Result<LogSettings, ApiError> {
    match head.method {
        Method::POST => change_log(bodies.read_json(&head.headers, body).await?),
        _ => log_settings(),
    }
}

/// Answers `/v2[/models/M]/trace/setting`; the caller must have checked the role.
pub(crate) async fn tracing(bodies: &BodyReader, head: &Parts, body: Body) -> Result<TraceSettings, ApiError> {
    match head.method {
        Method::POST => change_trace(&bodies.read_json(&head.headers, body).await?),
        _ => Ok(trace_settings()),
    }
}

pub(crate) fn log_settings() -> Result<LogSettings, ApiError> {
    Ok(LogSettings::of(log::level()?))
}

pub(crate) fn change_log(changes: LogChanges) -> Result<LogSettings, ApiError> {
    let current = log_settings()?;
    if let Some(level) = changes.log_level.clone().map_or_else(|| changes.level(&current), |level| Ok(Some(level)))? {
        log::set_level(&level)?;
        tracing::info!(level, "the log level was changed");
    }
    log_settings()
}

impl LogSettings {
    fn of(level: Level) -> LogSettings {
        let verbose = if level.most >= LevelFilter::TRACE { 2 } else { u64::from(level.most >= LevelFilter::DEBUG) };
        LogSettings {
            log_file: "",
            log_info: level.most >= LevelFilter::INFO,
            log_warning: level.most >= LevelFilter::WARN,
            log_error: level.most >= LevelFilter::ERROR,
            log_verbose_level: verbose,
            log_format: LOG_FORMAT,
            log_level: level.directives,
        }
    }
}

impl LogChanges {
    /// The level that the changes ask for; `None` if it is the current one.
    fn level(&self, current: &LogSettings) -> Result<Option<String>, ApiError> {
        if self.log_file.as_ref().is_some_and(|file| !file.is_empty()) {
            return Err(refuse("\"log_file\"", "lines go to standard error: collect them there"));
        }
        if self.log_format.as_ref().is_some_and(|format| format != LOG_FORMAT) {
            return Err(refuse("\"log_format\"", "choose text or json with log.format when the host starts"));
        }
        let verbose = self.log_verbose_level.map_or(current.log_verbose_level, u64::from);
        let wanted = [
            (self.log_error.unwrap_or(current.log_error), "error"),
            (self.log_warning.unwrap_or(current.log_warning), "warn"),
            (self.log_info.unwrap_or(current.log_info), "info"),
            (verbose >= 1, "debug"),
            (verbose >= 2, "trace"),
        ];
        let given = wanted.iter().take_while(|(on, _)| *on).count();
        if let Some((_, gap)) = wanted[given..].iter().find(|(on, _)| *on) {
            let what = format!("\"{gap}\" without \"{}\"", wanted[given].1);
            return Err(refuse(&what, "a level contains those before it: error, warning, info, verbose 1, verbose 2"));
        }
        let before = [
            current.log_error,
            current.log_warning,
            current.log_info,
            current.log_verbose_level >= 1,
            current.log_verbose_level >= 2,
        ];
        let same = before.iter().filter(|on| **on).count() == given;
        let level = given.checked_sub(1).map_or("off", |last| wanted[last].1);
        Ok((!same).then(|| level.to_owned()))
    }
}

fn refuse(what: &str, instead: &'static str) -> ApiError {
    ApiError::NotSupported { what: format!("setting {what}"), instead }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Directives { .. } => ApiError::Setting { why: format!("log_level {error}") },
            LogError::NotOurs | LogError::Thread(_) => ApiError::Log(error),
        }
    }
}

/// Settings of traces. Requests are not traced: each has a line in the log, and each stage a histogram in the metrics. The
/// values are Triton's defaults, so that a client that resets the settings to them changes nothing.
#[derive(Serialize, ToSchema)]
pub(crate) struct TraceSettings {
    trace_file: &'static str,
    trace_level: [&'static str; 1],
    trace_rate: &'static str,
    trace_count: &'static str,
    log_frequency: &'static str,
    trace_mode: &'static str,
}

fn trace_settings() -> TraceSettings {
    TraceSettings {
        trace_file: "",
        trace_level: ["OFF"],
        trace_rate: "1000",
        trace_count: "-1",
        log_frequency: "0",
        trace_mode: "triton",
    }
}

/// Accepts changes that leave the settings as they are, and refuses others. `null` resets a setting of a model to that of
/// all models, and is accepted.
pub(crate) fn change_trace(changes: &BTreeMap<String, Value>) -> Result<TraceSettings, ApiError> {
    let current = trace_settings();
    for (name, value) in changes {
        let same = match name.as_str() {
            "trace_file" => value == current.trace_file,
            "trace_level" => *value == Value::from(current.trace_level.to_vec()) || value == current.trace_level[0],
            "trace_rate" => value == current.trace_rate,
            "trace_count" => value == current.trace_count,
            "log_frequency" => value == current.log_frequency,
            "trace_mode" => value == current.trace_mode,
            other => {
                let known = "trace_file, trace_level, trace_rate, trace_count, log_frequency, trace_mode";
                return Err(ApiError::Setting {
                    why: format!("there is no trace setting \"{other}\"; the settings are: {known}"),
                });
            }
        };
        if !same && !value.is_null() {
            return Err(refuse(
                &format!("\"{name}\" to {value}"),
                "requests are not traced: look at /metrics and at the log",
            ));
        }
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(most: LevelFilter) -> LogSettings {
        LogSettings::of(Level { directives: "as it was".into(), most })
    }

    fn level(current: LevelFilter, changes: LogChanges) -> Result<Option<String>, String> {
        changes.level(&settings(current)).map_err(|error| error.to_string())
    }

    #[test]
    fn switches_become_levels() {
        let verbose = |level| LogChanges { log_verbose_level: Some(level), ..LogChanges::default() };
        assert_eq!(level(LevelFilter::INFO, verbose(1)), Ok(Some("debug".into())));
        assert_eq!(level(LevelFilter::INFO, verbose(7)), Ok(Some("trace".into())));
        assert_eq!(level(LevelFilter::TRACE, verbose(0)), Ok(Some("info".into())));
        assert_eq!(level(LevelFilter::INFO, verbose(0)), Ok(None), "directives that say the same stay");
        assert_eq!(level(LevelFilter::INFO, LogChanges::default()), Ok(None));
        let quiet = LogChanges { log_info: Some(false), log_verbose_level: Some(0), ..LogChanges::default() };
        assert_eq!(level(LevelFilter::DEBUG, quiet), Ok(Some("warn".into())));
        let off = LogChanges {
            log_info: Some(false),
            log_warning: Some(false),
            log_error: Some(false),
            ..LogChanges::default()
        };
        assert_eq!(level(LevelFilter::INFO, off), Ok(Some("off".into())));
    }

    #[test]
    fn impossible_settings_are_refused_with_a_reason() {
        let gap = LogChanges { log_warning: Some(false), ..LogChanges::default() };
        let error = level(LevelFilter::INFO, gap).unwrap_err();
        assert!(error.contains("\"info\" without \"warn\""), "{error}");
        let file = LogChanges { log_file: Some("/etc/passwd".into()), ..LogChanges::default() };
        assert!(level(LevelFilter::INFO, file).unwrap_err().contains("standard error"));
        let traced = BTreeMap::from([("trace_level".to_owned(), Value::from(vec!["TIMESTAMPS"]))]);
        assert!(change_trace(&traced).is_err());
        let same = BTreeMap::from([
            ("trace_level".to_owned(), Value::from(vec!["OFF"])),
            ("trace_rate".to_owned(), Value::Null),
            ("trace_count".to_owned(), Value::from("-1")),
        ]);
        assert!(change_trace(&same).is_ok());
    }
}
