//! The log, whose level can be changed while the host runs. A process has one log, so its control is a static.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, reload};

use super::line_queue::LineQueue;
use crate::config::{Log, LogFormat};

/// The target of the lines of plugins. They are written by a thread of their own, because a call must not wait for the
/// reader of the log.
pub const PLUGIN: &str = "plugin";

/// The longest wait, at the end of the process, for lines of plugins that are not written yet.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Directives that cannot be used, or a log that the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("must be a level or directives, not \"{directives}\": {error}")]
    Directives { directives: String, error: tracing_subscriber::filter::ParseError },
    #[error("the log of this process was not started by the host")]
    NotOurs,
    #[error("cannot be used, because the thread that writes the lines of plugins did not start: {0}")]
    Thread(#[from] std::io::Error),
}

static CONTROL: OnceLock<Control> = OnceLock::new();

struct Control {
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    level: Mutex<Level>,
    plugins: Arc<LineQueue>,
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
    let marks = Marks { dev, format: log.format };
    let plugins = Arc::new(LineQueue::start(move |line| drop(marks.write(line)), report_dropped)?);
    let lines = fmt::layer().with_writer(Output { marks, plugins: plugins.clone() });
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::NotOurs)?;
    let replace = Box::new(move |filter| handle.reload(filter).is_ok());
    CONTROL.set(Control { replace, level: Mutex::new(level), plugins }).map_err(|_| LogError::NotOurs)
}

/// Writes the lines of plugins that are still waiting, for as long as [`FLUSH_TIME`].
pub fn flush() {
    if let Some(control) = CONTROL.get() {
        control.plugins.flush(FLUSH_TIME);
    }
}

fn report_dropped(bytes: u64) {
    tracing::warn!(
        bytes,
        "lines of plugins were dropped, because standard error takes them more slowly than they come"
    );
}

/// The marks of each line under `--dev`.
#[derive(Clone, Copy)]
struct Marks {
    dev: bool,
    format: LogFormat,
}

impl Marks {
    /// Writes one line to standard error.
    fn write(self, line: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stderr().lock();
        match (self.dev, self.format) {
            (false, _) => out.write_all(line),
            (true, LogFormat::Text) => out.write_all(&[b"[dev: unsigned bundles are served] ", line].concat()),
            (true, LogFormat::Json) => out.write_all(&[b"{\"dev\":true,", line.get(1..).unwrap_or_default()].concat()),
        }
    }
}

/// Gives each line a writer by its target.
struct Output {
    marks: Marks,
    plugins: Arc<LineQueue>,
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines::ToStandardError(self.marks)
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Lines<'a> {
        if line.target() == PLUGIN { Lines::ToQueue(&self.plugins) } else { self.make_writer() }
    }
}

/// A writer of lines. The subscriber writes one line at a time.
enum Lines<'a> {
    ToStandardError(Marks),
    ToQueue(&'a LineQueue),
}

impl Write for Lines<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        match self {
            Lines::ToStandardError(marks) => marks.write(line)?,
            Lines::ToQueue(queue) => queue.push(line.to_vec()),
        }
        Ok(line.len())
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
