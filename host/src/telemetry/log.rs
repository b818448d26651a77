//! The log, whose level can be changed while the host runs. There is one log in a process, and so one place that knows it.

use std::io::IsTerminal;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use crate::config::{Log, LogFormat};

/// The level, or the directives, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("must be a level or directives, not \"{directives}\": {error}")]
    Directives { directives: String, error: tracing_subscriber::filter::ParseError },
    #[error("the log of this process was not started by the host")]
    NotOurs,
}

static CONTROL: OnceLock<Control> = OnceLock::new();

struct Control {
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    level: Mutex<Level>,
}

/// What is logged.
#[derive(Clone, Debug)]
pub struct Level {
    /// As in the configuration.
    pub directives: String,
    /// The most that any of them lets through.
    pub most: LevelFilter,
}

/// Lines go to standard error from now on.
pub fn start(log: &Log) -> Result<(), LogError> {
    let (filter, level) = parse(&log.level)?;
    let (filter, handle) = reload::Layer::new(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::NotOurs)?;
    let replace = Box::new(move |filter| handle.reload(filter).is_ok());
    CONTROL.set(Control { replace, level: Mutex::new(level) }).map_err(|_| LogError::NotOurs)
}

pub fn level() -> Result<Level, LogError> {
    let control = CONTROL.get().ok_or(LogError::NotOurs)?;
    Ok(control.level.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// From the next line on.
pub fn set_level(directives: &str) -> Result<(), LogError> {
    let control = CONTROL.get().ok_or(LogError::NotOurs)?;
    let (filter, level) = parse(directives)?;
    let mut current = control.level.lock().unwrap_or_else(PoisonError::into_inner);
    if !(control.replace)(filter) {
        return Err(LogError::NotOurs);
    }
    *current = level;
    Ok(())
}

fn parse(directives: &str) -> Result<(EnvFilter, Level), LogError> {
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| LogError::Directives { directives: directives.to_owned(), error })?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    Ok((filter, Level { directives: directives.to_owned(), most }))
}
