//! The `logging` import: lines in the plugin's bounded log.

use crate::sandbox::cost;
use crate::sandbox::host_state::HostState;
use crate::sandbox::plugin_log::Level;
use crate::sandbox::wire::v0_1::logging;

impl logging::Host for HostState {
    fn log(&mut self, level: logging::Level, message: String) -> wasmtime::Result<()> {
        self.charge(cost::LOG, message.len() as u64)?;
        let level = match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error => Level::Error,
        };
        self.log().line(level, &message)?;
        Ok(())
    }
}
