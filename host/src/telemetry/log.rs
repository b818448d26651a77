//! The log, whose level can be changed while the host runs. A process has one log, so its control is a static.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use crate::config::{Log, LogFormat};

/// Directives that cannot be used, or a log that the host did not start.
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

/// The level that is in effect.
#[derive(Clone, Debug)]
pub struct Level {
    /// Directives in the syntax of the configuration's `log.level`.
    pub directives: String,
    /// The most verbose level that any of the directives lets through.
    pub most: LevelFilter,
}

/// Starts the log, which writes lines to standard error. Fails if the process has a log already.
pub fn start(log: &Log, dev: bool) -> Result<(), LogError> {
    let (filter, level) = parse(&log.level)?;
    let (filter, handle) = reload::Layer::new(filter);
    let format = log.format;
    let lines = fmt::layer().with_writer(move || Lines { dev, format });
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::NotOurs)?;
    let replace = Box::new(move |filter| handle.reload(filter).is_ok());
    CONTROL.set(Control { replace, level: Mutex::new(level) }).map_err(|_| LogError::NotOurs)
}

/// A writer to standard error that marks each line under `--dev`. The subscriber writes one line at a time.
struct Lines {
    dev: bool,
    format: LogFormat,
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let mut out = std::io::stderr().lock();
        let marked = match (self.dev, self.format) {
            (false, _) => return out.write_all(line).map(|()| line.len()),
            (true, LogFormat::Text) => [b"[dev: unsigned bundles are served] ", line].concat(),
            (true, LogFormat::Json) => [b"{\"dev\":true,", line.get(1..).unwrap_or_default()].concat(),
        };
        out.write_all(&marked).map(|()| line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// The text of an error and of its sources, which clients do not get. Sources whose text the error repeats are left out.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for source in std::iter::successors(error.source(), |source| source.source()) {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
    }
    text
}

pub fn level() -> Result<Level, LogError> {
    let control = CONTROL.get().ok_or(LogError::NotOurs)?;
    Ok(control.level.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// Changes the level from the next line on.
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
