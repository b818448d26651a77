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

use super::line_queue::{LineQueue, Source};
use crate::config::{Log, LogFormat, clip, parse_directives};

/// The target of the lines of plugins. They have a bound of their own among the lines that wait to be written.
pub const PLUGIN: &str = "plugin";

/// The longest wait, at the end of the process, for lines that are not written yet.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Directives that cannot be used, or a log that the host did not start.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("must be {wanted}, not \"{}\"", clip(directives.clone()))]
    Directives { directives: String, wanted: String },
    #[error("the log of this process was not started by the host")]
    NotOurs,
    #[error("the thread that writes the log could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

static CONTROL: OnceLock<Control> = OnceLock::new();

struct Control {
    replace: Box<dyn Fn(EnvFilter) -> bool + Send + Sync>,
    level: Mutex<Level>,
    queue: Arc<LineQueue>,
}

/// The level that is in effect.
#[derive(Clone, Debug)]
pub struct Level {
    /// Directives in the syntax of the configuration's `log.level`.
    pub directives: String,
    /// The most verbose level that any of the directives lets through.
    pub most: LevelFilter,
}

/// Starts the log. A thread of its own writes the lines to standard error, because no call may wait for the reader of the
/// log. Fails if the process has a log already.
pub fn start(log: &Log, dev: bool) -> Result<(), LogError> {
    let (filter, level) = parse(&log.level)?;
    let (filter, handle) = reload::Layer::new(filter);
    let marks = Marks { dev, format: log.format };
    let queue = Arc::new(LineQueue::start(move |line| drop(marks.write(line)), report_dropped)?);
    let lines = fmt::layer().with_writer(Output(queue.clone()));
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| LogError::NotOurs)?;
    let replace = Box::new(move |filter| handle.reload(filter).is_ok());
    CONTROL.set(Control { replace, level: Mutex::new(level), queue }).map_err(|_| LogError::NotOurs)?;
    std::panic::set_hook(Box::new(report_panic));
    Ok(())
}

/// Writes the lines that are still waiting, for as long as [`FLUSH_TIME`]. False if standard error does not take them: then
/// nothing else may be written there, because that would wait for ever.
pub fn flush() -> bool {
    CONTROL.get().is_none_or(|control| control.queue.flush(FLUSH_TIME))
}

fn report_dropped(source: Source, bytes: u64) {
    let of = match source {
        Source::Host => "the host",
        Source::Plugins => "plugins",
    };
    tracing::warn!(bytes, "lines of {of} were dropped, because standard error takes them more slowly than they come");
}

/// Logs a panic. The hook of the standard library would wait for standard error.
fn report_panic(panic: &std::panic::PanicHookInfo) {
    let thread = std::thread::current();
    let (thread, at) = (thread.name().unwrap_or_default(), panic.location().map(ToString::to_string));
    let text = panic.payload_as_str().unwrap_or_default();
    tracing::error!(thread, at, "panicked: {text}");
    // The process ends with this thread.
    if thread == "main" {
        flush();
    }
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

/// Makes a writer for each line.
struct Output(Arc<LineQueue>);

impl<'a> MakeWriter<'a> for Output {
    type Writer = ToQueue<'a>;

    fn make_writer(&'a self) -> ToQueue<'a> {
        ToQueue(&self.0, Source::Host)
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> ToQueue<'a> {
        ToQueue(&self.0, if line.target() == PLUGIN { Source::Plugins } else { Source::Host })
    }
}

/// A writer of lines. The subscriber writes one line at a time.
struct ToQueue<'a>(&'a LineQueue, Source);

impl Write for ToQueue<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.push(self.1, line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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
    let wrong = |wanted| LogError::Directives { directives: directives.to_owned(), wanted };
    let directives = parse_directives(directives).map_err(wrong)?;
    let filter =
        EnvFilter::try_new(&directives).map_err(|error| wrong(format!("directives that can be used ({error})")))?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    Ok((filter, Level { directives, most }))
}
