//! Resources of the machine, for defaults that depend on them.

use std::fs;

use super::GIB;

/// Assumed memory if neither file can be read, as on systems other than Linux.
const UNKNOWN: u64 = 8 * GIB;

/// Bytes of memory that this process may have: the machine's, or its container's if that is less.
pub(super) fn memory() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    let container = fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(container).min().unwrap_or(UNKNOWN)
}

/// Bytes of memory, from a line such as `MemTotal:       16318424 kB`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_its_line() {
        let meminfo = "MemTotal:       16318424 kB\nMemFree:         1000000 kB\n";
        assert_eq!(total(meminfo), Some(16_318_424 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: many kB\n"), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory() > 1 << 20);
    }
}
