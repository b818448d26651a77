//! The memory that this process takes, as the system counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A view of this process's memory. It is opened before the process is confined, and can be read afterwards.
pub struct OwnMemory {
    /// `None` if the system does not report it.
    status: Option<File>,
}

/// Upper bound on the bytes of the system's report.
const MAX_STATUS: usize = 8 << 10;

impl OwnMemory {
    pub fn open() -> OwnMemory {
        OwnMemory { status: File::open("/proc/self/status").ok() }
    }

    /// Bytes that are in memory and in no file; 0 if the system does not report them.
    pub fn bytes(&self) -> u64 {
        let mut text = vec![0; MAX_STATUS];
        let read = self.status.as_ref().and_then(|status| status.read_at(&mut text, 0).ok());
        let text = String::from_utf8_lossy(&text[..read.unwrap_or(0)]);
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        kibibytes.unwrap_or(0).saturating_mul(1024)
    }
}
